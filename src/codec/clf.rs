//! Access logs in common and in combined format.
//!
//! Client address = user, method = operation, size = `measures.bytes`. The request's path (without
//! its query), its protocol, the referer, the user agent and the authenticated user become
//! attributes where they are present and not over their limit: an attribute that a client made too
//! long, or a server cut, says nothing that is worth losing the line for, and is left out. A line of
//! another shape is refused; a request that is no HTTP request only has no operation.

use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::{FieldLimits, Rejected, rfc3339};
use crate::model::outcome::Rejection;
use crate::model::time::Ms;

/// The tenant of an access log where the configuration names none.
pub(super) const TENANT: &str = "default";

pub(super) fn gather<'a>(line: &'a [u8], limits: &FieldLimits) -> Result<Gathered<'a>, Rejected> {
    let text = std::str::from_utf8(line).map_err(|e| refuse(&format!("byte {} is not UTF-8", e.valid_up_to())))?;
    let mut fields = Fields(text.trim_end_matches(['\r', '\n']));
    let mut out = Gathered::new();
    out.set(Field::User, Scalar::Text(fields.word("the client address")?.into()));
    fields.word("the identity")?;
    let (auth_user, time) = fields.auth_user_and_time()?;
    let time_ms = parse_time(time).ok_or_else(|| refuse(&format!("`{time}` is not a time as in access logs")))?;
    out.set(Field::Timestamp, Scalar::Time(time_ms));
    let request = fields.quoted().ok_or_else(|| refuse("the request in quotes is missing"))?;
    out.set(Field::Status, status(fields.word("the status")?)?);
    if let Some(bytes) = size(fields.word("the size")?)? {
        out.measure("bytes".into(), Scalar::Long(bytes), limits);
    }
    set_request(request, &mut out, limits);
    attribute("auth_user", auth_user, &mut out, limits);
    for name in ["referer", "user_agent"] {
        if let Some(value) = fields.quoted() {
            attribute(name, value, &mut out, limits);
        }
    }
    Ok(out)
}

#[cold]
fn refuse(problem: &str) -> Rejected {
    Rejected::new(Rejection::NotDecodable, format!("not a line of an access log: {problem}"))
}

/// What is left of a line.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn word(&mut self, what: &str) -> Result<&'a str, Rejected> {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        if word.is_empty() {
            return Err(refuse(&format!("{what} is missing")));
        }
        self.0 = rest;
        Ok(word)
    }

    /// A user's name may hold spaces: it ends where the time begins.
    fn auth_user_and_time(&mut self) -> Result<(&'a str, &'a str), Rejected> {
        let parts = self.0.split_once(" [").and_then(|(user, rest)| Some((user, rest.split_once("] ")?)));
        let (user, (time, rest)) = parts.ok_or_else(|| refuse("the time in brackets is missing"))?;
        self.0 = rest;
        Ok((user, time))
    }

    /// A text in quotes, as the server wrote it: a quote inside it is `\"` and stays so.
    fn quoted(&mut self) -> Option<&'a str> {
        let inside = self.0.strip_prefix('"')?;
        let end = closing_quote(inside.as_bytes())?;
        let (text, rest) = (&inside[..end], &inside[end + 1..]);
        self.0 = rest.strip_prefix(' ').unwrap_or(rest);
        Some(text)
    }
}

fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn status(word: &str) -> Result<Scalar<'_>, Rejected> {
    match word {
        "-" => Ok(Scalar::Null),
        _ => word.parse().map(Scalar::Long).map_err(|_| refuse(&format!("`{word}` is not a status"))),
    }
}

fn size(word: &str) -> Result<Option<i64>, Rejected> {
    match word {
        "-" => Ok(None),
        _ => word.parse().map(Some).map_err(|_| refuse(&format!("`{word}` is not a size"))),
    }
}

/// `GET /path?query HTTP/1.1`; anything else (a port scan, a cut request) leaves its fields absent.
fn set_request<'a>(request: &'a str, out: &mut Gathered<'a>, limits: &FieldLimits) {
    let mut words = request.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let is_method = |b: u8| b.is_ascii_uppercase() || matches!(b, b'-' | b'_');
    if method.is_empty() || method.len() > limits.text_bytes || !method.bytes().all(is_method) {
        return;
    }
    out.set(Field::Operation, Scalar::Text(method.into()));
    attribute("path", target.split(['?', '#']).next().unwrap_or(target), out, limits);
    if let Some(protocol) = words.next().filter(|p| p.starts_with("HTTP/")) {
        attribute("protocol", protocol, out, limits);
    }
}

fn attribute<'a>(name: &'static str, value: &'a str, out: &mut Gathered<'a>, limits: &FieldLimits) {
    if !matches!(value, "" | "-") && value.len() <= limits.attribute_value_bytes {
        out.attribute(name.into(), Scalar::Text(value.into()), limits);
    }
}

/// `17/May/2015:10:05:03 +0000`.
fn parse_time(text: &str) -> Option<Ms> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let b: &[u8; 26] = text.as_bytes().try_into().ok()?;
    if (b[2], b[6], b[11], b[20]) != (b'/', b'/', b':', b' ') {
        return None;
    }
    let month = MONTHS.iter().position(|m| *m == &b[3..6])? as i64 + 1;
    let day = rfc3339::days_since_epoch(rfc3339::digits(&b[7..11])?, month, rfc3339::digits(&b[0..2])?)?;
    let offset_ms = rfc3339::offset_part_ms(&b[22..24], &b[24..26])?;
    let utc_ms = match b[21] {
        b'+' => -offset_ms,
        b'-' => offset_ms,
        _ => return None,
    };
    Some(day * crate::model::time::DAY_MS + rfc3339::clock_ms(&b[12..20])? + utc_ms)
}

#[cfg(test)]
mod tests {
    use crate::codec::{Decoder, Format, InputSettings};
    use crate::model::outcome::{Outcome, Rejection};
    use crate::model::record::{NoHeaders, RecordIn};

    fn decoder() -> Decoder {
        Decoder::new(InputSettings { format: Format::Clf, ..InputSettings::default() }).unwrap()
    }

    fn record(line: &str) -> RecordIn<'_> {
        let value = line.as_bytes();
        RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders }
    }

    fn attributes(outcome: &Outcome<'_>) -> String {
        outcome.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reads_a_combined_line() {
        let line = r#"192.0.2.17 - ann [17/May/2015:10:05:03 +0200] "GET /a/b.png?q=%20x#y HTTP/1.1" 404 203023 "https://example.com/?a" "Agent \"7\" (x)""#;
        let decoder = decoder();
        let outcome = decoder.decode(&record(line)).unwrap();
        assert_eq!((&*outcome.tenant, outcome.user.as_deref()), ("default", Some("192.0.2.17")));
        assert_eq!((outcome.timestamp_ms, outcome.status), (1_431_849_903_000, Some(404)));
        assert_eq!((outcome.operation.as_deref(), outcome.measure("bytes")), (Some("GET"), Some(203_023.0)));
        let expected = r#"path=/a/b.png protocol=HTTP/1.1 auth_user=ann referer=https://example.com/?a user_agent=Agent \"7\" (x)"#;
        assert_eq!(attributes(&outcome), expected);
    }

    #[test]
    fn reads_a_common_line_and_what_servers_leave_out() {
        let decoder = decoder();
        for (line, operation, bytes, shown) in [
            (
                r#"::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.0" 200 -"#,
                Some("GET"),
                None,
                "path=/ protocol=HTTP/1.0",
            ),
            (
                r#"host - a b [17/May/2015:10:05:03 +0000] "GET /old" 200 5"#,
                Some("GET"),
                Some(5.0),
                "path=/old auth_user=a b",
            ),
            (r#"h - - [17/May/2015:10:05:03 +0000] "-" 408 0 "-" "-""#, None, Some(0.0), ""),
            (r#"h - - [17/May/2015:10:05:03 +0000] "\x16\x03 x" 400 0"#, None, Some(0.0), ""),
            (r#"h - - [17/May/2015:10:05:03 +0000] "" 400 0"#, None, Some(0.0), ""),
            (r#"h - - [17/May/2015:10:05:03 +0000] "" 400 0 "ref" "cut here \""#, None, Some(0.0), "referer=ref"),
            (
                "h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" - 0\r\n",
                Some("GET"),
                Some(0.0),
                "path=/ protocol=HTTP/1.1",
            ),
        ] {
            let outcome = decoder.decode(&record(line)).unwrap();
            assert_eq!((outcome.operation.as_deref(), outcome.measure("bytes")), (operation, bytes), "{line}");
            assert_eq!(attributes(&outcome), shown, "{line}");
        }
    }

    #[test]
    fn leaves_out_what_a_client_made_too_long() {
        let line =
            format!(r#"h - - [17/May/2015:10:05:03 +0000] "GET /{0} HTTP/1.1" 200 1 "{0}" "b""#, "x".repeat(1_024));
        let decoder = decoder();
        assert_eq!(
            attributes(&decoder.decode(&record(&line)).unwrap()),
            format!("protocol=HTTP/1.1 referer={} user_agent=b", "x".repeat(1_024))
        );
        let long_user = line.replacen('h', &"h".repeat(1_025), 1);
        assert_eq!(decoder.decode(&record(&long_user)).unwrap_err().reason, Rejection::TooLong);
    }

    #[test]
    fn refuses_lines_of_another_shape() {
        let decoder = decoder();
        let good = r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1"#;
        assert!(decoder.decode(&record(good)).is_ok());
        for (from, to) in [
            (good, ""),
            (good, "h"),
            (good, "{}"),
            ("[", ""),
            ("] ", ""),
            ("17/May", "31/Feb"),
            ("May", "may"),
            ("+0000", "0000"),
            ("+0000", "+2500"),
            (":03", ":63"),
            ("2015", "15"),
            ("\"GET", "GET"),
            ("1.1\"", "1.1"),
            (" 200", " OK"),
            (" 200 1", " 200"),
            (" 1", " 1k"),
        ] {
            let line = good.replacen(from, to, 1);
            assert_eq!(decoder.decode(&record(&line)).unwrap_err().reason, Rejection::NotDecodable, "{line}");
        }
        let old = good.replace("2015", "1999");
        assert_eq!(decoder.decode(&record(&old)).unwrap_err().reason, Rejection::Before2000);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(line in r#"([0-9a-z]+ )?- - \[[ -~]{0,30}\] ["\\\] a-zA-Z0-9é-]{0,60}"#) {
            let _ = decoder().decode(&record(&line));
        }
    }
}
