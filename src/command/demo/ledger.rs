//! What the output topics hold so far: the latest status of each key, every alert and cohort, the aggregate's worst
//! figures. The screen, the lines and the summary read it; it computes no figure.

use crate::model::key::{Scope, key_text};
use crate::model::output::{BurnAlert, SloStatus, TailCohort, UserStatus};
use crate::model::record::{RecordOut, Topic};
use crate::model::slo::Slo;
use crate::model::time::{DAY_MS, Ms};
use crate::operator::{failing_users, tail_episode};
use crate::pipeline::input_stats::DeadLetterCounts;
use crate::pipeline::users::UsersTask;
use serde::de::DeserializeOwned;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// How many alerts and cohorts are kept: the latest ones.
const KEPT: usize = 200;

/// A notable event, shown when it happens.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    Alert(Box<BurnAlert>),
    Cohort(Box<TailCohort>),
}

/// The results so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub at_ms: Option<Ms>,
    pub records: u64,
    pub dead_letters: u64,
}

/// The worst figures of the aggregate and its users since the live part began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worst {
    pub burn_1h: Option<f64>,
    pub users_below: u64,
}

pub struct Ledger {
    live_from_ms: Ms,
    slo: String,
    /// The filter that selects the events that count, if there is one.
    total: Option<String>,
    /// The key of the SLO that the screen shows.
    aggregate: String,
    /// The SLO name as keys begin with it.
    prefix: String,
    /// By key.
    statuses: BTreeMap<String, Vec<u8>>,
    users: BTreeMap<String, Vec<u8>>,
    pub alerts: Vec<BurnAlert>,
    pub cohorts: Vec<TailCohort>,
    pub progress: Progress,
    pub worst: Worst,
    news: Vec<News>,
}

impl Ledger {
    /// Shows the first SLO; the API has the others.
    pub fn new(slos: &[Slo], live_from_ms: Ms) -> Ledger {
        let aggregate = slos.first().map_or_else(String::new, |slo| key_text(&slo.name, &Scope::Aggregate));
        let prefix = aggregate.strip_suffix("aggregate").unwrap_or_default().to_owned();
        let total = slos.first().and_then(|slo| slo.indicator.total.as_ref());
        Ledger {
            live_from_ms,
            slo: slos.first().map_or_else(String::new, |slo| slo.name.clone()),
            total: total.map(|filter| filter.source().to_owned()),
            aggregate,
            prefix,
            statuses: BTreeMap::new(),
            users: BTreeMap::new(),
            alerts: Vec::new(),
            cohorts: Vec::new(),
            progress: Progress::default(),
            worst: Worst::default(),
            news: Vec::new(),
        }
    }

    /// Notes a published record.
    pub fn take(&mut self, record: &RecordOut) {
        let Some(key) = record.key.as_ref().and_then(|k| std::str::from_utf8(k).ok()) else { return };
        if !key.starts_with(&self.prefix) {
            return;
        }
        match record.topic {
            Topic::SloStatus => {
                if key == self.aggregate && record.timestamp_ms >= self.live_from_ms {
                    self.note_worst(record.value.as_deref());
                }
                put(&mut self.statuses, key, record.value.clone());
            }
            Topic::UserStatus => put(&mut self.users, key, record.value.clone()),
            Topic::BurnAlerts => self.take_alert(record.value.as_deref()),
            Topic::TailCohorts => self.take_cohort(record.value.as_deref()),
            _ => {}
        }
    }

    fn note_worst(&mut self, json: Option<&[u8]>) {
        let Some(status) = json.and_then(read::<SloStatus>) else { return };
        let burn = status.windows.iter().find(|w| w.window == "1h").and_then(|w| w.burn);
        if burn > self.worst.burn_1h {
            self.worst.burn_1h = burn;
        }
        let below = status.users.first().map_or(0, |u| u.below_objective);
        self.worst.users_below = self.worst.users_below.max(below);
    }

    fn take_alert(&mut self, json: Option<&[u8]>) {
        let Some(alert) = json.and_then(read::<BurnAlert>) else { return };
        if alert.state != "update" {
            self.news.push(News::Alert(Box::new(alert.clone())));
        }
        replace(&mut self.alerts, alert, |a, b| a.id == b.id);
    }

    fn take_cohort(&mut self, json: Option<&[u8]>) {
        let Some(cohort) = json.and_then(read::<TailCohort>) else { return };
        // The ticket of a `tail-` rule says the same as its record, and one user is no cohort.
        if [tail_episode::KIND, failing_users::KIND].contains(&&*cohort.kind) {
            return;
        }
        if cohort.state != "update" {
            self.news.push(News::Cohort(Box::new(cohort.clone())));
        }
        replace(&mut self.cohorts, cohort, |a, b| a.id == b.id);
    }

    pub fn progress(&mut self, users: &UsersTask, dead_letters: &DeadLetterCounts) {
        let dead_letters = dead_letters.iter().sum::<u64>();
        self.progress =
            Progress { at_ms: users.closed_ms(), records: users.counts.outcomes + dead_letters, dead_letters };
    }

    /// The events since the last call.
    pub fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The latest status of the aggregate.
    pub fn aggregate(&self) -> Option<SloStatus> {
        self.statuses.get(&self.aggregate).and_then(|json| read(json))
    }

    /// Why there are no figures although records arrived: none of them is good or bad.
    pub fn emptiness(&self) -> Option<String> {
        let events = self.progress.records - self.progress.dead_letters;
        let counts = self.aggregate().map(|status| status.counts);
        if self.progress.at_ms.is_none() || events == 0 || counts.as_ref().is_some_and(|c| c.accepted > 0) {
            return None;
        }
        let events = super::format::count(events);
        let why = match (counts.map_or(0, |c| c.unclassified), &self.total) {
            (0, Some(total)) => format!("total.filter `{total}` matches none of them: all are excluded"),
            (0, None) => "no status has been published yet".to_owned(),
            (n, _) => {
                let n = super::format::count(n);
                format!("{n} are unclassified: the filters read a field that these events lack")
            }
        };
        Some(format!("{}: none of {events} events counts; {why}", self.slo))
    }

    /// The latest status of each tenant and each group.
    pub fn others(&self) -> Vec<SloStatus> {
        self.statuses.iter().filter(|(key, _)| **key != self.aggregate).filter_map(|(_, json)| read(json)).collect()
    }

    /// The worst-served users over all tenants, among those with a bad event in their window.
    pub fn worst_users(&self, count: usize) -> Vec<UserStatus> {
        let current = |u: &UserStatus| self.progress.at_ms.is_none_or(|at_ms| u.at.0 > at_ms - DAY_MS);
        let mut users: Vec<UserStatus> = self
            .users
            .values()
            .filter_map(|json| read::<UserStatus>(json))
            .filter(|u| u.bad > 0.0 && current(u))
            .collect();
        users.sort_by(|a, b| {
            let sli = a.sli.partial_cmp(&b.sli).unwrap_or(Ordering::Equal);
            sli.then_with(|| (&a.tenant, &a.user).cmp(&(&b.tenant, &b.user)))
        });
        users.truncate(count);
        users
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).inspect_err(|error| tracing::error!(%error, "a record cannot be read back")).ok()
}

fn put(latest: &mut BTreeMap<String, Vec<u8>>, key: &str, value: Option<Vec<u8>>) {
    match value {
        Some(value) => _ = latest.insert(key.to_owned(), value),
        None => _ = latest.remove(key),
    }
}

/// The latest record of an id replaces the one before.
fn replace<T>(all: &mut Vec<T>, latest: T, is_same: impl Fn(&T, &T) -> bool) {
    match all.iter_mut().find(|known| is_same(known, &latest)) {
        Some(known) => *known = latest,
        None => {
            if all.len() >= KEPT {
                all.remove(0);
            }
            all.push(latest);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::traffic::EXAMPLE_SLO;
    use serde_json::json;

    const AT: &str = "2026-05-29T17:01:00.000Z";

    pub fn status() -> String {
        json!({
            "slo": "checkout-availability", "definition_hash": "", "service": "checkout",
            "display_name": "Requests are answered", "labels": {}, "scope": "aggregate", "tenant": null,
            "group": {}, "at": AT, "state": "ok", "flags": [], "objective": 0.99,
            "budgeting_method": "Occurrences", "compliance_window": "28d", "budget_remaining": 0.995,
            "budget_spent_of_period": 0.005,
            "budget": {"allowed_bad": 1.0, "spent_bad": 0.0, "remaining_bad": 1.0, "remaining_minutes": null},
            "policy": null, "sla": null,
            "windows": [{"window": "1h", "start": AT, "good": 9.0, "bad": 1.0, "sli": 0.9975, "burn": 0.25,
                         "coverage": 1.0, "latency_ms": {"p50": null, "p95": null, "p99": null}}],
            "users": [{"window": "1h", "at": AT, "users": 1000, "users_too_few": 10, "below_objective": 12,
                       "below_share": 0.012, "below_expected": 40.0, "sli_p50": 1.0, "sli_worst_10pct": 1.0,
                       "sli_worst_1pct": 0.8, "sli_worst_0_1pct": 0.5, "sli_worst_1pct_estimate": null,
                       "worst_1pct_error_mean": 0.2, "worst_1pct_error_mean_estimate": null, "dispersion": null}],
            "alerts": [], "forecast": null,
            "counts": {"accepted": 10, "unclassified": 0, "late": 0, "maintenance": 0, "counts_since": AT},
            "period": null, "previous": null, "components": [], "journey": null, "gauge": null, "failures": [],
            "maintenance": null,
        })
        .to_string()
    }

    pub fn cohort(id: &str, scope: &str, state: &str, tier: &str) -> String {
        let tenant = (scope == "tenant").then_some("acme");
        json!({
            "id": id, "seq": 1, "state": state, "kind": "users", "slo": "checkout-availability",
            "definition_hash": "", "service": "checkout", "scope": scope, "tenant": tenant, "group": {},
            "window": "1h", "at": AT, "started_at": AT, "rank": 1,
            "cohort": [{"attribute": "tier", "value": tier}], "users_in_tail": 9, "users": 10, "tail_total": 12,
            "users_total": 1000, "risk_ratio": 30.0, "risk_ratio_low": 20.0, "risk_ratio_high": 40.0, "bad": 30.0,
            "bad_share": 0.9, "budget_burnt": null, "p_adjusted": 0.0, "sample_users": ["acme|u1"],
            "alert_id": null, "summary": "",
        })
        .to_string()
    }

    pub fn ledger_of(records: &[(Topic, String)]) -> Ledger {
        let sources = [("demo.yaml".to_owned(), EXAMPLE_SLO.to_owned())];
        let definitions = crate::command::assemble::parsed(&sources).expect("the demo's SLO is sound");
        let mut ledger = Ledger::new(&definitions.slos, 0);
        for (topic, json) in records {
            ledger.take(&RecordOut {
                topic: *topic,
                partition: 0,
                key: Some(b"checkout-availability|aggregate".to_vec()),
                value: Some(json.clone().into_bytes()),
                headers: Vec::new(),
                timestamp_ms: 1,
            });
        }
        ledger
    }

    #[test]
    fn where_no_event_counts_it_is_said_why() {
        let mut ledger = ledger_of(&[]);
        assert_eq!(ledger.emptiness(), None, "nothing came yet");
        ledger.progress = Progress { at_ms: Some(1), records: 1_300, dead_letters: 66 };
        let excluded = ledger.emptiness().expect("a reason");
        assert!(
            excluded.contains("none of 1,234 events counts")
                && excluded.contains("total.filter `operation != 'heartbeat'`"),
            "{excluded}"
        );
        let with = |counts: &str| {
            let mut ledger =
                ledger_of(&[(Topic::SloStatus, status().replace("\"accepted\":10,\"unclassified\":0", counts))]);
            ledger.progress = Progress { at_ms: Some(1), records: 1_234, dead_letters: 0 };
            ledger.emptiness()
        };
        assert!(with("\"accepted\":0,\"unclassified\":7").is_some_and(|why| why.contains("7 are unclassified")));
        assert_eq!(with("\"accepted\":1,\"unclassified\":7"), None);
    }

    #[test]
    fn the_worst_of_the_aggregate_is_kept_and_updates_are_no_news() {
        let better = status().replace("\"burn\":0.25", "\"burn\":0.125").replace("_objective\":12", "_objective\":3");
        let mut ledger = ledger_of(&[
            (Topic::SloStatus, status()),
            (Topic::SloStatus, better),
            (Topic::TailCohorts, cohort("c1", "aggregate", "open", "pro")),
            (Topic::TailCohorts, cohort("c1", "aggregate", "update", "pro")),
        ]);
        assert_eq!(ledger.worst, Worst { burn_1h: Some(0.25), users_below: 12 });
        assert_eq!((ledger.news().len(), ledger.cohorts.len()), (1, 1));
        assert!(ledger.news().is_empty(), "told once");
    }
}
