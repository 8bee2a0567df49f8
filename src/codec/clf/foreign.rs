//! Lines of other formats: what they look like, and what to do about it.
//!
//! It only explains lines that were refused already: it names their likely writer or, if several things are wrong, the
//! one that explains most.

use super::super::rejected::Rejected;
use super::client::is_address;
use super::line::Misfit;
use super::months;
use super::shape::ClfShape;
use super::time::{self, Stamp};
use crate::model::outcome::Rejection;

/// A format and its remedy.
type Named = (&'static str, &'static str);

const FORMAT: &str = "log `%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-agent}i\"`";

/// How much of a line is examined.
const LOOKED_AT_BYTES: usize = 2_048;

#[cold]
pub(super) fn reject(line: &[u8], shape: ClfShape, misfit: Misfit) -> Rejected {
    let (looks_like, remedy) = name(&line[..line.len().min(LOOKED_AT_BYTES)], shape, misfit);
    let remedy = remedy.replace("FORMAT", FORMAT);
    let detail = format!("not a line of an access log in {}: it looks like {looks_like}; {remedy}", wanted(shape));
    Rejected { looks_like: Some(looks_like), ..Rejected::new(Rejection::NotDecodable, detail) }
}

fn wanted(shape: ClfShape) -> &'static str {
    match shape {
        ClfShape::Combined => "common or combined format",
        ClfShape::VhostCombined => "the format vhost_combined",
    }
}

fn name(line: &[u8], shape: ClfShape, misfit: Misfit) -> Named {
    if let Some(named) = whole(line) {
        return named;
    }
    match misfit {
        Misfit::NoTime => without_time(line),
        Misfit::BadTime => bad_time(line),
        Misfit::Front => front(line, shape),
        Misfit::Between => (
            "a line with other fields between the time and the request",
            "FORMAT, and put further fields at the end of the line",
        ),
        Misfit::Cut => (
            "a line that was cut off, or one without request, status and size",
            "nothing to do where a server was killed while it wrote; else FORMAT",
        ),
    }
}

/// Formats that the beginning of a line shows.
fn whole(line: &[u8]) -> Option<Named> {
    let first = *line.first()?;
    let second = line.get(1).copied().unwrap_or(b' ');
    match first {
        b'{' => Some(("JSON", "use --format jsonl (input.format: json) and name its fields in input.mapping")),
        b'#' => Some((
            "the header of a W3C extended log (IIS, CloudFront)",
            "convert it to JSON lines and use --format jsonl with input.mapping",
        )),
        b'"' if second.is_ascii_alphanumeric() || second == b'[' || second == b':' => Some((
            "a line in quotes (from a CSV or JSON export)",
            "take the quotes off: write the lines as the server wrote them",
        )),
        _ => None,
    }
}

fn bad_time(line: &[u8]) -> Named {
    let text = brackets(line).find(|inside| time::read(inside) == Stamp::Unreadable).unwrap_or_default();
    let minutes = text.split(|b| *b == b']').next().and_then(|time| time.last_chunk::<2>());
    match minutes {
        Some(b"00" | b"15" | b"30" | b"45") => (
            "a line with a date or an offset that does not exist",
            "correct the clock of its writer, or the format of its time",
        ),
        _ => (
            "a line whose offset from UTC no place has (it is not a multiple of 15 minutes)",
            "have the server write the time in UTC (+0000); a program that computes the offset itself gets it wrong",
        ),
    }
}

/// What follows each opening bracket.
fn brackets(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr::memchr_iter(b'[', line).map(|at| &line[at + 1..])
}

fn without_time(line: &[u8]) -> Named {
    if let Some(named) = error_log(line).or_else(|| other_log(line)) {
        return named;
    }
    if line.first() == Some(&b'[') && matches!(time::read(&line[1..]), Stamp::At(..)) {
        return ("a line that begins with its time", "FORMAT");
    }
    brackets(line).find_map(odd_time).unwrap_or((
        "no access log: there is no time in brackets in it",
        "FORMAT, or convert the lines to JSON and use --format jsonl",
    ))
}

/// What is written in place of the time.
fn odd_time(inside: &[u8]) -> Option<Named> {
    let is = |pattern: &str| matches_digits(inside, pattern);
    if is("0000-00-00") || is("00000000T") {
        return Some(("a line with an ISO time (gevent and others)", "have the server write `%d/%b/%Y:%H:%M:%S %z`"));
    }
    if is("0/") || is(" 0/") {
        return Some((
            "a line whose day has one digit",
            "have the server write the day with two digits (`%d`): 07/Nov/2026",
        ));
    }
    if !is("00/") {
        return None;
    }
    let rest = &inside[3..];
    let slash = memchr::memchr(b'/', &rest[..rest.len().min(4 * months::LONGEST)])?;
    if months::number(&rest[..slash]).is_none() {
        return Some((
            "a line whose month is of another language and unknown, or means several months",
            "run the server with LC_TIME=C, so that it writes Jan, Feb, Mar, ...",
        ));
    }
    let behind = &rest[slash + 1..];
    let clock = ["0000:00:00:00", "0000 00:00:00"].into_iter().find(|clock| matches_digits(behind, clock))?;
    let has_offset = behind[clock.len()..].starts_with(b" ") && clock.as_bytes()[4] == b':';
    Some(if has_offset {
        ("a line whose offset from UTC is not written as +0200", "have the server write the offset with `%z`")
    } else {
        (
            "a line whose time has no zone (CherryPy, daphne, HAProxy's own format and others)",
            "have the server write the offset from UTC after the time (`%d/%b/%Y:%H:%M:%S %z`)",
        )
    })
}

/// Error logs of the usual servers.
fn error_log(line: &[u8]) -> Option<Named> {
    let nginx = matches_digits(line, "0000/00/00 00:00:00 [");
    let apache = line.first() == Some(&b'[') && is_weekday(&line[1..]) && line.get(4) == Some(&b' ');
    let lighttpd =
        matches_digits(line, "0000-00-00 00:00:00: (") || matches_digits(line, "0000-00-00 00:00:00: server.c");
    (nginx || apache || lighttpd).then_some((
        "a line of a server's error log",
        "give the access log; error log and access log need files of their own",
    ))
}

/// Logs of requests that are written in another format.
fn other_log(line: &[u8]) -> Option<Named> {
    const MAPPED: &str = "convert it to JSON lines and use --format jsonl with input.mapping";
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').filter(|w| !w.is_empty()).take(6).collect();
    let word = |n: usize| words.get(n).copied().unwrap_or_default();
    if matches_digits(line, "0000-00-00 00:00:00 ") || matches_digits(line, "0000-00-00\t00:00:00\t") {
        return Some(("a line of a W3C extended log (IIS, CloudFront), or of a program's own log", MAPPED));
    }
    if matches_digits(word(0), "0000000000.000") {
        return Some(("a line of Squid's own log", "use Squid's `logformat combined`"));
    }
    if matches_digits(word(1), "[00/") && word(1).ends_with(b"]") && word(3).contains(&b'/') {
        return Some(("a line of HAProxy's own log", "use HAProxy's `option httplog clf`"));
    }
    if matches!(word(0), b"http" | b"https" | b"h2" | b"ws" | b"wss" | b"grpcs")
        && matches_digits(word(1), "0000-00-00T")
    {
        return Some(("a line of an AWS load balancer", MAPPED));
    }
    if is_level(word(0)) && line.windows(2).any(|two| two == b" \"") {
        return Some((
            "a line of a program's own log without a time (uvicorn)",
            "FORMAT: a line without its time cannot be placed",
        ));
    }
    let pairs = words.iter().filter(|w| w.iter().position(|b| *b == b'=').is_some_and(|at| at > 0)).count();
    (pairs >= 3).then_some(("a line of key=value pairs (logfmt)", MAPPED))
}

/// The fields before the time are not host, ident and user.
fn front(line: &[u8], shape: ClfShape) -> Named {
    let at = brackets(line)
        .find(|inside| matches!(time::read(inside), Stamp::At(..)))
        .map_or(0, |inside| line.len() - inside.len() - 1);
    let words: Vec<&[u8]> = line[..at].split(|b| *b == b' ').filter(|w| !w.is_empty()).collect();
    let word = |n: usize| words.get(n).copied().unwrap_or_default();
    if let Some(named) = prefix(line, &words) {
        return named;
    }
    if words.iter().any(|w| w.contains(&b',')) || is_address(word(0)) && is_address(word(1)) {
        return (
            "a line that begins with several addresses (X-Forwarded-For)",
            "log one address: the client as your own proxy saw it (nginx: real_ip_header; Apache: mod_remoteip)",
        );
    }
    if shape == ClfShape::VhostCombined {
        return (
            "a line without a virtual host in front",
            "take out input.clf_shape, or log the virtual host as the first field (Apache: vhost_combined)",
        );
    }
    let has_client = word(1) != b"-" || !is_address(word(0));
    if words.len() >= 4 && (is_address(word(1)) || word(2) == b"-" && has_client) {
        return (
            "a line with a virtual host in front (vhost_combined)",
            "set input.clf_shape: vhost_combined (--set input.clf_shape=vhost_combined)",
        );
    }
    if words.len() < 3 {
        return (
            "a line without ident and user (aiohttp and others)",
            "FORMAT: where they are not known, log `-` for each",
        );
    }
    (
        "a line with other fields before the time than host, ident and user",
        "FORMAT, and put further fields at the end of the line",
    )
}

/// A logger, a container or syslog wrote something in front of the server's line.
fn prefix(line: &[u8], words: &[&[u8]]) -> Option<Named> {
    let word = |n: usize| words.get(n).copied().unwrap_or_default();
    let first = word(0);
    let is_bsd_time = months::number(first).is_some() && matches_digits(word(2), "00:00:00");
    if line.starts_with(b"<") || is_bsd_time {
        return Some((
            "a line with a syslog prefix",
            "cut it off (what follows `nginx: ` or `httpd[123]: `), or have syslog write only the message (rsyslog: `%msg%`)",
        ));
    }
    let is_iso_time = matches_digits(first, "0000-00-00");
    if is_iso_time && matches!(word(1), b"stdout" | b"stderr") {
        return Some(("a line with a prefix of the container's log (CRI)", "cut off its first three fields"));
    }
    if words.iter().take(3).any(|w| *w == b"|") {
        return Some(("a line with a prefix of docker compose", "use `docker compose logs --no-log-prefix`"));
    }
    let is_tag = |w: &&[u8]| w.ends_with(b":") && w.len() > 1;
    if is_iso_time || first.starts_with(b"[") || is_level(first) || words.iter().take(4).any(is_tag) {
        return Some((
            "a line with a logger's prefix (a time, a level, a name) in front",
            "have the logger write only the message (Python: `format='%(message)s'`)",
        ));
    }
    let is_colon_list = memchr::memchr_iter(b':', first).count() >= 2 && !is_address(first);
    is_colon_list.then_some((
        "a line with a logger's prefix (a level, a name) in front",
        "have the logger write only the message (Python: `format='%(message)s'`)",
    ))
}

fn is_level(word: &[u8]) -> bool {
    const LEVELS: [&str; 9] = ["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"];
    let name = word.split(|b| *b == b':').next().unwrap_or_default();
    LEVELS.iter().any(|level| name.eq_ignore_ascii_case(level.as_bytes()))
}

fn is_weekday(text: &[u8]) -> bool {
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].iter().any(|day| text.starts_with(day.as_bytes()))
}

/// Whether a text begins with the pattern, in which 0 means any digit.
fn matches_digits(text: &[u8], pattern: &str) -> bool {
    text.len() >= pattern.len()
        && pattern.bytes().zip(text).all(|(p, t)| if p == b'0' { t.is_ascii_digit() } else { p == *t })
}
