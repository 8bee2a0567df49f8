//! `apply`, `history` and change control: what was applied is kept in a file here, as it is in the topic on Kafka.

use crate::documents::SLO;
use crate::program::{Program, Ran};
use serde_json::Value;

const EVENT: &str = r#"{"tenant": "acme", "user": "u1", "timestamp": 1780000000000, "status": 200}"#;

fn program() -> Program {
    let config = "slos: [slos]\ndefinitions: {file: applied.jsonl}\n";
    let search = SLO.replace("name: checkout", "name: search");
    Program::new()
        .with_file("tailburn.yaml", config)
        .with_file("slos/checkout.yaml", SLO)
        .with_file("slos/search.yaml", &search)
        .with_file("in.jsonl", EVENT)
}

fn write(program: &Program, file: &str, text: &str) {
    std::fs::write(program.path().join(file), text).expect("written");
}

fn applied(program: &Program) -> Vec<Value> {
    let text = std::fs::read_to_string(program.path().join("applied.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn apply(program: &Program, by: &str, reason: &str) -> Ran {
    let ran = program.run(&["apply", "--by", by, "--reason", reason]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran
}

fn controlled_backtest(program: &Program) -> Ran {
    program.run(&["backtest", "--input", "in.jsonl", "--out", "out", "--set", "definitions.control=true"])
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn what_differs_from_what_was_applied_is_refused_with_the_difference_until_it_is_applied() {
    let program = program();
    let refused = controlled_backtest(&program);
    assert_eq!(refused.code, Some(78), "{}", refused.stderr);
    assert_has(&refused.stderr, &["nothing was applied yet", "tailburn apply --by NAME --reason WHY"]);

    let first = apply(&program, "ann", "the first ones");
    assert_has(
        &first.stdout,
        &["checkout\n  is new", "search\n  is new", "Recorded in applied.jsonl (by ann: the first ones)"],
    );
    assert_eq!(controlled_backtest(&program).code, Some(0));

    write(&program, "slos/checkout.yaml", &SLO.replace("0.99}", "0.95}"));
    std::fs::remove_file(program.path().join("slos/search.yaml")).expect("removed");
    let refused = controlled_backtest(&program);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(78), ""));
    assert_has(
        &refused.stderr,
        &["objective: 0.99 -> 0.95", "it keeps its counts", "search\n  is gone", "tailburn apply"],
    );
    assert!(!program.path().join("out/slo-status.jsonl.part").exists());
    // The default of a backtest is to try what was not applied.
    assert_eq!(program.run(&["backtest", "--input", "in.jsonl", "--out", "tried"]).code, Some(0));

    apply(&program, "bob", "looser while we move");
    assert_eq!(controlled_backtest(&program).code, Some(0));
    let records = applied(&program);
    let told: Vec<_> = records.iter().map(|r| (r["slo"].as_str(), r["change"].as_str(), r["by"].as_str())).collect();
    let expected = [
        (Some("checkout"), Some("added"), Some("ann")),
        (Some("search"), Some("added"), Some("ann")),
        (Some("checkout"), Some("changed"), Some("bob")),
        (Some("search"), Some("removed"), Some("bob")),
    ];
    assert_eq!(told, expected);
    assert_eq!(records[2]["previous_hash"], records[0]["definition_hash"]);
    assert_eq!((&records[3]["definition_hash"], &records[3]["document"]), (&Value::Null, &Value::Null));
    // The hash is that of the records that are published.
    let statuses = std::fs::read_to_string(program.path().join("out/slo-status.jsonl")).expect("statuses");
    let status: Value = serde_json::from_str(statuses.lines().next().expect("one")).expect("JSON");
    assert_eq!(status["definition_hash"], records[2]["definition_hash"]);
    // What is kept is a document that means the same.
    write(&program, "kept.yaml", records[2]["document"].as_str().expect("a document"));
    let same = program.run(&["diff", "--after", "kept.yaml"]);
    assert_eq!(same.code, Some(0), "{}{}", same.stdout, same.stderr);
}

#[test]
fn run_records_the_first_definitions_itself_and_refuses_others() {
    // Nobody listens there: what is refused is refused before a broker is asked.
    let program = program();
    apply(&program, "ann", "the first ones");
    write(&program, "slos/checkout.yaml", &SLO.replace("14.4/page", "10/page"));
    let refused = program.run(&["run", "--set", "privacy.user_ids=plain"]);
    assert_eq!(refused.code, Some(78), "{}", refused.stderr);
    assert_has(&refused.stderr, &["rules.1h/5m: page at factor 14.4 -> page at factor 10"]);
    if cfg!(feature = "kafka") {
        // It would go on, and wait for brokers.
        return;
    }
    std::fs::remove_file(program.path().join("applied.jsonl")).expect("removed");
    let first = program.run(&["run"]);
    assert_has(&first.stderr, &["nothing was applied before: 2 SLOs recorded in applied.jsonl (by run)"]);
    assert_eq!(applied(&program)[0]["by"], "run");
}

#[test]
fn apply_wants_to_know_who_and_why_and_records_nothing_where_nothing_changes() {
    let program = program();
    for args in [&["apply"][..], &["apply", "--by", "ann"], &["apply", "--by", "ann", "--reason", " "]] {
        assert_eq!(program.run(args).code, Some(2), "{args:?}");
    }
    let dry = program.run(&["apply", "--dry-run"]);
    assert_eq!((dry.code, applied(&program).len()), (Some(0), 0), "{}", dry.stderr);
    assert_has(&dry.stdout, &["is new", "Nothing was recorded"]);
    apply(&program, "ann", "why");
    let again = apply(&program, "ann", "once more");
    assert_has(&again.stdout, &["nothing to apply"]);
    assert_eq!(applied(&program).len(), 2);
    // Written in another way it is the same definition.
    write(&program, "slos/checkout.yaml", &SLO.replace("0.99}", "0.990}"));
    assert_has(&apply(&program, "ann", "spelling").stdout, &["nothing to apply"]);
    write(&program, "slos/checkout.yaml", &SLO.replace("0.99}", "1.5}"));
    let wrong = program.run(&["apply", "--by", "ann", "--reason", "a mistake"]);
    assert_eq!((wrong.code, applied(&program).len()), (Some(78), 2), "{}", wrong.stdout);
}

#[test]
fn a_history_has_every_change_of_its_slo() {
    let program = program();
    apply(&program, "ann", "the first ones");
    let gold = SLO.replace("target: 0.99}", "target: 0.99}, {displayName: gold, target: 0.999}");
    write(&program, "slos/checkout.yaml", &gold);
    apply(&program, "bob", "a second objective");
    let ran = program.run(&["history", "checkout", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told: Vec<_> = ran
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| format!("{} {} {}", c["slo"], c["change"], c["by"]))
        .collect();
    let expected = [
        r#""checkout" "added" "ann""#,
        r#""checkout" "removed" "bob""#,
        r#""checkout:gold" "added" "bob""#,
        r#""checkout:standard" "added" "bob""#,
    ];
    assert_eq!(told, expected);
    write(&program, "slos/checkout.yaml", &gold.replace("0.999}", "0.9995}"));
    apply(&program, "cid", "gold is gold");
    let ran = program.run(&["history", "checkout:gold"]);
    assert_has(&ran.stdout, &["checkout:gold changed by cid: gold is gold", "objective: 0.999 -> 0.9995"]);
    assert!(!ran.stdout.contains("standard") && ran.stdout.matches("hash ").count() == 2, "{}", ran.stdout);
    let unknown = program.run(&["history", "chekout"]);
    assert_eq!(unknown.code, Some(2));
    assert_has(&unknown.stderr, &["no SLO `chekout` was ever applied", "did you mean `checkout`?"]);
}

#[test]
fn without_before_diff_compares_to_what_was_applied() {
    let program = program();
    apply(&program, "ann", "the first ones");
    assert_eq!(program.run(&["diff"]).code, Some(0));
    write(&program, "slos/checkout.yaml", &SLO.replace("0.99}", "0.95}"));
    let ran = program.run(&["diff"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_has(&ran.stdout, &["checkout\n  objective: 0.99 -> 0.95"]);
    write(&program, "applied.jsonl", "{\"slo\": 7}\n");
    let ran = program.run(&["diff"]);
    assert_eq!(ran.code, Some(78));
    assert_has(&ran.stderr, &["applied.jsonl:1", "no record of `tailburn apply`"]);
}

#[test]
fn one_file_of_slos_does_not_remove_the_others_unless_that_is_wanted() {
    let program = program();
    apply(&program, "ann", "the first ones");
    write(&program, "slos/checkout.yaml", &SLO.replace("0.99}", "0.95}"));
    let one = ["apply", "--slos", "slos/checkout.yaml", "--by", "bob", "--reason", "looser"];
    for more in [&[][..], &["--dry-run"]] {
        let refused = program.run(&[&one[..], more].concat());
        assert_eq!((refused.code, applied(&program).len()), (Some(78), 2), "{}{}", refused.stdout, refused.stderr);
        assert_has(&refused.stderr, &["would remove search:", "all SLOs", "--remove"]);
    }
    let wanted = program.run(&[&one[..], &["--remove"]].concat());
    assert_eq!(wanted.code, Some(0), "{}", wanted.stderr);
    assert_has(&wanted.stdout, &["objective: 0.99 -> 0.95", "search\n  is gone"]);
    assert_eq!(applied(&program)[3]["change"], "removed");
    assert_has(&program.run(&["apply", "--help"]).stdout, &["All SLOs"]);
}

#[test]
fn a_file_without_a_last_newline_is_added_to_on_a_line_of_its_own() {
    let program = program();
    apply(&program, "ann", "the first ones");
    let kept = std::fs::read_to_string(program.path().join("applied.jsonl")).expect("kept");
    write(&program, "applied.jsonl", kept.trim_end());
    write(&program, "slos/checkout.yaml", &SLO.replace("0.99}", "0.95}"));
    apply(&program, "bob", "looser");
    assert_eq!(applied(&program).len(), 3);
    assert_eq!(program.run(&["history", "checkout"]).code, Some(0));
    // The last record was not written whole.
    let cut = &kept[..kept.len() - 20];
    write(&program, "applied.jsonl", cut);
    let refused = program.run(&["apply", "--by", "bob", "--reason", "looser"]);
    assert_eq!(refused.code, Some(78), "{}{}", refused.stdout, refused.stderr);
    assert_has(&refused.stderr, &["applied.jsonl:2", "remove the line"]);
    assert_eq!(std::fs::read_to_string(program.path().join("applied.jsonl")).expect("kept"), cut);
}

#[test]
fn a_file_that_cannot_be_written_is_bad_configuration() {
    let program = program();
    for file in ["slos", "nowhere/applied.jsonl"] {
        let set = format!("definitions.file={file}");
        let ran = program.run(&["apply", "--by", "ann", "--reason", "why", "--set", &set]);
        assert_eq!(ran.code, Some(78), "{}{}", ran.stdout, ran.stderr);
        assert_has(&ran.stderr, &["definitions.file", file]);
    }
    let ran = program.run(&["apply", "--by", "a", "--reason", "b", "--set", "definitions.file=nowhere/applied.jsonl"]);
    assert_has(&ran.stderr, &["name a file in a directory that can be written"]);
}

#[test]
fn of_several_who_apply_at_once_each_follows_the_one_before() {
    let program = program();
    apply(&program, "ann", "the first ones");
    let start = |n: usize| {
        let file = format!("slos-{n}/checkout.yaml");
        std::fs::create_dir(program.path().join(format!("slos-{n}"))).expect("a directory");
        write(&program, &file, &SLO.replace("0.99}", &format!("0.99{n}}}")));
        let args = ["apply", "--remove", "--slos", file.as_str(), "--by", "ann", "--reason", "at once"];
        program.command(&args).stdout(std::process::Stdio::null()).spawn().expect("it starts")
    };
    let all: Vec<_> = (1..9).map(start).collect();
    for mut one in all {
        assert!(one.wait().expect("an end").success());
    }
    let records = applied(&program);
    let of_checkout: Vec<_> = records.iter().filter(|record| record["slo"] == "checkout").collect();
    assert_eq!(of_checkout.len(), 9);
    for two in of_checkout.windows(2) {
        assert_eq!(two[1]["previous_hash"], two[0]["definition_hash"]);
    }
    assert_eq!(records.iter().filter(|record| record["change"] == "removed").count(), 1);
}

#[test]
fn control_characters_are_refused_and_never_printed() {
    let program = program();
    for (by, reason, option) in [("ann\u{1b}[2J", "why", "--by"), ("ann", "why\nand\u{9b}31m", "--reason")] {
        let ran = program.run(&["apply", "--by", by, "--reason", reason]);
        assert_eq!((ran.code, applied(&program).len()), (Some(78), 0), "{}{}", ran.stdout, ran.stderr);
        assert_has(&ran.stderr, &[&format!("{option} has a control character")]);
    }
    apply(&program, "ann", "WHY");
    let kept = std::fs::read_to_string(program.path().join("applied.jsonl")).expect("kept");
    write(&program, "applied.jsonl", &kept.replace("WHY", "\\u001b[2J\\u009b31m\\nnone"));
    let told = program.run(&["history", "checkout"]).stdout;
    assert_has(&told, &[r"added by ann: \u{1b}[2J\u{9b}31m\nnone"]);
    assert!(!told.contains(['\u{1b}', '\u{9b}']), "{told:?}");
    let empty = program.run(&["apply", "--by", " ", "--reason", "why"]);
    assert_has(&empty.stderr, &["--by is empty: write who wants the change"]);
}

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/examples/slos");

#[test]
fn the_kept_documents_of_all_examples_mean_the_same() {
    let program = Program::new();
    let file = ["--set", "definitions.file=applied.jsonl"];
    let args = ["apply", "--slos", EXAMPLES, "--by", "ann", "--reason", "all of them"];
    let ran = program.run(&[&args[..], &file].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // Several SLOs of one document keep the same one.
    let documents: std::collections::BTreeSet<String> =
        applied(&program).iter().map(|record| record["document"].as_str().expect("a document").to_owned()).collect();
    std::fs::create_dir(program.path().join("kept")).expect("a directory");
    for (index, document) in documents.iter().enumerate() {
        write(&program, &format!("kept/{index}.yaml"), document);
    }
    let ran = program.run(&[&["diff", "--after", "kept"][..], &file].concat());
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let tapped = program.run(&["tap", "definitions", "--file", "applied.jsonl", "--slo", "checkout-availability"]);
    assert_eq!((tapped.code, tapped.stdout.lines().count()), (Some(0), 1), "{}", tapped.stderr);
}
