//! Definitions that change between a stop and the next start (contract, section 2), on a real broker and with state on
//! disk: counts stay with their filters, and become those of a program that always had the new definitions; alerts end
//! with the rules that they had; removed keys get tombstones.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::life::{BEHIND_S, GOES_ON_S, Life, STOP_S, identity};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

pub const CHECKOUT: &str = "apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations:
    tailburn.dev/group-by: region
    tailburn.dev/tenant-alerts: page
    tailburn.dev/min-user-events: '1'
    tailburn.dev/alert-rules: '10m/2m/2/page, 1h/5m/1/ticket, 30m/1/info'
spec:
  service: checkout
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation == 'checkout'\"}}}
  timeWindow: [{duration: 2d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: checkout, target: 0.95}]
";
const SPEED: &str = "---
apiVersion: openslo/v1
kind: SLO
metadata: {name: speed}
spec:
  service: checkout
  indicator:
    metadata: {name: fast}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'latency_ms < 300.0'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation == 'checkout'\"}}}
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: speed, target: 0.9}]
";

impl Life {
    /// Deletes the state directory, so that the state is restored from the changelog.
    fn lose_state(&self) {
        fs::remove_dir_all(self.place.dir.path().join("tailburn-state")).expect("the state is gone");
    }

    /// The statuses of a boundary in a backtest of all input so far, with the present definitions.
    fn backtest(&self, at: &str) -> BTreeMap<String, Value> {
        let traffic: Vec<String> = (0..self.fed_s).map(|second| self.line(second)).collect();
        fs::write(self.place.dir.path().join("traffic.jsonl"), traffic.join("\n")).expect("traffic");
        let args = ["backtest", "--input", "traffic.jsonl", "--out", "result"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
        let output = command.args(args).env_clear().current_dir(self.place.dir.path()).stdin(Stdio::null()).output();
        let output = output.expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(self.place.dir.path().join("result/slo-status.jsonl")).expect("a result");
        let all = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        all.filter(|status| status["at"] == at).map(|status| (identity(&status), status)).collect()
    }

    /// Checks that each open alert ended at the first boundary of the new definitions, with the rules that it had.
    fn assert_ended(&self, open: &BTreeMap<String, Value>, at: &str, why: &str) {
        let alerts = self.alerts();
        for (id, told) in open {
            let of_it: Vec<&Value> = alerts.iter().filter(|alert| alert["id"] == id.as_str()).collect();
            let last = of_it.last().expect("a record");
            let rules = |alert: &Value| {
                let rules = alert["rules"].as_array().expect("rules");
                rules.iter().map(|rule| rule["rule"].clone()).collect::<Vec<_>>()
            };
            assert_eq!((&last["state"], &last["resolved_reason"]), (&"resolved".into(), &why.into()), "{last}");
            assert_eq!(last["at"], at, "{last}");
            assert_eq!((rules(last), &last["definition_hash"]), (rules(told), &told["definition_hash"]), "{last}");
            assert_eq!(last["seq"].as_u64(), told["seq"].as_u64().map(|seq| seq + 1), "{last}");
        }
    }

    /// Checks that the counts are as if the definitions had always been these.
    fn assert_as_always(&self, is_kept: impl Fn(&str) -> bool) {
        let at = self.at(self.fed_s - BEHIND_S);
        let live: BTreeMap<String, Value> =
            self.latest("slo-status").into_values().flatten().map(|status| (identity(&status), status)).collect();
        let expected = self.backtest(&at);
        let kept = |all: &BTreeMap<String, Value>| all.keys().filter(|key| is_kept(key)).cloned().collect::<Vec<_>>();
        assert_eq!(kept(&live), kept(&expected));
        assert!(kept(&live).len() >= 4, "{:?}", kept(&live));
        for key in kept(&live) {
            let (live, expected) = (&live[&key], &expected[&key]);
            assert_eq!(live["at"], at, "{key}");
            for field in [
                "definition_hash",
                "labels",
                "objective",
                "compliance_window",
                "windows",
                "budget",
                "budget_remaining",
                "budget_spent_of_period",
                "counts",
                "users",
                "failures",
                "state",
                "flags",
            ] {
                assert_eq!(live[field], expected[field], "{key}: {field}");
            }
        }
    }

    /// The number of events in the compliance windows of the keys for which this holds.
    fn counted(&self, is_one: impl Fn(&Value) -> bool) -> f64 {
        let all = self.latest("slo-status").into_values().flatten().filter(|status| is_one(status));
        let of_one = |status: Value| {
            let windows = status["windows"].as_array().expect("windows").clone();
            let window = windows.into_iter().find(|w| w["window"] == status["compliance_window"]).expect("it is there");
            window["good"].as_f64().expect("good") + window["bad"].as_f64().expect("bad")
        };
        all.map(of_one).sum()
    }

    /// Checks that the counts at the last full minute include no event from before the last start, except those that were
    /// read before it and became visible after it.
    fn assert_started_from_zero(&self, counted: f64, started_s: i64) {
        let full_s = self.fed_s - BEHIND_S;
        let since = (full_s - full_s % 60 - started_s) as f64;
        assert!((since..=since + 20.0).contains(&counted), "{counted} events of {since}");
    }
}

fn changed(from: &str, to: &str) -> String {
    assert!(CHECKOUT.contains(from), "{from}");
    CHECKOUT.replacen(from, to, 1)
}

fn is_aggregate(slo: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["slo"] == slo && status["scope"] == "aggregate"
}

/// Counts stay; open alerts end, and rules that still burn fire again.
fn keeps_its_counts(id: &'static str, broker: Arc<Broker>, to: &str, loses_state: bool) {
    let mut life = Life::begin(broker, id, CHECKOUT);
    let open = life.open();
    if loses_state {
        life.lose_state();
    }
    life.go_on(to, STOP_S + GOES_ON_S + BEHIND_S);
    life.assert_ended(&open, &life.at(STOP_S), "definition_changed");
    life.assert_as_always(|_| true);
    let hash = life.latest("slo-status").into_values().flatten().next().expect("a status")["definition_hash"].clone();
    let open = life.open();
    assert!(open.values().all(|alert| alert["definition_hash"] == hash), "{open:?}");
    assert!(open.values().any(|alert| alert["scope"] == "aggregate"), "{open:?}");
}

#[test]
fn a_rule_more_keeps_the_counts() {
    let to = changed("30m/1/info'", "30m/1/info, 6h/30m/3/ticket'");
    keeps_its_counts("rule-more", broker_or_skip!(), &to, false);
}

#[test]
fn a_rule_more_keeps_the_counts_that_come_from_the_changelog() {
    let to = changed("30m/1/info'", "30m/1/info, 6h/30m/3/ticket'");
    keeps_its_counts("rule-more-lost", broker_or_skip!(), &to, true);
}

#[test]
fn another_objective_keeps_the_counts() {
    keeps_its_counts("objective", broker_or_skip!(), &changed("target: 0.95", "target: 0.94"), false);
}

#[test]
fn a_longer_compliance_window_keeps_the_counts() {
    keeps_its_counts("longer", broker_or_skip!(), &changed("duration: 2d", "duration: 28d"), false);
}

#[test]
fn a_label_and_an_owner_keep_the_counts() {
    let to = changed(
        "  name: checkout\n  annotations:\n",
        "  name: checkout\n  labels: {team: pay}\n  annotations:\n    tailburn.dev/owner: pay@example.com\n",
    );
    keeps_its_counts("label", broker_or_skip!(), &to, false);
}

/// When the old filters come back, they start with empty counts.
fn other_filters_start_from_zero(id: &'static str, broker: Arc<Broker>, loses_state: bool) {
    let mut life = Life::begin(broker, id, CHECKOUT);
    let open = life.open();
    for documents in [changed("status < 500", "status < 499").as_str(), CHECKOUT] {
        if loses_state {
            life.lose_state();
        }
        let started_s = life.fed_s;
        life.go_on(documents, started_s + GOES_ON_S + BEHIND_S);
        life.assert_started_from_zero(life.counted(is_aggregate("checkout")), started_s);
    }
    life.assert_ended(&open, &life.at(STOP_S), "definition_changed");
}

#[test]
fn other_filters_start_from_zero_and_do_so_again_when_they_come_back() {
    other_filters_start_from_zero("filters", broker_or_skip!(), false);
}

#[test]
fn other_filters_start_from_zero_also_from_the_changelog() {
    other_filters_start_from_zero("filters-lost", broker_or_skip!(), true);
}

#[test]
fn another_group_by_keeps_all_but_the_groups() {
    let mut life = Life::begin(broker_or_skip!(), "group-by", CHECKOUT);
    let open = life.open();
    life.go_on(&changed("group-by: region", "group-by: tier"), STOP_S + GOES_ON_S + BEHIND_S);
    life.assert_ended(&open, &life.at(STOP_S), "definition_changed");
    life.assert_as_always(|key| !key.contains("\"group\""));
    life.assert_started_from_zero(life.counted(|status| status["scope"] == "group"), STOP_S);
    let groups: Vec<(String, bool)> = life.latest("slo-status").into_iter().map(|(k, v)| (k, v.is_some())).collect();
    let groups: Vec<_> =
        groups.iter().filter(|(key, _)| key.contains("|group|")).map(|(k, v)| (k.as_str(), *v)).collect();
    let expected = [
        ("checkout|group|region=eu", false),
        ("checkout|group|region=us", false),
        ("checkout|group|tier=free", true),
        ("checkout|group|tier=pro", true),
    ];
    assert_eq!(groups, expected, "tombstones for those that are gone");
}

#[test]
fn an_slo_that_is_removed_leaves_nothing_and_starts_from_zero_when_it_comes_back() {
    let both = format!("{CHECKOUT}{SPEED}");
    let mut life = Life::begin(broker_or_skip!(), "removed", &both);
    let mut open = life.open();
    open.retain(|_, alert| alert["slo"] == "checkout");
    let to_s = STOP_S + GOES_ON_S + BEHIND_S;
    life.go_on(SPEED, to_s);
    life.assert_ended(&open, &life.at(STOP_S), "removed");
    life.assert_as_always(|_| true);
    for topic in ["slo-status", "user-status"] {
        let latest = life.latest(topic);
        let of_it: Vec<_> = latest.iter().filter(|(key, _)| key.starts_with("checkout|")).collect();
        assert!(of_it.len() >= 6 && of_it.iter().all(|(_, value)| value.is_none()), "{topic}: {of_it:?}");
    }
    life.go_on(&both, to_s + GOES_ON_S + BEHIND_S);
    life.assert_started_from_zero(life.counted(is_aggregate("checkout")), to_s);
    let kept = life.counted(is_aggregate("speed"));
    assert_eq!(kept, (STOP_S + 2 * GOES_ON_S) as f64, "the other one goes on");
}
