//! Signs that an SLI does not measure what it should: it never fails, always fails, or lacks what it reads.
//!
//! All of them are rare where an SLI is right. Only [`is_never_bad`] needs nothing but a key's windows, so only it is a
//! flag of the status; `no_data`, `degraded_data` and null figures of users show the others there.

use super::partial::Counts;
use crate::model::ratio::Ratio;
use std::cmp::Ordering;

/// Without a bad event among fewer events than this there is nothing to say.
pub const NEVER_BAD_EVENTS: u64 = 100_000;
/// And so many bad events the objective must allow among them: a good service of a strict objective has none for long.
const NEVER_BAD_ALLOWED: u128 = 100;

/// A defect of an SLI, by its name in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// No event counts.
    NoEvents,
    /// Over 1 % of the events are neither good nor bad.
    Unclassified,
    /// No event of very many is bad.
    NeverBad,
    /// The budget burns faster than it lasts, hour after hour.
    ConstantBurn,
    /// Most events have no user, so nothing can be said of users.
    NoUser,
}

impl Defect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Defect::NoEvents => "no_events",
            Defect::Unclassified => "unclassified",
            Defect::NeverBad => "never_bad",
            Defect::ConstantBurn => "constant_burn",
            Defect::NoUser => "no_user",
        }
    }
}

/// What was seen of one SLO.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub good: u64,
    pub bad: u64,
    pub unclassified: u64,
    /// Of the good and bad events, those without a user.
    pub without_user: u64,
    pub hours: Hours,
}

/// The hours of one SLO that have enough events to tell its burn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hours {
    pub told: u64,
    /// Of these, the ones in which the budget burnt faster than it lasts.
    pub over: u64,
}

/// So many hours must tell, and this share of them must be over: an incident is shorter.
const HOURS_MIN: u64 = 24;
const HOURS_OVER_PERCENT: u64 = 95;
/// Fewer events than this say nothing about users.
const WITHOUT_USER_EVENTS: u64 = 100;

impl Hours {
    /// Adds one hour, if the objective allows at least one bad event of so many.
    pub fn add(&mut self, bad: u64, events: u64, objective: Ratio) {
        let Some(allowed) = objective.complement() else { return };
        if allowed.compare_share(1, events.into()) == Ordering::Greater {
            return;
        }
        self.told += 1;
        self.over += u64::from(allowed.compare_share(bad.into(), events.into()) == Ordering::Greater);
    }

    fn burn_constantly(self) -> bool {
        self.told >= HOURS_MIN && self.over * 100 >= self.told * HOURS_OVER_PERCENT
    }
}

/// What is wrong with an SLI, as far as what was seen of it tells.
pub fn defects(seen: &Seen, objective: Ratio) -> Vec<Defect> {
    let events = seen.good + seen.bad;
    let judged = Counts { events, bad_events: seen.bad, ..Counts::default() };
    let all = [
        (events == 0 && seen.unclassified == 0, Defect::NoEvents),
        (seen.unclassified * 100 > events + seen.unclassified, Defect::Unclassified),
        (is_never_bad(&judged, objective), Defect::NeverBad),
        (seen.hours.burn_constantly(), Defect::ConstantBurn),
        (events >= WITHOUT_USER_EVENTS && seen.without_user * 2 > events, Defect::NoUser),
    ];
    all.iter().filter(|(is_there, _)| *is_there).map(|(_, defect)| *defect).collect()
}

/// Whether so many events without a bad one say that none can be bad.
pub fn is_never_bad(counts: &Counts, objective: Ratio) -> bool {
    let allowed = |allowed: Ratio| u128::from(counts.events) * u128::from(allowed.num) / u128::from(allowed.den.max(1));
    counts.bad_events == 0
        && counts.events >= NEVER_BAD_EVENTS
        && objective.complement().is_some_and(|share| allowed(share) >= NEVER_BAD_ALLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::random::Random;

    fn ratio(text: &str) -> Ratio {
        Ratio::parse(text).expect("a ratio")
    }

    fn told(objective: &str, seen: Seen) -> Vec<Defect> {
        defects(&seen, ratio(objective))
    }

    #[test]
    fn an_sli_that_never_fails_needs_many_events_to_be_told() {
        let of = |good, bad, objective: &str| told(objective, Seen { good, bad, ..Seen::default() });
        assert_eq!(of(100_000, 0, "0.999"), [Defect::NeverBad]);
        assert_eq!(of(99_999, 0, "0.999"), []);
        assert_eq!(of(100_000, 1, "0.999"), []);
        assert_eq!(of(100_000, 0, "0.99"), [Defect::NeverBad]);
        // Of 100,000 events 99.99 % allows 10 bad ones: a service that is ten times better has none every third time.
        assert_eq!(of(999_999, 0, "0.9999"), []);
        assert_eq!(of(1_000_000, 0, "0.9999"), [Defect::NeverBad]);
    }

    #[test]
    fn a_burn_is_constant_if_nearly_every_hour_of_a_day_is_over() {
        let hours = |over: u64, others: u64| {
            let mut hours = Hours::default();
            (0..over).for_each(|_| hours.add(2, 1_000, ratio("0.999")));
            (0..others).for_each(|_| hours.add(1, 1_000, ratio("0.999")));
            // An hour of 999 events allows no whole bad one: it tells nothing.
            hours.add(5, 999, ratio("0.999"));
            told("0.999", Seen { good: 10_000, bad: 50, hours, ..Seen::default() })
        };
        assert_eq!(hours(24, 0), [Defect::ConstantBurn]);
        assert_eq!(hours(23, 0), []);
        assert_eq!(hours(95, 5), [Defect::ConstantBurn]);
        assert_eq!(hours(94, 6), []);
    }

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(told("0.9", Seen::default()), [Defect::NoEvents]);
        let unclassified = |unclassified| told("0.9", Seen { good: 990, unclassified, ..Seen::default() });
        assert_eq!((unclassified(10), unclassified(11)), (vec![], vec![Defect::Unclassified]));
        let anonymous = |good, without_user| told("0.9", Seen { good, without_user, ..Seen::default() });
        assert_eq!((anonymous(100, 50), anonymous(100, 51)), (vec![], vec![Defect::NoUser]));
        assert_eq!(anonymous(99, 99), []);
    }

    fn poisson(random: &mut Random, mean: f64) -> u64 {
        if mean > 40.0 {
            // The sum of twelve uniform numbers is nearly normal.
            let normal = (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
            return (mean + normal * libm::sqrt(mean)).max(0.0) as u64;
        }
        random.poisson(mean) as u64
    }

    /// A year of a healthy SLO, in thirteen windows of 28 days: traffic by day and night, a tenth to nine tenths of the budget
    /// used, an incident now and then. Returns the false flags, and windows in which a check would have named a defect.
    fn healthy_year(seed: u64) -> (u64, u64) {
        let mut random = Random(seed);
        let objectives = ["0.99", "0.995", "0.999", "0.9995", "0.9999"];
        let objective = ratio(objectives[(random.unit() * 5.0) as usize]);
        let allowed = objective.complement().expect("below 1").as_f64();
        let an_hour = libm::exp(random.unit() * 9.2 + 2.3);
        let used = 0.1 + random.unit() * 0.8;
        let (mut flags, mut named) = (0, 0);
        for _ in 0..13 {
            let mut seen = Seen::default();
            for hour in 0..672 {
                let day = 1.0 + 0.8 * libm::sin(f64::from(hour) * std::f64::consts::TAU / 24.0);
                let events = poisson(&mut random, an_hour * day);
                // A twentieth of the budget goes in incidents of an hour.
                let incident = if random.unit() < 0.002 { 25.0 } else { 0.95 };
                let bad = poisson(&mut random, events as f64 * allowed * used * incident).min(events);
                (seen.good, seen.bad) = (seen.good + events - bad, seen.bad + bad);
                seen.hours.add(bad, events, objective);
            }
            let found = defects(&seen, objective);
            flags += u64::from(found.contains(&Defect::NeverBad));
            named += u64::from(!found.is_empty());
        }
        (flags, named)
    }

    /// `TAILBURN_YARDSTICK=1000` tries a thousand years, as `ops/yardstick/sli-sanity` does.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is no setting of the program")]
    fn healthy_slos_are_flagged_at_most_once_in_a_thousand_years() {
        let years = std::env::var("TAILBURN_YARDSTICK").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
        let (mut flags, mut named) = (0, 0);
        for year in 0..years {
            let found = healthy_year(year);
            (flags, named) = (flags + found.0, named + found.1);
        }
        println!("{years} healthy SLO-years: {flags} false flags `never_bad`, {named} windows of 28 d with any defect");
        assert!(flags <= 1 && named <= 1, "{flags} {named} in {years} years");
    }
}
