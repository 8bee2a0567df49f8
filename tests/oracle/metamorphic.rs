//! The outputs must not change a byte with another number of partitions, or in another run.
//!
//! This needs no oracle, so any traffic will do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::traffic;

const FILES: [&str; 5] =
    ["slo-status.jsonl", "burn-alerts.jsonl", "tail-cohorts.jsonl", "user-status.jsonl", "dead-letters.jsonl"];

fn run(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
    command.args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TAILBURN_")) {
        command.env_remove(name);
    }
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of this test is text")
}

/// A day of the program's own traffic, in partitions by user.
pub fn generate(directory: &Path, partitions: usize, options: &[&str]) -> Vec<PathBuf> {
    let partitions_text = partitions.to_string();
    let mut arguments = vec!["generate", "--quiet", "--seed", "11", "--keyed", "--partitions", &partitions_text];
    arguments.extend(["--incident", "auto", "--out", text(directory)]);
    arguments.extend(options);
    run(&arguments);
    (0..partitions).map(|p| directory.join(format!("p{p}.jsonl"))).collect()
}

/// The files of a backtest, one after another.
fn outputs(slos: &Path, inputs: &[PathBuf], out: &Path, options: &[&str]) -> Vec<Vec<u8>> {
    let mut arguments = vec!["backtest", "--slos", text(slos), "--out", text(out)];
    inputs.iter().for_each(|input| arguments.extend(["--input", text(input)]));
    arguments.extend(options);
    run(&arguments);
    FILES.iter().map(|name| std::fs::read(out.join(name)).expect("an output")).collect()
}

fn assert_same(wanted: &[Vec<u8>], found: &[Vec<u8>], what: &str) {
    for ((name, wanted), found) in FILES.iter().zip(wanted).zip(found) {
        let lines = |bytes: &[u8]| bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (wanted, found) = (lines(wanted), lines(found));
        assert_eq!(wanted.len(), found.len(), "{what}: lines of {name}");
        if let Some((wanted, found)) = wanted.iter().zip(&found).find(|(a, b)| a != b) {
            let show = |line: &[u8]| String::from_utf8_lossy(line).chars().take(2_000).collect::<String>();
            panic!("{what}: {name}\n{}\n{}", show(wanted), show(found));
        }
    }
}

const SLOS: [(&str, &str); 2] = [
    ("default-rules.yaml", include_str!("slos/generated/a-default-rules.yaml")),
    ("own-rules.yaml", include_str!("slos/generated/b-own-rules.yaml")),
];

#[test]
fn records_in_order_may_come_in_any_number_of_partitions() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let slos = traffic::write_slos(directory.path(), &SLOS);
    let in_order = ["--duration", "1d", "--rate", "0.4", "--users", "300", "--disorder", "0s"];
    let mut first: Option<Vec<Vec<u8>>> = None;
    for partitions in [1, 2, 3, 5] {
        let path = directory.path().join(partitions.to_string());
        let inputs = generate(&path, partitions, &in_order);
        let found = outputs(&slos, &inputs, &path.join("out"), &[]);
        assert!(found[0].len() > 1_000_000 && !found[1].is_empty(), "something happened");
        match &first {
            Some(first) => assert_same(first, &found, &format!("{partitions} partitions")),
            None => first = Some(found),
        }
    }
}

#[test]
fn neither_the_rollup_partitions_nor_another_run_change_a_byte() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let slos = traffic::write_slos(directory.path(), &SLOS);
    let dirty = ["--duration", "1d", "--rate", "0.4", "--users", "300", "--profile", "dirty"];
    let inputs = generate(&directory.path().join("traffic"), 3, &dirty);
    let of = |name: &str, rollups: &str| {
        outputs(&slos, &inputs, &directory.path().join(name), &["--set", &format!("partitions.rollup={rollups}")])
    };
    let first = of("first", "4");
    assert!(first.iter().filter(|file| !file.is_empty()).count() >= 4, "something happened");
    assert_same(&first, &of("again", "4"), "another run");
    assert_same(&first, &of("one", "1"), "1 rollup partition");
    assert_same(&first, &of("seven", "7"), "7 rollup partitions");
}
