//! The summary for people: what was read, how it was counted, what was written, and what to do about it.
//!
//! It shows counts; [`notices`] explain what they mean.

use super::hours::HoursSeen;
use super::limits::LimitsMet;
use crate::command::notices::{self, Facts};
use crate::model::record::{RecordOut, Topic};
use crate::model::slo::Slo;
use crate::model::time::Moment;
use crate::operator::sanity::Hours;
use crate::worker::Observer;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Counts of the records written.
#[derive(Default)]
pub(super) struct Tally {
    statuses: u64,
    alerts: BTreeMap<(String, String), u64>,
    cohorts: u64,
    canaries: u64,
    limits: LimitsMet,
    hours: HoursSeen,
    pub dead_letters: u64,
}

impl Observer for Tally {
    fn committed(&mut self, records: &[RecordOut]) {
        for record in records {
            self.limits.note(record);
            self.hours.note(record);
            match (record.topic, &record.value) {
                (Topic::SloStatus, Some(_)) => self.statuses += 1,
                (Topic::DeadLetters, Some(_)) => self.dead_letters += 1,
                (Topic::TailCohorts, Some(_)) => self.cohorts += 1,
                (Topic::CanaryVerdicts, Some(_)) => self.canaries += 1,
                (Topic::BurnAlerts, Some(value)) => self.count_alert(value),
                _ => {}
            }
        }
    }
}

impl Tally {
    pub fn of(slos: &[Slo]) -> Tally {
        Tally { hours: HoursSeen::of(slos), ..Tally::default() }
    }

    pub fn hours(&self) -> &BTreeMap<String, Hours> {
        &self.hours.told
    }

    fn count_alert(&mut self, value: &[u8]) {
        #[derive(Deserialize)]
        struct Head {
            severity: String,
            state: String,
        }
        if let Ok(head) = serde_json::from_slice::<Head>(value) {
            *self.alerts.entry((head.severity, head.state)).or_insert(0) += 1;
        }
    }
}

/// The summary.
pub(super) struct Summary<'a> {
    pub facts: Facts<'a>,
    pub tally: &'a Tally,
    pub out: &'a Path,
    pub plain: bool,
}

/// Further SLOs are only counted.
const SLOS_MAX: usize = 30;

impl Summary<'_> {
    /// One line an SLO.
    fn slos(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (slo, counts) in self.facts.users.slos().take(SLOS_MAX) {
            write!(f, "slo           {}: {} good, {} bad", slo.name, counts.good, counts.bad)?;
            write!(f, ", {} unclassified, {} excluded", counts.unclassified, counts.excluded)?;
            if counts.dropped > 0 {
                write!(f, ", {} too late and dropped", counts.dropped)?;
            }
            writeln!(f)?;
        }
        if self.facts.slos.len() > SLOS_MAX {
            writeln!(f, "              and {} more SLOs", self.facts.slos.len() - SLOS_MAX)?;
        }
        Ok(())
    }

    fn counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = self.facts.users;
        let counts = &users.counts;
        writeln!(f, "outcomes      {} ({} users known at the end)", counts.outcomes, users.users_known())?;
        writeln!(f, "late          {}, and {} too late and dropped", counts.late, counts.late_dropped)?;
        self.slos(f)?;
        for (reason, tally) in self.facts.route.stats.dead_letters() {
            writeln!(f, "dead letters  {} {reason}", tally.count)?;
        }
        writeln!(f, "statuses      {}", self.tally.statuses)?;
        for ((severity, state), count) in &self.tally.alerts {
            writeln!(f, "alerts        {count} {severity} {state}")?;
        }
        writeln!(f, "cohorts       {}", self.tally.cohorts)?;
        if self.tally.canaries > 0 {
            writeln!(f, "canaries      {} verdicts", self.tally.canaries)?;
        }
        if let Some(at_ms) = users.closed_ms() {
            writeln!(f, "up to         {}", Moment(at_ms))?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts(f)?;
        for notice in notices::about(&self.facts) {
            writeln!(f, "! {notice}")?;
        }
        for notice in self.tally.limits.told() {
            writeln!(f, "! {notice}")?;
        }
        if self.plain {
            writeln!(f, "User ids are written as they came (privacy.user_ids: hmac writes pseudonyms).")?;
        }
        writeln!(f, "Written to {}", self.out.display())
    }
}
