//! Counts what an agreement covered: agreement over traffic without events of interest proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::input::Format;
use crate::replay::{Outputs, replay};
use crate::slo;
use crate::traffic::{self, Plan};

/// How often each thing was seen, under names such as `state at_risk` or `rule 1h/5m firing`.
#[derive(Debug, Default)]
pub struct Coverage {
    seen: BTreeMap<String, usize>,
    /// By key and rule: whether it fired, and what held it back, in the previous status.
    rules: BTreeMap<(String, String), (bool, Vec<String>)>,
    /// Rules of one firing that the single-user guard lowered.
    lowered: BTreeSet<(String, String, String)>,
}

impl Coverage {
    pub fn of(outputs: &Outputs) -> Self {
        let mut coverage = Self::default();
        outputs.statuses.iter().for_each(|s| coverage.status(s));
        outputs.alerts.iter().for_each(|a| coverage.alert(a));
        outputs.dead_letters.iter().for_each(|d| coverage.dead_letter(d));
        coverage
    }

    fn see(&mut self, words: &[&str]) {
        *self.seen.entry(words.join(" ")).or_default() += 1;
    }

    fn see_if(&mut self, condition: bool, words: &[&str]) {
        if condition {
            self.see(words);
        }
    }

    pub fn dead_letter(&mut self, letter: &Value) {
        self.see(&["dead", text(letter, "reason")]);
    }

    pub fn status(&mut self, status: &Value) {
        let slo = text(status, "slo");
        self.see(&["status", slo, text(status, "scope")]);
        self.see(&["state", text(status, "state")]);
        for flag in items(status, "flags") {
            self.see(&["flag", flag.as_str().unwrap_or_default()]);
        }
        for alert in items(status, "alerts") {
            let rule = text(alert, "rule");
            for guard in items(alert, "held_back_by") {
                self.see(&["held back by", guard.as_str().unwrap_or_default()]);
            }
            self.see(&["rule", slo, rule, text(alert, "severity"), text(alert, "state")]);
            self.transition(status, alert);
        }
        for users in items(status, "users") {
            self.see_if(users["below_objective"].as_i64() > Some(0), &["users below", text(users, "window")]);
            self.see_if(users["users_too_few"].as_i64() > Some(0), &["users too few", text(users, "window")]);
            self.see_if(users["_sketched"] == true, &["users distinct SLIs"]);
            self.see_if(users["sli_worst_1pct"].is_null(), &["users none", text(users, "window")]);
        }
        for window in items(status, "windows") {
            self.see_if(window["sli"].is_null(), &["window empty", text(window, "window")]);
        }
        self.see_if(status["counts"]["late"].as_i64() > Some(0), &["late"]);
        self.see_if(status["counts"]["unclassified"].as_i64() > Some(0), &["unclassified"]);
    }

    /// Every alert comes with a status, so no change of a rule is missed.
    fn transition(&mut self, status: &Value, alert: &Value) {
        let (slo, rule) = (text(status, "slo"), text(alert, "rule"));
        let fires = text(alert, "state") == "firing";
        let held: Vec<String> = items(alert, "held_back_by").iter().map(|g| text_of(g).to_owned()).collect();
        let now = (fires, held.clone());
        let (fired, held_before) = self.rules.insert((key_of(status), rule.to_owned()), now).unwrap_or_default();
        self.see_if(fires && !fired, &["fired", slo, rule]);
        self.see_if(!fires && fired, &["resolved", slo, rule]);
        for guard in held.iter().filter(|g| !held_before.contains(g)) {
            self.see(&["guard", guard]);
        }
    }

    /// The counts, one line each, as `name<TAB>count`.
    pub fn lines(&self) -> String {
        self.seen.iter().map(|(name, count)| format!("{name}\t{count}\n")).collect()
    }

    pub fn alert(&mut self, alert: &Value) {
        let severity = text(alert, "severity");
        self.see(&["alert", severity, text(alert, "state")]);
        self.see_if(!alert["resolved_reason"].is_null(), &["resolved", text(alert, "resolved_reason")]);
        self.see(&["data", text(alert, "data")]);
        let rules = items(alert, "rules");
        self.see_if(rules.len() > 1, &["several rules", severity]);
        for rule in rules {
            self.see(&["rule", text(alert, "slo"), text(rule, "rule"), text(alert, "state")]);
            self.see_if(!items(rule, "lowered_by").is_empty(), &["lowered", severity]);
            let onset = rule["onset"].as_str();
            self.see_if(onset.is_some_and(|onset| onset < text(rule, "since")), &["onset before"]);
            let firing = (key_of(alert), text(rule, "rule").to_owned(), text(rule, "since").to_owned());
            if !items(rule, "lowered_by").is_empty() && self.lowered.insert(firing) {
                self.see(&["guard", "single_user"]);
            }
        }
    }

    fn assert_has(&self, names: &[&str]) {
        let missing: Vec<&&str> = names.iter().filter(|n| !self.seen.contains_key(**n)).collect();
        assert!(missing.is_empty(), "not covered: {missing:?}\n{:#?}", self.seen);
    }

    pub fn assert_budget(&self) {
        for slo in ["month", "week", "half-day"] {
            self.assert_has(&[&format!("fired {slo} budget"), &format!("resolved {slo} budget")]);
        }
        self.assert_has(&["guard low_traffic", "guard min_events", "guard single_user", "resolved no_data"]);
        self.assert_has(&["rule month budget page firing", "rule month budget ticket firing", "several rules page"]);
        self.assert_has(&["rule week budget firing", "rule half-day budget off firing", "onset before"]);
    }

    pub fn assert_slices(&self) {
        self.assert_has(&["state ok", "state at_risk", "state breached", "state no_data", "late", "unclassified"]);
        self.assert_has(&["guard min_events", "guard not_warm", "alert page resolved", "alert info resolved"]);
        self.assert_has(&["resolved no_data", "resolved recovered", "window empty 5m", "window empty 1h"]);
        self.assert_has(&["fired five-minutes 90m/8m", "fired ratio:minutes 1h/10m", "fired ratio:tens 2h"]);
        self.assert_has(&["fired hours 6h/1h", "fired hours 12h", "fired latency 1d/2h", "resolved latency 1d/2h"]);
    }

    pub fn assert_composites(&self) {
        self.assert_has(&["state ok", "state at_risk", "state breached", "late", "unclassified"]);
        self.assert_has(&["guard low_traffic", "guard single_user", "guard min_events", "resolved raised"]);
        self.assert_has(&["fired events 15m/2m", "resolved events 15m/2m", "fired events 6h/30m"]);
        self.assert_has(&["fired slices 1h/10m", "resolved slices 1h/10m", "fired shares 90m/8m"]);
    }

    pub fn assert_people(&self) {
        self.assert_has(&["state ok", "state at_risk", "state breached", "state no_data", "late", "unclassified"]);
        self.assert_has(&["fired served 1h/10m", "resolved served 1h/10m", "fired spared:strict 30m/5m"]);
        self.assert_has(&["fired spared:loose 2h", "alert page resolved", "alert ticket resolved"]);
    }

    pub fn assert_journeys(&self) {
        self.assert_has(&["state ok", "state at_risk", "state breached", "late", "unclassified"]);
        self.assert_has(&["guard low_traffic", "guard single_user", "guard min_events", "users below 1d"]);
        self.assert_has(&["fired checkout 15m/2m", "resolved checkout 15m/2m", "fired long 1h/10m", "fired long 6h"]);
    }

    fn assert_common(&self) {
        self.assert_has(&["state ok", "state at_risk", "state breached", "state no_data", "late", "unclassified"]);
        self.assert_has(&[
            "flag warming_up",
            "flag degraded_data",
            "held back by low_traffic",
            "held back by not_warm",
        ]);
        self.assert_has(&["dead not_decodable", "dead no_tenant", "dead no_timestamp", "dead before_2000"]);
        self.assert_has(&["dead weight_out_of_range", "window empty 5m", "data stale", "data complete"]);
        self.assert_has(&["alert page firing", "alert page update", "alert page resolved"]);
        self.assert_has(&["alert ticket firing", "alert ticket update", "alert ticket resolved"]);
        self.assert_has(&["resolved recovered", "users below 1h", "users below 1d", "users too few 1h"]);
    }

    pub fn assert_day(&self) {
        self.assert_common();
        self.assert_has(&["held back by min_events", "resolved raised", "lowered ticket", "lowered info"]);
        self.assert_has(&["alert info firing", "alert info update", "alert info resolved", "several rules page"]);
        for rule in ["15m/2m", "90m/8m", "6h/30m", "18h/90m"] {
            self.assert_fired_and_resolved("week", rule);
        }
        for rule in ["10m/2m", "2h/10m", "6h/30m"] {
            self.assert_fired_and_resolved("own-rules:strict", rule);
        }
        self.assert_has(&["status own-rules:loose group", "status latency tenant", "users below 30m"]);
    }

    pub fn assert_generated(&self) {
        self.assert_has(&["late", "unclassified", "guard low_traffic", "guard min_events", "guard single_user"]);
        self.assert_has(&["alert page resolved", "alert ticket resolved", "alert info resolved"]);
        self.assert_has(&["fired policies 30m", "resolved policies 30m", "fired own-rules:strict 1h"]);
    }

    pub fn assert_sketched(&self) {
        self.assert_has(&["users distinct SLIs"]);
    }

    pub fn assert_four_days(&self) {
        self.assert_common();
        self.assert_has(&["resolved no_data", "users none 1h"]);
        for rule in ["1h/5m", "6h/30m", "1d/2h", "3d/6h"] {
            self.assert_fired_and_resolved("month", rule);
        }
        self.assert_has(&["status one-day tenant", "status month group"]);
    }

    fn assert_fired_and_resolved(&self, slo: &str, rule: &str) {
        for state in ["firing", "resolved"] {
            self.assert_has(&[format!("rule {slo} {rule} {state}").as_str()]);
        }
    }
}

fn key_of(record: &Value) -> String {
    ["slo", "scope", "tenant", "group"].map(|field| record[field].to_string()).join(" ")
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_default()
}

fn items<'a>(record: &'a Value, name: &str) -> &'a [Value] {
    record[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn of_plan(plan: &Plan, slos: &[(&str, &str)]) -> Coverage {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (slos, inputs) = traffic::write(directory.path(), plan, slos);
    Coverage::of(&replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines))
}

#[test]
#[ignore = "the agreement asserts the same; this one runs without the program"]
fn the_day_of_incidents_covers_guards_rises_and_every_shrunk_rule() {
    of_plan(&traffic::day(1), &traffic::DAY_SLOS).assert_day();
}

#[test]
#[ignore = "the agreement asserts the same; this one runs without the program"]
fn the_four_days_cover_every_default_rule_and_the_end_without_data() {
    of_plan(&traffic::four_days(2), &traffic::FOUR_DAY_SLOS).assert_four_days();
}
