//! The tail of a key: at each step of a user window whether its users are hit by chance (contract, section 12), and the
//! episodes `tail_degraded`, in which the aggregate looks fine and some users do not.
//!
//! It runs after the cohorts of the same boundary: an open cohort is what tells `systemic` from `unexplained`.

use super::alert::{self, GIVE_UP_AFTER_MS};
use super::cohort::Attributes;
use super::cohort_tracker::{CohortRecord, values_of};
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::{KeyOutput, KeyState};
use super::key_view::{KeyView, allowed_share};
use super::partial::{KeyStep, SampleUser, keep_worst};
use super::signal::dispersion::{self, DispersionSums, TrailingRho, Verdict};
use crate::model::duration;
use crate::model::output::{self, AttributeValue, TailCohort, UserWindow};
use crate::model::ratio::Ratio;
use crate::model::slo::RuleKind;
use crate::model::time::{DAY_MS, HOUR_MS, Moment, Ms, slice_ms};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The kind of its records in tail-cohorts.
pub const KIND: &str = "tail_degraded";
/// The worst 1 % of the users must fail at more than this many times the allowed rate.
pub const WORST_BURN_MIN: u64 = 10;

/// What a key remembers of the users of one window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    pub window_ms: Ms,
    trailing: TrailingRho,
    /// Steps in a row that were a degraded tail, and that were not.
    hits: u8,
    misses: u8,
    pub open: Option<OpenTail>,
}

/// An open episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenTail {
    pub id: String,
    pub started_ms: Ms,
    seq: u64,
    /// What the last record said.
    cohort: Attributes,
    users: u64,
}

/// After how many steps in a row an episode of a window opens and closes; `None`: the window has no rule.
const fn steps_of(window_ms: Ms) -> Option<(u8, u8)> {
    match window_ms {
        HOUR_MS => Some((3, 15)),
        DAY_MS => Some((2, 3)),
        _ => None,
    }
}

impl Tail {
    /// Whether the next step may change something though its users do not.
    pub const fn is_active(&self) -> bool {
        self.open.is_some() || self.hits > 0
    }

    /// Counts a step. Whether the episode is to open or to close follows from it.
    fn count(&mut self, is_degraded: bool) {
        let (more, other) =
            if is_degraded { (&mut self.hits, &mut self.misses) } else { (&mut self.misses, &mut self.hits) };
        *more = more.saturating_add(1);
        *other = 0;
    }
}

/// Takes the steps of this boundary.
pub fn step(
    key: &mut KeyState,
    definition: &KeyDefinition<'_>,
    boundary: &Boundary<'_>,
    steps: &[&KeyStep],
    out: &mut KeyOutput,
) {
    for (index, window_ms) in definition.slo.user_windows_ms.iter().copied().enumerate() {
        if window_ms > dispersion::WINDOW_MS_MAX || boundary.at_ms % slice_ms(window_ms) != 0 {
            continue;
        }
        let of_window: Vec<&KeyStep> = steps.iter().copied().filter(|step| step.window_ms == window_ms).collect();
        let Some(users) = key.judge(index, window_ms, boundary.at_ms, &of_window) else { continue };
        if let Some((opens_after, closes_after)) = steps_of(window_ms) {
            let is_degraded = is_degraded(key.view(definition, boundary), &users);
            key.tell_tail(definition, boundary, (window_ms, opens_after, closes_after), is_degraded, &of_window, out);
        }
    }
    if key.is_silent(boundary.at_ms, GIVE_UP_AFTER_MS) {
        close_where(key, definition, boundary, &|_| true, out);
    }
    for (state, spec) in key.rules.iter_mut().zip(definition.specs).filter(|(_, spec)| spec.kind == RuleKind::Tail) {
        let is_open = key.tails.iter().any(|tail| tail.window_ms == spec.rule.long_ms && tail.open.is_some());
        state.follow(is_open, boundary.at_ms);
    }
    let is_ours = |cohort: &CohortRecord| cohort.record.kind == KIND && cohort.record.state != "closed";
    if out.cohorts.iter().any(is_ours) {
        let alert_id = alert::firing(key.view(definition, boundary)).map(|alert| alert.id);
        let own = out.cohorts.iter_mut().filter(|cohort| is_ours(cohort));
        own.for_each(|cohort| cohort.record.alert_id.clone_from(&alert_id));
    }
    out.cohorts.sort_by(|a, b| a.record.id.cmp(&b.record.id));
}

/// Ends the episodes of windows that are no longer examined; of all windows if the key is forgotten.
pub fn close_where(
    key: &mut KeyState,
    definition: &KeyDefinition<'_>,
    boundary: &Boundary<'_>,
    ends: &dyn Fn(Ms) -> bool,
    out: &mut KeyOutput,
) {
    let mut tails = std::mem::take(&mut key.tails);
    for tail in tails.iter_mut().filter(|tail| ends(tail.window_ms)) {
        if let Some(mut open) = tail.open.take() {
            out.cohorts.push(open.record(key.view(definition, boundary), tail.window_ms, "closed", Vec::new()));
        }
        (tail.hits, tail.misses) = (0, 0);
    }
    key.tails = tails;
}

/// Whether the aggregate is fine and the tail is not.
fn is_degraded(view: KeyView<'_>, users: &UserWindow) -> bool {
    let hour = view.counts(view.definition.layout.hour);
    let allowed = view.definition.objective.complement().unwrap_or(Ratio::ZERO);
    let is_fine = match view.key.units.as_deref().and_then(|units| units.own_burn(view.definition.layout.hour)) {
        Some(burn) => burn.is_some_and(|burn| burn <= 1.0),
        None => hour.total() > 0 && allowed.compare_share(hour.bad, hour.total()) != Ordering::Greater,
    };
    let is_real = users.dispersion.as_ref().is_some_and(|d| Verdict::is_tail(&d.verdict));
    let worst = users.worst_1pct_error_mean_estimate.unwrap_or(0.0);
    is_fine && is_real && worst > WORST_BURN_MIN as f64 * allowed_share(view.definition.objective)
}

impl KeyState {
    /// Gives the window's new figures their dispersion.
    fn judge(&mut self, index: usize, window_ms: Ms, at_ms: Ms, steps: &[&KeyStep]) -> Option<UserWindow> {
        let mut all = DispersionSums::default();
        steps.iter().for_each(|step| all.merge(&step.distribution.dispersion));
        let figures = all.figures();
        let has_cohort = self.cohorts.is_open(window_ms);
        let trailing = self.tails.iter().find(|tail| tail.window_ms == window_ms).map_or(0.0, |t| t.trailing.get());
        let verdict = Verdict::of(&figures, trailing, has_cohort);
        if let (Verdict::Random, Some(rho), 0) = (verdict, figures.rho, at_ms % HOUR_MS) {
            self.tail_of(window_ms).trailing.add(rho);
        }
        let published = output::Dispersion {
            z: figures.z,
            z_without_largest: figures.z_without_largest,
            rho: figures.rho,
            verdict: verdict.as_str().to_owned(),
        };
        self.users.get_mut(index)?.as_mut().map(|users| users.set_dispersion(published))
    }

    /// What is remembered of a window; few keys have something to remember.
    fn tail_of(&mut self, window_ms: Ms) -> &mut Tail {
        let at = self.tails.iter().position(|tail| tail.window_ms == window_ms).unwrap_or_else(|| {
            self.tails.push(Tail { window_ms, ..Tail::default() });
            self.tails.len() - 1
        });
        &mut self.tails[at]
    }

    /// Opens, updates or closes the episode of a window.
    fn tell_tail(
        &mut self,
        definition: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        (window_ms, opens_after, closes_after): (Ms, u8, u8),
        is_degraded: bool,
        steps: &[&KeyStep],
        out: &mut KeyOutput,
    ) {
        if !is_degraded && !self.tails.iter().any(|tail| tail.window_ms == window_ms && tail.is_active()) {
            return;
        }
        self.tail_of(window_ms).count(is_degraded);
        let mut tail = std::mem::take(self.tail_of(window_ms));
        let view = self.view(definition, boundary);
        let leading = self.cohorts.leading_of(window_ms).unwrap_or_default();
        let users = self.users_of(window_ms).map_or(0, |users| users.below_objective);
        let state = match &mut tail.open {
            None if tail.hits >= opens_after => {
                tail.open = Some(OpenTail::begin(view, window_ms));
                Some("open")
            }
            None => None,
            Some(_) if tail.misses >= closes_after => Some("closed"),
            Some(open) => (open.cohort != leading || users >= 2 * open.users.max(1)).then_some("update"),
        };
        if let (Some(state), Some(open)) = (state, &mut tail.open) {
            (open.cohort, open.users) = (leading, users);
            out.cohorts.push(open.record(view, window_ms, state, sample_of(steps)));
            if state == "closed" {
                tail.open = None;
            }
        }
        *self.tail_of(window_ms) = tail;
    }
}

/// The users below the objective with the most bad events.
fn sample_of(steps: &[&KeyStep]) -> Vec<SampleUser> {
    let mut sample: Vec<SampleUser> =
        steps.iter().flat_map(|step| &step.cube).flat_map(|leaf| leaf.sample.iter().cloned()).collect();
    keep_worst(&mut sample);
    sample
}

impl OpenTail {
    fn begin(view: KeyView<'_>, window_ms: Ms) -> OpenTail {
        let at_ms = view.boundary.at_ms;
        let parts = [view.definition.key_text, KIND, &duration::print(window_ms), &at_ms.to_string()];
        OpenTail { id: alert::short_hash(&parts.join("|")), started_ms: at_ms, seq: 0, cohort: Vec::new(), users: 0 }
    }

    fn record(&mut self, view: KeyView<'_>, window_ms: Ms, state: &str, sample: Vec<SampleUser>) -> CohortRecord {
        self.seq += 1;
        let (window, users) = (duration::print(window_ms), view.key.users_of(window_ms));
        let (tenant, group) = view.definition.scope_fields();
        let below = users.as_ref().map(|users| users.below_objective);
        let all = users.as_ref().map(|users| users.users);
        let record = TailCohort {
            id: self.id.clone(),
            seq: self.seq,
            state: state.to_owned(),
            kind: KIND.to_owned(),
            slo: view.definition.slo.name.clone(),
            definition_hash: view.definition.slo.definition_hash.clone(),
            service: view.definition.slo.service.clone(),
            scope: view.definition.scope.kind().to_owned(),
            tenant,
            group,
            at: Moment(view.boundary.at_ms),
            started_at: Moment(self.started_ms),
            rank: None,
            cohort: values_of(&self.cohort),
            users_in_tail: below,
            users: all,
            tail_total: below,
            users_total: all,
            risk_ratio: None,
            risk_ratio_low: None,
            risk_ratio_high: None,
            bad: None,
            bad_share: None,
            budget_burnt: None,
            p_adjusted: None,
            same_as: None,
            sample_users: Vec::new(),
            alert_id: None,
            summary: self.summary(view, &window, state, users.as_ref()),
            window,
        };
        CohortRecord { record, sample }
    }

    /// At most 200 characters: who is hit, how hard, while the aggregate looks fine.
    fn summary(&self, view: KeyView<'_>, window: &str, state: &str, users: Option<&UserWindow>) -> String {
        let name = view.definition.name_in_words();
        if state == "closed" {
            let after = duration::short_words(view.boundary.at_ms - self.started_ms);
            return alert::shortened(format!("{name}: the tail of the users recovered after {after}"));
        }
        let worst = users.and_then(|users| users.worst_1pct_error_mean_estimate).unwrap_or(0.0) * 100.0;
        let burn = view.burn(view.definition.layout.hour).unwrap_or(0.0);
        let who = in_words(&values_of(&self.cohort));
        alert::shortened(format!(
            "{name}: fine overall ({burn:.2}x burn in 1h), but the worst 1 % of users see {worst:.0} % errors in {window}; {who}"
        ))
    }
}

/// Who is hit.
pub fn in_words(cohort: &[AttributeValue]) -> String {
    if cohort.is_empty() {
        return "no recorded attribute explains it".to_owned();
    }
    let pairs: Vec<String> = cohort.iter().map(|pair| format!("{}={}", pair.attribute, pair.value)).collect();
    format!("mostly {}", pairs.join(","))
}
