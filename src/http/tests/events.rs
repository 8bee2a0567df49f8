//! Viewers of events: what they see, how they come back, and how many there may be.

use super::api::status;
use super::*;
use crate::board::Reading;
use std::io::{BufRead as _, BufReader};

/// A viewer, which reads line by line.
struct Viewer(BufReader<TcpStream>);

impl Running {
    fn view(&self, query: &str, more: &str) -> Viewer {
        let mut stream = self.connect();
        write!(stream, "GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").expect("sent");
        let mut viewer = Viewer(BufReader::new(stream));
        assert!(viewer.until("\r\n").starts_with("HTTP/1.1 200"));
        assert!(viewer.until("\n").contains("retry:"));
        viewer
    }
}

impl Viewer {
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).expect("in time") > 0, "the stream ended");
        line
    }

    /// Everything up to an empty line. Sizes of chunks may stand in between.
    fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        loop {
            let line = self.line();
            if line == end {
                return text;
            }
            text.push_str(&line);
        }
    }

    /// Fields of the next event with a name.
    fn event(&mut self) -> (String, String, Value) {
        loop {
            let text = self.until("\n");
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                let data = serde_json::from_str(&data).expect("JSON");
                return (field("id: ").unwrap_or_default(), name, data);
            }
        }
    }
}

#[test]
fn viewers_see_what_is_new_and_go_on_where_they_were() {
    let running = Running::new(10);
    running.board.publish([status("old", None, None)]);
    running.board.set_reading(Reading::CaughtUp);
    let mut all = running.view("", "");
    let mut some = running.view("?slo=b&kind=status,alert", "");
    running.board.publish([status("a", None, None), status("b", Some("acme"), None), alert("b|aggregate", "x", true)]);
    let (first, name, data) = all.event();
    assert_eq!((name.as_str(), &data["key"], &data["record"]["slo"]), ("status", &"a|aggregate".into(), &"a".into()));
    assert_eq!(some.event().2["key"], "b|tenant|acme");
    let (_, name, data) = some.event();
    assert_eq!((name.as_str(), &data["record"]), ("alert", &"x".into()));
    drop(all);
    let mut back = running.view("", &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(back.event().2["key"], "b|tenant|acme");
    let mut lost = running.view("", "Last-Event-ID: other-7\r\n");
    assert_eq!(lost.event().1, "reset");
    assert_eq!(running.get("/api/v1/events?kind=news").0, 400);
}

#[test]
fn there_is_a_limit_for_viewers_and_lists_are_still_answered() {
    let running = Running::within(10, Limits { open: 4, ..Limits::of(None) });
    let viewers = [running.view("", ""), running.view("", "")];
    let (status, body) = running.get("/api/v1/events");
    assert_eq!(status, 503, "{body}");
    assert_eq!(running.get("/api/v1/status").0, 200);
    drop(viewers);
}

#[test]
fn a_stream_outlives_other_connections_as_long_as_its_viewer_reads() {
    let running = Running::within(10, quick(4, 2));
    running.board.set_reading(Reading::CaughtUp);
    let mut viewer = running.view("", "");
    // Longer than the life of a connection, with something to read in each part of it.
    for _ in 0..6 {
        #[expect(clippy::disallowed_methods, reason = "it lasts longer than a connection may")]
        std::thread::sleep(Duration::from_millis(400));
        running.board.publish([status("a", None, None)]);
        viewer.event();
    }
}
