//! The records that a key publishes at a boundary.

use super::rollup_key::RollupSettings;
use super::step::WORST_USERS_WINDOW_MS;
use crate::codec::output::EncodeError;
use crate::model::key::encode_into;
use crate::model::output::{CanaryVerdict, SloStatus, TailCohort, UserStatus};
use crate::model::record::{RecordOut, Topic};
use crate::model::time::{HOUR_MS, Moment, Ms};
use crate::operator::alert::shortened;
use crate::operator::cohort_tracker::CohortRecord;
use crate::operator::failing_users::USER;
use crate::operator::key_state::KeyOutput;
use crate::operator::key_view::weight_of;
use crate::operator::partial::{SampleUser, WorstUser};
use crate::operator::significance::wilson_low;
use crate::operator::status::history_of;
use std::collections::BTreeMap;

/// Writes what a key publishes at one boundary.
pub(super) struct Writer<'a> {
    pub settings: &'a RollupSettings,
    pub at_ms: Ms,
    pub key: &'a str,
}

impl Writer<'_> {
    fn record(&self, topic: Topic, key: &str, value: Option<Vec<u8>>) -> RecordOut {
        RecordOut {
            topic,
            partition: self.settings.partition,
            key: Some(key.as_bytes().to_vec()),
            value,
            headers: Vec::new(),
            timestamp_ms: self.at_ms,
        }
    }

    pub fn write(&self, output: &KeyOutput, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        if let Some(status) = &output.status {
            self.write_status(status, out)?;
        }
        if output.is_gone {
            out.push(self.record(Topic::SloStatus, self.key, None));
        }
        for alert in &output.alerts {
            let value = self.settings.encoder.encode(alert)?;
            out.push(self.record(Topic::BurnAlerts, self.key, Some(value)));
        }
        output.cohorts.iter().try_for_each(|cohort| self.write_cohort(cohort, out))?;
        output.canaries.iter().try_for_each(|verdict| self.write_canary(verdict, out))
    }

    fn write_canary(&self, verdict: &CanaryVerdict, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        let tenant = verdict.tenant.as_deref().map_or_else(|| "*".to_owned(), encode);
        let key = format!("{}|{tenant}|{}", encode(&verdict.slo), encode(&verdict.candidate));
        let value = self.settings.encoder.encode(verdict)?;
        out.push(self.record(Topic::CanaryVerdicts, &key, Some(value)));
        Ok(())
    }

    fn write_cohort(&self, cohort: &CohortRecord, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        let publish = |user: &SampleUser| self.settings.user_ids.publish(&user.tenant, &user.user);
        let sample_users: Vec<String> = cohort.sample.iter().map(publish).collect();
        let mut record = TailCohort { sample_users, ..cohort.record.clone() };
        if let (Some(user), Some(fails)) = (record.sample_users.first(), record.summary.strip_prefix(USER)) {
            record.summary = shortened(format!("user {user}{fails}"));
        }
        let value = self.settings.encoder.encode(&record)?;
        out.push(self.record(Topic::TailCohorts, self.key, Some(value)));
        Ok(())
    }

    fn write_status(&self, status: &SloStatus, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        if self.at_ms % HOUR_MS == 0 {
            let kept = self.settings.encoder.encode(&history_of(status))?;
            out.push(self.record(Topic::SloHistory, self.key, Some(kept)));
        }
        let value = self.settings.encoder.encode(status)?;
        out.push(self.record(Topic::SloStatus, self.key, Some(value)));
        Ok(())
    }

    /// Tombstones for all who are listed.
    pub fn forget_users(&self, listed: &mut Vec<Box<str>>, out: &mut Vec<RecordOut>) {
        out.extend(std::mem::take(listed).iter().map(|key| self.record(Topic::UserStatus, key, None)));
    }

    /// The worst-served users of the step, and tombstones for those who are no longer among them.
    pub fn write_users(
        &self,
        slo: &str,
        tenant: &str,
        worst: &[&WorstUser],
        listed: &mut Vec<Box<str>>,
        out: &mut Vec<RecordOut>,
    ) -> Result<(), EncodeError> {
        let mut keys = BTreeMap::new();
        for (i, user) in worst.iter().enumerate() {
            let published = self.settings.user_ids.publish(tenant, &user.user);
            let mut key = String::new();
            for (i, part) in [slo, tenant, &published].into_iter().enumerate() {
                key.push_str(if i == 0 { "" } else { "|" });
                encode_into(&mut key, part);
            }
            keys.insert(key, self.user_status(slo, tenant, published, user, i as u64 + 1));
        }
        for gone in listed.iter().filter(|key| !keys.contains_key(&***key)) {
            out.push(self.record(Topic::UserStatus, gone, None));
        }
        for (key, status) in &keys {
            let value = self.settings.encoder.encode(status)?;
            out.push(self.record(Topic::UserStatus, key, Some(value)));
        }
        *listed = keys.into_keys().map(String::into_boxed_str).collect();
        Ok(())
    }

    fn user_status(&self, slo: &str, tenant: &str, user: String, figures: &WorstUser, rank: u64) -> UserStatus {
        let (good, bad) = (weight_of(figures.good), weight_of(figures.bad));
        UserStatus {
            slo: slo.to_owned(),
            tenant: tenant.to_owned(),
            user,
            window: crate::model::duration::print(WORST_USERS_WINDOW_MS),
            at: Moment(self.at_ms),
            good,
            bad,
            sli: figures.good as f64 / (figures.good + figures.bad) as f64,
            sli_low: wilson_low(good, good + bad),
            rank,
            first_bad: figures.first_bad_ms.map(Moment),
            last_bad: figures.last_bad_ms.map(Moment),
            attributes: figures.attributes.iter().cloned().collect(),
        }
    }
}

/// A part of a key.
fn encode(part: &str) -> String {
    let mut text = String::new();
    encode_into(&mut text, part);
    text
}
