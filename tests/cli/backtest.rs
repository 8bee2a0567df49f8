//! `backtest` on input of which nothing becomes a figure: it ends, and says what there was.

use crate::program::{Program, Ran};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

const SLO: &str = include_str!("../fixtures/availability.yaml");

/// Runs a backtest that may be in a loop without an end.
fn backtest(input: &str) -> (Program, Ran) {
    let program = Program::new().with_file("slo.yaml", SLO).with_file("in.jsonl", input);
    let mut command = program.command(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    #[expect(clippy::disallowed_methods, reason = "a program that does not end has to be ended")]
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().expect("its status").is_none() {
        #[expect(clippy::disallowed_methods, reason = "as above")]
        if Instant::now() > deadline {
            child.kill().expect("it is killed");
            panic!("the backtest does not end");
        }
        #[expect(clippy::disallowed_methods, reason = "as above")]
        std::thread::sleep(Duration::from_millis(10));
    }
    let ran = Ran::of(child.wait_with_output().expect("its output"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    (program, ran)
}

fn is_empty(program: &Program, file: &str) -> bool {
    fs::read_to_string(program.path().join("out").join(file)).expect("a file").is_empty()
}

#[test]
fn input_of_excluded_events_alone_has_no_t() {
    let event = r#"{"tenant":"a","timestamp":1780000000000,"operation":"search","status":200}"#;
    let (program, ran) = backtest(&format!("{event}\n{event}\n"));
    assert!(ran.stderr.contains("2 excluded"), "{}", ran.stderr);
    assert!(is_empty(&program, "slo-status.jsonl"));
}

#[test]
fn input_of_dead_letters_alone_ends_with_them() {
    let (program, ran) = backtest("{\n");
    assert!(ran.stderr.contains("1 not_decodable"), "{}", ran.stderr);
    assert!(is_empty(&program, "slo-status.jsonl") && !is_empty(&program, "dead-letters.jsonl"));
}

#[test]
fn empty_input_ends() {
    let (program, ran) = backtest("");
    assert!(ran.stderr.contains("outcomes      0"), "{}", ran.stderr);
    assert!(is_empty(&program, "slo-status.jsonl"));
}
