//! `tap` on files: a wrong file, and conditions without a match.

use crate::program::Program;

const STATUS: &str =
    r#"{"slo":"checkout","scope":"aggregate","tenant":null,"state":"ok","windows":[],"compliance_window":"28d"}"#;

#[test]
fn what_cannot_be_met_is_named_with_what_there_is() {
    let program = Program::new().with_file("slo-status.jsonl", STATUS);
    for (args, code, told) in [
        (&["tap", "slo-stauts"][..], 2, "Did you mean `slo-status`?"),
        (
            &["tap", "slo-status", "--file", "slo-status.jsonl", "--state", "firing"],
            2,
            "ok, at_risk, breached, no_data",
        ),
        (&["tap", "burn-alerts", "--file", "slo-status.jsonl"], 1, "tailburn tap slo-status --file slo-status.jsonl"),
        (&["tap", "slo-status", "--file", "slo-status.jsonl", "--slo", "chekout"], 0, "Did you mean `checkout`?"),
        (&["tap", "slo-status", "--file", "slo-status.jsonl", "--tenant", "acme"], 0, "no tenant `acme`"),
        (&["tap", "slo-status", "--file", "slo-status.jsonl", "--state", "breached"], 0, "there are ok"),
    ] {
        let ran = program.run(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(told), "{args:?}: {}{}", ran.stdout, ran.stderr);
    }
    let printed = program.run(&["tap", "slo-status", "--file", "slo-status.jsonl", "--slo", "checkout"]);
    assert_eq!((printed.stdout.trim_end(), printed.stderr.as_str()), (STATUS, ""));
}
