use super::*;
use crate::model::time::HOUR_MS;
use proptest::prelude::*;

const START_MS: Ms = 1_780_000_000_000 / MINUTE_MS * MINUTE_MS;

fn units(objective: &str) -> BudgetUnits {
    BudgetUnits::of(Ratio::parse(objective).expect("a ratio"), 28 * DAY_MS)
}

fn warm() -> BudgetBank {
    BudgetBank::new(START_MS + PANE_MS, Some(START_MS - 2 * DAY_MS))
}

/// Boundaries after the start until it burns.
fn burns_after(mut each: impl FnMut(i64) -> Seen, units: &BudgetUnits, day_events: u64, most: i64) -> Option<i64> {
    let mut bank = warm();
    (1..=most).find(|boundary| {
        bank.add(START_MS + boundary * PANE_MS, each(*boundary), day_events, units);
        bank.burns(START_MS + boundary * PANE_MS, day_events, units)
    })
}

/// 99.9 % at 30 events a second: 2 % of the budget at 10 times the allowed rate, and at an outage.
#[test]
fn it_fires_once_two_percent_of_the_budget_are_spent_above_twice_the_rate() {
    let events = 300;
    let (units, day_events) = (units("0.999"), events * 8_640);
    // An outage: 2 % of 0.001 * 28 d of events are 48.4 s of them.
    assert_eq!(burns_after(|_| Seen { events, bad: events }, &units, day_events, 100), Some(5));
    // Ten times the rate: 3 bad ones a boundary, of which 0.6 are allowed twice over.
    let slow = burns_after(|_| Seen { events, bad: 3 }, &units, day_events, 2_000).expect("it fires");
    let by_sum = (0.02 * 0.001 * (day_events * 28) as f64 / 2.4).ceil() as i64;
    let by_minute = (0.003 * 0.001 * (day_events * 28) as f64 / 14.4).ceil() as i64 * 6;
    assert_eq!(slow, by_sum.min(by_minute));
    assert_eq!(burns_after(|_| Seen { events, bad: 0 }, &units, day_events, 10_000), None);
}

#[test]
fn a_short_burst_counts_a_minute_as_ten_times_the_rate_at_most() {
    let (units, day_events) = (units("0.99"), 100 * 8_640);
    let mut bank = warm();
    for boundary in 1..=6 {
        bank.add(START_MS + boundary * PANE_MS, Seen { events: 100, bad: 100 }, day_events, &units);
    }
    // 600 events: 60 of the bad ones count, 12 are allowed.
    assert_eq!(bank.by_minute, (48 * units.event).min(units.parts_of_budget(MINUTE_CAP, day_events)));
}

#[test]
fn sums_are_capped_and_fall_back_to_nothing_and_the_onset_is_when_they_left_it() {
    let (units, day_events) = (units("0.9"), 10 * 8_640);
    let mut bank = warm();
    let mut at_ms = START_MS;
    let mut go_on = |bank: &mut BudgetBank, bad, boundaries| {
        for _ in 0..boundaries {
            at_ms += PANE_MS;
            bank.add(at_ms, Seen { events: 10, bad }, day_events, &units);
        }
        at_ms
    };
    let quiet_ms = go_on(&mut bank, 0, 6);
    let full_ms = go_on(&mut bank, 10, 2_000);
    assert_eq!(bank.fast, units.parts_of_budget(FAST_CAP, day_events));
    bank.fired(full_ms);
    assert_eq!(bank.onset_ms(), Some(quiet_ms));
    go_on(&mut bank, 0, 4_000);
    assert_eq!((bank.fast, bank.by_minute, bank.spends_since_ms), (0, 0, None));
    assert_eq!(bank.onset_ms(), Some(quiet_ms), "of the last time that it fired");
}

#[test]
fn error_rates_of_one_and_above_are_not_looked_for() {
    // b = 1/4 and 1/50: 4 b and 50 b are exactly 1.
    let asked = |objective| units(objective).odds.iter().flatten().count();
    assert_eq!((asked("0.75"), asked("0.98"), asked("0.981"), asked("0.999")), (0, 3, 4, 6));
    assert_eq!(burns_after(|_| Seen { events: 9, bad: 9 }, &units("0.75"), 1_000, 5_000), None);
}

#[test]
fn a_late_event_makes_a_key_older_but_not_its_past() {
    let mut bank = BudgetBank::new(START_MS, None);
    bank.warm_up(START_MS + HOUR_MS, Some(START_MS - HOUR_MS));
    assert_eq!(bank.logs_at_ms, Some(START_MS + HOUR_MS - PANE_MS));
    let mut bank = BudgetBank::new(START_MS, None);
    bank.warm_up(START_MS + HOUR_MS, Some(START_MS - DAY_MS));
    assert_eq!(bank.logs_at_ms, Some(START_MS - PANE_MS), "it was warm before, and nothing happened");
}

proptest! {
    /// With and without the boundaries at which nothing becomes visible, but for those that it asks for.
    #[test]
    fn quiet_boundaries_can_be_skipped(
        events in prop::collection::vec((1i64..400, 0u64..30, 0u64..30, any::<bool>()), 1..40),
        objective in prop::sample::select(vec!["0.9", "0.99", "0.999", "0.99995"]),
    ) {
        let (units, mut at, mut day_events) = (units(objective), 0, 500);
        let (mut every, mut skipping, mut due) = (warm(), warm(), 1);
        for (gap, good, bad, is_bad) in events {
            for boundary in at + 1..=at + gap {
                let at_ms = START_MS + boundary * PANE_MS;
                let is_last = boundary == at + gap;
                let bad = if is_bad { bad } else { 0 };
                let seen = if is_last { Seen { events: good + bad, bad } } else { Seen::default() };
                if boundary % 360 == 1 {
                    // Events leave the window of a day.
                    day_events /= 2;
                    due = boundary;
                }
                day_events += seen.events;
                every.add(at_ms, seen, day_events, &units);
                let burns = every.burns(at_ms, day_events, &units);
                if is_last || boundary >= due {
                    let before = skipping;
                    skipping.add(at_ms, seen, day_events, &units);
                    prop_assert_eq!(skipping.burns(at_ms, day_events, &units), burns, "at {}", boundary);
                    let is_calm = !is_last && before == skipping;
                    let next = skipping.deadlines(at_ms, day_events, &units).into_iter().flatten();
                    let next = next.filter(|ms| *ms > at_ms).min().unwrap_or(Ms::MAX);
                    due = if is_calm { (next - START_MS) / PANE_MS } else { boundary + 1 };
                } else {
                    prop_assert_eq!(skipping.burns(at_ms, day_events, &units), burns, "skipped {}", boundary);
                }
            }
            at += gap;
        }
        prop_assert_eq!(every, skipping);
    }
}
