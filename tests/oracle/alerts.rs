//! Burn-rate rules, guards and episodes: section 6, one key at one boundary at a time.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::promises::{self, step_agreement};
use crate::replay::Key;
use crate::slo::{Counting, Rule, Severity, Slo};
use crate::time::{DAY_MS, print_duration, print_time, window_start};
use crate::units::Units;

#[derive(Clone, Default)]
pub struct RuleState {
    pub firing_since_ms: Option<i64>,
    pub lowered: bool,
    pub held_back_by: Vec<&'static str>,
    /// Of the rule `budget`: since when its sums were above 0 when it fired.
    pub onset_ms: Option<i64>,
    /// While it fires: the first boundary with evidence that not both windows burn, since they last did.
    calm_since_ms: Option<i64>,
}

impl RuleState {
    pub fn severity(&self, rule: &Rule, cap: Severity) -> Severity {
        let written = if self.lowered && rule.severity == Severity::Page { Severity::Ticket } else { rule.severity };
        if rule.is_sla { written } else { written.min(cap) }
    }
}

/// A firing alert.
pub struct Episode {
    id: String,
    started_at_ms: i64,
    seq: u64,
    set: Vec<usize>,
    lowered: Vec<bool>,
    since_ms: Vec<i64>,
    onset_ms: Vec<Option<i64>>,
    affected: Option<i64>,
    stale: bool,
}

pub type Episodes = BTreeMap<Severity, Episode>;

/// Moves every rule of the key to `at_ms`; returns for each rule that stopped firing the reason.
pub fn step_rules(slo: &Slo, key: &mut Key, at_ms: i64) -> BTreeMap<usize, &'static str> {
    let mut stopped = BTreeMap::new();
    for index in 0..slo.rules.len() {
        let mut state = key.rules[index].clone();
        if slo.rules[index].is_sla {
            let has_rule = slo.has_rule(&slo.rules[index], key.scope, key.tenant.as_deref());
            let stops = step_agreement(slo, key, has_rule.then_some(&mut state), at_ms);
            stopped.extend(stops.map(|reason| (index, reason)));
            key.rules[index] = state;
            continue;
        }
        if let Some(reason) = step_rule(slo, key, index, &mut state, at_ms) {
            stopped.insert(index, reason);
            if slo.rules[index].is_budget {
                key.budget.reset(at_ms);
            }
        }
        key.rules[index] = state;
    }
    stopped
}

/// Ends every firing rule because of missing data.
pub fn stop_rules(key: &mut Key) -> BTreeMap<usize, &'static str> {
    let firing = |i: &usize| key.rules[*i].firing_since_ms.is_some();
    let stopped: BTreeMap<usize, &str> = (0..key.rules.len()).filter(firing).map(|i| (i, "no_data")).collect();
    stopped.keys().for_each(|i| key.rules[*i] = RuleState::default());
    stopped
}

fn step_rule(slo: &Slo, key: &Key, index: usize, state: &mut RuleState, at_ms: i64) -> Option<&'static str> {
    let rule = &slo.rules[index];
    let (long, evidence) = (key.units(at_ms, rule.long_ms), key.units(at_ms, rule.evidence_ms()));
    let burns = |units: &Units| units.exceed(rule.factor, key.allowed);
    let both_burn = burns(&long) && burns(&evidence);
    // A single-window rule fires on its window alone, and calms down when not both windows burn.
    let condition = match rule.short_ms {
        _ if rule.is_budget => key.budget.condition(),
        None => burns(&long),
        Some(_) => both_burn,
    };
    state.held_back_by.clear();
    if state.firing_since_ms.is_some() && condition {
        state.lowered = state.lowered && lowers(slo, key, index, at_ms);
    }
    if state.firing_since_ms.is_none() && condition {
        state.held_back_by = match is_warm(rule, at_ms, key.first_ms) {
            true => held_back_by(slo, key, rule, at_ms),
            false => vec!["not_warm"],
        };
        // A key without events for a day ends with no data, and starts nothing.
        if state.held_back_by.is_empty() && !key.is_silent(at_ms, DAY_MS) {
            let lowered = lowers(slo, key, index, at_ms);
            let calm_since_ms = (!both_burn && !evidence.is_empty()).then_some(at_ms);
            let onset_ms = rule.is_budget.then(|| key.budget.onset_ms());
            *state =
                RuleState { firing_since_ms: Some(at_ms), lowered, calm_since_ms, onset_ms, ..RuleState::default() };
        }
        return None;
    }
    state.firing_since_ms?;
    if rule.is_budget {
        if key.budget.is_over(&key.history, at_ms) {
            *state = RuleState::default();
            return Some("recovered");
        }
    } else if both_burn {
        state.calm_since_ms = None;
    } else if !evidence.is_empty() {
        let calm_since_ms = *state.calm_since_ms.get_or_insert(at_ms);
        if at_ms - calm_since_ms >= slo.resolve_after_ms(rule) {
            *state = RuleState::default();
            return Some("recovered");
        }
    }
    if key.is_silent(at_ms, DAY_MS) {
        *state = RuleState::default();
        return Some("no_data");
    }
    None
}

fn is_warm(rule: &Rule, at_ms: i64, first_ms: Option<i64>) -> bool {
    let Some(age_ms) = first_ms.map(|first_ms| at_ms - first_ms) else { return false };
    match rule.severity {
        _ if rule.is_budget => age_ms >= DAY_MS,
        Severity::Page => age_ms >= rule.evidence_ms(),
        _ => 10 * age_ms >= 9 * rule.long_ms,
    }
}

fn held_back_by(slo: &Slo, key: &Key, rule: &Rule, at_ms: i64) -> Vec<&'static str> {
    let long = key.counted().0.window(at_ms, rule.long_ms);
    let mut guards = Vec::new();
    if key.history.window(at_ms, rule.long_ms).events() < slo.min_events
        && !matches!(slo.counting, Counting::Users { .. })
    {
        guards.push("min_events");
    }
    let expected = key.allowed.as_f64() * long.events() as f64;
    if slo.low_traffic_guard && slo.asks_about_users() && poisson_at_least(long.bad, expected) >= 1e-4 {
        guards.push("low_traffic");
    }
    guards
}

/// P[Poisson(mean) >= count]. Sums the upper tail directly: one minus the lower tail would lose digits.
fn poisson_at_least(count: i64, mean: f64) -> f64 {
    if count as f64 <= mean {
        return 1.0;
    }
    let count = count as f64;
    let mut term = libm::exp(count * libm::log(mean) - mean - libm::lgamma(count + 1.0));
    let (mut sum, mut k) = (term, count);
    while term > sum * 1e-18 {
        k += 1.0;
        term *= mean / k;
        sum += term;
    }
    sum
}

/// Whether the single-user guard lowers a page: one user of several has more than a quarter of the bad events, and
/// without them the long window does not burn too fast. Nothing is lowered if another rule pages already.
fn lowers(slo: &Slo, key: &Key, index: usize, at_ms: i64) -> bool {
    let rule = &slo.rules[index];
    let pages = |other: usize| {
        let state = &key.rules[other];
        state.firing_since_ms.is_some() && !state.lowered && slo.rules[other].severity == Severity::Page
    };
    if rule.severity != Severity::Page || !slo.single_user_guard || !slo.asks_about_users() {
        return false;
    }
    if (0..slo.rules.len()).any(|other| other != index && pages(other)) {
        return false;
    }
    let longest_ms = slo.rules.iter().map(|r| r.long_ms).max().unwrap_or_default();
    if key.counted().1.active_or_nameless(key.history.axis.slice(window_start(at_ms, longest_ms))) < 2 {
        return false;
    }
    let long = key.counted().0.window(at_ms, rule.long_ms);
    let of_one = key.counted().1.most_bad_of_one(key.history.axis.slice(window_start(at_ms, rule.long_ms)));
    let rest_burns =
        rule.factor.times(key.allowed).exceeded_by((long.bad - of_one).into(), (long.events() - of_one).into());
    4 * of_one > long.bad && !rest_burns
}

/// The alert records of a key at `at_ms`, in the order page, ticket, info.
pub fn step_episodes(
    slo: &Slo,
    key: &mut Key,
    at_ms: i64,
    stopped: &BTreeMap<usize, &'static str>,
) -> Vec<(Severity, Value)> {
    let mut episodes = std::mem::take(&mut key.episodes);
    let mut records = Vec::new();
    for severity in [Severity::Page, Severity::Ticket, Severity::Info] {
        let fires = |i: &usize| {
            key.rules[*i].firing_since_ms.is_some() && key.rules[*i].severity(&slo.rules[*i], key.cap) == severity
        };
        let set: Vec<usize> = (0..slo.rules.len()).filter(fires).collect();
        let episode = episodes.remove(&severity);
        if let Some((record, episode)) = step_episode(slo, key, at_ms, severity, set, episode, stopped) {
            records.extend(record.map(|r| (severity, r)));
            episodes.extend(episode.map(|e| (severity, e)));
        }
    }
    key.episodes = episodes;
    records
}

type Stepped = (Option<Value>, Option<Episode>);

fn step_episode(
    slo: &Slo,
    key: &Key,
    at_ms: i64,
    severity: Severity,
    set: Vec<usize>,
    episode: Option<Episode>,
    stopped: &BTreeMap<usize, &'static str>,
) -> Option<Stepped> {
    let stale = key.is_silent(at_ms, slo.no_data_after_ms);
    let (mut episode, state) = match episode {
        None if set.is_empty() => return None,
        None => (Episode::open(key, severity, at_ms), "firing"),
        Some(mut episode) if set.is_empty() => {
            let reason = resolved_reason(key, &episode, stopped);
            // A rule that went on to page is not lowered any more; one that recovered is shown as it fired.
            for (lowered, rule) in episode.lowered.iter_mut().zip(&episode.set) {
                *lowered &= key.rules[*rule].firing_since_ms.is_none() || key.rules[*rule].lowered;
            }
            return Some((
                Some(record(slo, key, at_ms, severity, &episode.next(), "resolved", Some(reason), stale)),
                None,
            ));
        }
        Some(episode) => (episode, "update"),
    };
    let changed = episode.set != set;
    let affected = affected(slo, key, &set, at_ms).0;
    let doubled = affected.unwrap_or(0) >= 2 * episode.affected.unwrap_or(0).max(1);
    episode.lowered = set.iter().map(|i| key.rules[*i].lowered).collect();
    episode.onset_ms = set.iter().map(|i| key.rules[*i].onset_ms).collect();
    episode.since_ms = set.iter().map(|i| key.rules[*i].firing_since_ms.unwrap_or(at_ms)).collect();
    episode.set = set;
    let goes_stale = stale && !episode.stale;
    if state == "update" && !changed && !doubled && !goes_stale {
        return Some((None, Some(episode)));
    }
    let episode = Episode { affected, stale, ..episode.next() };
    Some((Some(record(slo, key, at_ms, severity, &episode, state, None, stale)), Some(episode)))
}

fn resolved_reason(key: &Key, episode: &Episode, stopped: &BTreeMap<usize, &'static str>) -> &'static str {
    let raised = episode.set.iter().any(|i| key.rules[*i].firing_since_ms.is_some());
    let no_data = episode.set.iter().any(|i| stopped.get(i) == Some(&"no_data"));
    match (raised, no_data) {
        (true, _) => "raised",
        (_, true) => "no_data",
        _ => "recovered",
    }
}

impl Episode {
    fn open(key: &Key, severity: Severity, at_ms: i64) -> Self {
        let id = short_hash(&format!("{}|{}|{at_ms}", key.name, severity.name()));
        let (set, lowered, since_ms, onset_ms) = Default::default();
        Self { id, started_at_ms: at_ms, seq: 0, set, lowered, since_ms, onset_ms, affected: None, stale: false }
    }

    fn next(self) -> Self {
        Self { seq: self.seq + 1, ..self }
    }
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Affected and active users over the smallest long window of a set.
fn affected(slo: &Slo, key: &Key, set: &[usize], at_ms: i64) -> (Option<i64>, Option<i64>) {
    let longs = set.iter().filter(|i| !slo.rules[**i].is_sla).map(|i| slo.rules[*i].long_ms);
    let Some(long_ms) = longs.min() else { return (None, None) };
    let start = key.history.axis.slice(window_start(at_ms, long_ms));
    (key.users.affected(start), key.users.active(start))
}

#[expect(clippy::too_many_arguments, reason = "a record is all of this")]
fn record(
    slo: &Slo,
    key: &Key,
    at_ms: i64,
    severity: Severity,
    episode: &Episode,
    state: &str,
    reason: Option<&str>,
    stale: bool,
) -> Value {
    let compliance = promises::compliance(slo, key, at_ms);
    let (affected, active) = affected(slo, key, &episode.set, at_ms);
    let rules: Vec<Value> = (0..episode.set.len()).map(|n| rule_entry(slo, key, at_ms, episode, n)).collect();
    let mut record = Map::new();
    let mut put = |name: &str, value: Value| record.insert(name.to_owned(), value);
    put("id", json!(episode.id));
    put("dedup_key", json!(short_hash(&format!("{}|{}", key.name, severity.name()))));
    put("seq", json!(episode.seq));
    put("state", json!(state));
    put("severity", json!(severity.name()));
    put("slo", json!(slo.name));
    put("scope", json!(key.scope));
    put("tenant", json!(key.tenant));
    put("group", json!(key.group));
    put("at", json!(print_time(at_ms)));
    put("started_at", json!(print_time(episode.started_at_ms)));
    put("ended_at", json!(reason.map(|_| print_time(at_ms))));
    put("resolved_reason", json!(reason));
    put("data", json!(if stale { "stale" } else { "complete" }));
    put("rules", json!(rules));
    put("sli", json!(compliance.sli(key.allowed)));
    put("budget_remaining", json!(promises::budget_remaining(slo, key, at_ms)));
    put("affected_users", json!(affected));
    put("users_active", json!(active));
    Value::Object(record)
}

fn rule_entry(slo: &Slo, key: &Key, at_ms: i64, episode: &Episode, n: usize) -> Value {
    let rule = &slo.rules[episode.set[n]];
    let burn = |window_ms: i64| key.units(at_ms, window_ms).burn(key.allowed);
    let has_windows = !rule.is_sla;
    json!({
        "rule": rule.name(),
        "long_window": has_windows.then(|| print_duration(rule.long_ms)),
        "short_window": rule.short_ms.map(print_duration),
        "factor": has_windows.then(|| rule.factor.as_f64()),
        "burn_long": burn(rule.long_ms).filter(|_| has_windows),
        "burn_short": rule.short_ms.and_then(burn),
        "since": print_time(episode.since_ms[n]),
        "onset": episode.onset_ms[n].map(print_time),
        "lowered_by": if episode.lowered[n] { vec!["single_user"] } else { vec![] },
    })
}

#[test]
fn the_poisson_tail_has_the_guards_minimum_counts() {
    for (expected, least) in [(0.01, 2), (0.06, 3), (0.1, 4), (0.6, 6), (1.0, 7), (6.0, 18)] {
        assert!(poisson_at_least(least, expected) < 1e-4, "{least} of {expected}");
        assert!(poisson_at_least(least - 1, expected) >= 1e-4, "{} of {expected}", least - 1);
    }
}
