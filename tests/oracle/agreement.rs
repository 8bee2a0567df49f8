//! The program and the brute force over the same files: every status, alert, distribution and dead letter.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::compare::{Kind, compare, read_records};
use crate::coverage::Coverage;
use crate::input::Format;
use crate::metamorphic::generate;
use crate::replay::{Outputs, replay, replay_with};
use crate::slo;
use crate::time::SECOND_MS;
use crate::traffic::{self, Plan};

/// Runs the program over the files and reads back what it wrote.
pub fn backtest(slos: &Path, inputs: &[PathBuf], format: Format, out: &Path) -> Outputs {
    backtest_with(slos, inputs, format, out, &[])
}

/// The same with more arguments.
pub fn backtest_with(slos: &Path, inputs: &[PathBuf], format: Format, out: &Path, more: &[&str]) -> Outputs {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
    command.arg("backtest").arg("--slos").arg(slos).arg("--out").arg(out).args(more);
    command.args(["--format", if format == Format::AccessLog { "clf" } else { "jsonl" }]);
    for input in inputs {
        command.arg("--input").arg(input);
    }
    // Variables of these tests are not settings of the program, which refuses unknown ones.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TAILBURN_")) {
        command.env_remove(name);
    }
    let run = command.output().expect("the program starts");
    assert!(run.status.success(), "{:?}: {}\n{}", command, run.status, String::from_utf8_lossy(&run.stderr));
    read_outputs(out)
}

pub fn read_outputs(directory: &Path) -> Outputs {
    Outputs {
        statuses: read_records(&directory.join("slo-status.jsonl")),
        alerts: read_records(&directory.join("burn-alerts.jsonl")),
        user_statuses: read_records(&directory.join("user-status.jsonl")),
        canaries: if directory.join("canary-verdicts.jsonl").exists() {
            read_records(&directory.join("canary-verdicts.jsonl"))
        } else {
            Vec::new()
        },
        dead_letters: read_records(&directory.join("dead-letters.jsonl")),
    }
}

/// Panics with the first differences in each output.
pub fn assert_agree(oracle: &Outputs, program: &Outputs) {
    let lists: [(&str, Kind, &[Value], &[Value]); 5] = [
        ("canary-verdicts", Kind::Canary, &oracle.canaries, &program.canaries),
        ("dead-letters", Kind::DeadLetter, &oracle.dead_letters, &program.dead_letters),
        ("slo-status", Kind::Status, &oracle.statuses, &program.statuses),
        ("burn-alerts", Kind::Alert, &oracle.alerts, &program.alerts),
        ("user-status", Kind::User, &oracle.user_statuses, &program.user_statuses),
    ];
    let differing = lists.map(|(name, kind, oracle, program)| (name, compare(kind, oracle, program, &[])));
    let reports: Vec<String> = differing.iter().filter(|(_, d)| d.count > 0).map(|(n, d)| d.report(n)).collect();
    assert!(reports.is_empty(), "wanted: the oracle; found: the program\n{}", reports.join("\n"));
}

/// Runs both over one plan's traffic; returns what the agreement covered.
fn agree_on(plan: &Plan, slos: &[(&str, &str)]) -> Coverage {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (slos, inputs) = traffic::write(directory.path(), plan, slos);
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    let loaded = slo::load(&slos).expect("the SLOs");
    let oracle = replay(&loaded, &inputs, Format::JsonLines);
    assert_agree(&oracle, &program);
    Coverage::of(&oracle)
}

#[test]
fn the_program_agrees_on_a_day_of_incidents_with_shrunk_rules() {
    agree_on(&traffic::day(1), &traffic::DAY_SLOS).assert_day();
}

#[test]
fn the_program_agrees_on_four_days_with_the_default_rules() {
    agree_on(&traffic::four_days(2), &traffic::FOUR_DAY_SLOS).assert_four_days();
}

/// A small version of `ops/verify`: annotations of every kind, and the program's own traffic.
const GENERATED_SLOS: [(&str, &str); 6] = [
    ("a.yaml", include_str!("slos/generated/a-default-rules.yaml")),
    ("b.yaml", include_str!("slos/generated/b-own-rules.yaml")),
    ("c.yaml", include_str!("slos/generated/c-policies.yaml")),
    ("d.yaml", include_str!("slos/generated/d-latency.yaml")),
    ("e.yaml", include_str!("slos/generated/e-week.yaml")),
    ("f.yaml", include_str!("slos/generated/f-one-day.yaml")),
];

#[test]
fn the_program_agrees_on_the_traffic_that_it_generates() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let slos = traffic::write_slos(directory.path(), &GENERATED_SLOS);
    let options = ["--duration", "12h", "--rate", "1", "--users", "2500", "--profile", "dirty"];
    let inputs = generate(&directory.path().join("traffic"), 3, &options);
    let disorder = ["--set", "input.out_of_orderness=20s"];
    let program = backtest_with(&slos, &inputs, Format::JsonLines, &directory.path().join("out"), &disorder);
    let loaded = slo::load(&slos).expect("the SLOs");
    let oracle = replay_with(&loaded, &inputs, Format::JsonLines, 20 * SECOND_MS);
    assert_agree(&oracle, &program);
    Coverage::of(&oracle).assert_generated();
}

/// Users with a good and a bad event; all weights differ.
fn users_of_many_slis() -> Vec<Vec<String>> {
    const START_MS: i64 = 1_772_409_600_000;
    let line = |user: usize, time_ms: i64, latency_ms: f64, weight: f64| {
        serde_json::json!({"tenant": format!("t{}", user % 3), "user": format!("u{user}"), "timestamp": time_ms,
                           "operation": "read", "latency_ms": latency_ms, "weight": weight})
        .to_string()
    };
    let mut partitions = vec![Vec::new(); 2];
    for user in 0..5_000 {
        let time_ms = START_MS + user as i64 * 700;
        let lines = &mut partitions[user % 2];
        lines.push(line(user, time_ms, 10.0 + user as f64, 1.0));
        lines.push(line(user, time_ms + 300, 30.0, 0.01 * (user % 1_700 + 1) as f64));
        lines.push(line(user, time_ms + 400, 5_000.0, 0.003 * (user % 2_100 + 1) as f64));
    }
    partitions[0].push(line(0, START_MS + 7_200_000, 1.0, 1.0));
    partitions
}

#[test]
fn the_program_agrees_within_a_hundredth_where_users_have_very_many_slis() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let slos = traffic::write_slos(directory.path(), &GENERATED_SLOS[3..4]);
    let inputs = traffic::write_lines(directory.path(), &users_of_many_slis());
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    let loaded = slo::load(&slos).expect("the SLOs");
    let oracle = replay(&loaded, &inputs, Format::JsonLines);
    assert_agree(&oracle, &program);
    Coverage::of(&oracle).assert_sketched();
}
