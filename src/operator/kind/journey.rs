//! Journeys: a user's events at several steps make attempts, each good, bad or abandoned (contract, section 11).
//!
//! Of a user one attempt at most is open. Events are taken boundary by boundary, in an order that does not depend on how
//! they arrived, and every attempt ends at its time-out: state is bounded by the users who were active within it.

use crate::model::slo::Journey;
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// An attempt that is open. `O`: what is remembered of its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt<O> {
    pub started_ms: Ms,
    /// When its first event began: an event's time is its end.
    pub began_ms: Ms,
    /// The step that it is at, from 0.
    pub step: u32,
    /// Bad events of this step so far.
    pub failures: u32,
    pub origin: O,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good,
    /// Charged to its step.
    Bad,
    /// Neither good nor bad.
    Abandoned,
}

/// An attempt that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided<O> {
    pub time_ms: Ms,
    /// Where it ended; behind the last step where it is good.
    pub step: u32,
    pub outcome: Outcome,
    /// From the start of its first event to its last one, where that decided it.
    pub took_ms: Option<Ms>,
    pub origin: O,
}

/// A good or bad event of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepEvent<O> {
    pub time_ms: Ms,
    /// From 0.
    pub step: u32,
    pub is_bad: bool,
    /// How long it took.
    pub latency_ms: Ms,
    pub origin: O,
}

/// What an event did.
#[derive(Debug)]
pub struct Taken<O> {
    /// In the order in which they ended: a time-out or a new beginning may come before.
    pub decided: SmallVec<[Decided<O>; 2]>,
    /// No attempt was open, and the event does not open one.
    pub is_stray: bool,
}

impl<O: Copy> Attempt<O> {
    /// The first time at which it is timed out.
    pub const fn deadline_ms(&self, journey: &Journey) -> Ms {
        self.started_ms.saturating_add(journey.timeout_ms)
    }

    /// Ends before its last step.
    pub const fn end(&self, time_ms: Ms) -> Decided<O> {
        let outcome = if self.failures > 0 { Outcome::Bad } else { Outcome::Abandoned };
        Decided { time_ms, step: self.step, outcome, took_ms: None, origin: self.origin }
    }
}

impl<O: Copy> Attempt<O> {
    const fn decided(&self, time_ms: Ms, step: u32, outcome: Outcome, took_ms: Ms) -> Decided<O> {
        Decided { time_ms, step, outcome, took_ms: Some(took_ms), origin: self.origin }
    }
}

/// Takes the next event of a user.
pub fn take<O: Copy>(journey: &Journey, open: &mut Option<Attempt<O>>, event: &StepEvent<O>) -> Taken<O> {
    let mut decided = SmallVec::new();
    if let Some(attempt) = open.take_if(|attempt| event.time_ms >= attempt.deadline_ms(journey)) {
        decided.push(attempt.end(attempt.deadline_ms(journey)));
    }
    if event.step == 0
        && let Some(attempt) = open.take_if(|attempt| attempt.step > 0)
    {
        decided.push(attempt.end(event.time_ms));
    }
    let mut attempt = match open.take() {
        Some(attempt) => attempt,
        None if event.step == 0 => {
            let began_ms = event.time_ms - event.latency_ms;
            Attempt { started_ms: event.time_ms, began_ms, step: 0, failures: 0, origin: event.origin }
        }
        None => return Taken { decided, is_stray: true },
    };
    let took_ms = event.time_ms - attempt.began_ms;
    match advance(journey, &mut attempt, event) {
        Some(Outcome::Good) if journey.within_ms.is_some_and(|within_ms| took_ms > within_ms) => {
            // Too slow: the last step is where it ended.
            decided.push(attempt.decided(event.time_ms, attempt.step - 1, Outcome::Bad, took_ms));
        }
        Some(outcome) => decided.push(attempt.decided(event.time_ms, attempt.step, outcome, took_ms)),
        None => *open = Some(attempt),
    }
    Taken { decided, is_stray: false }
}

/// An event of an open attempt; `Some`: it is over.
fn advance<O>(journey: &Journey, attempt: &mut Attempt<O>, event: &StepEvent<O>) -> Option<Outcome> {
    if event.step != attempt.step {
        return None;
    }
    if event.is_bad {
        attempt.failures = attempt.failures.saturating_add(1);
        let retries = journey.steps.get(attempt.step as usize).map_or(0, |step| step.retries);
        return (attempt.failures > retries).then_some(Outcome::Bad);
    }
    (attempt.step, attempt.failures) = (attempt.step + 1, 0);
    (attempt.step as usize == journey.steps.len()).then_some(Outcome::Good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::slo::JourneyStep;

    fn journey(retries: &[u32]) -> Journey {
        let step = |retries: &u32| JourneyStep { name: String::new(), retries: *retries };
        Journey { timeout_ms: 100, steps: retries.iter().map(step).collect(), by: None, within_ms: None }
    }

    /// Events as (time, step, is bad), and what came of them: (time, step, outcome); a stray is (time, step, None).
    fn walk(journey: &Journey, events: &[(Ms, u32, bool)]) -> Vec<(Ms, u32, Option<Outcome>)> {
        let (mut open, mut all) = (None, Vec::new());
        for (origin, (time_ms, step, is_bad)) in events.iter().copied().enumerate() {
            let taken = take(journey, &mut open, &StepEvent { time_ms, step, is_bad, latency_ms: 10, origin });
            all.extend(taken.decided.iter().map(|decided| (decided.time_ms, decided.step, Some(decided.outcome))));
            all.extend(taken.is_stray.then_some((time_ms, step, None)));
        }
        all
    }

    #[test]
    fn attempts_end_as_the_contract_says() {
        use Outcome::{Abandoned, Bad, Good};
        let three = journey(&[0, 1, 0]);
        for (events, expected) in [
            (&[(0, 0, false), (5, 1, false), (9, 2, false)][..], &[(9, 3, Some(Good))][..]),
            (&[(0, 0, true), (5, 1, false)], &[(0, 0, Some(Bad)), (5, 1, None)]),
            // A failure is forgotten once the step is passed, and one more than its retries ends the attempt.
            (&[(0, 0, false), (5, 1, true), (6, 1, false), (7, 2, true)], &[(7, 2, Some(Bad))]),
            (&[(0, 0, false), (5, 1, true), (6, 1, true), (7, 1, false)], &[(6, 1, Some(Bad)), (7, 1, None)]),
            // A step that is not the next one is ignored; the first one begins again.
            (&[(0, 0, false), (5, 2, false), (6, 0, true)], &[(6, 1, Some(Abandoned)), (6, 0, Some(Bad))]),
            (
                &[(0, 0, false), (5, 1, true), (6, 0, false), (7, 1, false), (8, 2, false)],
                &[(6, 1, Some(Bad)), (8, 3, Some(Good))],
            ),
            // A time-out is decided when it was due, and the event that comes then is taken as if nothing was open.
            (&[(0, 0, false), (100, 1, false)], &[(100, 1, Some(Abandoned)), (100, 1, None)]),
            (&[(0, 0, false), (5, 1, true), (500, 0, true)], &[(100, 1, Some(Bad)), (500, 0, Some(Bad))]),
            (&[(0, 0, false), (99, 1, false), (99, 2, false)], &[(99, 3, Some(Good))]),
        ] {
            assert_eq!(walk(&three, events), expected, "{events:?}");
        }
        // Who is at the first step may be tried again there.
        let one = journey(&[2]);
        assert_eq!(walk(&one, &[(0, 0, true), (1, 0, true), (2, 0, false)]), [(2, 1, Some(Good))]);
        assert_eq!(walk(&one, &[(0, 0, true), (1, 0, true), (2, 0, true)]), [(2, 0, Some(Bad))]);
    }

    #[test]
    fn an_attempt_that_takes_too_long_is_bad_at_its_last_step() {
        let slow = |within_ms| Journey { within_ms: Some(within_ms), ..journey(&[1]) };
        // It began 10 ms before its first event ended.
        let events = [(0, 0, true), (20, 0, false)];
        assert_eq!(walk(&slow(30), &events), [(20, 1, Some(Outcome::Good))]);
        assert_eq!(walk(&slow(29), &events), [(20, 0, Some(Outcome::Bad))]);
    }
}
