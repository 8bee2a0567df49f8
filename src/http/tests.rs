mod access;
mod api;
mod events;
mod openapi;
mod query;
mod rollout;

use super::connections::Limits;
use super::server::serve_within;
use super::*;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server on any port of the loopback, and its board.
struct Running {
    board: Arc<Board>,
    server: Server,
}

impl Running {
    fn new(capacity: usize) -> Running {
        Running::within(capacity, Limits::of_this_process())
    }

    fn within(capacity: usize, limits: Limits) -> Running {
        let board = Arc::new(Board::new(capacity));
        let endpoints = Endpoints::new(Arc::clone(&board), || "tailburn_tasks 1\n".to_owned());
        Running { board, server: serve_within("127.0.0.1:0", endpoints, limits).expect("a free port") }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream
    }

    /// The answer to these bytes, until the connection ends.
    fn answer(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        text
    }

    fn status(self, key: &str, json: &str) -> Running {
        self.board.publish([Update::Status { key: key.into(), json: json.into() }]);
        self
    }

    fn request(&self, method: &str, path: &str, host: &str) -> (u16, String) {
        let text = self.answer(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, "localhost")
    }

    fn items(&self, path: &str) -> Vec<Value> {
        self.page(path)["items"].as_array().expect("items").clone()
    }

    fn page(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

fn alert(key: &str, id: &str, firing: bool) -> Update {
    Update::Alert { key: key.into(), id: id.into(), firing, json: format!("\"{id}\"").into() }
}

#[test]
fn shows_the_bytes_that_were_published() {
    let running = Running::new(10).status("a|aggregate", r#"{"sli":1.0,"bad":0.10000000000000001}"#);
    let (_, body) = running.get("/api/v1/status");
    assert!(body.contains(r#"{"items":[{"sli":1.0,"bad":0.10000000000000001}],"next":null"#), "{body}");
}

#[test]
fn canaries_have_their_latest_verdict() {
    let running = Running::new(10).status("a|aggregate", "1");
    let canary = |key: &str, json: &str| Update::Canary { key: key.into(), json: json.into() };
    running.board.publish([canary("a|*|v2#x", "1"), canary("b|*|v2", "2"), canary("a|*|v2#x", "3")]);
    assert_eq!(running.items("/api/v1/canaries"), [3, 2]);
    assert_eq!(running.items("/api/v1/canaries?slo=b"), [2]);
    assert_eq!(running.get("/api/v1/canaries?state=pass").0, 400);
}

#[test]
fn filters_by_slo_scope_and_tenant() {
    let running = Running::new(10)
        .status("a|aggregate", "1")
        .status("a|tenant|acme%2C inc", "2")
        .status("b|tenant|acme%2C inc", "3")
        .status("b|group|region=eu", "4");
    assert_eq!(running.items("/api/v1/status?slo=b"), [4, 3]);
    assert_eq!(running.items("/api/v1/status?scope=aggregate"), [1]);
    assert_eq!(running.items("/api/v1/status?tenant=acme,%20inc&slo=a"), [2]);
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let mut running = Running::new(10);
    for n in 0..5 {
        running = running.status(&format!("s{n}|aggregate"), &n.to_string());
    }
    let first = running.page("/api/v1/status?limit=3");
    assert_eq!((first["items"].as_array().map(Vec::len), &first["total"]), (Some(3), &Value::from(5)));
    let next = first["next"].as_str().expect("a next page").replace('|', "%7C");
    let second = running.page(&format!("/api/v1/status?limit=3&after={next}"));
    assert_eq!(second["items"], serde_json::json!([3, 4]));
    assert_eq!(second["next"], Value::Null);
}

#[test]
fn a_tombstone_is_forgotten() {
    let running = Running::new(10).status("a|aggregate", "1").status("b|aggregate", "2");
    running.board.publish([Update::Forget { key: "a|aggregate".into() }]);
    assert_eq!(running.items("/api/v1/status"), [2]);
}

#[test]
fn what_finds_no_room_is_counted_and_said() {
    let running = Running::new(1).status("a|aggregate", "1").status("b|aggregate", "2").status("a|aggregate", "3");
    let page = running.page("/api/v1/status");
    assert_eq!((&page["items"], &page["not_shown"]), (&serde_json::json!([3]), &Value::from(1)));
}

#[test]
fn alerts_that_fire_come_first_to_mind_and_ended_ones_make_room() {
    let running = Running::new(2);
    running.board.publish([alert("a|aggregate", "1", true), alert("a|aggregate", "1", false)]);
    running.board.publish([alert("a|aggregate", "2", true)]);
    assert_eq!(running.items("/api/v1/alerts"), ["2"]);
    assert_eq!(running.items("/api/v1/alerts?state=resolved"), ["1"]);
    assert_eq!(running.items("/api/v1/alerts?state=all"), ["1", "2"]);
    running.board.publish([alert("a|aggregate", "3", true)]);
    assert_eq!(running.items("/api/v1/alerts?state=all"), ["2", "3"]);
}

/// The whole answer to a GET with this header.
fn whole(running: &Running, path: &str, header: &str) -> String {
    running.answer(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n"))
}

#[test]
fn a_browser_gets_the_page_and_a_terminal_the_paths() {
    let running = Running::new(1);
    let page = whole(&running, "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8");
    assert!(page.contains("content-type: text/html") && page.contains("<div id=\"app\">"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none';") && page.contains("cache-control: no-cache"));
    assert!(whole(&running, "/", "Accept: */*").contains("/api/v1/status"));

    // Its files are named by their hash, may be kept for good, and are not sent again to those who have them.
    let folder = page.split("name=\"assets\" content=\"").nth(1).and_then(|t| t.split('"').next()).expect("a folder");
    let script = whole(&running, &format!("{folder}/app.js"), "Accept: */*");
    assert!(script.contains("immutable") && script.contains("text/javascript"), "{script}");
    let tag = script.split("etag: ").nth(1).and_then(|t| t.split('\r').next()).expect("a tag");
    assert!(whole(&running, &format!("{folder}/app.js"), &format!("If-None-Match: {tag}")).contains(" 304 "));
    assert!(whole(&running, "/assets/older/app.js", "Accept: */*").contains("cache-control: no-cache"));
    assert_eq!(running.get(&format!("{folder}/../Cargo.toml")).0, 404);
}

#[test]
fn is_ready_once_live() {
    let running = Running::new(1);
    assert_eq!(running.get("/readyz").0, 503);
    running.board.set_phase(Phase::Restoring { live: 1, assigned: 2 });
    assert_eq!(running.get("/readyz"), (503, "{\"phase\":\"restoring\",\"live\":1,\"assigned\":2}\n".into()));
    running.board.set_phase(Phase::Live);
    assert_eq!(running.get("/readyz").0, 200);
    assert_eq!(running.get("/livez"), (200, "ok\n".into()));
    assert_eq!(running.get("/metrics"), (200, "tailburn_tasks 1\n".into()));
    assert!(running.get("/help").1.contains("/api/v1/status"));
}

#[test]
fn what_keeps_us_from_the_brokers_is_told_where_readiness_is_asked_for() {
    let running = Running::new(1);
    running.board.set_trouble(Trouble::Passing("connection refused".to_owned()));
    let starting = (503, "{\"phase\":\"starting\",\"cause\":\"connection refused\"}\n".into());
    assert_eq!(running.get("/readyz"), starting);
    running.board.set_phase(Phase::Live);
    assert_eq!(running.get("/readyz"), (200, "{\"phase\":\"live\"}\n".into()), "it is got over");
    running.board.set_trouble(Trouble::Lasting("the password is refused".to_owned()));
    running.board.set_trouble(Trouble::Passing("connection refused".to_owned()));
    let refused = (503, "{\"phase\":\"live\",\"cause\":\"the password is refused\"}\n".into());
    assert_eq!(running.get("/readyz"), refused);
    running.board.clear_trouble();
    assert_eq!(running.get("/readyz").0, 200);
}

#[test]
fn errors_are_json_and_say_what_is_wrong() {
    let running = Running::new(1);
    for (path, status, part) in [
        ("/nowhere", 404, "no such path"),
        ("/api/v1/status?tennant=x", 400, "tennant"),
        ("/api/v1/status?limit=0", 400, "1 to 1000"),
        ("/api/v1/status?scope=some", 400, "aggregate, tenant or group"),
        ("/api/v1/alerts?state=open", 400, "firing"),
    ] {
        let (got, body) = running.get(path);
        let error: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(got, status, "{path}");
        assert_eq!(error["status"], "error", "{path}: {body}");
        assert!(error["errorType"].is_string(), "{path}: {body}");
        assert!(error["error"].as_str().is_some_and(|e| e.contains(part)), "{path}: {body}");
    }
    for (method, path, host, status) in [
        ("POST", "/api/v1/status", "localhost", 405),
        ("DELETE", "/api/v1/alerts", "localhost", 405),
        ("BREW", "/api/v1/cohorts", "localhost", 405),
        ("POST", "/api/v1/nothing", "localhost", 404),
        ("GET", "/api/v1/status/", "localhost", 404),
        ("GET", "/api/v1", "localhost", 404),
        ("GET", "/api/v1/status?limit=%ff", "localhost", 400),
        ("GET", "/api/v1/status?slo=a&slo=b", "localhost", 400),
        ("GET", "/api/v1/status", "evil.example", 403),
    ] {
        let (got, body) = running.request(method, path, host);
        let error: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{method} {path}: {e}: {body}"));
        assert_eq!((got, &error["status"]), (status, &Value::from("error")), "{method} {path}: {body}");
    }
    let refused = running.answer("POST /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(refused.to_ascii_lowercase().contains("\r\nallow: get,head\r\n"), "{refused}");
}

#[test]
fn a_request_names_one_host() {
    let running = Running::new(1);
    let status = |head: &str| {
        let text = running.answer(&format!("{head}\r\nConnection: close\r\n\r\n"));
        text.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok())
    };
    for (head, expected) in [
        ("GET /livez HTTP/1.1\r\nHost: localhost", 200),
        ("GET /livez HTTP/1.1", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: y\r\nHost: evil.example", 400),
        ("GET /livez HTTP/1.0\r\nHost: localhost\r\nHost: localhost", 400),
        ("GET /livez HTTP/1.0", 200),
        ("GET /livez HTTP/1.0\r\nHost: evil.example", 403),
        ("GET /livez HTTP/1.1\r\nHost:", 403),
        ("GET http://localhost/livez HTTP/1.1\r\nHost: localhost", 200),
        ("GET http://evil.example/livez HTTP/1.1\r\nHost: localhost", 400),
        ("GET http://evil.example/livez HTTP/1.1\r\nHost: evil.example", 403),
    ] {
        assert_eq!(status(head), Some(expected), "{head:?}");
    }
}

/// Short times, so that tests need not wait for long ones.
fn quick(open: usize, probes: usize) -> Limits {
    let (header, probe_header) = (Duration::from_millis(600), Duration::from_millis(300));
    Limits { open, probes, header, probe_header, life: Duration::from_millis(1_200) }
}

/// Waits until the server closes the connection; returns what it sent.
fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(e) => panic!("the connection is still open: {e}"),
        }
    }
}

#[test]
fn idle_connections_never_keep_a_probe_from_its_answer() {
    // The limits of a process with 256 descriptors, with the times of production.
    let limits = Limits::of(Some(256));
    let running = Running::within(1, limits);
    running.board.set_phase(Phase::Live);
    let idle: Vec<TcpStream> = (0..371).map(|_| running.connect()).collect();
    for _ in 0..5 {
        assert_eq!(running.get("/livez"), (200, "ok\n".into()));
        assert_eq!(running.get("/readyz").0, 200);
    }
    let (status, body) = running.get("/api/v1/status");
    let error: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &error["status"], &error["errorType"]), (503, &"error".into(), &"unavailable".into()));
    drop(idle);
}

#[test]
fn a_place_is_free_again_once_its_connection_was_idle_for_too_long() {
    let running = Running::within(1, quick(2, 2));
    let mut idle = [running.connect(), running.connect()];
    assert_eq!(running.get("/").0, 503);
    for stream in &mut idle {
        assert_eq!(read_to_close(stream), b"");
    }
    assert_eq!(running.get("/").0, 200);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is asserted is how long it takes")]
fn a_header_byte_by_byte_a_long_wait_and_a_body_that_never_ends_are_cut_off() {
    let drip = |stream: &mut TcpStream, bytes: &[u8]| {
        let start = Instant::now();
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).is_err() || start.elapsed() > Duration::from_secs(8) {
                break;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        start.elapsed()
    };
    let running = Running::within(1, quick(8, 2));
    let mut header = running.connect();
    header.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ").expect("sent");
    assert!(drip(&mut header, b"y") < Duration::from_secs(3));

    let mut waiting = running.connect();
    waiting.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let start = Instant::now();
    assert!(read_to_close(&mut waiting).ends_with(b"ok\n"));
    assert!(start.elapsed() < Duration::from_secs(3));

    for head in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut body = running.connect();
        write!(body, "POST /api/v1/status HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n").expect("sent");
        assert!(drip(&mut body, b"5\r\nhello\r\n") < Duration::from_secs(5), "{head}");
    }
}

#[test]
fn who_reads_too_slowly_gives_the_place_up() {
    let running = Running::within(1_000, quick(1, 1));
    let record = format!("\"{}\"", "x".repeat(40_000));
    running
        .board
        .publish((0..1_000).map(|n| Update::Status { key: format!("s{n}|aggregate"), json: record.clone().into() }));
    let mut slow = running.connect();
    slow.write_all(b"GET /api/v1/status?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut first = [0; 9];
    slow.read_exact(&mut first).expect("it answers");
    assert_eq!(running.get("/").0, 503);
    // The client never reads its answer, part of which is in the system's buffers; the server gives up.
    #[expect(clippy::disallowed_methods, reason = "somebody who reads slowly waits")]
    std::thread::sleep(Duration::from_millis(1_200) + Duration::from_secs(3));
    assert_eq!(running.get("/").0, 200);
    assert!(read_to_close(&mut slow).len() < 40_000_000);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is asserted is how long it takes")]
fn stops_though_a_client_holds_on() {
    let running = Running::new(1);
    let address = running.server.address();
    let mut held = TcpStream::connect(address).expect("it listens");
    held.write_all(b"GET / HTTP/1.1\r\n").expect("half a request");
    let start = Instant::now();
    running.server.shutdown();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(TcpStream::connect(address).is_err());
}
