use super::*;
use crate::model::duration::parse as ms;
use crate::model::outcome::Outcome;
use crate::model::period::{Method, Period};
use crate::model::ratio::Ratio;
use crate::model::slo::{Criterion, Severity, TenantAlerts};
use crate::model::time::{DAY_MS, HOUR_MS};

const GOOD: &str = r#"apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations:
    tailburn.dev/owner: payments
spec:
  service: shop
  indicator:
    metadata: {name: checkout-success}
    spec:
      ratioMetric:
        good: {metricSource: {type: tailburn, spec: {filter: "has(status) && status < 500"}}}
        total: {metricSource: {type: tailburn, spec: {filter: "has(operation) && operation == 'checkout'"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: 0.999}]
"#;

fn parsed(text: &str) -> Result<Definitions, DefinitionErrors> {
    parse(&[("slo.yaml".to_owned(), text.to_owned())])
}

#[track_caller]
fn slo(text: &str) -> Slo {
    match parsed(text) {
        Ok(definitions) => definitions.slos.into_iter().next().expect("an SLO"),
        Err(errors) => panic!("{errors}"),
    }
}

/// GOOD with one line replaced.
#[track_caller]
fn with(line: &str, replacement: &str) -> String {
    assert!(GOOD.contains(line), "`{line}` is not in the document");
    GOOD.replacen(line, replacement, 1)
}

#[track_caller]
fn annotated(annotation: &str) -> String {
    with("tailburn.dev/owner: payments", annotation)
}

#[track_caller]
fn errors(text: &str) -> Vec<String> {
    match parsed(text) {
        Ok(_) => panic!("this should not load:\n{text}"),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

/// The only error of a document, as shown to people.
#[track_caller]
fn error(text: &str) -> String {
    let mut all = errors(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[test]
fn fills_in_the_defaults() {
    let slo = slo(GOOD);
    assert_eq!((slo.name.as_str(), slo.display_name.as_str(), slo.service.as_str()), ("checkout", "checkout", "shop"));
    assert_eq!(slo.indicator.name, "checkout-success");
    assert_eq!(Some(slo.objective), Ratio::new(999, 1000));
    assert_eq!(slo.tenant_alerts, TenantAlerts::UpTo(Severity::Info));
    assert_eq!(Ok(slo.period), ms("28d").map(Period::Rolling));
    assert_eq!(slo.method, Method::Occurrences);
    assert_eq!(slo.user_windows_ms, ["1h", "1d", "28d"].map(|text| ms(text).unwrap_or(0)));
    assert_eq!((slo.min_events, slo.min_user_events), (0, 5));
    assert!(slo.low_traffic_guard && slo.single_user_guard && slo.budget_rule);
    assert_eq!((slo.resolve_after_ms, Ok(slo.no_data_after_ms)), (None, ms("1h")));
    assert_eq!(Ok(slo.allowed_lateness_ms), ms("1h"));
    assert!(slo.group_by.is_empty() && slo.tenant_objectives.is_empty() && slo.labels.is_empty());
    let rules: Vec<_> = slo.rules.iter().map(|r| (r.name(), r.factor.as_f64(), r.severity)).collect();
    assert_eq!(
        rules,
        [
            ("1h/5m".to_owned(), 13.44, Severity::Page),
            ("6h/30m".to_owned(), 5.6, Severity::Page),
            ("1d/2h".to_owned(), 2.8, Severity::Ticket),
            ("3d/6h".to_owned(), 14.0 / 15.0, Severity::Ticket),
        ]
    );
    assert_eq!((slo.definition_hash.len(), slo.filters_hash.len()), (64, 64));
}

#[test]
fn the_filters_decide() {
    let slo = slo(GOOD);
    let checkout = Outcome { operation: Some("checkout".into()), status: Some(503), ..Outcome::default() };
    let total = slo.indicator.total.as_ref().map(|filter| filter.eval(&checkout));
    assert_eq!(total, Some(Some(true)));
    let Criterion::Good(good) = &slo.indicator.criterion else { panic!("a good filter was written") };
    assert_eq!(good.eval(&checkout), Some(false));
}

#[test]
fn every_annotation_is_read() {
    let text = annotated(
        r#"tailburn.dev/group-by: region, attributes.tier
    tailburn.dev/tenant-alerts: off
    tailburn.dev/tenant-objectives: "acme=0.9995, b=0.99"
    tailburn.dev/user-windows: 2h, 1h
    tailburn.dev/alert-rules: 1h/5m/14.4/page, 3d/1/ticket
    tailburn.dev/min-events: 10
    tailburn.dev/low-traffic-guard: "off"
    tailburn.dev/single-user-guard: false
    tailburn.dev/budget-rule: off
    tailburn.dev/canary: track = canary / stable
    tailburn.dev/canary-max-burn: 7.5
    tailburn.dev/resolve-after: 20m
    tailburn.dev/no-data-after: 2h
    tailburn.dev/min-user-events: 20
    tailburn.dev/allowed-lateness: 7d
    tailburn.dev/owner: payments
    tailburn.dev/escalation: call the manager
    tailburn.dev/why: money
    tailburn.dev/how-measured: at the edge
    tailburn.dev/accepted-variation: 1.10
    tailburn.dev/review-by: 2027-01-01
    tailburn.dev/runbook: https://runbooks.example.com/checkout
    tailburn.dev/dashboard: https://dashboards.example.com/checkout
    example.com/other: is ignored"#,
    );
    let slo = slo(&text);
    assert_eq!(slo.group_by, ["region", "tier"]);
    assert_eq!(slo.tenant_alerts, TenantAlerts::Off);
    let tenants: Vec<_> = slo.tenant_objectives.iter().map(|(t, o)| (t.as_str(), o.num, o.den)).collect();
    assert_eq!(tenants, [("acme", 1999, 2000), ("b", 99, 100)]);
    assert_eq!(slo.user_windows_ms, ["1h", "2h"].map(|text| ms(text).unwrap_or(0)));
    let rules: Vec<_> = slo.rules.iter().map(|r| (r.name(), r.factor.as_f64(), r.severity)).collect();
    assert_eq!(rules, [("1h/5m".to_owned(), 14.4, Severity::Page), ("3d".to_owned(), 1.0, Severity::Ticket)]);
    assert_eq!((slo.min_events, slo.min_user_events), (10, 20));
    assert!(!slo.low_traffic_guard && !slo.single_user_guard && !slo.budget_rule);
    let canary = slo.canary.expect("a canary");
    let tracks = canary.tracks.expect("two values");
    assert_eq!((&*canary.attribute, &*tracks.candidate, &*tracks.baseline), ("track", "canary", "stable"));
    assert_eq!(canary.max_burn.map(|burn| burn.as_f64()), Some(7.5));
    assert_eq!(slo.resolve_after_ms, ms("20m").ok());
    assert_eq!((Ok(slo.no_data_after_ms), Ok(slo.allowed_lateness_ms)), (ms("2h"), ms("7d")));
    let d = &slo.documentation;
    assert_eq!(
        [&d.owner, &d.escalation, &d.why, &d.how_measured, &d.accepted_variation, &d.review_by].map(|t| t.as_deref()),
        ["payments", "call the manager", "money", "at the edge", "1.10", "2027-01-01"].map(Some)
    );
    assert_eq!(d.runbook.as_deref(), Some("https://runbooks.example.com/checkout"));
    assert_eq!(d.dashboard.as_deref(), Some("https://dashboards.example.com/checkout"));
}

#[test]
fn a_wrong_annotation_names_line_key_and_remedy() {
    for (annotation, words) in [
        ("tailburn.dev/alertrules: 1h/5m/14.4/page", "did you mean `tailburn.dev/alert-rules`?"),
        ("tailburn.dev/frequency: 3", "the annotations are group-by, "),
        ("tailburn/owner: me", "begin with `tailburn.dev/`"),
        ("tailburn.dev/sla: \"1.5 per 1M\"", "`1.5` is not an objective from 0 to below 1"),
        ("tailburn.dev/sla: 0.99 per month", "`month` is not the length of a calendar period"),
        ("tailburn.dev/sla: 0.99 per 1M in Atlantis", "there is no time zone `Atlantis`"),
        ("tailburn.dev/sla: 0.99 per 2Y", "a period of 2Y is too long"),
        ("tailburn.dev/tenant-slas: acme=1", "the objective of `acme` must be below 1"),
        ("tailburn.dev/policy: 0.25", "`0.25` is not a step of a policy"),
        ("tailburn.dev/policy: 1.5=caution", "`1.5=caution` is not a step of a policy"),
        ("tailburn.dev/policy: 0.5=caution, 0.50=freeze", "0.50 is there twice"),
        ("tailburn.dev/group-by: region,,tier", "an entry of the list is empty"),
        ("tailburn.dev/group-by: region, region", "`region` is there twice"),
        ("tailburn.dev/group-by: region, attributes.region", "`region` is there twice"),
        ("tailburn.dev/group-by: region tier", "write commas between names"),
        ("tailburn.dev/group-by: region;tier", "write commas between names"),
        ("tailburn.dev/group-by: user", "the field `user` cannot be in group-by"),
        ("tailburn.dev/group-by: status", "an attribute of this name is attributes.status"),
        ("tailburn.dev/group-by: attributes.operation", "`operation` is a separate field"),
        ("tailburn.dev/group-by: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "17 names (16 are the most"),
        ("tailburn.dev/tenant-alerts: loud", "write off, info, ticket or page"),
        ("tailburn.dev/tenant-objectives: acme", "`acme` is not an objective of a tenant"),
        ("tailburn.dev/tenant-objectives: acme=1.0", "the objective of `acme` must be below 1"),
        ("tailburn.dev/tenant-objectives: a=0.9, a=0.8", "`a` is there twice"),
        ("tailburn.dev/user-windows: 1x", "`1x` is not a duration"),
        ("tailburn.dev/user-windows: 100m30s", "not a multiple of its slice"),
        ("tailburn.dev/user-windows: 30d", "longer than the compliance window 28d"),
        ("tailburn.dev/user-windows: 500d", "the longest is 400d"),
        (
            "tailburn.dev/user-windows: 1h,2h,3h,4h,5h,6h,7h,8h,9h,10h,11h,12h,13h,14h,15h,16h,17h",
            "17 user windows (16 are the most an SLO can have)",
        ),
        ("tailburn.dev/alert-rules: 1h/page", "`1h/page` is not a rule"),
        ("tailburn.dev/alert-rules: 1h/5m/14.4", "write 1h/5m/14.4/page, 1h/5m/14.4/ticket or"),
        ("tailburn.dev/alert-rules: 1h/5m/14.4/critical", "write page, which wakes somebody"),
        ("tailburn.dev/alert-rules: 1h/5m/0/page", "`0` is not a burn-rate factor"),
        ("tailburn.dev/alert-rules: 1h/5m/2/loud", "write page, ticket or info"),
        ("tailburn.dev/alert-rules: 5m/1h/2/page", "is not shorter than the long one"),
        ("tailburn.dev/alert-rules: 1h/5m/1000/page", "the rule 1h/5m can never fire"),
        ("tailburn.dev/alert-rules: 1h/15s/2/page", "write 10s"),
        ("tailburn.dev/min-events: -1", "write a whole number from 0 on"),
        ("tailburn.dev/min-user-events: 0", "write a whole number from 1 on"),
        ("tailburn.dev/budget-rule: maybe", "write on or off"),
        ("tailburn.dev/canary: 'track=canary'", "track=canary/stable"),
        ("tailburn.dev/canary: 'track=a/a'", "track=canary/stable"),
        ("tailburn.dev/canary: ''", "names the version"),
        ("tailburn.dev/canary: release, track", "names the version"),
        ("tailburn.dev/canary-max-burn: 10", "add `tailburn.dev/canary`"),
        ("tailburn.dev/canary-max-burn: '0'", "above 0"),
        ("tailburn.dev/resolve-after: soon", "`soon` is not a duration"),
        ("tailburn.dev/no-data-after: 0s", "must be longer than 0"),
        ("tailburn.dev/allowed-lateness: 8d", "the longest is 7d"),
        ("tailburn.dev/owner: [a, b]", "a text is expected here, not a list"),
    ] {
        let message = error(&annotated(annotation));
        let key = annotation.split(':').next().unwrap_or_default();
        let start = format!("slo.yaml:6:5: metadata.annotations.{key}: ");
        assert!(message.starts_with(&start) && message.contains(words), "{annotation}: {message}");
    }
}

#[test]
fn a_wrong_key_names_line_key_and_remedy() {
    let mut wrong = Vec::new();
    let objectives = "objectives: [{displayName: standard, target: 0.999}]";
    let time_window = "timeWindow: [{duration: 28d, isRolling: true}]";
    let total =
        "total: {metricSource: {type: tailburn, spec: {filter: \"has(operation) && operation == 'checkout'\"}}}";
    let good = "good: {metricSource: {type: tailburn, spec: {filter: \"has(status) && status < 500\"}}}";
    for (line, replacement, start, words) in [
        ("openslo/v1", "openslo/v2", "slo.yaml:1:1: apiVersion: ", "tailburn reads OpenSLO v1"),
        ("kind: SLO", "kind: SOL", "slo.yaml:2:1: kind: ", "did you mean `SLO`?"),
        ("  name: checkout\n", "  nmae: checkout\n", "slo.yaml:4:3: metadata.nmae: ", "did you mean `name`?"),
        ("  name: checkout\n", "  name: ''\n", "slo.yaml:4:3: metadata.name: ", "1 to 200 bytes"),
        ("service: shop", "sevice: shop", "slo.yaml:8:3: spec.sevice: ", "did you mean `service`?"),
        (
            "budgetingMethod: Occurrences",
            "budgetingMethod: Often",
            "slo.yaml:16:3: spec.budgetingMethod: ",
            "no budgeting method `Often`",
        ),
        ("isRolling: true", "isRolling: false", "slo.yaml:15:16: spec.timeWindow[0]: ", "`calendar` is missing"),
        (
            "isRolling: true",
            "calendar: {timeZone: UTC}",
            "slo.yaml:15:32: spec.timeWindow[0].calendar: ",
            "`startTime` is missing",
        ),
        (
            "isRolling: true",
            "isRolling: true, calendar: {startTime: 2026-01-01, timeZone: UTC}",
            "slo.yaml:15:49: spec.timeWindow[0].calendar: ",
            "a window that rolls has no calendar",
        ),
        (
            "duration: 28d",
            "duration: 2Y",
            "slo.yaml:15:17: spec.timeWindow[0].duration: ",
            "a window of 730d is too long",
        ),
        ("duration: 28d", "duration: 28", "slo.yaml:15:17: spec.timeWindow[0].duration: ", "`28` is not a duration"),
        ("duration: 28d", "duration: 0s", "slo.yaml:15:17: spec.timeWindow[0].duration: ", "longer than 0"),
        (time_window, "timeWindow: []", "slo.yaml:15:3: spec.timeWindow: ", "one time window, not 0"),
        (objectives, "objectives: []", "slo.yaml:17:3: spec.objectives: ", "at least one objective"),
        ("target: 0.999", "target: 1", "slo.yaml:17:40: spec.objectives[0].target: ", "1 is not an objective"),
        ("target: 0.999", "targetPercent: 100", "slo.yaml:17:40: spec.objectives[0].targetPercent: ", "below 100"),
        (
            "target: 0.999",
            "target: high",
            "slo.yaml:17:40: spec.objectives[0].target: ",
            "a number is expected here, not `high`",
        ),
        ("target: 0.999", "target: .nan", "slo.yaml:17:48: this is not valid YAML: ", "`.nan` is not a finite number"),
        (
            "target: 0.999",
            "target: 0.9, targetPercent: 90",
            "slo.yaml:17:53: spec.objectives[0].targetPercent: ",
            "exclude each other",
        ),
        (
            "target: 0.999",
            "target: 0.9, timeSliceTarget: 0.9",
            "slo.yaml:17:53: spec.objectives[0].timeSliceTarget: ",
            "no meaning where events are counted",
        ),
        (
            "target: 0.999",
            "target: 0.9, indicatorRef: x",
            "slo.yaml:9:3: spec.indicator: ",
            "its objectives have others",
        ),
        (
            "target: 0.999",
            "target: 0.9, compositeWeight: 2",
            "slo.yaml:17:53: spec.objectives[0].compositeWeight: ",
            "leave it out",
        ),
        (
            "target: 0.999",
            "target: 0.9, op: lt",
            "slo.yaml:17:53: spec.objectives[0].op: ",
            "belongs to a thresholdMetric",
        ),
        (
            "status < 500",
            "statsu < 500",
            "slo.yaml:13:54: spec.indicator.spec.ratioMetric.good.metricSource.spec.filter: ",
            "character 16: an outcome has no field `statsu` (did you mean `status`?",
        ),
        (
            good,
            "good: {metricSource: {type: prometheus}}",
            "slo.yaml:13:31: spec.indicator.spec.ratioMetric.good.metricSource.type: ",
            "write metricSource: {type: tailburn, spec: {filter: ...}}",
        ),
        (
            good,
            "good: {metricSource: {spec: {filter: 'true'}}}",
            "slo.yaml:13:16: spec.indicator.spec.ratioMetric.good.metricSource: ",
            "`type` is missing",
        ),
        (
            good,
            "good: {metricSource: {type: tailburn}}",
            "slo.yaml:13:9: spec.indicator.spec.ratioMetric.good: ",
            "`filter` is missing",
        ),
        (
            good,
            "raw: {metricSource: {}}",
            "slo.yaml:13:9: spec.indicator.spec.ratioMetric.raw: ",
            "somebody else computed",
        ),
        (
            total,
            good.replace("good", "bad").leak(),
            "slo.yaml:14:9: spec.indicator.spec.ratioMetric.bad: ",
            "exclude each other",
        ),
    ] {
        let message = error(&with(line, replacement));
        if !(message.starts_with(start) && message.contains(words)) {
            wrong.push((replacement, message));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn collects_every_mistake_of_every_file() {
    let sources = [
        ("a.yaml".to_owned(), with("target: 0.999", "target: 2").replace("has(status)", "has(statsu)")),
        ("b.yaml".to_owned(), "kind: [".to_owned()),
        ("c.yaml".to_owned(), GOOD.replace("name: checkout\n", "name: pay\n").replace("service", "servise")),
    ];
    let errors = parse(&sources).expect_err("four mistakes").0;
    let places: Vec<_> = errors.iter().map(|e| (e.file.as_str(), e.line.unwrap_or(0))).collect();
    assert_eq!(places, [("a.yaml", 13), ("a.yaml", 17), ("b.yaml", 1), ("c.yaml", 8)], "{errors:#?}");
    assert!(errors[2].message.starts_with("this is not valid YAML: "));
}

#[test]
fn a_target_that_cannot_be_is_echoed_with_what_was_meant() {
    for (written, words) in [
        ("target: 99.9", "99.9 is not an objective (write targetPercent: 99.9, or target: 0.999)"),
        ("target: \"99.95\"", "99.95 is not an objective (write targetPercent: 99.95, or target: 0.9995)"),
        ("target: 100", "100 is not an objective (an objective allows some failures"),
        ("target: 1.0", "1.0 is not an objective (an objective allows some failures"),
        ("target: -0.5", "-0.5 is not an objective (write a number from 0 to below 1)"),
        ("target: '99.9%'", "not `99.9%` (write targetPercent: 99.9"),
        ("target: '0,999'", "not `0,999` (write a point"),
        ("targetPercent: 250", "250 is not an objective (write a number from 0 to below 100)"),
        ("target: [0.999]", "a finite number is expected here, not a list"),
    ] {
        let message = error(&with("target: 0.999", written));
        assert!(message.contains(words), "{written}: {message}");
    }
}

#[test]
fn groups_are_named_by_name_and_may_be_of_fields() {
    let names = |written: &str| slo(&annotated(&format!("tailburn.dev/group-by: {written}"))).group_by;
    assert_eq!(names("tier, region"), ["region", "tier"]);
    assert_eq!(names("operation"), ["operation"]);
    assert_eq!(names("region, error_type, dependency"), ["dependency", "error_type", "region"]);
    assert_eq!(names("[region, attributes.tier]"), ["region", "tier"]);
    assert_eq!(names("\"attributes['my region']\""), ["my region"]);
    assert_eq!(names("attributes.status"), ["status"]);
    let hashes = |written: &str| slo(&annotated(&format!("tailburn.dev/group-by: {written}"))).definition_hash;
    assert_eq!(hashes("tier, region"), hashes("region,tier"));
}

#[test]
fn objectives_are_exact_fractions() {
    for (written, num, den) in [
        ("target: \"0.999\"", 999, 1000),
        ("targetPercent: \"99.9\"", 999, 1000),
        ("targetPercent: 99.9", 999, 1000),
        ("targetPercent: 99.95", 1999, 2000),
        ("target: 0.9999", 9999, 10_000),
        ("target: 0", 0, 1),
    ] {
        let objective = slo(&with("target: 0.999", written)).objective;
        assert_eq!((objective.num, objective.den), (num, den), "{written}");
    }
}

#[test]
fn a_calendar_begins_at_its_civil_time() {
    let of = |duration: &str, start: &str| {
        let text = with("duration: 28d", &format!("duration: {duration}"));
        let calendar = format!("isRolling: false, calendar: {{startTime: {start}, timeZone: Europe/Berlin}}");
        slo(&text.replace("isRolling: true", &calendar))
    };
    let month = of("1M", "2026-01-01 00:00:00");
    assert_eq!((month.period.name(), month.period.nominal_ms()), ("1M".to_owned(), 30 * DAY_MS));
    assert_eq!(month.user_windows_ms, [HOUR_MS, DAY_MS, 28 * DAY_MS]);
    assert_eq!(month.rules[0].factor.as_f64(), 14.4);
    for same in ["\"2026-01-01 00:00:00\"", "2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "2026-01-01"] {
        assert_eq!(of("1M", same).definition_hash, month.definition_hash, "{same}");
    }
    assert_ne!(of("1M", "2026-01-02").definition_hash, month.definition_hash);
    assert_eq!(of("1M", "2026-01-02").filters_hash, month.filters_hash);
    let rolling = slo(&with("duration: 28d", "duration: 1Q"));
    assert_eq!(rolling.period, crate::model::period::Period::Rolling(90 * DAY_MS));
}

#[test]
fn an_agreement_and_a_policy_are_read() {
    let text = annotated(
        "tailburn.dev/sla: 0.995 per 1w in Asia/Kathmandu
    tailburn.dev/tenant-slas: acme=0.999
    tailburn.dev/policy: 0.25=caution, 0=freeze, -0.5=roll back",
    );
    let slo = slo(&text);
    let tenant = |name: &str| crate::model::key::Scope::Tenant(name.to_owned());
    assert_eq!(slo.sla_of(&tenant("acme")), Ratio::new(999, 1000));
    assert_eq!(slo.sla_of(&tenant("beta")), Ratio::new(995, 1000));
    let week = &slo.sla.as_ref().expect("an agreement").calendar;
    let monday = "2026-11-22T18:15:00Z".parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    assert_eq!(week.spans_at(monday + 1).current.start_ms, monday);
    let steps: Vec<_> = slo.policy.iter().map(|step| (step.spent.as_f64(), step.action.as_str())).collect();
    assert_eq!(steps, [(1.5, "roll back"), (1.0, "freeze"), (0.75, "caution")]);
}

#[test]
fn several_objectives_are_several_slos() {
    let text = with(
        "[{displayName: standard, target: 0.999}]",
        "[{displayName: gold, target: 0.999}, {displayName: a, target: 0.99}]",
    );
    let slos = parsed(&text).expect("two objectives").slos;
    assert_eq!(slos.iter().map(|slo| slo.name.as_str()).collect::<Vec<_>>(), ["checkout:a", "checkout:gold"]);
    assert_eq!(slos[0].filters_hash, slos[1].filters_hash);
    assert_ne!(slos[0].definition_hash, slos[1].definition_hash);
    let unnamed = with("[{displayName: standard, target: 0.999}]", "[{target: 0.999}, {displayName: a, target: 0.99}]");
    assert!(error(&unnamed).starts_with("slo.yaml:17:16: spec.objectives[0]: `displayName` is missing"));
    let alike = text.replace("gold", "a");
    assert!(error(&alike).contains("two SLOs named `checkout:a`"));
}

#[test]
fn default_windows_shrink_with_the_period_to_whole_slices() {
    let rules = |period: &str| -> Vec<(String, f64)> {
        let text = with("duration: 28d", &format!("duration: {period}"));
        slo(&text).rules.iter().map(|rule| (rule.name(), rule.factor.as_f64())).collect()
    };
    let names = |period: &str| rules(period).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names("7d"), ["15m/2m", "90m/8m", "6h/30m", "18h/90m"]);
    assert_eq!(names("1d"), ["5m/1m", "13m/2m", "52m/5m", "155m/13m"]);
    assert_eq!(names("90d"), ["1h/5m", "6h/30m", "1d/2h", "3d/6h"]);
    assert_eq!(rules("90d")[0].1, 43.2);
    assert_eq!(rules("1d")[0].1, 5.76);
    assert_eq!(rules("7d")[0].1, 13.44);
    // 27 d of 28: 3 d becomes 4,166 whole minutes, and then 70 whole hours.
    assert_eq!(names("27d"), ["58m/5m", "350m/29m", "1d/116m", "70h/350m"]);
}

#[test]
fn default_rules_of_short_periods_ask_for_no_less_than_the_objective_allows() {
    let of = |period: &str, target: &str| -> (Vec<(String, &'static str, f64)>, usize) {
        let text = with("duration: 28d", &format!("duration: {period}"));
        let definitions = parsed(&text.replace("target: 0.999", &format!("target: {target}"))).expect("an SLO");
        let rules = &definitions.slos[0].rules;
        let left_out = definitions.notices.iter().filter(|n| n.message.contains("is left out")).count();
        (rules.iter().map(|r| (r.name(), r.severity.as_str(), r.factor.as_f64())).collect(), left_out)
    };
    let rule = |name: &str, severity, factor| (name.to_owned(), severity, factor);
    // Three rules of an hour have the windows 5m/1m: the pages at 0.24 and 0.6, the ticket at 1.2; the
    // last one, 7m/1m, burns at 0.857.
    assert_eq!(of("1h", "0.999"), (vec![rule("5m/1m", "ticket", 1.2)], 3));
    // Of two pages with the same windows the smaller factor stays.
    let (tickets, all) =
        ([rule("13m/2m", "ticket", 36.0 / 13.0), rule("39m/4m", "ticket", 12.0 / 13.0)], of("6h", "0.999"));
    assert_eq!(all, ([&[rule("5m/1m", "page", 1.44)], &tickets[..]].concat(), 1), "5m/1m at 3.6 has the same windows");
    // A page and a ticket with the same windows: the page at 1.2 stays, whatever the severity.
    assert_eq!(of("2h", "0.999"), (vec![rule("5m/1m", "page", 1.2), rule("13m/2m", "ticket", 12.0 / 13.0)], 2));
}

#[test]
fn a_default_rule_that_can_never_fire_is_left_out_with_a_notice() {
    let definitions = parsed(&with("target: 0.999", "target: 0.9")).expect("an SLO");
    let names: Vec<_> = definitions.slos[0].rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(names, ["6h/30m", "1d/2h", "3d/6h"]);
    let notices: Vec<_> = definitions.notices.iter().map(ToString::to_string).collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(
        notices[0].starts_with("slo.yaml:17: warning: spec.objectives[0]: the default rule 1h/5m (page) is left out")
    );
}

#[test]
fn a_factor_at_the_highest_burn_can_never_fire() {
    let at_most = |factor: &str| annotated(&format!("tailburn.dev/alert-rules: 1h/5m/{factor}/page"));
    assert!(error(&at_most("1000")).contains("write a factor below 1000"));
    assert_eq!(slo(&at_most("999.999")).rules.len(), 1);
}

#[test]
fn a_rule_that_is_dead_for_a_tenant_is_only_a_notice() {
    let definitions = parsed(&annotated("tailburn.dev/tenant-objectives: small=0.9")).expect("an SLO");
    assert_eq!(definitions.slos[0].rules.len(), 4);
    assert!(definitions.notices.iter().any(|n| n.message.contains("1h/5m can never fire for the tenant `small`")));
}

#[test]
fn default_user_windows_are_there_whatever_the_compliance_window() {
    let slo = slo(&with("duration: 28d", "duration: 2h"));
    assert_eq!(slo.user_windows_ms, ["1h", "2h", "1d"].map(|text| ms(text).unwrap_or(0)));
}

#[test]
fn filters_that_may_leave_events_unclassified_are_advised() {
    let definitions = parsed(&with("has(status) && status", "status")).expect("an SLO");
    let notices: Vec<_> = definitions.notices.iter().map(|n| (n.level, n.line, n.message.as_str())).collect();
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].0, notices[0].1), (NoticeLevel::Advice, 13));
    assert!(notices[0].2.starts_with("an event without status is unclassified"));
}

#[test]
fn hashes_follow_what_they_cover() {
    let plain = slo(GOOD);
    let retargeted = slo(&with("0.999", "0.998"));
    let owned = slo(&with("owner: payments", "owner: others"));
    let refiltered = slo(&with("status < 500", "status < 400"));
    let regrouped = slo(&annotated("tailburn.dev/group-by: region"));
    let respaced = slo(&with("  service: shop", "  service:   shop   # a comment"));
    for other in [&retargeted, &owned, &refiltered, &regrouped] {
        assert_ne!(plain.definition_hash, other.definition_hash);
    }
    for other in [&retargeted, &owned, &respaced, &regrouped] {
        assert_eq!(plain.filters_hash, other.filters_hash);
    }
    assert_ne!(plain.filters_hash, refiltered.filters_hash);
    assert_eq!(plain.definition_hash, respaced.definition_hash);
}

const REFERRED: &str = r#"apiVersion: openslo/v1
kind: DataSource
metadata: {name: outcomes}
spec: {type: tailburn, connectionDetails: {}}
---
apiVersion: openslo/v1
kind: Service
metadata: {name: shop, displayName: The shop}
spec: {description: sells}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: fast}
spec:
  thresholdMetric:
    metricSource:
      metricSourceRef: outcomes
      spec: {filter: "has(latency_ms)", value: latency_ms}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: burns}
spec:
  severity: page
  condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1h, alertAfter: 0m}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: by-name}
spec:
  alertWhenBreaching: true
  conditions: [{conditionRef: burns}]
  notificationTargets: [{targetRef: nobody}]
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: speed
  displayName: Fast enough
  labels: {team: payments, areas: [eu, us], version: 1.10}
spec:
  service: shop
  indicatorRef: fast
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{op: lte, value: 300, target: 0.99}]
  alertPolicies:
    - by-name
    - alertPolicyRef: by-name
    - kind: AlertPolicy
      metadata: {name: inline}
      spec:
        conditions:
          - kind: AlertCondition
            metadata: {name: slow-burn}
            spec:
              severity: ticket
              condition: {kind: burnrate, threshold: 1.5, lookbackWindow: 1d}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: nobody}
spec: {target: email}
"#;

#[test]
fn follows_references_and_reads_threshold_metrics_and_policies() {
    let slo = slo(REFERRED);
    assert_eq!((slo.name.as_str(), slo.display_name.as_str()), ("speed", "Fast enough"));
    let labels: Vec<_> = slo.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("areas", "eu,us"), ("team", "payments"), ("version", "1.10")]);
    let Criterion::Threshold { value, op, threshold } = &slo.indicator.criterion else { panic!("a threshold metric") };
    assert_eq!(value.eval(&Outcome { latency_ms: Some(12.5), ..Outcome::default() }), Some(12.5));
    assert!(op.holds(300.0, *threshold) && !op.holds(300.1, *threshold));
    assert!(slo.indicator.total.is_some());
    let rules: Vec<_> = slo.rules.iter().map(|r| (r.name(), r.factor.as_f64(), r.severity)).collect();
    let by_name = ("1h".to_owned(), 2.0, Severity::Page);
    assert_eq!(rules, [by_name, ("1d".to_owned(), 1.5, Severity::Ticket)], "the same policy twice is one rule");
}

#[test]
fn references_may_cross_files() {
    let cut = REFERRED.rfind("---").unwrap_or(0);
    let (others, slo) = REFERRED.split_at(cut);
    let sources = [("1.yaml".to_owned(), slo.to_owned()), ("2.yaml".to_owned(), others.to_owned())];
    assert_eq!(parse(&sources).expect("both files").slos.len(), 1);
}

#[test]
fn a_wrong_reference_or_policy_names_line_and_remedy() {
    let mut wrong = Vec::new();
    for (line, replacement, start, words) in [
        ("indicatorRef: fast", "indicatorRef: fsat", "slo.yaml:43:3: spec.indicatorRef: ", "did you mean `fast`?"),
        ("    - by-name", "    - by-nmae", "slo.yaml:48:7: spec.alertPolicies[0]: ", "did you mean `by-name`?"),
        (
            "conditionRef: burns",
            "conditionRef: x",
            "slo.yaml:32:17: spec.conditions[0].conditionRef: ",
            "there is no AlertCondition `x`",
        ),
        (
            "metricSourceRef: outcomes",
            "metricSourceRef: x",
            "slo.yaml:17:7: spec.thresholdMetric.metricSource.metricSourceRef: ",
            "there is no DataSource `x`",
        ),
        ("spec: {type: tailburn, c", "spec: {type: prometheus, c", "slo.yaml:17:7: ", "is not of type tailburn"),
        ("op: gt, threshold", "op: lte, threshold", "slo.yaml:25:31: spec.condition.op: ", "write gt"),
        ("alertAfter: 0m", "alertAfter: 5m", "slo.yaml:25:73: spec.condition.alertAfter: ", "not supported yet"),
        ("kind: burnrate, op", "kind: error, op", "slo.yaml:25:15: spec.condition.kind: ", "write burnrate"),
        ("threshold: 2,", "threshold: 100,", "slo.yaml:25:3: spec.condition: ", "the rule 1h can never fire"),
        ("severity: page", "severity: loud", "slo.yaml:24:3: spec.severity: ", "write page, ticket or info"),
        (
            "alertWhenBreaching: true",
            "alertWhenNoData: true",
            "slo.yaml:31:3: spec.alertWhenNoData: ",
            "not supported yet",
        ),
        ("op: lte, value: 300, ", "value: 300, ", "slo.yaml:46:16: spec.objectives[0]: ", "`op` is missing"),
        ("op: lte, value", "op: le, value", "slo.yaml:46:17: spec.objectives[0].op: ", "write lte, lt, gte or gt"),
        (
            "value: latency_ms",
            "value: user",
            "slo.yaml:18:41: spec.thresholdMetric.metricSource.spec.value: ",
            "must be a number",
        ),
        (
            "metadata: {name: burns}",
            "metadata: {name: burns, annotations: {tailburn.dev/owner: me}}",
            "slo.yaml:22:39: metadata.annotations.tailburn.dev/owner: ",
            "only of SLO documents",
        ),
        (
            "kind: Service\nmetadata: {name: shop,",
            "kind: SLI\nmetadata: {name: fast,",
            "slo.yaml:11:1: ",
            "there are two objects SLI `fast`; the first is at slo.yaml:6",
        ),
    ] {
        assert!(REFERRED.contains(line), "{line}");
        let all = errors(&REFERRED.replacen(line, replacement, 1));
        if !all.iter().any(|message| message.starts_with(start) && message.contains(words)) {
            wrong.push((replacement, all));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_service_that_is_nearly_a_known_one_is_a_notice() {
    let definitions = parsed(&REFERRED.replace("service: shop", "service: shpo")).expect("an SLO");
    assert!(
        definitions
            .notices
            .iter()
            .any(|n| n.message == "no document of kind Service is named `shpo`: did you mean `shop`?")
    );
}

#[test]
fn policies_and_the_annotation_exclude_each_other() {
    let text = REFERRED.replace("  displayName: Fast enough", "  annotations: {tailburn.dev/alert-rules: 1h/2/page}");
    assert!(error(&text).contains("both replace the default rules"));
}

#[test]
fn anchors_and_merges_keep_their_lines() {
    let text = with("good: {metricSource: {", "good: {metricSource: &source {").replace(
        "total: {metricSource: {type: tailburn, spec: {filter: \"has(operation) && operation == 'checkout'\"}}}",
        "total: {metricSource: *source}",
    );
    let slo = slo(&text);
    let total = slo.indicator.total.as_ref().map(|filter| filter.source().to_owned());
    assert_eq!(total.as_deref(), Some("has(status) && status < 500"));
    let wrong = text.replace("has(status) && status", "statsu");
    assert!(errors(&wrong).iter().any(|message| message.starts_with("slo.yaml:13:")));
}

#[test]
fn reads_directories_by_name_and_each_file_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
    write("b.yml", GOOD);
    write("a.yaml", REFERRED);
    write("notes.txt", "no YAML: [");
    let paths = [directory.path().to_owned(), directory.path().join("b.yml")];
    let definitions = load(&paths).expect("two files");
    assert_eq!(definitions.slos.iter().map(|slo| slo.name.as_str()).collect::<Vec<_>>(), ["checkout", "speed"]);
}

#[test]
fn reads_directories_in_depth_whatever_the_case_of_extensions() {
    let directory = tempfile::tempdir().expect("a directory");
    let named = |name: &str| GOOD.replacen("name: checkout\n", &format!("name: {name}\n"), 1);
    let json = r#"{
\t"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "json"},
\t"spec": {"service": "w\u00e9b", "indicator": {"spec": {"ratioMetric": {"bad": {"metricSource": {"type": "tailburn",
\t\t"spec": {"filter": "has(status) && status >= 500"}}}}}},
\t"timeWindow": [{"duration": "28d", "isRolling": true}], "budgetingMethod": "Occurrences",
\t"objectives": [{"target": 0.999}]}
}"#
    .replace("\\t", "\t");
    for (path, text) in [
        ("top.yaml", named("top")),
        ("UPPER.YAML", named("upper")),
        ("short.Yml", named("short")),
        ("one.json", json.clone()),
        ("list.json", format!("[{}]", json.replace("\"json\"", "\"listed\""))),
        ("a/b/c/deep.yaml", named("deep")),
        ("a/list.yaml", format!("- {}", named("item").trim_end().replace('\n', "\n  "))),
        (".hidden/x.yaml", "no: [".to_owned()),
        (".x.yaml", "no: [".to_owned()),
        ("a/old.yaml.bak", "no: [".to_owned()),
        ("README.md", "# no".to_owned()),
    ] {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, text).expect("a file");
    }
    let definitions = load(&[directory.path().to_owned()]).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<_> = definitions.slos.iter().map(|slo| slo.name.as_str()).collect();
    assert_eq!(names, ["deep", "item", "json", "listed", "short", "top", "upper"]);
    assert_eq!(definitions.slos.iter().find(|slo| slo.name == "json").map(|slo| slo.service.as_str()), Some("wéb"));
    let not_read: Vec<_> = definitions.notices.iter().filter(|n| n.message.contains("it is not read")).collect();
    assert!(matches!(not_read.as_slice(), [only] if only.file.ends_with("old.yaml.bak")), "{not_read:?}");
}

#[test]
#[cfg(unix)]
fn links_add_nothing_twice_and_a_loop_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    // Like a mounted volume: versions in hidden directories, and links to the current one.
    std::fs::create_dir(at("..2026")).expect("a directory");
    std::fs::write(at("..2026/slo.yaml"), GOOD).expect("a file");
    std::os::unix::fs::symlink("..2026", at("..data")).expect("a link");
    std::os::unix::fs::symlink("..data/slo.yaml", at("slo.yaml")).expect("a link");
    std::os::unix::fs::symlink("slo.yaml", at("again.yaml")).expect("a link");
    assert_eq!(load(&[directory.path().to_owned()]).map(|d| d.slos.len()), Ok(1));
    std::os::unix::fs::symlink(".", at("loop")).expect("a link");
    let messages = load(&[directory.path().to_owned()]).map(|d| d.slos.len()).expect_err("a loop").to_string();
    assert!(messages.contains("nested more than 32 deep"), "{messages}");
}

#[test]
fn what_has_no_effect_in_a_policy_is_said() {
    let text = REFERRED
        .replace("alertWhenBreaching: true", "alertWhenResolved: false")
        .replace("conditions: [{conditionRef: burns}]", "conditions: [{conditionRef: burns, operator: and}]");
    let definitions = parsed(&text).unwrap_or_else(|e| panic!("{e}"));
    let told = |words: &str| definitions.notices.iter().filter(|n| n.message.contains(words)).count();
    assert_eq!(told("the end of an alert is always published"), 1);
    let dangling = error(&REFERRED.replace("targetRef: nobody", "targetRef: nobdy"));
    assert!(dangling.contains("there is no AlertNotificationTarget `nobdy` (did you mean `nobody`?)"), "{dangling}");
    assert_eq!(told("the rule 1h is there twice"), 1);
    assert_eq!(told("`operator` has no effect"), 1);
    assert_eq!(told("it has no effect"), 0, "{:#?}", definitions.notices);
}

#[test]
fn what_no_slo_refers_to_is_read_and_keeps_nothing_from_running() {
    let spare = "---\napiVersion: openslo/v1\nkind: AlertCondition\nmetadata: {name: spare}\nspec:\n  severity: critical\n  \
                 condition: {kind: burnrate, threshold: 2, lookbackWindow: 1h}\n---\napiVersion: openslo/v1\nkind: AlertPolicy\n\
                 metadata: {name: spare}\nspec: {conditions: [{conditionRef: spare}]}\n";
    let definitions = parsed(&format!("{REFERRED}{spare}")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(definitions.slos.len(), 1);
    let warnings: Vec<String> = definitions.notices.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|w| w.contains("`critical` is not a severity of a rule")), "{warnings:#?}");
    assert!(warnings.iter().any(|w| w.contains("no SLO refers to this AlertPolicy")), "{warnings:#?}");
    let used = format!("{REFERRED}{spare}").replace("    - by-name\n", "    - spare\n");
    assert!(errors(&used).iter().any(|e| e.contains("`critical` is not a severity of a rule")));
}

#[test]
fn documents_without_an_slo_are_read() {
    let others: Vec<&str> = REFERRED.split("---\n").filter(|document| !document.contains("kind: SLO\n")).collect();
    let definitions = parsed(&others.join("---\n")).unwrap_or_else(|e| panic!("{e}"));
    assert!(definitions.slos.is_empty());
    assert!(definitions.notices.iter().any(|n| n.message.contains("no SLO refers to this SLI")));
}

#[test]
fn what_is_no_openslo_says_what_is_read() {
    let message = error("apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n");
    assert!(
        message.contains("`v1` is not a version that tailburn reads")
            && message.contains("move files that are not OpenSLO")
    );
    assert!(errors("name: package\nversion: 1\n").iter().any(|m| m.contains("`apiVersion` is missing")));
}

#[test]
fn masses_are_refused_with_the_limit() {
    let objectives: String = (0..3_000).map(|i| format!("{{displayName: o{i}, target: 0.9}}, ")).collect();
    let many = with("[{displayName: standard, target: 0.999}]", &format!("[{objectives}]"));
    assert!(error(&many).contains("there are more than 2000 SLOs"), "objectives");
    let names: String = (0..20_000).map(|i| format!("a{i},")).collect();
    assert!(error(&annotated(&format!("tailburn.dev/group-by: {names}z"))).contains("16 are the most"), "group-by");
    let unknown: String = (0..20_000).map(|i| format!("  k{i}: 1\n")).collect();
    let told = errors(&format!("{GOOD}{unknown}"));
    assert!(told.len() == 21 && told[20].contains("19980 more keys"), "{}", told.len());
    let annotations: String = (0..20_000).map(|i| format!("    tailburn.dev/k{i}: x\n")).collect();
    let told = errors(&with("    tailburn.dev/owner: payments\n", &annotations));
    assert!(told.len() == 21 && told[20].contains("19980 more annotations"), "{}", told.len());
    let wrong: String = (0..600).map(|i| format!("{{displayName: o{i}, target: 2}}, ")).collect();
    let told = errors(&with("[{displayName: standard, target: 0.999}]", &format!("[{wrong}]")));
    assert!(told.len() == 501 && told[500].contains("100 more mistakes"), "{}", told.len());
    let rules = vec!["1h/2/page"; 10_000].join(",");
    assert!(error(&annotated(&format!("tailburn.dev/alert-rules: {rules}"))).contains("32 are the most"), "rules");
}

#[test]
fn a_mistake_in_a_long_expression_shows_what_stands_around_it() {
    let filter = format!("{}statsu < 500", "status == 1 || ".repeat(200));
    let message = error(&with("has(status) && status < 500", &filter));
    assert!(message.len() < 500 && message.contains("character 3001: an outcome has no field `statsu`"), "{message}");
    assert!(message.contains("...") && message.contains("statsu < 500`"), "{message}");
}

#[test]
fn a_path_without_slos_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let paths = [directory.path().to_owned(), directory.path().join("missing.yaml")];
    let messages = load(&paths).expect_err("nothing to read").to_string();
    assert!(messages.contains("there is no SLO in here"), "{messages}");
    assert!(messages.contains("missing.yaml: it does not exist"), "{messages}");
}

#[test]
fn the_examples_load() {
    let examples = std::path::PathBuf::from("ops/examples/slos");
    let definitions = load(&[examples]).unwrap_or_else(|errors| panic!("{errors}"));
    let names: Vec<_> = definitions.slos.iter().map(|slo| slo.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "assistant-first-token",
            "assistant-quality",
            "assistant-safety",
            "assistant-safety:harmless",
            "assistant-safety:helpful",
            "checkout-availability",
            "checkout-journey",
            "checkout-minutes",
            "contract-month",
            "export-freshness",
            "feature-adoption",
            "llm-abandonment",
            "llm-availability",
            "llm-cost",
            "llm-first-token",
            "llm-goodput",
            "llm-inter-token",
            "llm-refusals",
            "llm-requests",
            "llm-tokens",
            "mobile-sessions",
            "payments-by-bank",
            "peak-hours",
            "rollout-canary",
            "sampled-traces",
            "search-latency:patience",
            "search-latency:usual",
            "shop-experience",
            "shop-experience:answers",
            "shop-experience:speed",
            "store-rating",
            "tenant-promises",
            "upstream-ratio",
            "video-minutes"
        ]
    );
    assert!(definitions.notices.iter().all(|notice| notice.level == NoticeLevel::Advice), "{:#?}", definitions.notices);
    assert_eq!(
        definitions.slos.iter().map(|slo| slo.rules.len()).collect::<Vec<_>>(),
        [2, 1, 4, 4, 4, 4, 4, 4, 4, 2, 0, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0, 4, 4, 4]
    );
}

/// Facts about the documents that OpenSLO, oslo and go-sdk have as examples and in their tests: what they name, where.
#[test]
fn what_others_write_is_refused_with_what_to_write_instead() {
    let good = "good: {metricSource: {type: tailburn, spec: {filter: \"has(status) && status < 500\"}}}";
    for (from, to, message, remedy) in [
        (
            good,
            "good: {metricSource: {metricSourceRef: my-prometheus, type: Prometheus, spec: {query: x}}}",
            "there is no DataSource `my-prometheus`",
            "spec: {filter: ...}}",
        ),
        (
            good,
            "good: {metricSource: {type: Prometheus, spec: {query: x}}}",
            "`Prometheus` is not a source",
            "type: tailburn, spec: {filter: ...}",
        ),
        (
            good,
            "raw: {metricSource: {type: tailburn}}\n        rawType: success",
            "somebody else computed",
            "write `good` (or `bad`) and `total`",
        ),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from}");
        let found = parsed(&text).expect_err(to).to_string();
        assert!(found.contains(message) && found.contains(remedy), "{found}");
    }
    for key in ["percentile: 95", "quantile: 0.95"] {
        let found =
            parsed(&REFERRED.replace("value: latency_ms}", &format!("value: latency_ms, {key}}}"))).expect_err(key);
        assert!(found.to_string().contains("target: 0.95"), "{found}");
    }
}

#[test]
fn what_is_exported_means_the_same_with_every_reference_filled_in() {
    let written = export(&[("slo.yaml".to_owned(), REFERRED.to_owned())]).unwrap_or_else(|e| panic!("{e}"));
    for gone in ["Ref: by-name", "conditionRef", "indicatorRef", "metricSourceRef", "kind: SLI", "kind: DataSource"] {
        assert!(!written.contains(gone), "{gone} in {written}");
    }
    assert!(written.contains("version: 1.10\n") && written.contains("kind: AlertNotificationTarget"), "{written}");
    let (before, after) = (parsed(REFERRED), parsed(&written));
    let hashes = |read: Result<Definitions, DefinitionErrors>| -> Vec<(String, String)> {
        read.unwrap_or_else(|e| panic!("{e}")).slos.into_iter().map(|s| (s.name, s.definition_hash)).collect()
    };
    assert_eq!(hashes(before), hashes(after));
}

#[test]
fn peak_hours_follow_the_clock_of_the_zone() {
    let slo = slo(include_str!("../../ops/examples/slos/peak-hours.yaml"));
    let counts = |at: &str| {
        let timestamp_ms = at.parse::<jiff::Timestamp>().unwrap_or_else(|e| panic!("{at}: {e}")).as_millisecond();
        let outcome = Outcome { timestamp_ms, operation: Some("order".into()), ..Outcome::default() };
        slo.indicator.total.as_ref().and_then(|total| total.eval(&outcome))
    };
    for (at, is_open) in [
        // Saturday in winter time, Sunday, and Monday in summer time: the hours begin an hour earlier in UTC.
        ("2026-03-28T06:59:59.999Z", false),
        ("2026-03-28T07:00:00Z", true),
        ("2026-03-28T18:59:59.999Z", true),
        ("2026-03-28T19:00:00Z", false),
        ("2026-03-29T10:00:00Z", false),
        ("2026-03-30T06:00:00Z", true),
        ("2026-03-30T18:00:00Z", false),
        // Sunday of 25 hours, and the Monday behind it.
        ("2026-10-25T22:59:59Z", false),
        ("2026-10-26T07:00:00Z", true),
        ("2027-01-01T06:59:59Z", false),
    ] {
        assert_eq!(counts(at), Some(is_open), "{at}");
    }
}

#[test]
fn groups_are_called_by_name_whatever_the_order_in_which_names_are_written() {
    let of = |names: &str| slo(&annotated(&format!("tailburn.dev/group-by: '{names}'")));
    let (one, other) = (of("tier, region, operation"), of("region,operation,tier"));
    assert_eq!(one.group_by, ["operation", "region", "tier"]);
    assert_eq!((one.filters_hash, one.group_by), (other.filters_hash, other.group_by));
}

#[test]
fn cohorts_and_tail_alerts_can_be_switched_off() {
    let tails = |text: &str| slo(&annotated(text)).tail_alerts;
    assert_eq!(tails("tailburn.dev/cohorts: on"), Some(Severity::Ticket));
    assert_eq!(tails("tailburn.dev/tail-alerts: page"), Some(Severity::Page));
    assert_eq!(tails("tailburn.dev/tail-alerts: 'off'"), None);
    assert!(!slo(&annotated("tailburn.dev/cohorts: off")).cohorts);
    assert!(parsed(&annotated("tailburn.dev/tail-alerts: 'off'")).is_ok_and(|d| d.notices.is_empty()));
    assert!(error(&annotated("tailburn.dev/tail-alerts: loud")).contains("write off, info, ticket or page"));
}

mod kinds;
