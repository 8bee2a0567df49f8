//! State that a build wrote is read by every later one, which goes on from it with the same figures; or it is
//! refused with advice. `FREEZE=1 cargo test --release --lib -- --ignored freezes_the_state` writes the state of the
//! current version; a version that is written is never touched again.

use super::changes::{Program, STOP_S, outage};
use super::*;
use crate::model::hex;
use crate::model::output::UserWindow;
use crate::pipeline::checkpoint::{CheckpointError, GroupMark, Mark, ReplayStart, TaskMark};
use crate::pipeline::key_ref::KEY_GROUPS as USER_GROUPS;
use crate::pipeline::{admission, rollup_state, stored};
use crate::state::versions::shape::Shape;
use crate::state::versions::{OLDEST, VERSION};
use serde_json::Value;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// What the program reads behind its restart.
const MORE_S: i64 = 700;

fn file(version: u8) -> PathBuf {
    PathBuf::from(format!("tests/fixtures/state/v{version}.txt"))
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

/// A field that was null in version 6.
const SINCE: &str = ".dispersion";
/// Counted since version 10.
const COUNTED_SINCE: &str = ".failures";
/// Estimates, which yardsticks judge: a later build may have better ones.
const ESTIMATES: [&str; 4] =
    [".sli_worst_1pct_estimate", ".worst_1pct_error_mean_estimate", ".forecast", ".exhaustion_at"];

/// Fields that are new since are nobody's business here.
fn assert_holds(frozen: &Value, now: &Value, at: &str) {
    match (frozen, now) {
        _ if ESTIMATES.iter().any(|name| at.ends_with(name)) => {}
        (Value::Object(frozen), Value::Object(now)) => {
            frozen.iter().for_each(|(name, value)| assert_holds(value, &now[name], &format!("{at}.{name}")));
        }
        (Value::Array(frozen), Value::Array(now)) => {
            // New rules come behind those that were there.
            let is_new = at.ends_with(COUNTED_SINCE) && frozen.is_empty();
            let may_be_more = is_new || at.ends_with(".alerts") && frozen.len() < now.len();
            assert!(may_be_more || frozen.len() == now.len(), "{at}");
            frozen.iter().zip(now).enumerate().for_each(|(i, (a, b))| assert_holds(a, b, &format!("{at}[{i}]")));
        }
        // A figure that the earlier version did not have yet.
        (Value::Null, _) if at.ends_with(SINCE) => {}
        _ => assert_eq!(frozen, now, "{at}"),
    }
}

fn assert_says(program: &Program, text: &str, version: u8) {
    let says = text.lines().filter_map(|line| line.strip_prefix("says "));
    let frozen: Vec<Value> = says.map(|json| serde_json::from_str(json).expect("JSON")).collect();
    assert!(!frozen.is_empty());
    assert_holds(&Value::Array(frozen), &Value::Array(said(program)), &format!("v{version}"));
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
        writeln!(text, "{task} mark {}", hex::encode(&mark.to_bytes().expect("bytes"))).expect("a text");
        let note = &mut |key: &[u8], value: &[u8]| {
            writeln!(text, "{task} row {} {}", hex::encode(key), hex::encode(value)).expect("a text");
            ControlFlow::Continue(())
        };
        program.stores[store].scan(&[], note).expect("memory");
    }
    for decision in &program.decided {
        writeln!(text, "topic decision {}", hex::encode(&postcard::to_stdvec(decision).expect("bytes")))
            .expect("a text");
    }
    program.alerts.clear();
    program.feed(&outage(STOP_S, MORE_S));
    said(&program).iter().for_each(|value| writeln!(text, "says {value}").expect("a text"));
    let file = file(VERSION);
    assert!(!file.exists(), "{} is frozen", file.display());
    std::fs::write(&file, text).expect("written");
}

#[test]
fn every_frozen_version_is_loaded_or_refused_with_advice() {
    let versions: Vec<u8> = (0..=u8::MAX).filter(|version| file(*version).exists()).collect();
    let mut earlier = OLDEST..VERSION;
    assert!(earlier.all(|version| versions.contains(&version)), "a version that is read is not frozen: {versions:?}");
    for version in versions {
        let text = std::fs::read_to_string(file(version)).expect("a fixture");
        match gone_on(Program::new(slos(&[CHECKOUT, SPEED])), &text) {
            Ok(program) => {
                assert!(version >= OLDEST, "v{version} is read");
                assert_says(&program, &text, version);
            }
            Err(error) => {
                let text = error.to_string();
                assert!(version < OLDEST && text.contains("earlier build"), "v{version}: {text}");
            }
        }
    }
}

/// The next checkpoint after a migration has rows of both versions.
#[test]
fn state_of_an_earlier_version_is_saved_in_this_one_and_goes_on() {
    let text = std::fs::read_to_string(file(OLDEST)).expect("a fixture");
    let mut program = gone_on(Program::new(slos(&[CHECKOUT, SPEED])), &text).expect("loaded");
    program.save_users();
    program.save_keys();
    let mut versions = BTreeSet::new();
    for store in &program.stores {
        let note = &mut |_: &[u8], value: &[u8]| {
            versions.insert(value[0]);
            ControlFlow::Continue(())
        };
        store.scan(&[], note).expect("memory");
    }
    assert!(versions.contains(&VERSION), "{versions:?}");
    let again = program.users.read_again(program.input.len() as i64);
    let (users, rollup, at_ms) = (program.users.mark(), program.rollup.mark(), program.users.closed_ms());
    let before = said(&program);
    program.rollup = program.try_loaded(&rollup).expect("loaded");
    program.try_load_users(&users, at_ms, again).expect("loaded");
    program.feed(&outage(STOP_S + MORE_S, 60));
    assert!(said(&program) != before && program.rollup.mark().at_ms > rollup.at_ms);
}

/// A program that was stopped by another build, and goes on.
fn gone_on(mut program: Program, text: &str) -> Result<Program, CheckpointError> {
    program.input = outage(0, STOP_S);
    let mut marks = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let (task, what) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (task, what, words.next(), words.next()) {
            (_, "decision", Some(decision), _) => {
                program.decided.push(postcard::from_bytes(&hex::decode(decision)).expect("a decision"));
            }
            (_, "mark", Some(mark), _) => marks.push(Mark::from_bytes(&hex::decode(mark))?),
            (_, "row", Some(key), Some(value)) => {
                let mut batch = Batch::default();
                batch.put(&hex::decode(key), &hex::decode(value));
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
    let refused = gone_on(Program::new(slos(&[CHECKOUT, SPEED])), &text).err().expect("refused").to_string();
    assert!(refused.contains("earlier build"), "{refused}");
}

/// All forms in the state, and those between the tasks.
fn shape() -> Shape {
    let mut shape = Shape::default();
    shape.add::<Mark>();
    shape.add::<UserWindow>();
    shape.add::<Partial>();
    stored::add_shape(&mut shape);
    rollup_state::add_shape(&mut shape);
    admission::add_shape(&mut shape);
    shape
}

fn shape_file(version: u8) -> PathBuf {
    PathBuf::from(format!("tests/fixtures/state/v{version}.shape.txt"))
}

#[test]
#[ignore = "writes tests/fixtures/state of this version"]
fn freezes_the_state_shape() {
    let file = shape_file(VERSION);
    assert!(!file.exists(), "{} is frozen", file.display());
    std::fs::write(&file, shape().to_text()).expect("written");
}

#[test]
fn what_a_struct_has_since_an_earlier_version_is_declared() {
    for version in (OLDEST..=VERSION).filter(|version| shape_file(*version).exists() || *version < VERSION) {
        let frozen = std::fs::read_to_string(shape_file(version)).expect("a frozen shape");
        let differences = shape().differences(version, &frozen);
        assert!(
            differences.is_empty(),
            "state of version {version} would be misread. src/state/versions.rs says how to add a field.\n{}",
            differences.join("\n")
        );
    }
}

#[test]
fn a_mark_of_a_later_version_is_refused() {
    let error = Mark::from_bytes(&[VERSION + 1]).expect_err("refused").to_string();
    assert!(error.contains("newer build"), "{error}");
}
