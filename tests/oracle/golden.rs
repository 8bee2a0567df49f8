//! The worked example that proves the oracle's own reading of the contract.
//!
//! The example is not part of this project: these tests run if TAILBURN_GOLDEN names its directory.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::agreement::backtest;
use crate::compare::{Kind, compare, read_records};
use crate::input::{Format, read_lines};
use crate::replay::{Outputs, replay};
use crate::slo;

fn golden() -> PathBuf {
    PathBuf::from(std::env::var_os("TAILBURN_GOLDEN").expect("TAILBURN_GOLDEN names the example's directory"))
}

/// The example's partitions, uncompressed, under the names in its dead letters.
fn unpacked(golden: &Path, into: &Path) -> Vec<PathBuf> {
    let unpack = |partition: usize| {
        let path = into.join(format!("p{partition}.jsonl"));
        let lines = read_lines(&golden.join(format!("p{partition}.jsonl.gz")));
        std::fs::write(&path, [lines.join(&b'\n'), b"\n".to_vec()].concat()).expect("a partition is written");
        path
    };
    (0..3).map(unpack).collect()
}

fn assert_reproduced(golden: &Path, outputs: &Outputs) {
    let lists: [(&str, Kind, &[Value]); 3] = [
        ("slo-status", Kind::Status, &outputs.statuses),
        ("burn-alerts", Kind::Alert, &outputs.alerts),
        ("dead-letters", Kind::DeadLetter, &outputs.dead_letters),
    ];
    let mut reports = Vec::new();
    for (name, kind, records) in lists {
        let reference = read_records(&golden.join(format!("{name}.jsonl.gz")));
        assert!(!reference.is_empty(), "the example has {name}");
        let differences = compare(kind, &reference, records, &[]);
        if differences.count > 0 {
            reports.push(differences.report(name));
        }
    }
    assert!(reports.is_empty(), "\n{}", reports.join("\n"));
}

#[test]
#[ignore = "wants the worked example: TAILBURN_GOLDEN=DIR"]
fn the_oracle_reproduces_the_worked_example() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let slos = slo::load(&golden().join("slo.yaml")).expect("the example's SLO");
    let inputs = unpacked(&golden(), directory.path());
    assert_reproduced(&golden(), &replay(&slos, &inputs, Format::JsonLines));
}

#[test]
#[ignore = "wants the worked example: TAILBURN_GOLDEN=DIR"]
fn the_program_reproduces_the_worked_example() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let inputs = unpacked(&golden(), directory.path());
    let outputs = backtest(&golden().join("slo.yaml"), &inputs, Format::JsonLines, &directory.path().join("out"));
    assert_reproduced(&golden(), &outputs);
}
