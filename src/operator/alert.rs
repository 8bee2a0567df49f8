//! Alerts: one per (key, severity), in episodes, each record numbered within its episode.
//!
//! `burn_rate` decides what fires; this module only writes the records.

use super::burn_rate::{RuleState, alerts_are_off};
use super::key_state::{KeyFacts, KeyState, Moments};
use super::status::{allowed_share, burn_of, name_of, scope_fields, sli_of};
use crate::model::duration;
use crate::model::key::Scope;
use crate::model::output::{AlertCohort, AlertRule, BurnAlert};
use crate::model::slo::Severity;
use crate::model::time::{HOUR_MS, Moment, Ms};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A firing alert resolves with reason `no_data` after this long without an event of its key.
pub const GIVE_UP_AFTER_MS: Ms = 24 * HOUR_MS;

/// The state of an open alert between its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub started_ms: Ms,
    seq: u64,
    /// The rules in its last record: (rule, since, lowered).
    rules: Vec<FiringRule>,
    /// `affected_users` in its last record.
    affected_users: u64,
    pub is_stale: bool,
    /// All bad events of the key when it started, in micro-weights.
    bad_at_start: u128,
    pub cohort: Option<AlertCohort>,
    /// One of its records named a cohort.
    knows_cohort: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FiringRule {
    rule: usize,
    since_ms: Ms,
    lowered: bool,
}

/// How an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    Recovered,
    Raised,
    NoData,
    DefinitionChanged,
    Removed,
}

impl Resolved {
    pub const fn as_str(self) -> &'static str {
        match self {
            Resolved::Recovered => "recovered",
            Resolved::Raised => "raised",
            Resolved::NoData => "no_data",
            Resolved::DefinitionChanged => "definition_changed",
            Resolved::Removed => "removed",
        }
    }
}

/// The first 32 hex digits of the SHA-256 of a text.
pub fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// Writes the changes of a key's alerts at one boundary, most severe first.
pub fn step(key: &mut KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>, out: &mut Vec<BurnAlert>) {
    let given_up = has_given_up(key, now);
    if given_up {
        key.rules.iter_mut().filter(|r| r.firing_since_ms.is_some()).for_each(|r| *r = RuleState::default());
    }
    if alerts_are_off(facts.slo, matches!(facts.scope, Scope::Tenant(_))) {
        return;
    }
    let is_stale = key.is_silent(now.at_ms, facts.slo.no_data_after_ms);
    for severity in Severity::ORDER {
        let firing = firing_rules(key, facts, severity);
        let slot = slot_of(severity);
        match (key.episodes[slot].take(), firing.is_empty()) {
            (None, true) => {}
            (None, false) => {
                let (record, episode) = open(key, facts, now, severity, firing, is_stale);
                key.episodes[slot] = Some(Box::new(episode));
                out.push(record);
            }
            (Some(mut episode), false) => {
                let record = update(key, facts, now, severity, firing, is_stale, &mut episode);
                key.episodes[slot] = Some(episode);
                out.extend(record);
            }
            (Some(mut episode), true) => {
                let reason = match () {
                    () if given_up => Resolved::NoData,
                    () if was_raised(key, facts, severity, &episode) => Resolved::Raised,
                    () => Resolved::Recovered,
                };
                out.push(close(key, facts, now, severity, &mut episode, is_stale, reason));
            }
        }
    }
}

/// Ends every open alert of a key, because its window ran empty or its definition is gone.
pub fn close_all(key: &mut KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>, why: Resolved, out: &mut Vec<BurnAlert>) {
    let is_stale = key.is_silent(now.at_ms, facts.slo.no_data_after_ms);
    for severity in Severity::ORDER {
        if let Some(mut episode) = key.episodes[slot_of(severity)].take() {
            // Rules that the new definition lacks have no figures any more.
            episode.rules.retain(|r| r.rule < facts.specs.len());
            out.push(close(key, facts, now, severity, &mut episode, is_stale, why));
        }
    }
}

/// The open alerts of a key as in their last records, with current figures: for the API after a task was restored.
pub fn standing(key: &KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>) -> Vec<BurnAlert> {
    let of = |severity: Severity| {
        let mut episode = key.episodes[slot_of(severity)].clone()?;
        // Not published, so it keeps the number of the last record.
        episode.seq -= 1;
        let state = if episode.seq == 0 { "firing" } else { "update" };
        Some(write(key, facts, now, severity, &mut episode, state, None))
    };
    Severity::ORDER.into_iter().filter_map(of).collect()
}

/// The most severe firing alert.
pub struct Firing {
    pub id: String,
    /// The smallest long window of its rules.
    pub window_ms: Ms,
}

/// The most severe firing alert after the rules' step, including one that starts now.
pub fn firing(key: &KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>) -> Option<Firing> {
    if has_given_up(key, now) {
        return None;
    }
    Severity::ORDER.into_iter().find_map(|severity| {
        let rules = firing_rules(key, facts, severity);
        let window = rules.iter().map(|r| facts.specs[r.rule].long).min()?;
        let started_ms = key.episodes[slot_of(severity)].as_ref().map_or(now.at_ms, |e| e.started_ms);
        Some(Firing { id: id_of(facts, severity, started_ms), window_ms: facts.layout.windows_ms[window] })
    })
}

fn has_given_up(key: &KeyState, now: &Moments<'_>) -> bool {
    key.is_silent(now.at_ms, GIVE_UP_AFTER_MS)
}

fn id_of(facts: &KeyFacts<'_>, severity: Severity, started_ms: Ms) -> String {
    short_hash(&format!("{}|{}|{started_ms}", facts.key_text, severity.as_str()))
}

/// The index of an alert by its severity.
pub const fn slot_of(severity: Severity) -> usize {
    severity as usize
}

fn firing_rules(key: &KeyState, facts: &KeyFacts<'_>, severity: Severity) -> Vec<FiringRule> {
    let of_rule = |(rule, state): (usize, &RuleState)| {
        let since_ms = state.firing_since_ms?;
        let same = state.severity(&facts.specs[rule], facts.cap) == severity;
        same.then_some(FiringRule { rule, since_ms, lowered: state.lowered })
    };
    key.rules.iter().enumerate().filter_map(of_rule).collect()
}

fn was_raised(key: &KeyState, facts: &KeyFacts<'_>, severity: Severity, episode: &Episode) -> bool {
    episode.rules.iter().any(|r| {
        let state = &key.rules[r.rule];
        state.firing_since_ms.is_some() && state.severity(&facts.specs[r.rule], facts.cap) > severity
    })
}

fn open(
    key: &KeyState,
    facts: &KeyFacts<'_>,
    now: &Moments<'_>,
    severity: Severity,
    rules: Vec<FiringRule>,
    is_stale: bool,
) -> (BurnAlert, Episode) {
    let mut episode = Episode {
        started_ms: now.at_ms,
        seq: 0,
        rules,
        affected_users: 0,
        is_stale,
        bad_at_start: key.all_bad,
        cohort: key.leading_cohort.clone(),
        knows_cohort: false,
    };
    (write(key, facts, now, severity, &mut episode, "firing", None), episode)
}

fn update(
    key: &KeyState,
    facts: &KeyFacts<'_>,
    now: &Moments<'_>,
    severity: Severity,
    rules: Vec<FiringRule>,
    is_stale: bool,
    episode: &mut Episode,
) -> Option<BurnAlert> {
    let same_set = rules.iter().map(|r| r.rule).eq(episode.rules.iter().map(|r| r.rule));
    episode.rules = rules;
    let affected = users_of(key, facts, now, episode).0.unwrap_or(0);
    let doubled = affected >= 2 * episode.affected_users.max(1);
    let turned_stale = is_stale && !episode.is_stale;
    // The first cohort is published at once; a later change of the leading cohort waits for the next record.
    let named = key.leading_cohort.is_some() && !episode.knows_cohort;
    episode.cohort.clone_from(&key.leading_cohort);
    if same_set && !doubled && !turned_stale && !named {
        return None;
    }
    episode.is_stale = is_stale;
    Some(write(key, facts, now, severity, episode, "update", None))
}

fn close(
    key: &KeyState,
    facts: &KeyFacts<'_>,
    now: &Moments<'_>,
    severity: Severity,
    episode: &mut Episode,
    is_stale: bool,
    reason: Resolved,
) -> BurnAlert {
    episode.is_stale = is_stale;
    // A rule that went on to page is shown as it is now; one that ended, as it was.
    for rule in episode.rules.iter_mut().filter(|r| key.rules[r.rule].firing_since_ms.is_some()) {
        rule.lowered = key.rules[rule.rule].lowered;
    }
    write(key, facts, now, severity, episode, "resolved", Some(reason))
}

/// `affected_users` and `users_active`, over the smallest long window of the alert's rules.
fn users_of(key: &KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>, episode: &Episode) -> (Option<u64>, Option<u64>) {
    let start_ms = now.starts.windows_ms[smallest_long(facts, episode)];
    let active = key.seen.users_since(start_ms);
    if active == 0 { (None, None) } else { (Some(key.bad_seen.users_since(start_ms)), Some(active)) }
}

fn smallest_long(facts: &KeyFacts<'_>, episode: &Episode) -> usize {
    let longs = episode.rules.iter().map(|r| facts.specs[r.rule].long);
    // Windows are numbered in ascending order of length.
    longs.min().unwrap_or(facts.layout.hour)
}

fn write(
    key: &KeyState,
    facts: &KeyFacts<'_>,
    now: &Moments<'_>,
    severity: Severity,
    episode: &mut Episode,
    state: &str,
    resolved: Option<Resolved>,
) -> BurnAlert {
    episode.seq += 1;
    let (affected_users, users_active) = users_of(key, facts, now, episode);
    episode.affected_users = affected_users.unwrap_or(0);
    episode.knows_cohort |= episode.cohort.is_some();
    let slo = facts.slo;
    let compliance = &key.windows.sum(facts.layout.compliance).counts;
    let rules: Vec<AlertRule> = episode.rules.iter().map(|r| rule_fields(key, facts, r)).collect();
    let (tenant, group) = scope_fields(facts);
    let mut record = BurnAlert {
        id: id_of(facts, severity, episode.started_ms),
        dedup_key: short_hash(&format!("{}|{}", facts.key_text, severity.as_str())),
        seq: episode.seq,
        state: state.to_owned(),
        severity: severity.as_str().to_owned(),
        slo: slo.name.clone(),
        definition_hash: slo.definition_hash.clone(),
        service: slo.service.clone(),
        display_name: slo.display_name.clone(),
        labels: slo.labels.clone(),
        scope: facts.scope.kind().to_owned(),
        tenant,
        group,
        at: Moment(now.at_ms),
        started_at: Moment(episode.started_ms),
        ended_at: resolved.map(|_| Moment(now.at_ms)),
        resolved_reason: resolved.map(|r| r.as_str().to_owned()),
        data: data_word(episode.is_stale, now.is_incomplete).to_owned(),
        rules,
        sli: sli_of(compliance),
        budget_remaining: burn_of(compliance, facts.objective).map(|burn| 1.0 - burn),
        budget_spent_since_start: spent_since_start(key, facts, episode),
        exhaustion_at: None,
        affected_users,
        users_active,
        cohort: episode.cohort.clone(),
        title: String::new(),
        summary: String::new(),
        owner: slo.documentation.owner.clone(),
        runbook_url: slo.documentation.runbook.clone(),
        dashboard_url: slo.documentation.dashboard.clone(),
        exemplars: key.windows.exemplars(facts.layout, smallest_long(facts, episode)),
    };
    record.title = title(facts, &record, resolved);
    record.summary = summary(key, facts, now, episode, &record, resolved);
    record
}

const fn data_word(is_stale: bool, is_incomplete: bool) -> &'static str {
    match (is_stale, is_incomplete) {
        (true, _) => "stale",
        (false, true) => "incomplete",
        (false, false) => "complete",
    }
}

fn rule_fields(key: &KeyState, facts: &KeyFacts<'_>, firing: &FiringRule) -> AlertRule {
    let rule = &facts.slo.rules[firing.rule];
    let spec = &facts.specs[firing.rule];
    let burn = |window: usize| burn_of(&key.windows.sum(window).counts, facts.objective);
    AlertRule {
        rule: rule.name(),
        long_window: duration::print(rule.long_ms),
        short_window: rule.short_ms.map(duration::print),
        factor: rule.factor.as_f64(),
        burn_long: burn(spec.long),
        // A rule with a single window has no short one and no figure for it.
        burn_short: rule.short_ms.and_then(|_| burn(spec.short)),
        since: Moment(firing.since_ms),
        onset: None,
        lowered_by: if firing.lowered { vec!["single_user".to_owned()] } else { Vec::new() },
    }
}

/// The share of the compliance window's budget spent since the alert started.
fn spent_since_start(key: &KeyState, facts: &KeyFacts<'_>, episode: &Episode) -> Option<f64> {
    let events = key.windows.sum(facts.layout.compliance).counts.total();
    let allowed = allowed_share(facts.objective) * events as f64;
    (allowed > 0.0).then(|| key.all_bad.saturating_sub(episode.bad_at_start) as f64 / allowed)
}

fn title(facts: &KeyFacts<'_>, alert: &BurnAlert, resolved: Option<Resolved>) -> String {
    let burn = alert.rules.iter().filter_map(|r| r.burn_long).fold(0.0, f64::max);
    match resolved {
        Some(why) => format!("{}: {} resolved ({})", name_of(facts), alert.severity, why.in_short()),
        None => format!("{}: error budget burns at {burn:.1}x ({})", name_of(facts), alert.severity),
    }
}

impl Resolved {
    /// Why an alert ended, in words.
    const fn in_short(self) -> &'static str {
        match self {
            Resolved::Recovered => "recovered",
            Resolved::Raised => "it is a page now",
            Resolved::NoData => "no data",
            Resolved::DefinitionChanged => "its SLO was changed",
            Resolved::Removed => "its SLO was removed",
        }
    }

    fn after(self, duration_ms: Ms) -> String {
        let after = duration::short_words(duration_ms);
        match self {
            Resolved::Recovered => format!("recovered after {after}"),
            Resolved::Raised => format!("became a page after {after}"),
            Resolved::NoData => format!("ended after {after} because no data came any more"),
            Resolved::DefinitionChanged => format!("ended after {after} because its SLO was changed"),
            Resolved::Removed => format!("ended after {after} because its SLO was removed"),
        }
    }
}

const SUMMARY_CHARS: usize = 200;

/// At most 200 characters: what, who, how fast, since when.
fn summary(
    key: &KeyState,
    facts: &KeyFacts<'_>,
    now: &Moments<'_>,
    episode: &Episode,
    alert: &BurnAlert,
    resolved: Option<Resolved>,
) -> String {
    let how = match resolved {
        Some(why) => why.after(now.at_ms - episode.started_ms),
        None => how_fast(now, facts, episode, alert),
    };
    let cohort = alert.cohort.as_ref().map_or_else(String::new, |c| {
        let pairs: Vec<String> = c.cohort.iter().map(|p| format!("{}={}", p.attribute, p.value)).collect();
        format!(", mostly {}", pairs.join(","))
    });
    let (name, who) = (name_of(facts), who(key, facts, episode, alert));
    let text = format!("{name} {how}, {who}{cohort}, since {}Z", minute_of(episode.started_ms));
    if text.chars().count() <= SUMMARY_CHARS {
        return text;
    }
    text.chars().take(SUMMARY_CHARS - 1).chain(std::iter::once('…')).collect()
}

/// The fastest burn, and the span that was counted: a window begins with a whole slice, so it can be one slice shorter
/// than its name.
fn how_fast(now: &Moments<'_>, facts: &KeyFacts<'_>, episode: &Episode, alert: &BurnAlert) -> String {
    let burns = alert.rules.iter().zip(&episode.rules).filter_map(|(told, rule)| Some((told.burn_long?, rule)));
    let Some((burn, rule)) = burns.max_by(|a, b| a.0.total_cmp(&b.0)) else {
        return "has no events in its windows".to_owned();
    };
    let start_ms = now.starts.windows_ms[facts.specs[rule.rule].long];
    let rules: Vec<&str> = alert.rules.iter().map(|r| r.rule.as_str()).collect();
    let (from, to) = (minute_of(start_ms), Moment(now.at_ms).to_string());
    let to = to.get(11..19).unwrap_or_default();
    format!("burns {burn:.1}x its budget ({}; counted from {from} to {to}Z)", rules.join(", "))
}

fn who(key: &KeyState, facts: &KeyFacts<'_>, episode: &Episode, alert: &BurnAlert) -> String {
    let window = smallest_long(facts, episode);
    match (alert.affected_users, alert.users_active) {
        (Some(affected), Some(active)) => format!("{affected} of {active} users affected"),
        _ if key.windows.sum(window).counts.events == 0 => {
            format!("no events in the last {}", duration::print(facts.layout.windows_ms[window]))
        }
        _ => "no user ids".to_owned(),
    }
}

/// Day and minute, as in `2026-05-29T17:01`.
fn minute_of(ms: Ms) -> String {
    let text = Moment(ms).to_string();
    text.get(..16).unwrap_or(&text).to_owned()
}
