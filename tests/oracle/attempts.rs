//! Journeys of section 11: each user's events, boundary by boundary, make attempts that are good, bad or abandoned.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::filter::{Absent, Filter};
use crate::replay::Event;
use crate::slo::Verdict;
use crate::units::reach;
use crate::users::{UserIndex, Users};
use crate::windows::{Axis, History, Suffixes};

#[derive(Clone, Debug)]
pub struct Journey {
    pub timeout_ms: i64,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub name: String,
    pub filter: Filter,
    pub retries: i64,
}

impl Journey {
    /// The first step whose filter passes.
    pub fn step(&self, fields: &Map<String, Value>) -> Result<Option<usize>, Absent> {
        for (number, step) in self.steps.iter().enumerate() {
            if step.filter.holds(fields)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good,
    Bad,
    Abandoned,
}

/// Where an attempt's first event was counted.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    pub tenant: u32,
    pub group: Option<u32>,
    pub user: UserIndex,
    pub weight_micros: i64,
}

#[derive(Debug)]
pub struct Decided {
    pub origin: Origin,
    pub time_ms: i64,
    /// The step that it is charged to; behind the last one where it is good.
    pub step: usize,
    pub outcome: Outcome,
}

struct Attempt {
    origin: Origin,
    started_ms: i64,
    step: usize,
    failures: i64,
}

impl Attempt {
    fn end(self, time_ms: i64) -> Decided {
        let outcome = if self.failures > 0 { Outcome::Bad } else { Outcome::Abandoned };
        Decided { origin: self.origin, time_ms, step: self.step, outcome }
    }
}

/// The open attempts of all users of an SLO.
#[derive(Default)]
pub struct Open(BTreeMap<UserIndex, Attempt>);

/// What became of a boundary's events.
#[derive(Default)]
pub struct News {
    pub decided: Vec<Decided>,
    /// Origins of strays, with their times.
    pub strays: Vec<(Origin, i64)>,
}

impl Open {
    pub fn step(&mut self, journey: &Journey, visible: &[&Event], at_ms: i64) -> News {
        let mut news = News::default();
        let mut events: Vec<&Event> = visible.iter().copied().filter(|e| e.verdict != Verdict::Unclassified).collect();
        events.sort_by_key(|e| (e.time_ms, e.step, e.verdict == Verdict::Bad, e.tuple, e.weight_micros));
        for event in events {
            self.take(journey, event, &mut news);
        }
        let is_over = |attempt: &Attempt| attempt.started_ms + journey.timeout_ms < at_ms;
        let over: Vec<UserIndex> =
            self.0.iter().filter(|(_, attempt)| is_over(attempt)).map(|(user, _)| *user).collect();
        for attempt in over.iter().filter_map(|user| self.0.remove(user)) {
            let time_ms = attempt.started_ms + journey.timeout_ms;
            reach(time_ms < at_ms - 10_000, "a time-out of long ago");
            news.decided.push(attempt.end(time_ms));
        }
        news
    }

    fn take(&mut self, journey: &Journey, event: &Event, news: &mut News) {
        let Some(user) = event.user else { return };
        let (time_ms, step, is_good) = (event.time_ms, event.step, event.verdict == Verdict::Good);
        let mut open = self.0.remove(&user);
        if let Some(attempt) = open.take_if(|attempt| time_ms >= attempt.started_ms + journey.timeout_ms) {
            let time_ms = attempt.started_ms + journey.timeout_ms;
            news.decided.push(attempt.end(time_ms));
        }
        if step == 0
            && let Some(attempt) = open.take_if(|attempt| attempt.step > 0)
        {
            reach(true, "a journey that begins again");
            news.decided.push(attempt.end(time_ms));
        }
        let origin = Origin { tenant: event.tenant, group: event.group, user, weight_micros: event.weight_micros };
        let mut attempt = match open {
            Some(attempt) => attempt,
            None if step == 0 => Attempt { origin, started_ms: time_ms, step: 0, failures: 0 },
            None => return news.strays.push((origin, time_ms)),
        };
        reach(time_ms < attempt.started_ms, "an event before its attempt");
        if attempt.step != step {
            reach(true, "a step that is ignored");
        } else if is_good {
            (attempt.step, attempt.failures) = (step + 1, 0);
            if attempt.step == journey.steps.len() {
                let (origin, step) = (attempt.origin, attempt.step);
                return news.decided.push(Decided { origin, time_ms, step, outcome: Outcome::Good });
            }
        } else {
            attempt.failures += 1;
            if attempt.failures > journey.steps[step].retries {
                return news.decided.push(Decided { origin: attempt.origin, time_ms, step, outcome: Outcome::Bad });
            }
            reach(true, "a failure that may be tried again");
        }
        self.0.insert(user, attempt);
    }
}

/// The attempts of one key.
pub struct Attempts {
    pub history: History,
    pub users: Users,
    decided: BTreeMap<i64, Vec<(usize, Outcome)>>,
    strays: Suffixes<i64>,
}

impl Attempts {
    pub fn new(axis: Axis, known: usize) -> Self {
        let (history, users) = (History::new(axis), Users::new(axis, known));
        Self { history, users, decided: BTreeMap::new(), strays: Suffixes::new(axis) }
    }

    pub fn stray(&mut self, time_ms: i64) {
        self.strays.add(self.history.axis.slice(time_ms), &1);
    }

    pub fn see(&mut self, decided: &Decided) {
        let Decided { origin, time_ms, step, outcome } = decided;
        self.decided.entry(*time_ms).or_default().push((*step, *outcome));
        if *outcome == Outcome::Abandoned {
            return;
        }
        let is_good = *outcome == Outcome::Good;
        let slice = self.history.axis.slice(*time_ms);
        self.history.add(slice, &crate::replay::sums(is_good, origin.weight_micros));
        self.users.see(slice, Some(origin.user), is_good, origin.weight_micros);
    }

    /// `journey{}` of a status.
    pub fn published(&self, journey: &Journey, start_ms: i64) -> Value {
        let decided: Vec<&(usize, Outcome)> = self.decided.range(start_ms..).flat_map(|(_, decided)| decided).collect();
        let count = |has: &dyn Fn(&(usize, Outcome)) -> bool| decided.iter().filter(|one| has(one)).count();
        let mut compound = Some(1.0);
        let step = |(number, step): (usize, &Step)| {
            let entered = count(&|(at, _)| *at >= number);
            let failed = count(&|one| *one == (number, Outcome::Bad));
            let abandoned = count(&|one| *one == (number, Outcome::Abandoned));
            let passed = (entered > 0).then(|| 1.0 - failed as f64 / entered as f64);
            compound = compound.zip(passed).map(|(so_far, passed)| so_far * passed);
            json!({"name": step.name, "entered": entered, "failed": failed, "abandoned": abandoned})
        };
        let steps: Vec<Value> = journey.steps.iter().enumerate().map(step).collect();
        json!({"attempts": decided.len(), "abandoned": count(&|(_, outcome)| *outcome == Outcome::Abandoned),
               "stray": self.strays.from(self.history.axis.slice(start_ms)), "steps": steps, "compound": compound})
    }
}
