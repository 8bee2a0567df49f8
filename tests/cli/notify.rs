//! `notify --from DIR` and `silence`, with receivers of the test's own.

use crate::program::{Program, Ran};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A receiver on the loopback: it keeps what it gets, and answers with the statuses given, then with 202.
struct Receiver {
    address: String,
    got: Arc<Mutex<Vec<Got>>>,
}

#[derive(Clone, Debug)]
struct Got {
    path: String,
    headers: Vec<String>,
    body: Value,
}

impl Receiver {
    fn start(mut statuses: Vec<&'static str>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        statuses.reverse();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let status = statuses.pop().unwrap_or("202 Accepted");
                if let Some(one) = answer(stream, status) {
                    kept.lock().expect("the list").push(one);
                }
            }
        });
        Receiver { address, got }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().expect("the list").clone()
    }
}

fn answer(mut stream: TcpStream, status: &str) -> Option<Got> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        headers.push(header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    Some(Got { path, headers, body: serde_json::from_slice(&body).ok()? })
}

fn alert(severity: &str, state: &str, seq: u64, at: &str) -> String {
    let ended = if state == "resolved" { json!(at) } else { Value::Null };
    json!({
        "id": format!("{severity}-1"), "dedup_key": format!("key-of-{severity}"), "seq": seq, "state": state,
        "severity": severity, "slo": "checkout-availability", "definition_hash": "d", "service": "checkout",
        "display_name": "", "labels": {"team": "payments"}, "scope": "aggregate", "tenant": null, "group": {}, "at": at,
        "started_at": at, "ended_at": ended, "resolved_reason": null, "data": "complete", "rules": [], "sli": 0.9,
        "budget_remaining": 0.5, "budget_spent_since_start": null, "exhaustion_at": null, "affected_users": 7,
        "users_active": 9, "cohort": null, "title": format!("checkout burns ({severity})"), "summary": "it burns",
        "owner": null, "runbook_url": null, "dashboard_url": null, "exemplars": [],
    })
    .to_string()
}

/// The files of a backtest: a page and its ticket fire; an hour later the page is over.
fn files() -> String {
    let lines = [
        alert("page", "firing", 1, "2026-05-28T20:26:40.000Z"),
        alert("ticket", "firing", 1, "2026-05-28T20:26:40.000Z"),
        alert("page", "resolved", 2, "2026-05-28T21:26:40.000Z"),
    ];
    lines.join("\n") + "\n"
}

fn program(notify: &str) -> Program {
    Program::new().with_file("tailburn.yaml", notify).with_file("out/burn-alerts.jsonl", &files())
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn a_webhook_is_told_what_a_backtest_would_have_told() {
    let receiver = Receiver::start(vec![]);
    let program = program(&format!(
        "notify:\n  receivers:\n    hook: {{type: webhook, url: 'http://{}/in', token: '${{HOOK_TOKEN}}'}}\n  routes:\n    \
         - {{receiver: hook}}\n",
        receiver.address
    ));
    let ran =
        Ran::of(program.command(&["notify", "--from", "out"]).env("HOOK_TOKEN", "s3cret").output().expect("it runs"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.trim_end().ends_with("3 records of out: sent 3 to hook"), "{}", ran.stderr);
    let got = receiver.got();
    assert_eq!(got.len(), 3, "the page, its end, and the ticket that it hid");
    assert!(
        got.iter().all(|one| one.path == "/in" && one.headers.contains(&"authorization: bearer s3cret".to_owned()))
    );
    assert!(got.iter().all(|one| one.headers.contains(&"content-type: application/cloudevents+json".to_owned())));
    let types: Vec<&str> = got.iter().filter_map(|one| one.body["type"].as_str()).collect();
    assert_eq!(types[0], "dev.tailburn.notification.firing");
    assert!(types.contains(&"dev.tailburn.notification.resolved"));
    assert!(!ran.stderr.contains("s3cret"));
}

#[test]
fn one_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let receiver = Receiver::start(vec!["503 Busy", "429 Slow down", "202 Accepted", "400 Bad", "202 Accepted"]);
    let program = program(&format!(
        "notify:\n  receivers:\n    hook: {{type: webhook, url: 'http://{}/in'}}\n  routes:\n    - {{receiver: hook}}\n",
        receiver.address
    ));
    let ran = program.run(&["notify", "--from", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let got = receiver.got();
    assert_eq!(got.len(), 5, "{}", ran.stderr);
    assert_eq!(got[0].body, got[2].body, "the same is sent again");
    assert!(ran.stderr.contains("hook refuses (HTTP 400)"), "{}", ran.stderr);
    assert!(ran.stderr.trim_end().ends_with("sent 2 to hook"), "{}", ran.stderr);
}

#[test]
fn a_dry_run_says_what_would_be_sent_where_and_what_not_and_sends_nothing() {
    let text = "notify:\n  receivers:\n    oncall: {type: pagerduty, routing_key: R123}\n    am: {type: alertmanager, url: \
                'http://127.0.0.1:1'}\n  routes:\n    - {match: severity=page, receiver: oncall, continue: true}\n    - \
                {receiver: am}\n";
    let program = program(text);
    let ran = program.run(&["notify", "--from", "out", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let lines = lines(&ran);
    let to = |receiver: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["receiver"] == receiver && line.get("post").is_some()).collect()
    };
    let actions: Vec<_> = to("oncall").iter().map(|line| line["body"]["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    assert!(to("oncall")[0]["because"].as_str().is_some_and(|why| why.starts_with("route 0 (severity=page)")));
    assert!(!ran.stdout.contains("R123"), "a secret is shown");
    assert!(to("am").len() > 10, "it is told again and again");
    assert!(lines.iter().any(|line| line["not_sent"] == "held_back"), "the ticket under its page");
}

#[test]
fn a_mistake_is_named_with_its_line_and_stops_every_command() {
    let program =
        program("notify:\n  receivers:\n    hook: {type: webhook, url: 'http://x'}\n  routes:\n    - receiver: hok\n");
    for args in [vec!["notify", "--from", "out"], vec!["config", "show"], vec!["check"]] {
        let ran = program.run(&args);
        assert_eq!(ran.code, Some(78), "{args:?}: {}{}", ran.stdout, ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("tailburn.yaml:5") && said.contains("there is no receiver `hok` (`hook`?)"), "{said}");
    }
}

#[test]
fn secrets_are_needed_by_notify_alone_and_never_shown() {
    let text = "notify:\n  receivers:\n    oncall: {type: pagerduty, routing_key: '${PD_KEY}'}\n    chat: {type: slack, \
                webhook_url: 'https://hooks.example.com/T/B/s3cret'}\n  routes:\n    - {receiver: oncall}\n    - {receiver: \
                chat}\n";
    let program = program(text);
    let shown = program.run(&["config", "show"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("${PD_KEY}") && !shown.stdout.contains("s3cret"), "{}", shown.stdout);
    let ran = program.run(&["notify", "--from", "out", "--dry-run"]);
    assert_eq!(ran.code, Some(78));
    assert!(ran.stderr.contains("refers to ${PD_KEY}, which is not in the environment"), "{}", ran.stderr);
}

#[test]
fn a_silence_is_made_listed_and_ended_and_holds_back_what_it_means() {
    let receiver = "notify:\n  receivers:\n    hook: {type: webhook, url: 'http://127.0.0.1:1'}\n  routes:\n    - {receiver: \
                    hook}\n";
    let program = program(receiver);
    let add = |matcher: &str| {
        program.run(&[
            "silence",
            "add",
            matcher,
            "--from",
            "out",
            "--starts",
            "2020-01-01T00:00:00Z",
            "--until",
            "2100-01-01T00:00:00Z",
            "--by",
            "ann",
            "--why",
            "a move",
        ])
    };
    assert_eq!(add("sevrity=page").code, Some(2));
    let ran = add("severity=page");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("severity=page  until 2100-01-01T00:00:00.000Z  (made by ann: a move)"),
        "{}",
        ran.stdout
    );
    let listed = program.run(&["silence", "list", "--from", "out", "--json"]).json();
    assert_eq!((&listed[0]["state"], &listed[0]["matchers"]), (&json!("active"), &json!(["severity=page"])));
    let told = lines(&program.run(&["notify", "--from", "out", "--dry-run"]));
    assert!(told.iter().any(|line| line["why"].as_str().is_some_and(|why| why.contains("by ann (a move; silence "))));
    assert!(told.iter().all(|line| line["body"]["severity"] != "page"), "{told:?}");
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    let ended = program.run(&["silence", "end", &id[..6], "--by", "bob", "--from", "out"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(program.run(&["silence", "list", "--from", "out"]).stdout, "Nothing is silenced.\n");
    let all = program.run(&["silence", "list", "--from", "out", "--all", "--json"]).json();
    assert_eq!((&all[0]["state"], &all[0]["ended_by"]), (&json!("ended"), &json!("bob")));
    assert_eq!(program.run(&["silence", "end", &id, "--by", "bob", "--from", "out"]).code, Some(2));
}
