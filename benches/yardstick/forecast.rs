//! Forecasts of when the budget is gone, and the rule `exhaustion`: how many exhaustions it sees coming, how long before, how
//! often it is wrong about a healthy SLO, and how often the truth lies between the published p10 and p90.

use crate::START_MS;
use crate::budget::{delta, slo};
use crate::dice::{Dice, median};
use tailburn::model::key::Scope;
use tailburn::model::output::Forecast;
use tailburn::model::slo::Slo;
use tailburn::model::time::{HOUR_MS, Ms, PANE_MS};
use tailburn::operator::key_definition::{Boundary, KeyIdentity};
use tailburn::operator::key_state::{KeyOutput, KeyState};
use tailburn::operator::window::Layout;

const ALLOWED: f64 = 0.001;
const PERIOD_HOURS: usize = 28 * 24;
/// The rule asks about so many hours.
const AHEAD_HOURS: f64 = 72.0;
const EVENTS_AN_HOUR: f64 = 20_000.0;
/// The share of the budget that is used before.
const USED: f64 = 0.5;
/// Forecasts are judged once the leak is so old, every so many hours.
const JUDGED_AFTER_HOURS: usize = 48;
const JUDGED_EVERY_HOURS: usize = 6;

/// How the errors of hours differ.
#[derive(Clone, Copy)]
enum Noise {
    Even,
    Hourly,
    Drifting,
    Bursts,
}

const NOISES: [(Noise, &str); 4] = [
    (Noise::Even, "even"),
    (Noise::Hourly, "hours differ (lognormal)"),
    (Noise::Drifting, "hours drift (20 h)"),
    (Noise::Bursts, "one hour in ten, 8 x"),
];

/// One key, hour by hour.
struct Hours<'a> {
    slo: &'a Slo,
    layout: &'a Layout,
    identity: KeyIdentity,
    state: KeyState,
    dice: Dice,
    noise: Noise,
    drift: f64,
    at_ms: Ms,
    /// Events and bad ones of each hour.
    past: Vec<(f64, f64)>,
}

/// What an hour says.
struct Said {
    fires: bool,
    forecast: Option<Forecast>,
}

impl<'a> Hours<'a> {
    fn new(slo: &'a Slo, layout: &'a Layout, noise: Noise, seed: u64) -> Hours<'a> {
        let identity = KeyIdentity::of(slo, layout, Scope::Aggregate);
        let (state, dice) = (KeyState::new(slo, layout, &Scope::Aggregate), Dice(seed));
        Hours { slo, layout, identity, state, dice, noise, drift: 0.0, at_ms: START_MS, past: Vec::new() }
    }

    /// The next hour, at this burn rate on average.
    fn next(&mut self, burn: f64) -> Said {
        self.at_ms += HOUR_MS;
        let hour = self.past.len() as f64;
        let wave = 1.0 + 0.7 * libm::sin(hour / 24.0 * std::f64::consts::TAU);
        let factor = match self.noise {
            Noise::Even => 1.0,
            Noise::Hourly => libm::exp(0.8 * self.dice.normal() - 0.32),
            Noise::Drifting => {
                self.drift = 0.95 * self.drift + 0.6 * libm::sqrt(1.0 - 0.95 * 0.95) * self.dice.normal();
                libm::exp(self.drift - 0.18)
            }
            Noise::Bursts if self.dice.unit() < 0.1 => 8.0,
            Noise::Bursts => 0.2 / 0.9,
        };
        let events = self.dice.poisson(EVENTS_AN_HOUR * wave);
        let bad = self.dice.poisson(events as f64 * ALLOWED * burn * factor).min(events);
        self.past.push((events as f64, bad as f64));
        let starts = self.layout.starts_at(self.at_ms);
        let boundary = Boundary::without_statuses(self.at_ms, &starts);
        let definition = self.identity.definition(self.slo, self.layout);
        let delta = delta(self.at_ms - PANE_MS, events, bad, bad.max(1));
        let mut out = KeyOutput::default();
        self.state.advance(&definition, &boundary);
        self.state.apply(&definition, &boundary, &[&delta]);
        self.state.evaluate(&definition, &boundary, &[], &mut out);
        let mut rules = self.state.rules.iter().zip(definition.specs);
        let fires = rules.any(|(rule, spec)| spec.name() == "exhaustion" && rule.firing_since_ms.is_some());
        Said { fires, forecast: out.status.and_then(|status| status.forecast) }
    }

    fn is_exhausted(&self) -> bool {
        let window = self.past.iter().rev().take(PERIOD_HOURS);
        let (events, bad) = window.fold((0.0, 0.0), |(n, x), (events, bad)| (n + events, x + bad));
        bad >= ALLOWED * events
    }
}

/// A leak after a healthy period.
struct Leak {
    /// Hours from the first alarm to the exhaustion; `None`: no alarm before it.
    lead: Option<f64>,
    /// Forecasts, those above p10 and below p90.
    judged: usize,
    within: usize,
    below: usize,
}

/// `None`: the budget was not gone within a period.
fn leak(slo: &Slo, layout: &Layout, noise: Noise, burn: f64, seed: u64) -> Option<Leak> {
    let mut hours = Hours::new(slo, layout, noise, seed);
    for _ in 0..PERIOD_HOURS + 24 {
        hours.next(USED);
    }
    let (mut alarm, mut said) = (None, Vec::new());
    for hour in 0..PERIOD_HOURS {
        let now = hours.next(burn);
        if now.fires {
            alarm.get_or_insert(hour);
        }
        if hours.is_exhausted() {
            let end_ms = hours.at_ms;
            let mut leak = Leak {
                lead: alarm.filter(|at| *at < hour).map(|at| (hour - at) as f64),
                judged: 0,
                within: 0,
                below: 0,
            };
            for forecast in said {
                let Forecast { exhaustion_p10: p10, exhaustion_p90: p90, .. } = forecast;
                leak.judged += 1;
                if p10.is_none_or(|p10| end_ms < p10.0) {
                    leak.below += 1;
                } else if p90.is_none_or(|p90| end_ms <= p90.0) {
                    leak.within += 1;
                }
            }
            return Some(leak);
        }
        if hour >= JUDGED_AFTER_HOURS && hour % JUDGED_EVERY_HOURS == 0 {
            said.extend(now.forecast);
        }
    }
    None
}

/// False alarms of a healthy SLO in a month after the first: it uses this share of its budget, and has an incident.
fn healthy(slo: &Slo, layout: &Layout, noise: Noise, used: f64, seed: u64) -> usize {
    let mut hours = Hours::new(slo, layout, noise, seed);
    let (mut alarms, mut was_on, mut incident) = (0, false, 0..0);
    for hour in 0..2 * PERIOD_HOURS {
        if hour % PERIOD_HOURS == 0 {
            let from = hour + hours.dice.below(PERIOD_HOURS - 6);
            incident = from..from + 4;
        }
        let is_on = hours.next(if incident.contains(&hour) { 10.0 } else { used }).fires;
        // A budget that is gone is no false alarm.
        if hour >= PERIOD_HOURS && is_on && !was_on && !hours.is_exhausted() {
            alarms += 1;
        }
        was_on = is_on;
    }
    alarms
}

pub fn forecast(seeds: u64) {
    let slo = slo(", tailburn.dev/forecast-alerts: ticket");
    let layout = Layout::of(&slo);
    println!("A leak after a period with half the budget used; {seeds} seeds for each burn rate of 1.5, 2, 3 and 4");
    println!(
        "{:<30}{:>8}{:>10}{:>14}{:>16}{:>16}{:>12}  goal",
        "errors of hours", "leaks", "seen", "median lead", "within p10-p90", "before p10", "false"
    );
    for (noise, name) in NOISES {
        let seed = |burn: usize, seed: u64| 7_000 + seed * 10 + burn as u64;
        let burns = [1.5, 2.0, 3.0, 4.0];
        let leaks: Vec<Leak> = (0..seeds)
            .flat_map(|s| burns.iter().enumerate().map(move |(at, burn)| (*burn, seed(at, s))))
            .filter_map(|(burn, seed)| leak(&slo, &layout, noise, burn, seed))
            .collect();
        let seen = leaks.iter().filter(|leak| leak.lead.is_some()).count() as f64 / leaks.len().max(1) as f64;
        let lead = median(leaks.iter().filter_map(|leak| leak.lead).collect()).unwrap_or(f64::NAN);
        let sum = |of: &dyn Fn(&Leak) -> usize| leaks.iter().map(of).sum::<usize>() as f64;
        let judged = sum(&|leak| leak.judged).max(1.0);
        let used = [0.3, 0.5, 0.7];
        let months = seeds as f64 * used.len() as f64;
        let alarms: usize = (0..seeds)
            .flat_map(|s| used.map(|used| (used, 30_000 + s)))
            .map(|(used, seed)| healthy(&slo, &layout, noise, used, seed))
            .sum();
        println!(
            "{name:<30}{:>8}{seen:>10.2}{:>14}{:>14.0} %{:>14.0} %{:>12.2}  seen >= .95, lead >= {:.0} h, within 75-85 %, false <= 0.1 a month",
            leaks.len(),
            format!("{lead:.0} h"),
            100.0 * sum(&|leak| leak.within) / judged,
            100.0 * sum(&|leak| leak.below) / judged,
            alarms as f64 / months,
            0.75 * AHEAD_HOURS
        );
    }
}
