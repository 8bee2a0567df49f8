//! The oracle as a command line, for long runs over any files:
//!
//! `TAILBURN_ORACLE_SLOS=slos TAILBURN_ORACLE_INPUTS=p0.jsonl,p1.jsonl TAILBURN_ORACLE_AGAINST=dir \
//!  cargo test --release --test oracle -- --ignored run_by_hand`
//!
//! AGAINST names the output directory of a backtest to compare with; FORMAT (jsonl, clf) is the format of the inputs,
//! OUT_OF_ORDERNESS the backtest's setting; OUT receives the oracle's records, COUNTS what the run covered. SLOs are
//! processed one at a time, because a week's statuses of all do not fit into memory.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::compare::{Kind, compare};
use crate::coverage::Coverage;
use crate::input::Format;
use crate::replay::{OUT_OF_ORDERNESS_MS, Outputs, parse_line, replay_lines};
use crate::slo::{self, Slo};
use crate::time::parse_duration;

fn variable(name: &str) -> Option<String> {
    std::env::var(format!("TAILBURN_ORACLE_{name}")).ok()
}

struct Settings {
    inputs: Vec<PathBuf>,
    format: Format,
    out_of_orderness_ms: i64,
    out: Option<PathBuf>,
    against: Option<PathBuf>,
    counts: Option<PathBuf>,
}

impl Settings {
    fn of_environment() -> Self {
        let inputs = variable("INPUTS").expect("TAILBURN_ORACLE_INPUTS lists the files");
        let format = match variable("FORMAT").as_deref() {
            None | Some("jsonl") => Format::JsonLines,
            Some("clf") => Format::AccessLog,
            Some(other) => panic!("TAILBURN_ORACLE_FORMAT is jsonl or clf, not {other:?}"),
        };
        let out_of_orderness = variable("OUT_OF_ORDERNESS").map(|text| parse_duration(&text).expect("a duration"));
        let path = |name: &str| variable(name).map(PathBuf::from);
        Self {
            inputs: inputs.split(',').map(PathBuf::from).collect(),
            format,
            out_of_orderness_ms: out_of_orderness.unwrap_or(OUT_OF_ORDERNESS_MS),
            out: path("OUT"),
            against: path("AGAINST"),
            counts: path("COUNTS"),
        }
    }
}

/// The lines of one SLO in a file of the program.
fn lines_of(directory: &Path, name: &str, slo: &str) -> Vec<String> {
    let path = directory.join(format!("{name}.jsonl"));
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let wanted = format!("\"slo\":{}", Value::from(slo));
    let of_all = name == "dead-letters";
    let lines = BufReader::new(file).lines().map(|line| line.expect("text"));
    lines.filter(|line| of_all || line.contains(&wanted)).collect()
}

fn outputs_of(directory: &Path, slo: &str) -> Outputs<String> {
    Outputs {
        statuses: lines_of(directory, "slo-status", slo),
        alerts: lines_of(directory, "burn-alerts", slo),
        user_statuses: lines_of(directory, "user-status", slo),
        // Few backtests write this one.
        canaries: if directory.join("canary-verdicts.jsonl").exists() {
            lines_of(directory, "canary-verdicts", slo)
        } else {
            Vec::new()
        },
        dead_letters: lines_of(directory, "dead-letters", slo),
    }
}

/// Appends the records to the files of the directory.
fn write(directory: &Path, outputs: &Outputs<String>) {
    std::fs::create_dir_all(directory).expect("the output directory");
    let lists = [
        ("slo-status", &outputs.statuses),
        ("burn-alerts", &outputs.alerts),
        ("user-status", &outputs.user_statuses),
        ("canary-verdicts", &outputs.canaries),
    ];
    for (name, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        append(&directory.join(format!("{name}.jsonl")), &(lines.join("\n") + "\n"));
    }
}

fn append(path: &Path, text: &str) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// The day of a line, if any, to compare day by day.
fn day_of(line: &str) -> &str {
    const AT: &str = "\"at\":\"";
    line.find(AT).and_then(|at| line.get(at + AT.len()..at + AT.len() + 10)).unwrap_or_default()
}

/// Compares day by day, as trees of a week do not fit into memory; whether all agree.
fn agree(kind: Kind, title: &str, oracle: &[String], program: &[String], ignored: &[&str]) -> bool {
    let days = |lines: &[String]| lines.iter().map(|line| day_of(line).to_owned()).collect::<Vec<_>>();
    let (oracle_days, program_days) = (days(oracle), days(program));
    let all: BTreeSet<&String> = oracle_days.iter().chain(&program_days).collect();
    let of_day = |lines: &[String], days: &[String], day: &String| -> Vec<Value> {
        lines.iter().zip(days).filter(|(_, of)| *of == day).map(|(line, _)| parse_line(line)).collect()
    };
    let differing = all.into_iter().filter(|day| {
        let (wanted, found) = (of_day(oracle, &oracle_days, day), of_day(program, &program_days, day));
        let differences = compare(kind, &wanted, &found, ignored);
        if differences.count > 0 {
            println!("{}", differences.report(&format!("{title} {day}")));
        }
        differences.count > 0
    });
    differing.count() == 0
}

fn run(slo: &Slo, settings: &Settings) -> bool {
    let program = settings.against.as_deref().map(|directory| outputs_of(directory, &slo.name));
    let slos = std::slice::from_ref(slo);
    let oracle = replay_lines(slos, &settings.inputs, settings.format, settings.out_of_orderness_ms);
    println!(
        "{}: {} statuses, {} alert records, {} statuses of users, {} dead letters",
        slo.name,
        oracle.statuses.len(),
        oracle.alerts.len(),
        oracle.user_statuses.len(),
        oracle.dead_letters.len()
    );
    if let Some(out) = &settings.out {
        write(out, &oracle);
    }
    if let Some(path) = &settings.counts {
        append(path, &coverage_of(&oracle).lines());
    }
    program.is_none_or(|program| {
        // Many lines have the same second, and the contract does not define the bytes of an attribute tuple.
        let ignored: &[&str] = if settings.format == Format::AccessLog { &["attributes"] } else { &[] };
        let agrees = [
            agree(Kind::DeadLetter, "dead-letters", &oracle.dead_letters, &program.dead_letters, ignored),
            agree(Kind::Status, "slo-status", &oracle.statuses, &program.statuses, ignored),
            agree(Kind::Alert, "burn-alerts", &oracle.alerts, &program.alerts, ignored),
            agree(Kind::User, "user-status", &oracle.user_statuses, &program.user_statuses, ignored),
        ];
        println!("{}: {}", slo.name, if agrees == [true; 4] { "agrees" } else { "DIFFERS" });
        agrees == [true; 4]
    })
}

/// Counts what the run covered, record by record.
fn coverage_of(outputs: &Outputs<String>) -> Coverage {
    let mut coverage = Coverage::default();
    outputs.statuses.iter().for_each(|line| coverage.status(&parse_line(line)));
    outputs.alerts.iter().for_each(|line| coverage.alert(&parse_line(line)));
    outputs.dead_letters.iter().for_each(|line| coverage.dead_letter(&parse_line(line)));
    coverage
}

#[test]
#[ignore = "a command line: see the module's documentation"]
fn run_by_hand() {
    let slos = variable("SLOS").expect("TAILBURN_ORACLE_SLOS names the SLOs");
    let settings = Settings::of_environment();
    let slos = slo::load(Path::new(&slos)).unwrap_or_else(|e| panic!("{e}"));
    let differing: Vec<&str> = slos.iter().filter(|slo| !run(slo, &settings)).map(|s| s.name.as_str()).collect();
    assert!(differing.is_empty(), "{differing:?} differ");
}
