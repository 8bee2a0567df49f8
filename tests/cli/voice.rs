//! `-q`, `-qq` and `--log-format json` mean the same in every command.

use crate::program::{Program, Ran};

const SLO: &str = include_str!("../fixtures/availability.yaml");
const EVENT: &str = r#"{"tenant":"a","user":"u","timestamp":1780000000000,"operation":"checkout","status":200}"#;

fn program() -> Program {
    Program::new().with_file("slo.yaml", SLO).with_file("in.jsonl", EVENT).with_file("bad.yaml", "wokers: 1\n")
}

/// Commands that succeed and print a message.
const TALKATIVE: [&str; 3] = [
    "backtest --slos slo.yaml --input in.jsonl --out out",
    "generate --events 10 --users 20 --out made",
    "tap slo-status --file in.jsonl --slo nowhere",
];

/// Commands that fail, each in its own way, and with which code.
const FAILING: [(&str, i32); 8] = [
    ("backtest --slos slo.yaml --input nowhere.jsonl --out out", 1),
    ("backtest --slos nowhere.yaml --input in.jsonl --out out", 78),
    ("generate --events 10 --users 0 --out made", 2),
    ("tap slo-status --file nowhere.jsonl", 1),
    ("tap no-such-topic", 2),
    ("schema no-such-schema", 2),
    ("config show --config bad.yaml", 78),
    ("chekc", 2),
];

fn run(line: &str, more: &[&str]) -> Ran {
    let mut args: Vec<&str> = line.split(' ').collect();
    args.extend(more);
    program().run(&args)
}

#[test]
fn q_leaves_errors_and_qq_leaves_nothing() {
    for line in TALKATIVE {
        let (plain, quiet, silent) = (run(line, &[]), run(line, &["-q"]), run(line, &["-qq"]));
        assert_eq!((plain.code, quiet.code, silent.code), (Some(0), Some(0), Some(0)), "{line}: {}", plain.stderr);
        assert!(!plain.stderr.is_empty(), "{line} says nothing at all");
        assert_eq!((quiet.stderr.as_str(), silent.stderr.as_str()), ("", ""), "{line}");
    }
    for (line, code) in FAILING {
        let (quiet, silent) = (run(line, &["-q"]), run(line, &["-qq"]));
        assert_eq!((quiet.code, silent.code), (Some(code), Some(code)), "{line}: {}", quiet.stderr);
        assert!(quiet.stderr.starts_with("error: "), "{line}: {}", quiet.stderr);
        assert_eq!(silent.stderr, "", "{line}");
    }
}

#[test]
fn as_json_every_line_of_standard_error_is_an_object() {
    for line in TALKATIVE.into_iter().chain(FAILING.map(|(line, _)| line)) {
        let ran = run(line, &["--log-format", "json"]);
        assert!(!ran.stderr.is_empty(), "{line} says nothing at all");
        for said in ran.stderr.lines() {
            let object: serde_json::Value =
                serde_json::from_str(said).unwrap_or_else(|e| panic!("{line}: {e}: {said}"));
            for field in ["timestamp", "level", "message"] {
                assert!(object[field].is_string(), "{line}: {said}");
            }
        }
    }
    let failed = run("tap slo-status --file nowhere.jsonl", &["--log-format=json"]);
    let object: serde_json::Value = serde_json::from_str(&failed.stderr).expect("one object");
    assert_eq!(object["level"], "ERROR");
}

#[test]
fn a_cause_is_said_once() {
    for (line, _) in FAILING {
        let told = run(line, &[]).stderr;
        assert!(told.matches("No such file or directory").count() <= 1, "{line}: {told}");
        assert!(told.matches("nowhere").count() <= 1, "{line}: {told}");
    }
}
