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
        let board = Arc::new(Board::new(capacity));
        let metrics = Arc::new(|| "tailburn_tasks 1\n".to_owned());
        let endpoints = Endpoints { board: Arc::clone(&board), metrics };
        Running { board, server: serve("127.0.0.1:0", endpoints).expect("a free port") }
    }

    fn status(self, key: &str, json: &str) -> Running {
        self.board.publish([Update::Status { key: key.into(), json: json.into() }]);
        self
    }

    fn request(&self, method: &str, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.server.address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
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
fn a_tombstone_and_a_key_that_moved_away_are_forgotten() {
    let running = Running::new(10).status("a|aggregate", "1").status("b|aggregate", "2").status("c|aggregate", "3");
    running.board.publish([Update::Forget { key: "a|aggregate".into() }, alert("b|aggregate", "x", true)]);
    running.board.retain(|key| key != "b|aggregate");
    assert_eq!(running.items("/api/v1/status"), [3]);
    assert_eq!(running.items("/api/v1/alerts"), [] as [Value; 0]);
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
    assert!(running.get("/").1.contains("/api/v1/status"));
}

#[test]
fn errors_are_json_and_say_what_is_wrong() {
    let running = Running::new(1);
    for (path, status, part) in [
        ("/nowhere", 404, "nothing here"),
        ("/api/v1/status?tennant=x", 400, "tennant"),
        ("/api/v1/status?limit=0", 400, "1 to 1000"),
        ("/api/v1/status?scope=all", 400, "aggregate, tenant or group"),
        ("/api/v1/alerts?state=open", 400, "firing"),
    ] {
        let (got, body) = running.get(path);
        let error: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(got, status, "{path}");
        assert!(error["error"].as_str().is_some_and(|e| e.contains(part)), "{path}: {body}");
    }
    assert_eq!(running.request("POST", "/api/v1/status", "localhost").0, 405);
    assert_eq!(running.request("GET", "/api/v1/status", "evil.example").0, 403);
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
