//! When the burn-rate rules of an aggregate fire, boundary by boundary, as section 6 of the contract has it.

use super::count::{DAY, HOUR, MINUTE, Unit, start, within};
use std::collections::{BTreeMap, BTreeSet};

/// The factor is a fraction, as all that is compared here.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub long: i64,
    pub short: i64,
    pub factor: (u128, u128),
    pub is_page: bool,
    /// A single window: firing asks the long one alone.
    pub is_single: bool,
}

impl Rule {
    pub fn new(name: &str, long: i64, short: i64, factor: (u128, u128), is_page: bool) -> Rule {
        Rule { name: name.to_owned(), long, short, factor, is_page, is_single: !name.contains('/') }
    }
}

/// The default rules of a period of so many days.
pub fn defaults(days: u128) -> Vec<Rule> {
    vec![
        Rule::new("1h/5m", HOUR, 5 * MINUTE, (2 * days * 24, 100), true),
        Rule::new("6h/30m", 6 * HOUR, 30 * MINUTE, (5 * days * 4, 100), true),
        Rule::new("1d/2h", DAY, 2 * HOUR, (10 * days, 100), false),
        Rule::new("3d/6h", 3 * DAY, 6 * HOUR, (10 * days, 300), false),
    ]
}

/// What a key's rules ask.
pub struct Key<'a> {
    pub rules: &'a [Rule],
    /// What burns: events or slices. A composite has several lists, with the allowed share in millionths and a weight.
    pub parts: &'a [(Vec<Unit>, u128, u128)],
    /// The events of the key: since when it is there, and when it last was.
    pub events: &'a [Unit],
    /// What guards count, and what of it is allowed to be bad.
    pub counted: &'a [Unit],
    pub allowed: f64,
    pub min_events: usize,
    /// Guards about chance and single users.
    pub guards: bool,
}

#[derive(Default)]
struct State {
    firing: Option<(bool, i64)>,
    calm: Option<i64>,
}

/// All (severity, rule, since) of the alerts up to a boundary.
pub fn fired(key: &Key<'_>, end: i64) -> BTreeSet<(&'static str, String, i64)> {
    let mut fired = BTreeSet::new();
    let mut states: Vec<State> = key.rules.iter().map(|_| State::default()).collect();
    let Some(begin) = key.events.iter().map(|e| e.visible).min() else { return fired };
    let longest = key.rules.iter().map(|rule| rule.long).max().unwrap_or(0);
    for t in (begin..=end).step_by(10_000) {
        let seen: Vec<i64> = key.events.iter().filter(|e| e.visible <= t).map(|e| e.time).collect();
        let first = seen.iter().min().map_or(t, |time| time.div_euclid(10_000) * 10_000);
        let last = seen.iter().max().map_or(t, |time| time.div_euclid(10_000) * 10_000);
        for (i, rule) in key.rules.iter().enumerate() {
            let short = key.burns(t, rule.short, rule.factor);
            let long = key.burns(t, rule.long, rule.factor);
            let both = short == Some(true) && long == Some(true);
            let fires = if rule.is_single { long == Some(true) } else { both };
            let pages = |(j, other): (usize, &State)| j != i && matches!(other.firing, Some((true, _)));
            let other_pages = states.iter().enumerate().any(pages);
            let page = || rule.is_page && (other_pages || !key.is_one_user(t, rule, longest));
            let state = &mut states[i];
            match state.firing {
                None => {
                    let warm = if rule.is_page { t - first >= rule.short } else { 10 * (t - first) >= 9 * rule.long };
                    if warm && fires && t - last <= DAY && !key.is_held_back(t, rule.long) {
                        *state = State { firing: Some((page(), t)), calm: None };
                    }
                }
                Some((is_paging, since)) => {
                    if both {
                        state.calm = None;
                        state.firing = Some((is_paging || page(), since));
                    } else if short.is_some() {
                        let calm = *state.calm.get_or_insert(t);
                        if t - calm >= rule.short.max(15 * MINUTE) {
                            state.firing = None;
                        }
                    }
                    if t - last > DAY {
                        state.firing = None;
                    }
                }
            }
            if let Some((is_paging, since)) = states[i].firing {
                fired.insert((if is_paging { "page" } else { "ticket" }, rule.name.clone(), since));
            }
        }
    }
    fired
}

impl Key<'_> {
    /// Whether a window burns faster than a factor; `None`: it holds nothing.
    fn burns(&self, t: i64, window: i64, factor: (u128, u128)) -> Option<bool> {
        let from = start(t, window);
        let sums = |units: &[Unit]| {
            let inside = units.iter().filter(|u| u.visible <= t && (from..t).contains(&u.time));
            inside.fold((0, 0), |(all, bad), u| (all + u.good + u.bad, bad + u.bad))
        };
        if let [(units, allowed, _)] = self.parts {
            let (all, bad) = sums(units);
            return (all > 0).then(|| bad * 1_000_000 * factor.1 > all * allowed * factor.0);
        }
        let mut burn: Option<(f64, f64)> = None;
        for (units, allowed, weight) in self.parts {
            let (all, bad) = sums(units);
            if all > 0 {
                let part = bad as f64 / all as f64 / (*allowed as f64 / 1e6);
                let (sum, weights) = burn.unwrap_or((0.0, 0.0));
                burn = Some((sum + *weight as f64 * part, weights + *weight as f64));
            }
        }
        burn.map(|(sum, weights)| sum / weights > factor.0 as f64 / factor.1 as f64)
    }

    fn is_held_back(&self, t: i64, window: i64) -> bool {
        let inside = within(self.counted, start(t, window), t);
        if inside.len() < self.min_events {
            return true;
        }
        let bad = inside.iter().filter(|u| u.bad > 0).count();
        // P[Poisson(mean) >= bad], by the terms below it.
        let mean = self.allowed * inside.len() as f64;
        let mut term = libm::exp(-mean);
        let mut below = 0.0;
        for k in 0..bad {
            below += term;
            term *= mean / (k + 1) as f64;
        }
        self.guards && 1.0 - below >= 1e-4
    }

    /// Whether it is the trouble of one user.
    fn is_one_user(&self, t: i64, rule: &Rule, longest: i64) -> bool {
        let active = within(self.counted, start(t, longest), t);
        let users: BTreeSet<_> = active.iter().filter_map(|u| u.who.as_deref()).collect();
        let inside = within(self.counted, start(t, rule.long), t);
        let mut bad: BTreeMap<&str, usize> = BTreeMap::new();
        for unit in inside.iter().filter(|u| u.bad > 0) {
            *bad.entry(unit.who.as_deref().unwrap_or("")).or_default() += 1;
        }
        let (all, worst) = (bad.values().sum::<usize>(), bad.values().max().copied().unwrap_or(0));
        let (n, factor) = ((inside.len() - worst) as f64, rule.factor.0 as f64 / rule.factor.1 as f64);
        let rest = (all - worst) as f64 / n / self.allowed;
        self.guards && users.len() >= 2 && 4 * worst > all && (n == 0.0 || rest <= factor)
    }
}
