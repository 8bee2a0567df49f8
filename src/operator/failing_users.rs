//! The users of a tenant who fail more than the rest of it, each in an episode of its own in tail-cohorts (`kind: user`): for
//! customer success, so that somebody calls before the customer does.
//!
//! `signal::failing_user` has the statistics. Only scope tenant has these episodes.

use super::alert;
use super::cohort::risk::{Risk, Tally, risk_ratio};
use super::cohort_tracker::CohortRecord;
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::{KeyOutput, KeyState};
use super::key_view::{KeyView, weight_of};
use super::partial::{KeyStep, SampleUser};
use super::signal::failing_user::{Evidence, FailingUser, LOOKED_AT, Minute, Run, evidence_ms, keep_worst_served};
use crate::model::duration;
use crate::model::key::Scope;
use crate::model::output::TailCohort;
use crate::model::time::{MINUTE_MS, Moment, Ms};
use serde::{Deserialize, Serialize};

/// The kind of its records in tail-cohorts.
pub const KIND: &str = "user";
/// Stands for the user's id in a summary until ids are published.
pub const USER: &str = "{user}";
/// The most episodes of a tenant that are open at once.
const OPEN_MAX: usize = 20;
/// The most users of a tenant that are remembered.
const REMEMBERED: usize = 2 * LOOKED_AT;

/// A user that is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Suspect {
    /// As last told.
    told: FailingUser,
    evidence: Evidence,
    run: Run,
    open: Option<OpenUser>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OpenUser {
    id: String,
    started_ms: Ms,
    seq: u64,
    /// What its last record said.
    bad_events: u64,
}

/// The users of a tenant that are looked at, ascending by (hash, name).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FailingUsers {
    suspects: Vec<Suspect>,
}

impl FailingUsers {
    /// When the first of the open episodes ends if nothing more is heard of its user.
    pub fn deadline_ms(&self) -> Option<Ms> {
        self.suspects.iter().filter(|suspect| suspect.open.is_some()).map(|suspect| suspect.told.lapses_ms).min()
    }

    /// Takes what was told of a minute. `all`: the events of the whole tenant in it.
    fn take(&mut self, at_ms: Ms, mut told: Vec<FailingUser>, all: Minute) {
        keep_worst_served(&mut told);
        let are_more = told.len() > LOOKED_AT;
        told.truncate(LOOKED_AT);
        let is_told = |suspect: &Suspect| told.iter().any(|user| suspect.is(user));
        // Of a user who was crowded out nobody knows what it did in a minute in which others failed.
        let is_unknown = are_more && all.bad > 0;
        let lapses = |suspect: &Suspect| suspect.told.lapses_ms <= at_ms;
        self.suspects.retain(|s| s.open.is_some() || is_told(s) || !(is_unknown || lapses(s)));
        for suspect in self.suspects.iter_mut().filter(|suspect| is_unknown && !is_told(suspect)) {
            suspect.evidence = Evidence::default();
        }
        for user in told {
            let own = Minute { events: user.minute_events, bad: user.minute_bad };
            let others = Minute { events: all.events.saturating_sub(own.events), bad: all.bad.saturating_sub(own.bad) };
            let suspect = self.suspect(user);
            suspect.evidence.add(own, others);
            suspect.run.add(own.bad > 0);
        }
        self.forget_over(REMEMBERED);
    }

    /// The entry of a user, with what was told last.
    fn suspect(&mut self, user: FailingUser) -> &mut Suspect {
        let of = |suspect: &Suspect| (suspect.told.hash, &suspect.told.user).cmp(&(user.hash, &user.user));
        let at = match self.suspects.binary_search_by(of) {
            Ok(at) => {
                self.suspects[at].told = user;
                at
            }
            Err(at) => {
                let new = Suspect { told: user, evidence: Evidence::default(), run: Run::default(), open: None };
                self.suspects.insert(at, new);
                at
            }
        };
        &mut self.suspects[at]
    }

    /// Of too many, those with the least evidence go.
    fn forget_over(&mut self, most: usize) {
        if self.suspects.len() <= most {
            return;
        }
        self.suspects.sort_by(|a, b| {
            let open = b.open.is_some().cmp(&a.open.is_some());
            open.then(b.evidence.e_value().total_cmp(&a.evidence.e_value())).then_with(|| a.name_order(b))
        });
        self.suspects.truncate(most);
        self.suspects.sort_by(Suspect::name_order);
    }
}

impl Suspect {
    fn is(&self, user: &FailingUser) -> bool {
        self.told.hash == user.hash && self.told.user == user.user
    }

    fn name_order(&self, other: &Suspect) -> std::cmp::Ordering {
        (self.told.hash, &self.told.user).cmp(&(other.told.hash, &other.told.user))
    }

    /// The record that is due of an open episode.
    fn next_state(&self, at_ms: Ms) -> Option<&'static str> {
        let open = self.open.as_ref()?;
        if self.has_ended(at_ms) {
            return Some("closed");
        }
        (self.told.bad_events >= 2 * open.bad_events).then_some("update")
    }

    fn has_ended(&self, at_ms: Ms) -> bool {
        self.run.has_recovered() || self.told.lapses_ms <= at_ms
    }
}

/// Takes the steps of a full minute: opens, updates and closes episodes, in the order of their ids.
pub fn step(
    key: &mut KeyState,
    definition: &KeyDefinition<'_>,
    boundary: &Boundary<'_>,
    steps: &[&KeyStep],
    out: &mut KeyOutput,
) {
    if boundary.at_ms % MINUTE_MS != 0 || !definition.is_tenant() {
        return;
    }
    let told: Vec<FailingUser> = steps.iter().flat_map(|step| step.failing.iter().cloned()).collect();
    if (told.is_empty() && key.failing_users.is_none()) || evidence_ms(definition.slo).is_none() {
        return;
    }
    let mut users = *key.failing_users.take().unwrap_or_default();
    let view = key.view(definition, boundary);
    users.take(boundary.at_ms, told, view.last_minute());
    users.suspects.retain_mut(|suspect| {
        let state = suspect.next_state(boundary.at_ms);
        out.cohorts.extend(state.and_then(|state| suspect.record(view, state)));
        // What ended begins anew, if at all.
        state != Some("closed")
    });
    users.open_new(view, out);
    out.cohorts.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    key.failing_users = (!users.suspects.is_empty()).then(|| Box::new(users));
}

/// Ends all episodes: the definition changes, or the key is forgotten.
pub fn close_all(key: &mut KeyState, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, out: &mut KeyOutput) {
    let Some(mut users) = key.failing_users.take() else { return };
    let view = key.view(definition, boundary);
    out.cohorts.extend(users.suspects.iter_mut().filter_map(|suspect| suspect.record(view, "closed")));
    out.cohorts.sort_by(|a, b| a.record.id.cmp(&b.record.id));
}

impl FailingUsers {
    /// Opens the episodes of those with the most evidence, as far as there is room.
    fn open_new(&mut self, view: KeyView<'_>, out: &mut KeyOutput) {
        let is_new = |suspect: &Suspect| {
            let sums = suspect.told.sums();
            let is_failing = suspect.run.minutes > 0 && !suspect.has_ended(view.boundary.at_ms);
            suspect.open.is_none()
                && is_failing
                && suspect.evidence.is_enough()
                && sums.is_below(view.definition.objective)
        };
        let open = self.suspects.iter().filter(|suspect| suspect.open.is_some()).count();
        let mut new: Vec<usize> = (0..self.suspects.len()).filter(|at| is_new(&self.suspects[*at])).collect();
        let e_value = |at: &usize| self.suspects[*at].evidence.e_value();
        new.sort_by(|a, b| e_value(b).total_cmp(&e_value(a)).then(a.cmp(b)));
        new.truncate(OPEN_MAX.saturating_sub(open));
        for (number, at) in new.into_iter().enumerate() {
            let suspect = &mut self.suspects[at];
            suspect.open = Some(OpenUser::begin(view, number));
            out.cohorts.extend(suspect.record(view, "open"));
        }
    }
}

impl OpenUser {
    /// The id does not contain the user's: that of the record may be a pseudonym.
    fn begin(view: KeyView<'_>, number: usize) -> OpenUser {
        let at_ms = view.boundary.at_ms;
        let parts = [view.definition.key_text, KIND, &number.to_string(), &at_ms.to_string()];
        OpenUser { id: alert::short_hash(&parts.join("|")), started_ms: at_ms, seq: 0, bad_events: 0 }
    }
}

impl KeyView<'_> {
    /// The events of the minute before a full minute, as far as they are visible.
    fn last_minute(self) -> Minute {
        let from_ms = self.boundary.at_ms - MINUTE_MS;
        let slices = self.key.windows.slices_of(self.definition.layout, self.definition.layout.five_minutes);
        slices.filter(|(start_ms, _)| *start_ms >= from_ms).fold(Minute::default(), |sum, (_, counts)| Minute {
            events: sum.events + counts.events,
            bad: sum.bad + counts.bad_events,
        })
    }

    /// Events of the tenant's others over a day, beside those of a user.
    fn risk_of(self, user: &FailingUser) -> (Option<Risk>, f64) {
        let day = self.event_counts(self.definition.layout.day);
        let own = Tally { units: user.events as f64, outliers: user.bad_events as f64 };
        let others = Tally {
            units: day.events.saturating_sub(user.events) as f64,
            outliers: day.bad_events.saturating_sub(user.bad_events) as f64,
        };
        (risk_ratio(own, others, 1.0), others.rate())
    }
}

impl Suspect {
    fn record(&mut self, view: KeyView<'_>, state: &str) -> Option<CohortRecord> {
        let (risk, usual) = view.risk_of(&self.told);
        let open = self.open.as_mut()?;
        open.seq += 1;
        open.bad_events = self.told.bad_events;
        let definition = view.definition;
        let (tenant, group) = definition.scope_fields();
        let own = &self.told;
        let allowed =
            (1.0 - definition.objective.as_f64()) * weight_of(view.event_counts(definition.layout.compliance).total());
        let day_bad = view.event_counts(definition.layout.day).bad;
        let record = TailCohort {
            id: open.id.clone(),
            seq: open.seq,
            state: state.to_owned(),
            kind: KIND.to_owned(),
            slo: definition.slo.name.clone(),
            definition_hash: definition.slo.definition_hash.clone(),
            service: definition.slo.service.clone(),
            scope: definition.scope.kind().to_owned(),
            tenant,
            group,
            window: evidence_ms(definition.slo).map(duration::print).unwrap_or_default(),
            at: Moment(view.boundary.at_ms),
            started_at: Moment(open.started_ms),
            rank: None,
            cohort: Vec::new(),
            users_in_tail: Some(1),
            users: Some(1),
            tail_total: None,
            users_total: None,
            risk_ratio: risk.map(|risk| risk.ratio),
            risk_ratio_low: risk.map(|risk| risk.low),
            risk_ratio_high: risk.map(|risk| risk.high),
            bad: Some(weight_of(own.bad)),
            bad_share: (day_bad > 0).then(|| (own.bad as f64 / day_bad as f64).min(1.0)),
            budget_burnt: (allowed > 0.0).then(|| weight_of(own.bad) / allowed),
            p_adjusted: Some((1.0 / self.evidence.e_value()).min(1.0)),
            same_as: None,
            sample_users: Vec::new(),
            alert_id: None,
            summary: summary(view, own, usual, state),
        };
        let Scope::Tenant(tenant) = definition.scope else { return None };
        let (tenant, user) = (tenant.clone(), own.user.to_string());
        let sample = vec![SampleUser { bad_events: own.bad_events, hash: own.hash, tenant, user }];
        Some(CohortRecord { record, sample })
    }
}

/// Who fails how often since when, and how the rest of the tenant fares.
fn summary(view: KeyView<'_>, user: &FailingUser, usual: f64, state: &str) -> String {
    let tenant = if let Scope::Tenant(tenant) = view.definition.scope { tenant } else { "" };
    let (bad, events, slo) = (user.bad_events, user.events, &view.definition.slo.display_name);
    let (since, usual) = (alert::minute_of(user.since_ms), alert::percent(usual));
    let fails = if state == "closed" { "no longer fails more than others; it failed" } else { "fails" };
    format!(
        "{USER} of {tenant} {fails} {bad} of {events} requests since {since}Z, the rest of its tenant {usual} ({slo})"
    )
}

#[cfg(test)]
mod tests;
