//! Alerts: one per (key, severity), in episodes, each record numbered within its episode.
//!
//! `burn_rate` decides what fires; this module only writes the records.

use super::burn_rate::{RuleState, alerts_are_off};
use super::episode::{Episode, FiringRule, Resolved, slot_of};
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::KeyState;
use super::key_view::{KeyView, allowed_share};
use super::sla;
use super::tail_episode;
use crate::model::duration;
use crate::model::hex;
use crate::model::output::{AlertRule, BurnAlert};
use crate::model::slo::{RuleKind, Severity};
use crate::model::time::{HOUR_MS, Moment, Ms};
use sha2::{Digest, Sha256};

/// A firing alert resolves with reason `no_data` after this long without an event of its key.
pub const GIVE_UP_AFTER_MS: Ms = 24 * HOUR_MS;

/// The first 32 hex digits of the SHA-256 of a text.
pub fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

/// Writes the changes of a key's alerts at one boundary, most severe first.
pub fn step(key: &mut KeyState, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, out: &mut Vec<BurnAlert>) {
    let given_up = has_given_up(key, boundary.at_ms);
    if given_up {
        key.stop_rules(definition, boundary);
    }
    for severity in Severity::ORDER {
        let slot = slot_of(severity);
        let before = key.episodes[slot].take();
        let view = key.view(definition, boundary);
        let rules = firing_rules(view, severity);
        let (record, episode) = match (before, rules.is_empty()) {
            (None, true) => (None, None),
            (None, false) => {
                let (record, episode) = open(view, severity, rules);
                (Some(record), Some(Box::new(episode)))
            }
            (Some(mut episode), false) => (update(view, severity, rules, &mut episode), Some(episode)),
            (Some(mut episode), true) => {
                let reason = match () {
                    () if given_up => Resolved::NoData,
                    () if was_raised(view, severity, &episode) => Resolved::Raised,
                    () => Resolved::Recovered,
                };
                (Some(close(view, severity, &mut episode, reason)), None)
            }
        };
        key.episodes[slot] = episode;
        out.extend(record);
    }
}

/// Ends every open alert of a key, because its window ran empty or its definition is gone.
pub fn close_all(
    key: &mut KeyState,
    definition: &KeyDefinition<'_>,
    boundary: &Boundary<'_>,
    why: Resolved,
    out: &mut Vec<BurnAlert>,
) {
    for severity in Severity::ORDER {
        if let Some(mut episode) = key.episodes[slot_of(severity)].take() {
            // Rules that the new definition lacks have no figures any more.
            episode.rules.retain(|r| r.rule < definition.specs.len());
            out.push(close(key.view(definition, boundary), severity, &mut episode, why));
        }
    }
}

/// The most severe firing alert.
pub struct Firing {
    pub id: String,
    /// The smallest long window of its rules.
    pub window_ms: Ms,
}

/// The most severe firing alert after the rules' step, including one that starts now.
pub fn firing(view: KeyView<'_>) -> Option<Firing> {
    if has_given_up(view.key, view.boundary.at_ms) {
        return None;
    }
    Severity::ORDER.into_iter().find_map(|severity| {
        let rules = firing_rules(view, severity);
        let window = smallest(view.definition, &rules)?;
        let started_ms = view.key.episodes[slot_of(severity)].as_ref().map_or(view.boundary.at_ms, |e| e.started_ms);
        Some(Firing {
            id: id_of(view.definition, severity, started_ms),
            window_ms: view.definition.layout.windows_ms[window],
        })
    })
}

fn has_given_up(key: &KeyState, at_ms: Ms) -> bool {
    key.is_silent(at_ms, GIVE_UP_AFTER_MS)
}

fn id_of(definition: &KeyDefinition<'_>, severity: Severity, started_ms: Ms) -> String {
    short_hash(&format!("{}|{}|{started_ms}", definition.key_text, severity.as_str()))
}

fn firing_rules(view: KeyView<'_>, severity: Severity) -> Vec<FiringRule> {
    let is_off = alerts_are_off(view.definition.slo, view.definition.is_tenant());
    let of_rule = |(rule, state): (usize, &RuleState)| {
        // What switches off the alerts of tenants does not switch off their agreements.
        let since_ms =
            state.firing_since_ms.filter(|_| !is_off || view.definition.specs[rule].kind == RuleKind::Sla)?;
        let same = state.severity(&view.definition.specs[rule], view.definition.cap) == severity;
        same.then_some(FiringRule { rule, since_ms, lowered: state.lowered })
    };
    view.key.rules.iter().enumerate().filter_map(of_rule).collect()
}

fn was_raised(view: KeyView<'_>, severity: Severity, episode: &Episode) -> bool {
    episode.rules.iter().any(|r| {
        let state = &view.key.rules[r.rule];
        state.firing_since_ms.is_some()
            && state.severity(&view.definition.specs[r.rule], view.definition.cap) > severity
    })
}

fn open(view: KeyView<'_>, severity: Severity, rules: Vec<FiringRule>) -> (BurnAlert, Episode) {
    let mut episode = Episode {
        started_ms: view.boundary.at_ms,
        seq: 0,
        rules,
        affected_users: 0,
        is_stale: view.is_stale(),
        bad_at_start: view.all_bad(),
        cohort: view.key.leading_cohort.clone(),
        knows_cohort: false,
    };
    (write(view, severity, &mut episode, "firing", None), episode)
}

fn update(view: KeyView<'_>, severity: Severity, rules: Vec<FiringRule>, episode: &mut Episode) -> Option<BurnAlert> {
    let same_set = rules.iter().map(|r| r.rule).eq(episode.rules.iter().map(|r| r.rule));
    episode.rules = rules;
    let affected = users_of(view, episode).0.unwrap_or(0);
    let doubled = affected >= 2 * episode.affected_users.max(1);
    let is_stale = view.is_stale();
    let turned_stale = is_stale && !episode.is_stale;
    // The first cohort is published at once; a later change of the leading cohort waits for the next record.
    let named = view.key.leading_cohort.is_some() && !episode.knows_cohort;
    episode.cohort.clone_from(&view.key.leading_cohort);
    if same_set && !doubled && !turned_stale && !named {
        return None;
    }
    episode.is_stale = is_stale;
    Some(write(view, severity, episode, "update", None))
}

fn close(view: KeyView<'_>, severity: Severity, episode: &mut Episode, reason: Resolved) -> BurnAlert {
    episode.is_stale = view.is_stale();
    // A rule that went on to page is shown as it is now; one that ended, as it was.
    for rule in episode.rules.iter_mut().filter(|r| view.key.rules[r.rule].firing_since_ms.is_some()) {
        rule.lowered = view.key.rules[rule.rule].lowered;
    }
    write(view, severity, episode, "resolved", Some(reason))
}

/// `affected_users` and `users_active`, over the smallest long window of the alert's rules.
fn users_of(view: KeyView<'_>, episode: &Episode) -> (Option<u64>, Option<u64>) {
    let Some(long) = smallest_long(view.definition, episode) else { return (None, None) };
    let start_ms = view.start_ms(long);
    let active = view.key.seen.users_since(start_ms);
    if active == 0 { (None, None) } else { (Some(view.key.bad_seen.users_since(start_ms)), Some(active)) }
}

/// `None`: only the rule `sla` fires, which has no window.
fn smallest_long(definition: &KeyDefinition<'_>, episode: &Episode) -> Option<usize> {
    smallest(definition, &episode.rules)
}

fn smallest(definition: &KeyDefinition<'_>, rules: &[FiringRule]) -> Option<usize> {
    let specs = rules.iter().map(|firing| &definition.specs[firing.rule]);
    // Windows are numbered in ascending order of length.
    specs.filter(|spec| spec.kind != RuleKind::Sla).map(|spec| spec.long).min()
}

fn write(
    view: KeyView<'_>,
    severity: Severity,
    episode: &mut Episode,
    state: &str,
    resolved: Option<Resolved>,
) -> BurnAlert {
    episode.seq += 1;
    let (affected_users, users_active) = users_of(view, episode);
    episode.affected_users = affected_users.unwrap_or(0);
    episode.knows_cohort |= episode.cohort.is_some();
    let slo = view.definition.slo;
    let rules: Vec<AlertRule> = episode.rules.iter().map(|r| rule_fields(view, r)).collect();
    let (tenant, group) = view.definition.scope_fields();
    let mut record = BurnAlert {
        id: id_of(view.definition, severity, episode.started_ms),
        dedup_key: short_hash(&format!("{}|{}", view.definition.key_text, severity.as_str())),
        seq: episode.seq,
        state: state.to_owned(),
        severity: severity.as_str().to_owned(),
        slo: slo.name.clone(),
        definition_hash: slo.definition_hash.clone(),
        service: slo.service.clone(),
        display_name: slo.display_name.clone(),
        labels: slo.labels.clone(),
        scope: view.definition.scope.kind().to_owned(),
        tenant,
        group,
        at: Moment(view.boundary.at_ms),
        started_at: Moment(episode.started_ms),
        ended_at: resolved.map(|_| Moment(view.boundary.at_ms)),
        resolved_reason: resolved.map(|r| r.as_str().to_owned()),
        data: data_word(episode.is_stale, view.boundary.is_incomplete).to_owned(),
        rules,
        sli: view.sli(view.definition.layout.compliance),
        budget_remaining: view.budget_remaining(),
        budget_spent_since_start: spent_since_start(view, episode),
        exhaustion_at: view.key.forecast.as_ref().and_then(|forecast| forecast.p50_ms).map(Moment),
        affected_users,
        users_active,
        cohort: episode.cohort.clone(),
        title: String::new(),
        summary: String::new(),
        owner: slo.documentation.owner.clone(),
        runbook_url: slo.documentation.runbook.clone(),
        dashboard_url: slo.documentation.dashboard.clone(),
        exemplars: smallest_long(view.definition, episode)
            .map_or_else(Vec::new, |long| view.key.windows.exemplars(view.definition.layout, long)),
    };
    record.title = title(view, episode, &record, resolved);
    record.summary = summary(view, episode, &record, resolved);
    record
}

const fn data_word(is_stale: bool, is_incomplete: bool) -> &'static str {
    match (is_stale, is_incomplete) {
        (true, _) => "stale",
        (false, true) => "incomplete",
        (false, false) => "complete",
    }
}

fn rule_fields(view: KeyView<'_>, firing: &FiringRule) -> AlertRule {
    let spec = &view.definition.specs[firing.rule];
    let rule = &spec.rule;
    let bank = view.key.budget.as_ref().filter(|_| spec.kind == RuleKind::Budget);
    let has_windows = spec.kind != RuleKind::Sla;
    AlertRule {
        rule: spec.name(),
        long_window: has_windows.then(|| duration::print(rule.long_ms)),
        short_window: rule.short_ms.map(duration::print),
        factor: has_windows.then(|| rule.factor.as_f64()),
        burn_long: view.burn(spec.long).filter(|_| has_windows),
        // A rule with a single window has no short one and no figure for it.
        burn_short: rule.short_ms.and_then(|_| view.burn(spec.short)),
        since: Moment(firing.since_ms),
        onset: bank.and_then(|bank| bank.onset_ms()).map(Moment),
        lowered_by: if firing.lowered { vec!["single_user".to_owned()] } else { Vec::new() },
    }
}

/// The share of the compliance window's budget spent since the alert started.
fn spent_since_start(view: KeyView<'_>, episode: &Episode) -> Option<f64> {
    if view.definition.slo.counts_users() {
        // A user who was bad before is no new one: windows of users do not add up.
        return None;
    }
    let events = view.compliance().total();
    // A calendar's budget is that of the whole period.
    let part = if view.boundary.starts.spans.is_some() { view.covered() } else { 1.0 };
    let allowed = allowed_share(view.definition.objective) * events as f64 / part;
    (events > 0 && allowed > 0.0).then(|| view.all_bad().saturating_sub(episode.bad_at_start) as f64 / allowed)
}

fn title(view: KeyView<'_>, episode: &Episode, alert: &BurnAlert, resolved: Option<Resolved>) -> String {
    let burn = alert.rules.iter().filter_map(|r| r.burn_long).fold(0.0, f64::max);
    let definition = view.definition;
    match resolved {
        Some(why) => format!("{}: {} resolved ({})", definition.name_in_words(), alert.severity, why.in_short()),
        None if is_of_a_tail(view, episode) => {
            format!("{}: some users are served badly ({})", definition.name_in_words(), alert.severity)
        }
        None if smallest_long(definition, episode).is_none() => {
            format!("{}: the agreement {} ({})", definition.name_in_words(), sla::verdict(view), alert.severity)
        }
        None => format!("{}: error budget burns at {burn:.1}x ({})", definition.name_in_words(), alert.severity),
    }
}

const SUMMARY_CHARS: usize = 200;

/// At most 200 characters: what, how fast, who, since when. What was counted is left out first.
fn summary(view: KeyView<'_>, episode: &Episode, alert: &BurnAlert, resolved: Option<Resolved>) -> String {
    let (how, counted) = match resolved {
        Some(why) => (why.after(view.boundary.at_ms - episode.started_ms), String::new()),
        None if is_of_a_tail(view, episode) => (how_bad_for_some(view, episode), String::new()),
        None if smallest_long(view.definition, episode).is_none() => (sla::in_words(view), String::new()),
        None => how_fast(view, episode, alert),
    };
    let cohort = match &alert.cohort {
        Some(cohort) => format!(", {}", tail_episode::in_words(&cohort.cohort)),
        None if resolved.is_none() && is_of_a_tail(view, episode) => format!(", {}", tail_episode::in_words(&[])),
        None => String::new(),
    };
    let name = view.definition.name_in_words();
    // An alert about an agreement alone counts no users.
    let who = smallest_long(view.definition, episode).map(|_| format!(", {}", who(view, episode, alert)));
    let who = who.unwrap_or_default();
    let since = minute_of(episode.started_ms);
    let text = |counted: &str| format!("{name} {how}{counted}{who}{cohort}, since {since}Z");
    let full = text(&counted);
    if full.chars().count() <= SUMMARY_CHARS { full } else { shortened(text("")) }
}

/// A summary of at most 200 characters.
pub fn shortened(text: String) -> String {
    if text.chars().count() <= SUMMARY_CHARS {
        return text;
    }
    text.chars().take(SUMMARY_CHARS - 1).chain(std::iter::once('…')).collect()
}

/// Whether nothing but rules about tails fires.
fn is_of_a_tail(view: KeyView<'_>, episode: &Episode) -> bool {
    episode.rules.iter().all(|rule| view.definition.specs[rule.rule].kind == RuleKind::Tail)
}

/// What the users in the tail see while the aggregate is fine.
fn how_bad_for_some(view: KeyView<'_>, episode: &Episode) -> String {
    let layout = view.definition.layout;
    let long = smallest_long(view.definition, episode).unwrap_or(layout.hour);
    let (window, users) = (layout.name_of(long), view.key.users_of(layout.windows_ms[long]));
    let worst = users.and_then(|users| users.worst_1pct_error_mean_estimate).unwrap_or(0.0) * 100.0;
    format!("is fine overall, but its worst 1 % of users see {worst:.0} % errors in {window}")
}

/// Why it fires: the burns of the rule that burns fastest and what that cost; and since when events were counted: a window
/// begins with a whole slice, so it can be one slice shorter than its name.
fn how_fast(view: KeyView<'_>, episode: &Episode, alert: &BurnAlert) -> (String, String) {
    let burns = alert.rules.iter().zip(&episode.rules).filter_map(|(told, rule)| Some((told.burn_long?, told, rule)));
    let Some((burn, told, rule)) = burns.max_by(|a, b| a.0.total_cmp(&b.0)) else {
        return ("has no events in its windows".to_owned(), String::new());
    };
    let long = view.definition.specs[rule.rule].long;
    let window = told.long_window.as_deref().unwrap_or_default();
    let short = told.burn_short.zip(told.short_window.as_deref());
    let short = short.map(|(burn, window)| format!(" and {burn:.1}x over {window}")).unwrap_or_default();
    let cost = view.spent_in(long).map(|share| {
        format!(
            ": {} of the {} budget",
            percent(share),
            view.definition.layout.name_of(view.definition.layout.compliance)
        )
    });
    let how = format!("burns its budget {burn:.1}x over {}{short}{}", window, cost.unwrap_or_default());
    (how, format!(" (counted from {}Z)", minute_of(view.start_ms(long))))
}

/// A share with two digits that count.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent >= 9.95 => format!("{percent:.0} %"),
        percent if percent >= 0.0995 => format!("{percent:.1} %"),
        percent => format!("{percent:.2} %"),
    }
}

fn who(view: KeyView<'_>, episode: &Episode, alert: &BurnAlert) -> String {
    let window = smallest_long(view.definition, episode);
    match (alert.affected_users, alert.users_active) {
        (Some(affected), Some(active)) => format!("{affected} of {active} users affected"),
        _ if window.is_some_and(|window| view.counts(window).events == 0) => {
            let window = window.map(|window| view.definition.layout.name_of(window)).unwrap_or_default();
            format!("no events in the last {window}")
        }
        _ => "no user ids".to_owned(),
    }
}

/// Day and minute, as in `2026-05-29T17:01`.
pub(super) fn minute_of(ms: Ms) -> String {
    let text = Moment(ms).to_string();
    text.get(..16).unwrap_or(&text).to_owned()
}
