//! What is made of the definitions: `export`, `docs`, and `check --strict`.

use crate::program::Program;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/examples/slos");

const SLO: &str = r#"apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  displayName: "Checkout <b>succeeds</b>"
  annotations:
    tailburn.dev/owner: payments@example.com
    tailburn.dev/why: A customer who cannot pay goes elsewhere.
    tailburn.dev/how-measured: At the gateway.
    tailburn.dev/accepted-variation: 0.2 points in a month of releases
    tailburn.dev/review-by: "REVIEW"
spec:
  service: shop
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: "status < 500"}}}
        total: {metricSource: {type: tailburn, spec: {filter: "operation == 'pay' && !has(attributes.synthetic)"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
"#;

fn with_slo(review: &str) -> Program {
    let program = Program::new();
    std::fs::write(program.path().join("slo.yaml"), SLO.replace("REVIEW", review)).expect("written");
    program
}

#[test]
fn the_examples_are_exported_as_one_file_that_says_the_same() {
    let program = Program::new();
    let ran = program.run(&["export", "--slos", EXAMPLES, "--out", "all.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let written = std::fs::read_to_string(program.path().join("all.yaml")).expect("a file");
    for reference in ["indicatorRef", "metricSourceRef", "alertPolicyRef", "kind: SLI", "kind: DataSource"] {
        assert!(!written.contains(reference), "{reference} in {written}");
    }
    // What was exported exports as itself, and can be checked.
    let again = program.run(&["export", "--slos", "all.yaml"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), written.as_str()), "{}", again.stderr);
    let checked = program.run(&["check", "--slos", "all.yaml", "--json"]);
    assert!(checked.stdout.contains("search-latency:patience"), "{}{}", checked.stdout, checked.stderr);
    std::fs::write(program.path().join("wrong.yaml"), written.replace("openslo/v1", "openslo/v9")).expect("written");
    let ran = program.run(&["export", "--slos", "wrong.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""), "{}", ran.stderr);
}

#[test]
fn docs_writes_one_page_without_markup_of_names() {
    let program = with_slo("2999-12-31");
    let ran = program.run(&["docs", "--slos", "slo.yaml", "--out", "slos.html"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let page = std::fs::read_to_string(program.path().join("slos.html")).expect("a page");
    for part in [
        "Checkout &lt;b&gt;succeeds&lt;/b&gt;",
        "99.9 % of the events are good, over the last 28 d",
        "operation is &#39;pay&#39; and the attribute synthetic is not there",
        "status is below 500",
        "payments@example.com",
        "A customer who cannot pay goes elsewhere.",
        "At the gateway.",
        "2999-12-31",
        "1h/5m",
        "2.07 %",
        "<th scope=\"row\">error budget</th>",
    ] {
        let part = part.replace("&#39;", "'");
        assert!(page.contains(&part), "{part} in {page}");
    }
    assert!(!page.contains("<b>") && !page.contains("src=") && !page.contains("<link"), "{page}");
    let checked = program.run(&["check", "--slos", "slo.yaml", "--strict"]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    let composite = SLO
        .replace("REVIEW", "2999-12-31")
        .replace(
            "  indicator:\n",
            "  objectives:\n  - displayName: answers\n    target: 0.99\n    compositeWeight: 3\n    indicator:\n",
        )
        .replace("  objectives: [{target: 0.999}]\n", "");
    let composite: String = composite
        .lines()
        .map(|line| {
            let is_of_indicator = ["metadata: {name: ok}", "spec:", "ratioMetric:", "counter:", "good:", "total:"];
            let is_nested = line.starts_with("    ") && is_of_indicator.iter().any(|key| line.trim().starts_with(key));
            format!("{}{line}\n", if is_nested { "  " } else { "" })
        })
        .collect();
    std::fs::write(program.path().join("composite.yaml"), composite).expect("written");
    let ran = program.run(&["docs", "--slos", "composite.yaml", "--out", "composite.html"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let page = std::fs::read_to_string(program.path().join("composite.html")).expect("a page");
    assert!(page.contains("checkout:answers: 99 % of its events, with the weight 3"), "{page}");
    let ran = program.run(&["export", "--slos", "composite.yaml"]);
    assert_eq!((ran.code, ran.stdout.contains("compositeWeight: 3")), (Some(0), true), "{}", ran.stderr);
    let examples = program.run(&["docs", "--slos", EXAMPLES, "--out", "examples.html"]);
    assert_eq!(examples.code, Some(0), "{}", examples.stderr);
}

#[test]
fn strict_wants_what_people_need_to_know_and_a_review_that_is_not_overdue() {
    let program = with_slo("2020-01-31");
    let plain = program.run(&["check", "--slos", "slo.yaml"]);
    assert_eq!(plain.code, Some(0), "{}{}", plain.stdout, plain.stderr);
    let ran = program.run(&["check", "--slos", "slo.yaml", "--strict"]);
    assert_eq!((ran.code, ran.stdout.contains("2020-01-31 is over")), (Some(1), true), "{}", ran.stdout);
    let bare: String =
        SLO.lines().filter(|line| !line.contains("tailburn.dev/")).map(|line| format!("{line}\n")).collect();
    std::fs::write(program.path().join("bare.yaml"), bare.replace("  annotations:\n", "")).expect("written");
    let ran = program.run(&["check", "--slos", "bare.yaml", "--strict"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    for key in ["owner", "why", "how-measured", "accepted-variation", "review-by"] {
        assert!(ran.stdout.contains(&format!("tailburn.dev/{key}")), "{key}: {}", ran.stdout);
    }
    let ran = with_slo("next spring").run(&["check", "--slos", "slo.yaml", "--strict"]);
    assert_eq!((ran.code, ran.stdout.contains("`next spring` is not a date")), (Some(1), true), "{}", ran.stdout);
}
