//! One tenant's month: sums of the published hourly points, and the alerts and cohorts of that month.
//!
//! Every figure is a record's own, or a sum of them: of good and bad events of each hour, as published at its end.

use super::agreement::{Agreement, agreement};
use crate::board::KeyParts;
use crate::model::output::{BurnAlert, Sla, SloHistory, SloStatus, TailCohort, UserStatus};
use crate::model::record::Topic;
use crate::model::time::{DAY_MS, Ms, floor_to};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// Days that a report names as the worst.
const WORST_DAYS: usize = 5;
const USERS: usize = 20;

/// A calendar month in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Month {
    /// As it was asked for: `2026-11`.
    pub name: String,
    pub range: Range<Ms>,
}

impl Month {
    pub fn parse(text: &str) -> Result<Month, String> {
        let wrong = || format!("`{text}` is not a month as in 2026-11");
        let start: jiff::civil::Date = format!("{text}-01").parse().map_err(|_| wrong())?;
        if text.len() != 7 {
            return Err(wrong());
        }
        let end = start.checked_add(jiff::Span::new().months(1)).map_err(|_| wrong())?;
        let ms = |date: jiff::civil::Date| {
            date.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp().as_millisecond()).map_err(|_| wrong())
        };
        Ok(Month { name: text.to_owned(), range: ms(start)?..ms(end)? })
    }

    /// Whether the hour that a point was published at the end of lies in the month.
    fn has_hour(&self, at_ms: Ms) -> bool {
        self.range.start < at_ms && at_ms <= self.range.end
    }

    /// Whether an episode touches the month.
    fn touches(&self, from_ms: Ms, to_ms: Option<Ms>) -> bool {
        from_ms < self.range.end && to_ms.is_none_or(|to_ms| to_ms >= self.range.start)
    }
}

/// Weighted events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sum {
    pub good: f64,
    pub bad: f64,
    pub sli: Option<f64>,
}

impl Sum {
    fn add(&mut self, good: f64, bad: f64) {
        self.good += good;
        self.bad += bad;
        let all = self.good + self.bad;
        self.sli = (all > 0.0).then(|| self.good / all);
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Day {
    pub day: String,
    #[serde(flatten)]
    pub sum: Sum,
}

/// What changed about an SLO during the month.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The first hour under it.
    pub at: String,
    pub definition_hash: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct SloMonth {
    pub slo: String,
    pub display_name: String,
    pub service: String,
    pub objective: Option<f64>,
    #[serde(flatten)]
    pub sum: Sum,
    /// `null`: no events, or the objective is not known.
    pub is_met: Option<bool>,
    /// Bad events that the objective allows for as many events.
    pub allowed_bad: Option<f64>,
    /// `null`: there is no service-level agreement.
    pub sla: Option<Agreement>,
    /// Hours with events, and hours with bad ones.
    pub hours: u64,
    pub hours_with_bad: u64,
    /// Those with the most bad events.
    pub worst_days: Vec<Day>,
    pub days: Vec<Day>,
    pub incidents: Vec<BurnAlert>,
    pub cohorts: Vec<TailCohort>,
    /// The worst-served users of the last day, where that is in the month.
    pub users: Vec<UserStatus>,
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub tenant: String,
    /// By the file of tenants.
    pub display_name: Option<String>,
    pub owner: Option<String>,
    pub period: String,
    pub slos: Vec<SloMonth>,
}

/// What was read of one SLO of one tenant.
#[derive(Default)]
struct Read {
    status: Option<SloHead>,
    days: BTreeMap<Ms, Sum>,
    /// All months up to this one, by name: what an agreement is held against.
    months: BTreeMap<String, Sum>,
    hours: u64,
    hours_with_bad: u64,
    /// The first hour under each definition, in order.
    hashes: Vec<(Ms, String, String)>,
    alerts: BTreeMap<String, BurnAlert>,
    cohorts: BTreeMap<String, TailCohort>,
    users: BTreeMap<String, UserStatus>,
}

struct SloHead {
    display_name: String,
    service: String,
    objective: f64,
    sla: Option<Sla>,
    /// Whether the hourly points count what an agreement does: events.
    counts_events: bool,
}

/// Collects records of all tenants, or of one.
pub struct Collector {
    month: Month,
    tenant: Option<String>,
    by_tenant: BTreeMap<String, BTreeMap<String, Read>>,
}

#[derive(Deserialize)]
struct Tenant {
    tenant: Option<String>,
}

impl Collector {
    pub fn new(month: Month, tenant: Option<String>) -> Collector {
        Collector { month, tenant, by_tenant: BTreeMap::new() }
    }

    /// The topics to read.
    pub const TOPICS: [Topic; 5] =
        [Topic::SloStatus, Topic::SloHistory, Topic::BurnAlerts, Topic::TailCohorts, Topic::UserStatus];

    /// Takes a record, in the order of its topic; no `json` is a tombstone.
    pub fn take(&mut self, topic: Topic, key: &str, json: Option<&[u8]>) -> Result<(), serde_json::Error> {
        let Some(json) = json else {
            self.forget(topic, key);
            return Ok(());
        };
        let tenant = match topic {
            Topic::UserStatus => serde_json::from_slice::<Tenant>(json)?.tenant,
            _ => KeyParts::of(key).tenant,
        };
        let Some(tenant) = tenant.filter(|tenant| self.tenant.as_ref().is_none_or(|wanted| wanted == tenant)) else {
            return Ok(());
        };
        let month = self.month.clone();
        let slos = self.by_tenant.entry(tenant).or_default();
        match topic {
            Topic::SloStatus => {
                let status: SloStatus = serde_json::from_slice(json)?;
                let SloStatus { slo, display_name, service, objective, sla, budgeting_method, .. } = status;
                let counts_events = budgeting_method == "Occurrences";
                let head = SloHead { display_name, service, objective, sla, counts_events };
                slos.entry(slo).or_default().status = Some(head);
            }
            Topic::SloHistory => {
                let point: SloHistory = serde_json::from_slice(json)?;
                if point.at.0 <= month.range.end {
                    // The hour belongs to the month in which it began.
                    let name = date(point.at.0 - 1).chars().take(month.name.len()).collect();
                    let months = &mut slos.entry(point.slo.clone()).or_default().months;
                    months.entry(name).or_default().add(point.good, point.bad);
                }
                if month.has_hour(point.at.0) {
                    slos.entry(point.slo.clone()).or_default().add(point);
                }
            }
            Topic::BurnAlerts => {
                let alert: BurnAlert = serde_json::from_slice(json)?;
                if month.touches(alert.started_at.0, alert.ended_at.map(|ended| ended.0)) {
                    slos.entry(alert.slo.clone()).or_default().alerts.insert(alert.id.clone(), alert);
                }
            }
            Topic::TailCohorts => {
                let cohort: TailCohort = serde_json::from_slice(json)?;
                let ended_ms = (cohort.state == "closed").then_some(cohort.at.0);
                if month.touches(cohort.started_at.0, ended_ms) {
                    slos.entry(cohort.slo.clone()).or_default().cohorts.insert(cohort.id.clone(), cohort);
                }
            }
            Topic::UserStatus => {
                let user: UserStatus = serde_json::from_slice(json)?;
                if month.has_hour(user.at.0) {
                    slos.entry(user.slo.clone()).or_default().users.insert(key.to_owned(), user);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A status that is gone still names its SLO; a user that is gone is no longer among the worst.
    fn forget(&mut self, topic: Topic, key: &str) {
        if topic == Topic::UserStatus {
            for read in self.by_tenant.values_mut().flat_map(BTreeMap::values_mut) {
                read.users.remove(key);
            }
        }
    }

    /// The reports of all tenants that have something in the month, by name.
    pub fn reports(self) -> Vec<Report> {
        let Collector { month, by_tenant, .. } = self;
        let of_tenant = |(tenant, slos): (String, BTreeMap<String, Read>)| {
            let slos: Vec<SloMonth> = slos
                .into_iter()
                .filter(|(_, read)| read.is_of_month())
                .map(|(slo, read)| read.month(slo, &month))
                .collect();
            let report = |slos| Report { tenant, display_name: None, owner: None, period: month.name.clone(), slos };
            (!slos.is_empty()).then(|| report(slos))
        };
        by_tenant.into_iter().filter_map(of_tenant).collect()
    }
}

impl Read {
    fn add(&mut self, point: SloHistory) {
        let SloHistory { at, good, bad, definition_hash, .. } = point;
        // The hour belongs to the day in which it began.
        let day_ms = floor_to(at.0 - 1, DAY_MS);
        self.days.entry(day_ms).or_default().add(good, bad);
        self.hours += u64::from(good + bad > 0.0);
        self.hours_with_bad += u64::from(bad > 0.0);
        if self.hashes.last().is_none_or(|(_, hash, _)| *hash != definition_hash) {
            self.hashes.push((at.0, definition_hash, at.to_string()));
        }
    }

    fn is_of_month(&self) -> bool {
        !self.days.is_empty() || !self.alerts.is_empty() || !self.cohorts.is_empty()
    }

    fn month(self, slo: String, month: &Month) -> SloMonth {
        let sla = self.status.as_ref().and_then(|status| {
            let months = status.counts_events.then_some(&self.months);
            agreement(status.sla.as_ref()?, months, month)
        });
        let mut sum = Sum::default();
        self.days.values().for_each(|day| sum.add(day.good, day.bad));
        let days: Vec<Day> = self.days.iter().map(|(day_ms, sum)| Day { day: date(*day_ms), sum: *sum }).collect();
        let mut worst_days: Vec<Day> = days.iter().filter(|day| day.sum.bad > 0.0).cloned().collect();
        worst_days.sort_by(|a, b| b.sum.bad.total_cmp(&a.sum.bad).then_with(|| a.day.cmp(&b.day)));
        worst_days.truncate(WORST_DAYS);
        let mut incidents: Vec<BurnAlert> = self.alerts.into_values().collect();
        incidents.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        let mut cohorts: Vec<TailCohort> = self.cohorts.into_values().collect();
        cohorts.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        // Of the newest step alone.
        let newest = self.users.values().map(|user| user.at).max();
        let mut users: Vec<UserStatus> = self.users.into_values().filter(|user| Some(user.at) == newest).collect();
        users.sort_by_key(|user| user.rank);
        users.truncate(USERS);
        let objective = self.status.as_ref().map(|status| status.objective);
        let allowed_bad = objective.map(|objective| (1.0 - objective) * (sum.good + sum.bad));
        SloMonth {
            display_name: self.status.as_ref().map_or_else(|| slo.clone(), |status| status.display_name.clone()),
            service: self.status.as_ref().map(|status| status.service.clone()).unwrap_or_default(),
            slo,
            objective,
            sum,
            is_met: sum.sli.zip(objective).map(|(sli, objective)| sli >= objective),
            allowed_bad,
            sla,
            hours: self.hours,
            hours_with_bad: self.hours_with_bad,
            worst_days,
            days,
            incidents,
            cohorts,
            users,
            changes: self
                .hashes
                .into_iter()
                .skip(1)
                .map(|(_, definition_hash, at)| Change { at, definition_hash })
                .collect(),
        }
    }
}

fn date(day_ms: Ms) -> String {
    crate::model::time::Moment(day_ms).to_string().split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    pub fn point(tenant: &str, at: &str, good: f64, bad: f64, hash: &str) -> (String, Vec<u8>) {
        let json = json!({
            "slo": "checkout", "definition_hash": hash, "scope": "tenant", "tenant": tenant, "group": {}, "at": at,
            "state": "ok", "good": good, "bad": bad, "sli": null, "budget_remaining": null,
            "budget_spent_of_period": null, "users": null, "users_below": null,
            "worst_1pct_error_mean_estimate": null,
        });
        (format!("checkout|tenant|{tenant}"), json.to_string().into_bytes())
    }

    #[test]
    fn a_month_is_from_its_first_hour_to_its_last() {
        let month = Month::parse("2026-11").expect("a month");
        assert_eq!(date(month.range.start), "2026-11-01");
        assert_eq!(date(month.range.end), "2026-12-01");
        for wrong in ["2026", "2026-13", "2026-1", "2026-11-01", "November"] {
            assert!(Month::parse(wrong).is_err(), "{wrong}");
        }
        let mut all = Collector::new(month, None);
        for (at, good, bad) in [
            ("2026-11-01T00:00:00.000Z", 100.0, 100.0),
            ("2026-11-01T01:00:00.000Z", 10.0, 0.0),
            ("2026-11-02T00:00:00.000Z", 10.0, 2.0),
            ("2026-11-02T01:00:00.000Z", 10.0, 5.0),
            ("2026-12-01T00:00:00.000Z", 10.0, 1.0),
            ("2026-12-01T01:00:00.000Z", 100.0, 100.0),
        ] {
            let (key, json) = point("acme", at, good, bad, if bad == 1.0 { "other" } else { "one" });
            all.take(Topic::SloHistory, &key, Some(&json)).expect("a record");
        }
        let (key, json) = point("zeta", "2026-11-05T01:00:00.000Z", 1.0, 0.0, "one");
        all.take(Topic::SloHistory, &key, Some(&json)).expect("a record");
        let reports = all.reports();
        assert_eq!(reports.iter().map(|r| r.tenant.as_str()).collect::<Vec<_>>(), ["acme", "zeta"]);
        let slo = &reports[0].slos[0];
        assert_eq!((slo.sum.good, slo.sum.bad, slo.sum.sli), (40.0, 8.0, Some(40.0 / 48.0)));
        assert_eq!((slo.hours, slo.hours_with_bad), (4, 3));
        let worst: Vec<_> = slo.worst_days.iter().map(|day| (day.day.as_str(), day.sum.bad)).collect();
        assert_eq!(worst, [("2026-11-02", 5.0), ("2026-11-01", 2.0), ("2026-11-30", 1.0)]);
        assert_eq!(slo.changes.iter().map(|c| c.definition_hash.as_str()).collect::<Vec<_>>(), ["other"]);
    }

    #[test]
    fn only_the_tenant_that_is_asked_for_is_kept() {
        let mut one = Collector::new(Month::parse("2026-11").expect("a month"), Some("acme".to_owned()));
        for tenant in ["acme", "zeta"] {
            let (key, json) = point(tenant, "2026-11-05T01:00:00.000Z", 1.0, 0.0, "one");
            one.take(Topic::SloHistory, &key, Some(&json)).expect("a record");
        }
        assert_eq!(one.reports().len(), 1);
    }
}
