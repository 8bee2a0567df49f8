use super::*;
use crate::model::time::{HOUR_MS, Moment};
use serde_json::json;

const SLOS: &str = "
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  service: shop
  description: answers that are no errors
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: 0.99}, {displayName: gold, target: 0.999}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: search}
spec:
  service: shop
  description: answers that are no errors
  indicator:
    metadata: {name: found}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: 0.99}]
";

fn slos() -> Vec<Slo> {
    crate::definition::parse(&[("slos.yaml".to_owned(), SLOS.to_owned())]).expect("definitions").slos
}

/// The starts of a rule's windows, in UTC.
fn starts(dtstart: &str, rrule: &str, zone: &str) -> Result<Vec<String>, String> {
    let entry = json!({"name": "n", "dtstart": dtstart, "duration": "1h", "rrule": rrule, "time_zone": zone});
    let mut slos = slos();
    apply(&json!([entry]), &mut slos).map_err(|error| error.to_string())?;
    let windows = &slos[0].maintenance.0[0].windows_ms;
    assert!(windows.iter().all(|(start_ms, end_ms)| end_ms - start_ms == HOUR_MS));
    Ok(windows.iter().map(|(start_ms, _)| Moment(*start_ms).to_string()[..16].to_owned()).collect())
}

#[test]
fn an_occurrence_in_a_gap_is_later_and_one_in_a_fold_the_earlier_of_the_two() {
    let berlin = |dtstart, rrule| starts(dtstart, rrule, "Europe/Berlin").expect("a rule");
    // 02:30 is not there on 29 March: 03:30, which is 01:30 UTC.
    let spring = berlin("2026-03-28 02:30:00", "FREQ=DAILY;COUNT=3");
    assert_eq!(spring, ["2026-03-28T01:30", "2026-03-29T01:30", "2026-03-30T00:30"]);
    // 02:30 is there twice on 25 October: the first is 00:30 UTC.
    let autumn = berlin("2026-10-24 02:30:00", "FREQ=DAILY;COUNT=3");
    assert_eq!(autumn, ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]);
    // A start in a gap, and a midnight that Cairo leaves out on 24 April: 01:00, which is 22:00 UTC.
    assert_eq!(berlin("2026-03-29T02:30:00", "FREQ=DAILY;COUNT=1"), ["2026-03-29T01:30"]);
    let cairo = starts("2026-04-23 00:00:00", "FREQ=DAILY;COUNT=3", "Africa/Cairo").expect("a rule");
    assert_eq!(cairo, ["2026-04-22T22:00", "2026-04-23T22:00", "2026-04-24T21:00"]);
    let sundays = berlin("2026-10-18 03:00:00", "FREQ=MONTHLY;BYDAY=-1SU;UNTIL=20261231");
    assert_eq!(sundays, ["2026-10-25T02:00", "2026-11-29T02:00", "2026-12-27T02:00"]);
}

#[test]
fn the_end_of_a_rule_is_a_civil_time_or_an_instant() {
    let until = |end: &str| {
        let rule = format!("FREQ=HOURLY;UNTIL={end}");
        starts("2026-12-01 00:00:00", &rule, "Europe/Berlin").expect("a rule").len()
    };
    assert_eq!((until("20261201T030000"), until("20261201T030000Z"), until("20261201")), (4, 5, 24));
    assert_eq!(starts("2026-12-01 00:00:00", "RRULE:FREQ=YEARLY", "UTC").map(|all| all.len()), Ok(74));
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_remedy() {
    let refused = |entry: Value| apply(&json!([entry]), &mut slos()).expect_err("refused").to_string();
    let with = |more: Value| {
        let mut entry = json!({"name": "n", "start": "2026-12-01T00:00:00Z", "end": "2026-12-01T02:00:00Z"});
        more.as_object().expect("fields").iter().for_each(|(field, value)| entry[field] = value.clone());
        entry
    };
    for (entry, says) in [
        (with(json!({"slos": ["serch"]})), "maintenance.0.slos: there is no SLO `serch`; did you mean `search`?"),
        (with(json!({"rule": 1})), "maintenance.0: there is no field `rule`; write `rrule`"),
        (with(json!({"end": "2026-12-01T00:00:00Z"})), "maintenance.0.end: is not after `start`; "),
        (with(json!({"end": "soon"})), "maintenance.0.end: is no time; write one with its offset"),
        (with(json!({"name": ""})), "maintenance.0.name: is missing; "),
        (with(json!({"rrule": "FREQ=DAILY"})), "maintenance.0: it is not clear when `n` is; write either"),
        (with(json!({"time_zone": "Berlin"})), "maintenance.0.time_zone: there is no time zone `Berlin`; "),
        (json!({"name": "n"}), "maintenance.0: it is not clear when"),
    ] {
        assert!(refused(entry.clone()).starts_with(says), "{}", refused(entry));
    }
    let rule = |rrule| starts("2026-01-01 00:00:00", rrule, "UTC").expect_err("refused");
    let never = rule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30");
    assert!(never.contains("never happens from 2026-01-01T00:00:00 on; correct the rule"), "{never}");
    assert!(rule("FREQ=WEEKLI").contains("`FREQ=WEEKLI` is no rule: "));
    assert!(rule("FREQ=DAILY;UNTIL=20260105;COUNT=2").contains("ends twice"));
    assert!(rule("FREQ=DAILY\nEXDATE:20260105T000000Z").contains("more than a rule"));
}

#[test]
fn a_document_stands_for_all_its_slos_and_an_offset_decides() {
    let mut slos = slos();
    let entries = json!([
        {"name": "checkout moves", "slos": ["checkout"], "tenants": ["acme"],
         "start": "2026-12-01T02:00:00+01:00", "end": "2026-12-01T02:00:00Z"},
        {"name": "gold", "slos": ["checkout:gold"], "start": "2026-12-01 02:00:00", "end": "2026-12-01 03:00:00",
         "time_zone": "Europe/Berlin"},
        {"name": "all", "start": "2027-01-01T00:00:00Z", "end": "2027-01-01T01:00:00Z"},
    ]);
    apply(&entries, &mut slos).expect("entries");
    let names = |slo: &Slo| slo.maintenance.0.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    let named: Vec<(&str, Vec<String>)> = slos.iter().map(|slo| (slo.name.as_str(), names(slo))).collect();
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        named,
        [
            ("checkout:gold", of(&["checkout moves", "gold", "all"])),
            ("checkout:standard", of(&["checkout moves", "all"])),
            ("search", of(&["all"])),
        ]
    );
    let start = |entry: usize| Moment(slos[0].maintenance.0[entry].windows_ms[0].0).to_string();
    assert_eq!((start(0), start(1)), ("2026-12-01T01:00:00.000Z".to_owned(), "2026-12-01T01:00:00.000Z".to_owned()));
}
