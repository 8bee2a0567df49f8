//! State that a build wrote is read by every later one, which goes on from it with the same figures; or it is
//! refused with advice. `FREEZE=1 cargo test --release --lib -- --ignored freezes_the_state` writes the state of the
//! current version; a version that is written is never touched again.

use super::changes::{Program, STOP_S, outage};
use super::*;
use crate::pipeline::checkpoint::{CheckpointError, GroupMark, Mark, ReplayStart, TaskMark};
use crate::pipeline::key_ref::KEY_GROUPS as USER_GROUPS;
use crate::pipeline::stored::VERSION;
use serde_json::Value;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// What the program reads behind its restart.
const MORE_S: i64 = 700;

fn file(version: u8) -> PathBuf {
    PathBuf::from(format!("tests/fixtures/state/v{version}.txt"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text");
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// A checkpoint of a task, as the changelog and the store have it.
fn mark(groups: u16, at_ms: Option<Ms>, again: ReplayStart, task: TaskMark) -> Mark {
    let group = GroupMark { at_ms, again, generation: 1, blocks: 1, image_bytes: 1, delta_bytes: 0 };
    let groups = vec![group; usize::from(groups)];
    Mark { identity: "frozen".to_owned(), sequence: 1, groups, raised: Vec::new(), task }
}

/// A program that stopped in an outage.
fn stopped() -> Program {
    let mut program = Program::new(slos(&[CHECKOUT, SPEED]));
    program.feed(&outage(0, STOP_S));
    program.save_users();
    program.save_keys();
    program
}

/// What it says when it goes on: the latest statuses and the alerts.
fn said(program: &Program) -> Vec<Value> {
    let status = program.latest.values().map(|status| serde_json::to_value(status).expect("JSON"));
    let alerts = program.alerts.iter().map(|alert| serde_json::to_value(alert).expect("JSON"));
    status.chain(alerts).collect()
}

/// Fields that are new since are nobody's business here.
fn assert_holds(frozen: &Value, now: &Value, at: &str) {
    match (frozen, now) {
        (Value::Object(frozen), Value::Object(now)) => {
            frozen.iter().for_each(|(name, value)| assert_holds(value, &now[name], &format!("{at}.{name}")));
        }
        (Value::Array(frozen), Value::Array(now)) => {
            assert_eq!(frozen.len(), now.len(), "{at}");
            frozen.iter().zip(now).enumerate().for_each(|(i, (a, b))| assert_holds(a, b, &format!("{at}[{i}]")));
        }
        _ => assert_eq!(frozen, now, "{at}"),
    }
}

#[test]
#[ignore = "writes tests/fixtures/state of this version"]
fn freezes_the_state() {
    let mut program = stopped();
    let again = program.users.read_again(program.input.len() as i64);
    let users = mark(USER_GROUPS, program.users.closed_ms(), again, TaskMark::Users(program.users.mark()));
    let rollup_mark = program.rollup.mark();
    let rollup = mark(KEY_GROUPS, rollup_mark.at_ms, again, TaskMark::Rollup(rollup_mark));
    let mut text = String::new();
    for (task, mark, store) in [("users", &users, 0), ("rollup", &rollup, 1)] {
        writeln!(text, "{task} mark {}", hex(&mark.to_bytes().expect("bytes"))).expect("a text");
        let note = &mut |key: &[u8], value: &[u8]| {
            writeln!(text, "{task} row {} {}", hex(key), hex(value)).expect("a text");
            ControlFlow::Continue(())
        };
        program.stores[store].scan(&[], note).expect("memory");
    }
    for decision in &program.decided {
        writeln!(text, "topic decision {}", hex(&postcard::to_stdvec(decision).expect("bytes"))).expect("a text");
    }
    program.alerts.clear();
    program.feed(&outage(STOP_S, MORE_S));
    said(&program).iter().for_each(|value| writeln!(text, "says {value}").expect("a text"));
    let file = file(VERSION);
    assert!(!file.exists(), "{} is frozen", file.display());
    std::fs::write(&file, text).expect("written");
}

#[test]
fn the_state_of_every_frozen_version_is_gone_on_with_or_refused_with_advice() {
    let versions: Vec<u8> = (0..=u8::MAX).filter(|version| file(*version).exists()).collect();
    assert!(versions.contains(&VERSION), "the state of this version is not frozen");
    for version in versions {
        let text = std::fs::read_to_string(file(version)).expect("a fixture");
        match gone_on(&text) {
            Ok(program) => {
                let frozen: Vec<Value> = text
                    .lines()
                    .filter_map(|line| line.strip_prefix("says "))
                    .map(|json| serde_json::from_str(json).expect("JSON"))
                    .collect();
                assert!(!frozen.is_empty());
                assert_holds(&Value::Array(frozen), &Value::Array(said(&program)), &format!("v{version}"));
            }
            Err(error) => {
                let text = error.to_string();
                assert!(version < VERSION && text.contains("earlier build"), "v{version}: {text}");
            }
        }
    }
}

/// A program that was stopped by another build, and goes on.
fn gone_on(text: &str) -> Result<Program, CheckpointError> {
    let mut program = Program::new(slos(&[CHECKOUT, SPEED]));
    program.input = outage(0, STOP_S);
    let mut marks = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let (task, what) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (task, what, words.next(), words.next()) {
            (_, "decision", Some(decision), _) => {
                program.decided.push(postcard::from_bytes(&bytes(decision)).expect("a decision"));
            }
            (_, "mark", Some(mark), _) => marks.push(Mark::from_bytes(&bytes(mark))?),
            (_, "row", Some(key), Some(value)) => {
                let mut batch = Batch::default();
                batch.put(&bytes(key), &bytes(value));
                program.stores[usize::from(task == "rollup")].write(&mut batch).expect("memory");
            }
            _ => {}
        }
    }
    for mark in &marks {
        match &mark.task {
            TaskMark::Rollup(of) => program.rollup = program.try_loaded(of)?,
            TaskMark::Users(of) => {
                let again = mark.again().expect("groups");
                program.try_load_users(of, mark.at_ms(), again)?;
            }
        }
    }
    program.feed(&outage(STOP_S, MORE_S));
    Ok(program)
}

/// Up to version 5 each users task decided itself which groups and tenants have keys, and what several of them decided
/// need not agree.
#[test]
fn the_state_from_before_groups_were_admitted_once_is_refused_with_advice() {
    let text = std::fs::read_to_string(file(5)).expect("a fixture");
    let refused = gone_on(&text).err().expect("refused").to_string();
    assert!(refused.contains("earlier build"), "{refused}");
}

#[test]
fn a_mark_of_a_later_version_is_refused() {
    let error = Mark::from_bytes(&[VERSION + 1]).expect_err("refused").to_string();
    assert!(error.contains("newer build"), "{error}");
}
