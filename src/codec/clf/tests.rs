use super::ClfShape;
use crate::codec::{Decoder, Format, InputSettings, Rejected};
use crate::model::outcome::{Outcome, Rejection};
use crate::model::record::{NoHeaders, RecordIn};

const GOOD: &str = r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1 "-" "b""#;
/// The request and headers of [`GOOD`].
const GOOD_ATTRIBUTES: &str = "path=/a referer= user_agent=b";

fn decoder(clf_shape: ClfShape) -> Decoder {
    Decoder::new(InputSettings { format: Format::Clf, clf_shape, ..InputSettings::default() }).unwrap()
}

fn decode(shape: ClfShape, line: &[u8]) -> Result<Outcome<'static>, Rejected> {
    let record = RecordIn { partition: 0, offset: 0, key: None, value: line, timestamp_ms: None, headers: &NoHeaders };
    decoder(shape).decode(&record).map(owned)
}

/// An outcome that outlives its line.
fn owned(outcome: Outcome<'_>) -> Outcome<'static> {
    let text = |t: Option<std::borrow::Cow<'_, str>>| t.map(|t| t.into_owned().into());
    Outcome {
        tenant: outcome.tenant.into_owned().into(),
        user: text(outcome.user),
        timestamp_ms: outcome.timestamp_ms,
        operation: text(outcome.operation),
        status: outcome.status,
        latency_ms: outcome.latency_ms,
        measures: outcome.measures.into_iter().map(|(n, v)| (n.into_owned().into(), v)).collect(),
        attributes: outcome
            .attributes
            .into_iter()
            .map(|(n, v)| (n.into_owned().into(), v.into_owned().into()))
            .collect(),
        weight_micros: outcome.weight_micros,
        ..Outcome::default()
    }
}

fn read(line: &str) -> Outcome<'static> {
    decode(ClfShape::Combined, line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e:?}"))
}

fn attributes(outcome: &Outcome<'_>) -> String {
    outcome.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn reads_a_combined_line() {
    let line = r#"192.0.2.17 - ann [17/May/2015:10:05:03 +0200] "GET /a/b.png?q=%20x#y HTTP/1.1" 404 203023 "https://example.com/?a" "Agent \"7\" (x)""#;
    let outcome = read(line);
    assert_eq!((&*outcome.tenant, outcome.user.as_deref()), ("default", Some("192.0.2.17")));
    assert_eq!((outcome.timestamp_ms, outcome.status), (1_431_849_903_000, Some(404)));
    assert_eq!((outcome.operation.as_deref(), outcome.measure("bytes")), (Some("GET"), Some(203_023.0)));
    assert_eq!((outcome.latency_ms, outcome.attributes.len()), (None, 4));
    let expected = r#"path=/a/b.png auth_user=ann referer=https://example.com/?a user_agent=Agent \"7\" (x)"#;
    assert_eq!(attributes(&outcome), expected);
}

#[test]
fn reads_a_common_line_and_what_servers_leave_out() {
    for (line, operation, bytes, shown) in [
        (r#"::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.0" 200 -"#, Some("GET"), None, "path=/"),
        (
            r#"host - a b [17/May/2015:10:05:03 +0000] "GET /old" 200 5"#,
            Some("GET"),
            Some(5.0),
            "path=/old auth_user=a b",
        ),
        (r#"h - - [17/May/2015:10:05:03 +0000] "-" 408 0 "-" "-""#, None, Some(0.0), "referer= user_agent="),
        (
            r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 408 0 "" """#,
            Some("GET"),
            Some(0.0),
            "path=/ referer= user_agent=",
        ),
        (r#"h - "" [17/May/2015:10:05:03 +0000] "\x16\x03 x" 400 0"#, None, Some(0.0), ""),
        (r#"h - - [17/May/2015:10:05:03 +0000] "" 400 0"#, None, Some(0.0), ""),
        (r#"h - - [17/May/2015:10:05:03 +0000] "" 400 0 "ref" "cut here \""#, None, Some(0.0), "referer=ref"),
        ("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" - 0\r\n", Some("GET"), Some(0.0), "path=/"),
        (r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1k"#, Some("GET"), None, "path=/"),
        (
            r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 99999999999999999999"#,
            Some("GET"),
            Some(1e20),
            "path=/",
        ),
    ] {
        let outcome = read(line);
        assert_eq!((outcome.operation.as_deref(), outcome.measure("bytes")), (operation, bytes), "{line}");
        assert_eq!(attributes(&outcome), shown, "{line}");
    }
}

#[test]
fn a_status_that_no_server_sends_is_absent() {
    for (status, read_as) in [
        ("200", Some(200)),
        ("100", Some(100)),
        ("599", Some(599)),
        ("-", None),
        ("-1", None),
        ("0", None),
        ("000", None),
        ("None", None),
        ("600", None),
        ("99", None),
        ("99999999999999999999", None),
        ("OK", None),
        ("+20", None),
        ("2e2", None),
    ] {
        let line = GOOD.replacen("200", status, 1);
        let outcome = read(&line);
        assert_eq!((outcome.status, attributes(&outcome).as_str()), (read_as, GOOD_ATTRIBUTES), "{line}");
    }
}

#[test]
fn the_user_may_be_nobody() {
    for (host, user) in [
        ("192.0.2.1", Some("192.0.2.1")),
        ("-", None),
        ("", None),
        ("unix:", None),
        ("unix", None),
        ("None", None),
        ("@", None),
        ("\"-\"", None),
        ("/run/lighttpd.sock", None),
        ("192.0.2.1:47256", Some("192.0.2.1")),
        ("[::1]:47256", Some("::1")),
        ("::ffff:192.0.2.1", Some("192.0.2.1")),
        ("localhost", Some("localhost")),
        ("  192.0.2.1", Some("192.0.2.1")),
        ("\x00\x00\x00\x00192.0.2.1", Some("192.0.2.1")),
        ("\u{feff}192.0.2.1", Some("192.0.2.1")),
    ] {
        let line = GOOD.replacen("192.0.2.1", host, 1);
        assert_eq!(read(&line).user.as_deref(), user, "{line}");
    }
}

#[test]
fn the_name_of_a_user_may_hold_spaces_and_brackets() {
    for user in [
        "Smith [ext]",
        "[x] [y",
        "a b c",
        "[17/May] x",
        "Smith - ext",
        "ann",
        "a [17/Foo/2015:10:05:03 +0000] b",
        "münchen [1]",
    ] {
        let line = GOOD.replacen("- - [", &format!("- {user} ["), 1);
        let outcome = read(&line);
        assert_eq!(outcome.attribute("auth_user"), Some(user), "{line}");
        assert_eq!(
            (outcome.user.as_deref(), outcome.status, outcome.timestamp_ms),
            (Some("192.0.2.1"), Some(200), 1_431_857_103_000),
            "{line}"
        );
    }
    assert_eq!(read(&GOOD.replacen("- - [", "frank frank [", 1)).attribute("auth_user"), Some("frank"));
    assert_eq!(read(&GOOD.replacen("- - [", "-  [", 1)).attribute("auth_user"), None);
}

#[test]
fn the_request_gives_method_and_path() {
    for (request, operation, path) in [
        ("GET /a HTTP/1.1", Some("GET"), Some("/a")),
        ("GET  /a HTTP/1.1", Some("GET"), Some("/a")),
        ("GET /a  HTTP/1.1", Some("GET"), Some("/a")),
        ("GET /a b?q=1 c HTTP/1.1", Some("GET"), Some("/a b")),
        ("GET /a 1.1", Some("GET"), Some("/a")),
        ("GET /a 2", Some("GET"), Some("/a")),
        ("GET /a", Some("GET"), Some("/a")),
        ("GET http://example.com:8080/a?b HTTP/1.1", Some("GET"), Some("/a")),
        ("GET HTTPS://example.com HTTP/1.1", Some("GET"), Some("/")),
        ("GET http://example.com?b=/c HTTP/1.1", Some("GET"), Some("/")),
        ("GET /go?to=http://example.com/x HTTP/1.1", Some("GET"), Some("/go")),
        ("GET /go/http://example.com/x HTTP/1.1", Some("GET"), Some("/go/http://example.com/x")),
        ("OPTIONS * HTTP/1.1", Some("OPTIONS"), Some("*")),
        ("CONNECT example.com:443 HTTP/1.1", Some("CONNECT"), None),
        ("M-SEARCH * HTTP/1.1", Some("M-SEARCH"), Some("*")),
        ("- error:transaction-end-before-headers NONE/0.0", None, None),
        ("-", None, None),
        ("<BADREQ>", None, None),
        (r"\x16\x03\x01 x", None, None),
        ("GET", None, None),
    ] {
        let line = GOOD.replacen("GET /a HTTP/1.1", request, 1);
        let outcome = read(&line);
        assert_eq!((outcome.operation.as_deref(), outcome.attribute("path")), (operation, path), "{line}");
        assert_eq!((outcome.status, outcome.attribute("user_agent")), (Some(200), Some("b")), "{line}");
    }
}

/// morgan and others write quotes unescaped.
#[test]
fn a_quote_that_is_not_escaped_does_not_move_the_status() {
    for request in [r#"GET /a"b HTTP/1.1"#, r#"GET /a" b HTTP/1.1"#, r#"GET /a\"b HTTP/1.1"#, r#"GET /a b\"#, r#"" "#] {
        let line = GOOD.replacen("GET /a HTTP/1.1", request, 1).replacen(" 200 ", " 404 ", 1);
        assert_eq!(read(&line).status, Some(404), "{line}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_keep_the_line() {
    let line = b"192.0.2.1 - j\xF6rg [17/May/2015:10:05:03 +0000] \"GET /caf\xE9 HTTP/1.1\" 503 5 \"http://x/?q=\xFF\xFE\" \"M\xFCller\"";
    let outcome = decode(ClfShape::Combined, line).unwrap();
    assert_eq!(outcome.status, Some(503));
    assert_eq!(
        attributes(&outcome),
        "path=/caf\u{fffd} auth_user=j\u{fffd}rg referer=http://x/?q=\u{fffd}\u{fffd} user_agent=M\u{fffd}ller"
    );
    let scan = b"192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"\x80\xFF \" 400 5 \"-\" \"x\"";
    assert_eq!(decode(ClfShape::Combined, scan).unwrap().status, Some(400));
}

#[test]
fn a_duration_at_the_end_is_the_latency() {
    for (end, latency_ms) in [
        (" 0.123", Some(123.0)),
        (" 300.004", Some(300_004.0)),
        (" 0.000123", Some(0.123)),
        (" \"198.51.100.7\" 0.005", Some(5.0)),
        (" 0.000\r", Some(0.0)),
        (" 12ms", Some(12.0)),
        (" 1.5s", Some(1_500.0)),
        (" 2s", Some(2_000.0)),
        (" 123456us", Some(123.456)),
        (" 0.123 0.120", None),
        (" 12", None),
        (" 0.12", None),
        (" -", None),
        (" -0.123", None),
        (" x0.123", None),
        (" .123", None),
        (" 5.ms", None),
        (" 1.2.3s", None),
        (" 12min", None),
        (" 99999999999999999.123", None),
        (" 0.123 \"x\"", None),
    ] {
        assert_eq!(read(&format!("{GOOD}{end}")).latency_ms, latency_ms, "{end}");
    }
    assert_eq!(read(r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 1.250"#).latency_ms, Some(1_250.0));
    // 15.622 between time and request belongs to another format, and the size is not a latency.
    assert_eq!(read(r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#).latency_ms, None);
}

#[test]
fn a_virtual_host_in_front_is_an_attribute_where_the_shape_has_one() {
    for (front, vhost, user) in [
        ("www.example.com:443 192.0.2.1 - -", Some("www.example.com"), Some("192.0.2.1")),
        ("www.example.com ::1 - ann", Some("www.example.com"), Some("::1")),
        ("[2001:db8::1]:80 192.0.2.1 - -", Some("[2001:db8::1]"), Some("192.0.2.1")),
        ("_ unix: - Smith [ext]", Some("_"), None),
        ("- 192.0.2.1 - -", None, Some("192.0.2.1")),
    ] {
        let line = GOOD.replacen("192.0.2.1 - -", front, 1);
        let outcome = decode(ClfShape::VhostCombined, line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e:?}"));
        assert_eq!(
            (outcome.attribute("vhost"), outcome.user.as_deref(), outcome.status),
            (vhost, user, Some(200)),
            "{line}"
        );
        assert_eq!(decode(ClfShape::Combined, line.as_bytes()).unwrap_err().reason, Rejection::NotDecodable, "{line}");
    }
    for front in
        ["192.0.2.1 - -", "192.0.2.1 - ann", "192.0.2.1 - ann bo", "a b 192.0.2.1 - -", "a 192.0.2.1, 192.0.2.2 - -"]
    {
        let line = GOOD.replacen("192.0.2.1 - -", front, 1);
        assert_eq!(
            decode(ClfShape::VhostCombined, line.as_bytes()).unwrap_err().reason,
            Rejection::NotDecodable,
            "{line}"
        );
    }
}

/// A line that does not fit is a dead letter whose detail names what it looks like.
#[test]
fn a_line_of_another_shape_is_refused_and_named() {
    for (line, named) in [
        ("www.example.com:80 192.0.2.9 - - TIME", "virtual host"),
        ("www.example.com 192.0.2.9 - joe TIME", "virtual host"),
        ("www.example.com:443 client.example.net - joe TIME", "virtual host"),
        ("www.example.com:443 - - - TIME", "virtual host"),
        ("192.0.2.9, 198.51.100.7 - - TIME", "X-Forwarded-For"),
        ("192.0.2.9,198.51.100.7 - - TIME", "X-Forwarded-For"),
        ("192.0.2.9, 198.51.100.7, 203.0.113.1 - joe TIME", "X-Forwarded-For"),
        ("unknown, 198.51.100.7 - - TIME", "X-Forwarded-For"),
        ("192.0.2.9 198.51.100.7 - - TIME", "X-Forwarded-For"),
        ("Jan 11 00:00:00 web1 nginx: 192.0.2.9 - - TIME", "syslog"),
        ("Jan  1 00:00:00 web1 nginx: 192.0.2.9 - joe TIME", "syslog"),
        ("<190>Jan 11 00:00:00 web1 nginx: 192.0.2.9 - - TIME", "syslog"),
        ("<190>1 2026-01-11T00:00:00Z web1 nginx - - - 192.0.2.9 - - TIME", "syslog"),
        ("2026-01-11T00:00:00.123Z stdout F 192.0.2.9 - - TIME", "CRI"),
        ("web_1  | 192.0.2.9 - - TIME", "docker compose"),
        ("[2026-11-27 03:06:36 +0000] [123] [INFO] 192.0.2.9 - - TIME", "logger's prefix"),
        ("2026-11-27 03:06:36,123 INFO 192.0.2.9 - - TIME", "logger's prefix"),
        ("INFO:aiohttp.access:192.0.2.9 - - TIME", "logger's prefix"),
        ("nginx: 192.0.2.9 - - TIME", "logger's prefix"),
        ("192.0.2.9 TIME", "without ident and user"),
        ("192.0.2.9 - TIME", "without ident and user"),
        ("192.0.2.9 - - web 7 - TIME", "other fields before the time"),
        ("\"192.0.2.9 - - TIME", "in quotes"),
        ("192.0.2.9 - - [27/Nov/2026:02:59:14] \"GET / HTTP/1.1\" 200 1", "no zone"),
        ("192.0.2.9:1 [27/Nov/2026:02:59:14.123] front back/s 0/0/1/2/3 200 1", "HAProxy's own log"),
        ("192.0.2.9 - - [27/Nov/2026 02:59:14] \"GET / HTTP/1.1\" 200 1", "no zone"),
        ("192.0.2.9 - - [2026-11-27 02:59:14] \"GET / HTTP/1.1\" 200 1", "ISO time"),
        ("192.0.2.9 - - [2026-11-27T02:59:14Z] \"GET / HTTP/1.1\" 200 1", "ISO time"),
        ("192.0.2.9 - - [7/Nov/2026:02:59:14 +0000] \"GET / HTTP/1.1\" 200 1", "one digit"),
        ("192.0.2.9 - - [17/Lip/2026:02:59:14 +0000] \"GET / HTTP/1.1\" 200 1", "another language"),
        ("192.0.2.9 - - [17/11/2026:02:59:14 +0000] \"GET / HTTP/1.1\" 200 1", "another language"),
        ("192.0.2.9 - - [17/Nov/2026:02:59:14 -3.530] \"GET / HTTP/1.1\" 200 1", "not written as +0200"),
        ("192.0.2.9 - - [17/Nov/2026:02:59:14 +0550] \"GET / HTTP/1.1\" 200 1", "no place has"),
        ("192.0.2.9 - - [17/Nov/2026:02:59:14 +0575] \"GET / HTTP/1.1\" 200 1", "no place has"),
        ("192.0.2.9 - - [31/Feb/2026:02:59:14 +0000] \"GET / HTTP/1.1\" 200 1", "does not exist"),
        (
            "192.0.2.9 - - [17/Nov/2026:02:59:14 +0000] 15622 \"GET / HTTP/1.1\" 200 1",
            "between the time and the request",
        ),
        (
            "[08/Jan/2019:17:49:30 +0000] [www.example.com:443] [client 192.0.2.9] \"GET / HTTP/1.1\" 200 1",
            "begins with its time",
        ),
        ("192.0.2.9 - - [17/Nov/2026:02:59:14 +0000]", "cut off"),
        ("192.0.2.9 - - [17/Nov/2026:02:59:14 +0000] \"GET /", "cut off"),
        ("192.0.2.9 - - [17/Nov/2026:02:59:14 +0000] \"GET / HTTP/1.1\"", "cut off"),
        ("192.0.2.9 - - [17/Nov/2026:02:59:14 +0000] \"GET / HTTP/1.1\" 200", "cut off"),
        ("192.0.2.9 - - [17/Nov/20", "no access log"),
        ("{\"status\":200}", "JSON"),
        ("#Fields: date time cs-method", "W3C"),
        ("2026-11-27 02:59:14 192.0.2.9 GET /a - 443 - 198.51.100.7 Agent 200 0 0 15", "W3C"),
        ("2026/11/27 02:59:14 [error] 12#12: *1 connect() failed", "error log"),
        ("[Fri Nov 27 02:59:14.123456 2026] [core:error] [pid 1] AH00126: Invalid URI", "error log"),
        (
            "1795748354.123    456 192.0.2.9 TCP_MISS/200 1024 GET http://example.com/ - HIER_DIRECT/192.0.2.1 text/html",
            "Squid's own",
        ),
        ("INFO:     192.0.2.9:1234 - \"GET / HTTP/1.1\" 200 OK", "uvicorn"),
        ("level=info method=GET path=/ status=200", "key=value"),
        ("https 2026-11-27T02:59:14.186641Z app/lb/1 192.0.2.9:2817", "AWS"),
        ("h", "no access log"),
        ("GET / HTTP/1.1 200", "no access log"),
    ] {
        let line = line.replace("TIME", "[17/Nov/2026:02:59:14 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"x\"");
        let rejected = decode(ClfShape::Combined, line.as_bytes()).err().unwrap_or_else(|| panic!("read: {line}"));
        assert_eq!(rejected.reason, Rejection::NotDecodable, "{line}");
        assert!(rejected.detail.contains(named), "{line}\n  {}", rejected.detail);
    }
}

#[test]
fn leaves_out_what_a_client_made_too_long() {
    let line = format!(r#"h - - [17/May/2015:10:05:03 +0000] "GET /{0} HTTP/1.1" 200 1 "{0}" "b""#, "x".repeat(1_024));
    assert_eq!(attributes(&read(&line)), format!("referer={} user_agent=b", "x".repeat(1_024)));
    let long_user = line.replacen('h', &"h".repeat(1_025), 1);
    assert_eq!(decode(ClfShape::Combined, long_user.as_bytes()).unwrap_err().reason, Rejection::TooLong);
    let old = GOOD.replace("2015", "1999");
    assert_eq!(decode(ClfShape::Combined, old.as_bytes()).unwrap_err().reason, Rejection::Before2000);
}

proptest::proptest! {
    #[test]
    fn never_panics(line in r#"([0-9a-z:.,]+ )?- - \[[ -~]{0,30}\] ["\\\] a-zA-Z0-9é-]{0,60}"#) {
        for shape in [ClfShape::Combined, ClfShape::VhostCombined] {
            let _ = decode(shape, line.as_bytes());
        }
    }

    /// Whatever is cut from a line or inserted, it becomes an outcome or a dead letter.
    #[test]
    fn never_panics_at_a_mutated_line(at in 0usize..78, bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..6), cut in 0usize..20) {
        let mut line = GOOD.as_bytes().to_vec();
        let end = (at + cut).min(line.len());
        line.splice(at.min(end)..end, bytes);
        for shape in [ClfShape::Combined, ClfShape::VhostCombined] {
            let _ = decode(shape, &line);
        }
    }
}
