//! `backtest`: its output, the files that it never overwrites, and its summary.

use crate::program::{Program, Ran};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SLO: &str = include_str!("../fixtures/availability.yaml");
const RESULTS: [&str; 5] =
    ["slo-status.jsonl", "burn-alerts.jsonl", "tail-cohorts.jsonl", "user-status.jsonl", "dead-letters.jsonl"];
const START_MS: i64 = 1_780_000_000_000;

fn program() -> Program {
    Program::new().with_file("slo.yaml", SLO)
}

const ARGS: [&str; 7] = ["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"];

/// Waits for a program that may never end.
fn ended(mut child: Child) -> Ran {
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
    Ran::of(child.wait_with_output().expect("its output"))
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn backtest(input: &str) -> (Program, Ran) {
    let program = program().with_file("in.jsonl", input);
    let ran = ended(start(program.command(&ARGS)));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    (program, ran)
}

fn event(seconds: f64, more: &str) -> String {
    let at_ms = START_MS + (seconds * 1_000.0) as i64;
    format!("{{\"tenant\":\"a\",\"user\":\"u\",\"timestamp\":{at_ms},\"operation\":\"checkout\"{more}}}\n")
}

fn good(seconds: f64) -> String {
    event(seconds, ",\"status\":200")
}

/// The files in the result directory.
fn names(program: &Program) -> Vec<String> {
    let entries = fs::read_dir(program.path().join("out")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn read(program: &Program, file: &str) -> String {
    fs::read_to_string(program.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn is_empty(program: &Program, file: &str) -> bool {
    read(program, &format!("out/{file}")).is_empty()
}

/// Results of an earlier run, which must never change on failure.
fn with_earlier(program: Program) -> Program {
    RESULTS.iter().fold(program, |program, file| program.with_file(&format!("out/{file}"), "earlier\n"))
}

fn assert_earlier(program: &Program) {
    for file in RESULTS {
        assert_eq!(read(program, &format!("out/{file}")), "earlier\n", "{file}");
    }
}

#[test]
fn input_of_dead_letters_alone_ends_with_them() {
    let (program, ran) = backtest("{\n");
    assert!(ran.stderr.contains("1 not_decodable"), "{}", ran.stderr);
    assert!(is_empty(&program, "slo-status.jsonl") && !is_empty(&program, "dead-letters.jsonl"));
}

#[test]
fn verdicts_on_canaries_are_written_where_an_slo_has_one() {
    let canary =
        SLO.replacen("{name: availability}", "{name: availability, annotations: {tailburn.dev/canary: release}}", 1);
    let release = |seconds: f64, release: &str| {
        event(seconds, &format!(",\"status\":200,\"attributes\":{{\"release\":\"{release}\"}}"))
    };
    let input = [release(0.0, "v1"), release(61.0, "v2"), release(190.0, "v2")].concat();
    let program = program().with_file("in.jsonl", &input).with_file("canary.yaml", &canary);
    let with = ["backtest", "--slos", "canary.yaml", "--input", "in.jsonl", "--out", "out"];
    let ran = program.run(&with);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("canaries      3 verdicts"), "{}", ran.stderr);
    let verdicts = read(&program, "out/canary-verdicts.jsonl");
    assert_eq!(verdicts.lines().count(), 3, "{verdicts}");
    assert!(verdicts.lines().all(|line| line.contains("\"reason\":\"no baseline\"")), "{verdicts}");
    let ran = program.run(&["tap", "canary-verdicts", "--file", "out/canary-verdicts.jsonl", "-q"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("v2"), "{} {}", ran.stdout, ran.stderr);
    let ran = program.run(&ARGS);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(names(&program), sorted(&RESULTS), "that of the backtest before is gone");
}

#[test]
fn empty_input_ends() {
    let (program, ran) = backtest("");
    assert!(ran.stderr.contains("outcomes      0") && ran.stderr.contains("has no records"), "{}", ran.stderr);
    assert!(is_empty(&program, "slo-status.jsonl"));
    assert_eq!(names(&program), sorted(&RESULTS), "nothing beside the results");
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_input_where_a_result_would_lie_is_refused_by_any_of_its_names() {
    let broken = "not a record\n";
    let program = program()
        .with_file("in.jsonl", "")
        .with_file("d/dead-letters.jsonl", broken)
        .with_file("d/slo-status.jsonl.part", broken);
    fs::hard_link(program.path().join("d/dead-letters.jsonl"), program.path().join("hard.jsonl")).expect("a link");
    std::os::unix::fs::symlink("d/dead-letters.jsonl", program.path().join("soft.jsonl")).expect("a link");
    for input in
        ["d/dead-letters.jsonl", "./d/../d/dead-letters.jsonl", "hard.jsonl", "soft.jsonl", "d/slo-status.jsonl.part"]
    {
        let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", input, "--out", "d"]);
        assert_eq!(ran.code, Some(2), "{input}: {}", ran.stderr);
        assert!(ran.stderr.contains("would be written over the input") && ran.stderr.contains(input), "{}", ran.stderr);
        assert_eq!(read(&program, "d/dead-letters.jsonl"), broken, "{input}");
        assert!(!program.path().join("d/slo-status.jsonl").exists(), "{input}: nothing is opened before");
    }
    let mut command = program.command(&["backtest", "--slos", "slo.yaml", "--input", "-", "--out", "d"]);
    command.stdin(fs::File::open(program.path().join("d/dead-letters.jsonl")).expect("the file"));
    let ran = ended(start(command));
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert_eq!(read(&program, "d/dead-letters.jsonl"), broken);
}

#[test]
fn an_slo_a_configuration_and_a_key_where_a_result_would_lie_are_refused() {
    let program = program().with_file("in.jsonl", &good(0.0)).with_file("d/slo-status.jsonl", SLO);
    let ran = program.run(&["backtest", "--slos", "d/slo-status.jsonl", "--input", "in.jsonl", "--out", "d"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("the SLO file"), "{}", ran.stderr);
    let program = program.with_file("d/burn-alerts.jsonl", "slos: [../slo.yaml]\n");
    let ran = program.run(&["backtest", "--config", "d/burn-alerts.jsonl", "--input", "in.jsonl", "--out", "d"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("the configuration"), "{}", ran.stderr);
    let program = program.with_file("d/user-status.jsonl", &"k".repeat(40));
    let set = "privacy.key_file=d/user-status.jsonl";
    let ran = program.run(&["backtest", "--set", set, "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "d"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("the key"), "{}", ran.stderr);
    assert_eq!(read(&program, "d/slo-status.jsonl"), SLO);
    assert_eq!(read(&program, "d/user-status.jsonl"), "k".repeat(40));
}

#[test]
fn what_cannot_be_an_input_or_a_result_is_said_with_the_remedy() {
    let program =
        program().with_file("in.jsonl", &good(0.0)).with_file("logs/a.jsonl", &good(0.0)).with_file("file", "");
    let run = |args: &[&str]| program.run(&[&["backtest", "--slos", "slo.yaml"], args].concat());
    let ran = run(&["--input", "logs", "--out", "out"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("logs: this is a directory; name its files"), "{}", ran.stderr);
    let ran = run(&["--input", "missing.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr.matches("No such file").count(), 1, "{}", ran.stderr);
    let ran = run(&["--input", "in.jsonl", "--out", "file"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("this is a file; name a directory"), "{}", ran.stderr);
    let ran = run(&["--input", "-", "--input", "-", "--out", "out"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("read only once"), "{}", ran.stderr);
    assert!(!program.path().join("out").exists(), "nothing is made before the input is there");
    fs::create_dir_all(program.path().join("out/burn-alerts.jsonl")).expect("a directory");
    let ran = run(&["--input", "in.jsonl", "--out", "out"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("burn-alerts.jsonl is not a plain file"), "{}", ran.stderr);
}

#[test]
fn a_broken_input_leaves_no_half_result_under_a_final_name() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..40_000).for_each(|i| packed.write_all(good(f64::from(i)).as_bytes()).expect("packed"));
    let mut packed = packed.finish().expect("packed");
    packed.truncate(packed.len() / 2);
    let program = with_earlier(program().with_file("in.jsonl", ""));
    fs::write(program.path().join("in.jsonl"), &packed).expect("a file");
    let ran = ended(start(program.command(&ARGS)));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("in.jsonl") && ran.stderr.contains("is kept in out/*.jsonl.part"), "{}", ran.stderr);
    assert_earlier(&program);
    let kept = read(&program, "out/slo-status.jsonl.part");
    assert!(kept.ends_with("}\n"), "whole up to the last line");
    // The next backtest uses the unfinished files again.
    let ran = ended(start(program.with_file("in.jsonl", &good(0.0)).command(&ARGS)));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_full_disk_leaves_what_stood_there_and_says_so() {
    let events: String = (0..5_000).map(|i| good(f64::from(i) * 60.0)).collect();
    let program = with_earlier(program().with_file("in.jsonl", &events));
    // Files may grow to 64 KiB; the signal at the limit must not end the process.
    let args = ARGS.join(" ");
    let limited = format!("ulimit -f 64; exec {} {args}", env!("CARGO_BIN_EXE_tailburn"));
    let mut command = Command::new("bash");
    command.args(["-c", &limited]).current_dir(program.path()).env_clear().stdin(Stdio::null());
    let ran = ended(start(command));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("File too large") && ran.stderr.contains("removed"), "{}", ran.stderr);
    assert_earlier(&program);
    assert_eq!(names(&program), sorted(&RESULTS), "nothing unfinished stays on a full disk");
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
    rustix::process::kill_process(pid, signal).expect("a signal");
}

#[test]
fn a_signal_stops_it_between_two_turns_and_what_is_kept_is_said() {
    for which in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let program = with_earlier(program());
        let mut command = program.command(&["backtest", "--slos", "slo.yaml", "--input", "-", "--out", "out"]);
        command.stdin(Stdio::piped());
        let mut child = start(command);
        let mut stdin = child.stdin.take().expect("its input");
        let mut seconds = 0.0;
        let part = program.path().join("out/slo-status.jsonl.part");
        // Input is sent until it has written something, and then until it ends.
        let mut is_told = false;
        let fed = loop {
            let events: String = (0..1_000).map(|i| good(seconds + f64::from(i))).collect();
            seconds += 1_000.0;
            if let Err(e) = stdin.write_all(events.as_bytes()) {
                break e;
            }
            if !is_told && fs::metadata(&part).is_ok_and(|found| found.len() > 0) {
                signal(&child, which);
                is_told = true;
            }
        };
        assert_eq!(fed.kind(), std::io::ErrorKind::BrokenPipe);
        drop(stdin);
        let ran = ended(child);
        assert_eq!(ran.code, Some(130), "{}", ran.stderr);
        assert!(ran.stderr.contains("stopped by a signal; what was evaluated up to 20"), "{}", ran.stderr);
        assert_earlier(&program);
        assert!(read(&program, "out/slo-status.jsonl.part").ends_with("}\n"), "whole up to the last line");
    }
}

#[test]
fn a_signal_also_stops_one_that_waits_for_standard_input() {
    let program = with_earlier(program());
    let mut command = program.command(&["backtest", "--slos", "slo.yaml", "--input", "-", "--out", "out"]);
    command.stdin(Stdio::piped());
    let mut child = start(command);
    let mut stdin = child.stdin.take().expect("its input");
    // Enough to detect the kind of input.
    let events: String = (0..1_000).map(|i| good(f64::from(i))).collect();
    stdin.write_all(events.as_bytes()).expect("fed");
    let part: PathBuf = program.path().join("out/slo-status.jsonl.part");
    // It listens for signals before it creates its first file.
    #[expect(clippy::disallowed_methods, reason = "it has to be listening first")]
    (0..6_000).take_while(|_| !part.exists()).for_each(|_| std::thread::sleep(Duration::from_millis(10)));
    signal(&child, rustix::process::Signal::INT);
    let ran = ended(child);
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    // Whether it has begun to evaluate what it was fed depends on the machine.
    let is_told =
        ["the unfinished results were removed", "nothing was evaluated"].map(|text| ran.stderr.contains(text));
    assert!(is_told[0] != is_told[1], "{}", ran.stderr);
    assert_earlier(&program);
    assert_eq!(names(&program), sorted(&RESULTS));
    drop(stdin);
}

#[test]
fn results_are_sorted_by_t_and_then_by_key_although_they_are_written_as_t_advances() {
    // A few records of many tenants, days apart: months of statuses are due between them.
    let events: String = (0..30)
        .map(|i| {
            let at_ms = START_MS + i64::from(i) * 86_400_000 / 4;
            format!("{{\"tenant\":\"t{}\",\"user\":\"u\",\"timestamp\":{at_ms},\"status\":200,\"operation\":\"checkout\"}}\n", i % 20)
        })
        .collect();
    let (program, _) = backtest(&events);
    let statuses = read(&program, "out/slo-status.jsonl");
    let heads: Vec<(String, String)> = statuses
        .lines()
        .map(|line| {
            let status: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
            (text("at"), format!("{}|{}", text("scope"), text("tenant")))
        })
        .collect();
    assert!(heads.len() > 2_000, "{} statuses", heads.len());
    assert!(heads.is_sorted(), "by T, then by key");
}

#[test]
fn one_clock_a_day_ahead_is_named_with_its_line_and_the_remedy() {
    let mut events: Vec<String> = (0..600).map(|i| good(f64::from(i) * 10.0)).collect();
    events.insert(100, good(86_400.0));
    let (_, ran) = backtest(&events.concat());
    assert!(ran.stderr.contains("late          0, and 500 too late and dropped"), "{}", ran.stderr);
    for said in [
        "500 of 601 events of in.jsonl (83.2 %)",
        "line 101 of in.jsonl",
        "2026-05-29T20:26:40.000Z",
        "allowed-lateness",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
}

#[test]
fn an_input_from_the_newest_to_the_oldest_is_recognised() {
    let events: String = (0..3_000).rev().map(|i| good(f64::from(i) * 10.0)).collect();
    let (_, ran) = backtest(&events);
    for said in ["2639 of 3000 events", "line 1 of in.jsonl:", "newest to the oldest", "`tac FILE`"] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
}

#[test]
fn late_records_are_counted_once_whatever_the_number_of_slos_and_the_setting_that_holds_them_is_named() {
    let slos: String = (0..5).map(|i| SLO.replace("name: availability", &format!("name: slo-{i}")) + "---\n").collect();
    let events: String =
        (0..1_000).map(|i| good(f64::from(i) - if i % 10 == 5 && i > 100 { 36.2 } else { 0.0 })).collect();
    let program = Program::new().with_file("slo.yaml", slos.trim_end_matches("---\n")).with_file("in.jsonl", &events);
    let ran = ended(start(program.command(&ARGS)));
    assert!(ran.stderr.contains("late          90, and 0 too late"), "{}", ran.stderr);
    // The latest of them is 35.2 s behind the record before it.
    assert!(ran.stderr.contains("`input.out_of_orderness: 36s` would have kept them in time"), "{}", ran.stderr);
    let mut command = program.command(&ARGS);
    command.args(["--set", "input.out_of_orderness=36s"]);
    let ran = ended(start(command));
    assert!(ran.stderr.contains("late          0, and 0 too late"), "{}", ran.stderr);
}

fn slo(name: &str, annotation: &str, good: &str, total: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: {name}{annotation}}}\nspec:\n  service: s\n  indicator:\n    \
         metadata: {{name: {name}-sli}}\n    spec:\n      ratioMetric:\n        counter: true\n        good: \
         {{metricSource: {{type: tailburn, spec: {{filter: \"{good}\"}}}}}}\n        total: {{metricSource: {{type: \
         tailburn, spec: {{filter: \"{total}\"}}}}}}\n  timeWindow: [{{duration: 28d, isRolling: true}}]\n  \
         budgetingMethod: Occurrences\n  objectives: [{{target: 0.999}}]\n"
    )
}

fn summary(slo: &str, events: &str) -> String {
    let program = Program::new().with_file("slo.yaml", slo).with_file("in.jsonl", events);
    let ran = ended(start(program.command(&ARGS)));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn an_slo_that_reads_what_events_lack_is_told_with_the_field_and_the_guard() {
    let events: String =
        (0..50).map(|i| event(f64::from(i), ",\"status\":200,\"attributes\":{\"Region\":\"eu\"}")).collect();
    let said = summary(&slo("eu", "", "status < 500", "attributes.region == 'eu'"), &events);
    assert!(said.contains("slo           eu: 0 good, 0 bad, 50 unclassified, 0 excluded"), "{said}");
    for part in [
        "`total` filter reads `attributes.region`",
        "line 1 of in.jsonl",
        "`attributes.Region`: is that meant?",
        "To count events without it, write `!has(attributes.region) || attributes",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // A field under another name at the top of the record.
    let events: String = (0..50).map(|i| event(f64::from(i), ",\"status_code\":200")).collect();
    let said = summary(&slo("s", "", "status < 500", "true"), &events);
    assert!(said.contains("`good` filter reads `status`") && said.contains("`status_code` at the top"), "{said}");
    // Some of the events only.
    let events: String =
        (0..50).map(|i| event(f64::from(i), if i % 5 == 0 { "" } else { ",\"status\":200" })).collect();
    let said = summary(&slo("s", "", "status < 500", "true"), &events);
    assert!(said.contains("10 of 50 events (20.0 %) are unclassified"), "{said}");
}

#[test]
fn an_slo_whose_filter_matches_nothing_is_told_with_what_the_input_has() {
    let events: String = (0..50).map(|i| good(f64::from(i))).collect();
    let said = summary(&slo("s", "", "status < 500", "operation == 'Checkout'"), &events);
    assert!(said.contains("slo           s: 0 good, 0 bad, 0 unclassified, 50 excluded"), "{said}");
    assert!(
        said.contains("asks for `Checkout` in `operation`, and the input has `checkout`: is that meant?"),
        "{said}"
    );
    let said = summary(&slo("s", "", "status < 500", "operation in ['search', 'browse']"), &events);
    assert!(said.contains("asks for `search` or `browse` in `operation`, and the input has `checkout`."), "{said}");
    let said = summary(&slo("s", "", "status < 500", "status > 700"), &events);
    assert!(said.contains("excludes all 50 events. `tailburn check --input FILE --limit 5`"), "{said}");
}

#[test]
fn what_is_as_it_should_be_brings_no_notice() {
    let events: String = (0..500).map(|i| good(f64::from(i))).collect();
    let (_, ran) = backtest(&events);
    assert!(!ran.stderr.contains("! "), "{}", ran.stderr);
}

#[test]
fn a_limit_that_was_met_is_told() {
    let events: String = (0..50)
        .map(|i| event(f64::from(i), &format!(",\"status\":200,\"attributes\":{{\"shop\":\"s{i}\"}}")))
        .collect();
    let annotation = ", annotations: {tailburn.dev/group-by: shop}";
    let program = Program::new().with_file("slo.yaml", &slo("s", annotation, "status < 500", "true"));
    let program = program.with_file("in.jsonl", &events);
    let mut command = program.command(&ARGS);
    command.args(["--set", "limits.groups=3"]);
    let ran = ended(start(command));
    assert!(ran.stderr.contains("limits.groups was reached by s. "), "{}", ran.stderr);
}
