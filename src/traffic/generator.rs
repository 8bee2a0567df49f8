//! The stream of records, in the order in which they are sent.
//!
//! Each event is a pure function of the settings and its number, except its arrival time and pending copies. No IO, no
//! clock; the memory holds the population and the copies of the last seconds.

use super::event::{Defect, Event, Form, Operation, Weight};
use super::incident::{Incident, IncidentError, IncidentKind};
use super::plan;
use super::population::{Crowd, Population};
use super::random::{Draws, Purpose};
use super::rhythm::{Arrivals, Rhythm};
use super::settings::{LATE_MS, SettingsError, TOO_LATE_MS, TrafficSettings};
use super::target::Target;
use super::traits::Attribute;
use super::truth::{Delay, Tally, Truth, silent_tenant};
use crate::model::time::{Moment, Ms};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrafficError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Incident(#[from] IncidentError),
}

/// A record caused by an earlier one.
#[derive(Clone, Copy, Debug)]
enum Echo {
    /// The same record again.
    Copy(Event),
    /// The client tries again.
    Retry(Attempt),
}

/// User, operation and attempt (0 is the first).
#[derive(Clone, Copy, Debug)]
struct Attempt {
    user: u32,
    operation: Operation,
    number: u8,
}

/// Seeded traffic, as a forward-only stream.
#[derive(Clone, Debug)]
pub struct Traffic {
    settings: TrafficSettings,
    population: Population,
    rhythm: Rhythm,
    everybody: Crowd,
    /// The users left after one tenant has fallen silent.
    survivors: Option<(Ms, Crowd)>,
    arrivals: Arrivals,
    next_arrival_ms: Option<Ms>,
    sequence: u64,
    incidents: Vec<(Incident, Target)>,
    /// Copies and retries to send, by time and by the number of the event they follow.
    echoes: BTreeMap<(Ms, u64), Echo>,
    tally: Tally,
}

impl Traffic {
    pub fn new(settings: TrafficSettings) -> Result<Traffic, TrafficError> {
        settings.validate()?;
        let population = Population::new(&settings);
        let nobody = || SettingsError::Population { users: settings.users, tenants: settings.tenants };
        let everybody = Crowd::new(&population, None).ok_or_else(nobody)?;
        let incidents = plan::resolve(&settings, &population)?;
        let rhythm = Rhythm::new(settings.diurnal, everybody.shares());
        let mut arrivals = Arrivals::new(settings.seed, settings.from_ms, &settings.volume, &rhythm);
        Ok(Traffic {
            next_arrival_ms: arrivals.next(&rhythm),
            survivors: survivors(&settings, &population),
            tally: Tally::new(incidents.len()),
            sequence: 0,
            echoes: BTreeMap::new(),
            settings,
            population,
            rhythm,
            everybody,
            arrivals,
            incidents,
        })
    }

    pub fn population(&self) -> &Population {
        &self.population
    }

    pub fn settings(&self) -> &TrafficSettings {
        &self.settings
    }

    /// The incidents, with all open choices made.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().map(|(incident, _)| incident)
    }

    /// The send time of the next record; `None` after the last one.
    pub fn next_ms(&self) -> Option<Ms> {
        let echo_ms = self.echoes.keys().next().map(|(ms, _)| *ms);
        match (self.next_arrival_ms, echo_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Appends every record that is sent before `t_ms`; returns how many.
    pub fn next_until(&mut self, t_ms: Ms, out: &mut Vec<Event>) -> usize {
        let before = out.len();
        while self.next_ms().is_some_and(|next| next < t_ms) {
            out.extend(self.next_event());
        }
        out.len() - before
    }

    /// The next record.
    pub fn next_event(&mut self) -> Option<Event> {
        match self.due_echo() {
            Some((_, Echo::Copy(event))) => {
                self.tally.count_duplicate();
                Some(event)
            }
            Some((arrival_ms, Echo::Retry(attempt))) => Some(self.make(arrival_ms, Some(attempt))),
            None => {
                let arrival_ms = self.next_arrival_ms?;
                self.next_arrival_ms = self.arrivals.next(&self.rhythm);
                Some(self.make(arrival_ms, None))
            }
        }
    }

    /// What was planted so far.
    pub fn truth(&self) -> Truth {
        Truth {
            seed: self.settings.seed,
            from: Moment(self.settings.from_ms),
            until: self.settings.until_ms().map(Moment),
            users: self.population.users.len(),
            tenants: self.population.tenants.clone(),
            silent_tenant: silent_tenant(&self.population, self.survivors.as_ref().map(|(ms, _)| *ms)),
            totals: self.tally.totals.clone(),
            incidents: self.incidents.iter().enumerate().map(|(i, (inc, _))| self.tally.planted(i, inc)).collect(),
        }
    }

    fn due_echo(&mut self) -> Option<(Ms, Echo)> {
        let (echo_ms, _) = *self.echoes.keys().next()?;
        if self.next_arrival_ms.is_some_and(|next| next < echo_ms) {
            return None;
        }
        self.echoes.pop_first().map(|((ms, _), echo)| (ms, echo))
    }

    /// Makes one record; a retry has its user and operation already.
    fn make(&mut self, arrival_ms: Ms, retry: Option<Attempt>) -> Event {
        let mut draws = Draws::at(self.settings.seed, Purpose::Event, self.sequence);
        let (time_ms, delay) = self.draw_time(arrival_ms, &mut draws);
        let attempt = retry.unwrap_or_else(|| self.draw_attempt(time_ms, &mut draws));
        let mut event = self.draw_event(arrival_ms, time_ms, attempt, &mut draws);
        self.blemish(&mut event, &mut draws);
        if self.settings.keyed {
            event.partition = self.population.partition(event.user, event.anonymous);
        }
        let planted = self.strike(&mut event, &mut draws);
        self.tally.count(&event, delay, attempt.number > 0);
        if event.is_classified() && delay != Delay::TooLate {
            self.count_in_scope(&event, planted);
        }
        self.schedule_echo(&event, attempt, &mut draws);
        self.sequence += 1;
        event
    }

    /// The time of an event that arrives now; never before the traffic starts.
    fn draw_time(&self, arrival_ms: Ms, draws: &mut Draws) -> (Ms, Delay) {
        let blemishes = &self.settings.blemishes;
        let chance = draws.unit();
        let (delay, (low, high)) = if chance < blemishes.too_late {
            (Delay::TooLate, TOO_LATE_MS)
        } else if chance < blemishes.too_late + blemishes.late {
            (Delay::Late, LATE_MS)
        } else {
            (Delay::Prompt, (0, blemishes.disorder_ms))
        };
        let time_ms = arrival_ms - draws.between(low, high);
        if time_ms >= self.settings.from_ms { (time_ms, delay) } else { (arrival_ms, Delay::Prompt) }
    }

    fn draw_attempt(&self, time_ms: Ms, draws: &mut Draws) -> Attempt {
        let crowd = match &self.survivors {
            Some((silent_ms, survivors)) if time_ms >= *silent_ms => survivors,
            _ => &self.everybody,
        };
        let user = crowd.draw(self.rhythm.region(time_ms, draws), draws);
        Attempt { user, operation: Operation::ALL[draws.weighted(&OPERATION_SHARES)], number: 0 }
    }

    fn draw_event(&self, arrival_ms: Ms, time_ms: Ms, attempt: Attempt, draws: &mut Draws) -> Event {
        let Attempt { user, operation, .. } = attempt;
        let who = &self.population.users[user as usize];
        let partitions = self.settings.partitions;
        Event {
            sequence: self.sequence,
            arrival_ms,
            time_ms,
            partition: (self.sequence % u64::from(partitions)) as u32,
            user,
            tenant: who.tenant,
            anonymous: false,
            operation,
            status: Some(success(operation, draws)),
            error_type: None,
            latency_us: Some(latency_us(operation, draws)),
            weight: self.weight_at(arrival_ms),
            values: who.values_at(time_ms),
            trace: None,
            form: Form { rfc3339: false, with_event_id: false, without: None, defect: None },
        }
    }

    fn weight_at(&self, arrival_ms: Ms) -> Weight {
        match self.settings.sampled_at(arrival_ms) {
            0 | 1 => Weight::One,
            requests => Weight::Sampled(requests),
        }
    }

    /// Decides first what is missing or wrong in the record, because the truth counts only what an SLO can see.
    fn blemish(&self, event: &mut Event, draws: &mut Draws) {
        let blemishes = &self.settings.blemishes;
        event.anonymous = draws.chance(blemishes.without_user);
        if draws.chance(blemishes.without_status) {
            event.status = None;
        }
        if draws.chance(blemishes.without_latency) {
            event.latency_us = None;
        }
        if draws.chance(blemishes.malformed) {
            event.form.defect = Some(Defect::ALL[draws.below(Defect::ALL.len() as u64) as usize]);
        }
        if draws.chance(blemishes.without_attribute) {
            event.form.without = Some(Attribute::ALL[draws.below(Attribute::ALL.len() as u64) as usize]);
        }
        if draws.chance(blemishes.weighted) {
            event.weight = if draws.chance(0.5) { Weight::TwoAndAHalf } else { Weight::AThird };
        }
        event.form.rfc3339 = draws.chance(blemishes.rfc3339);
        event.form.with_event_id = blemishes.duplicates > 0.0;
    }

    /// Applies incidents and random errors; returns the incident that applied.
    fn strike(&self, event: &mut Event, draws: &mut Draws) -> Option<usize> {
        let traced = draws.chance(TRACED);
        let trace = draws.bits();
        let mut planted = None;
        if event.operation != Operation::Heartbeat {
            planted = self.incidents.iter().position(|(incident, target)| {
                incident.covers(event.time_ms)
                    && target.matches(event.user, event.tenant, &event.values)
                    && (incident.kind != IncidentKind::Latency || event.latency_us.is_some())
                    && draws.chance(incident.rate)
            });
            let unlucky = draws.chance(self.settings.blemishes.base_errors);
            match planted {
                Some(i) => hit(event, &self.incidents[i].0, draws),
                None if unlucky => fail(event, draws),
                None => {}
            }
        }
        event.trace = (traced || event.error_type.is_some()).then_some(trace);
        planted
    }

    /// The time at which a tenant falls silent.
    fn silent_from_ms(&self, tenant: u16) -> Option<Ms> {
        let last = usize::from(tenant) + 1 == self.population.tenants.len();
        self.survivors.as_ref().filter(|_| last).map(|(silent_ms, _)| *silent_ms)
    }

    fn count_in_scope(&mut self, event: &Event, planted: Option<usize>) {
        for (i, (incident, target)) in self.incidents.iter().enumerate() {
            if incident.covers(event.time_ms) && target.matches(event.user, event.tenant, &event.values) {
                self.tally.count_in_scope(i, event, planted == Some(i));
            }
        }
    }

    /// A copy of a record, or a retry of a failed request; never both.
    fn schedule_echo(&mut self, event: &Event, attempt: Attempt, draws: &mut Draws) {
        let blemishes = &self.settings.blemishes;
        let copied = draws.chance(blemishes.duplicates);
        let retried = draws.chance(blemishes.retries);
        let arrival_ms = event.arrival_ms + draws.between(ECHO_DELAY_MS.0, ECHO_DELAY_MS.1);
        let echo = if copied && event.form.defect.is_none() {
            Echo::Copy(Event { arrival_ms, ..*event })
        } else if retried && event.error_type.is_some() && attempt.number < MAX_RETRIES {
            Echo::Retry(Attempt { number: attempt.number + 1, ..attempt })
        } else {
            return;
        };
        let over = self.settings.until_ms().is_some_and(|until_ms| arrival_ms >= until_ms);
        let silent = self.silent_from_ms(event.tenant).is_some_and(|silent_ms| arrival_ms >= silent_ms);
        if !over && !silent {
            self.echoes.insert((arrival_ms, event.sequence), echo);
        }
    }
}

/// In the order of `Operation::ALL`.
const OPERATION_SHARES: [f64; 7] = [0.42, 0.15, 0.18, 0.10, 0.06, 0.05, 0.04];
/// The share of records with a trace id; errors always have one.
const TRACED: f64 = 0.05;
/// The delay of a copy or retry.
const ECHO_DELAY_MS: (Ms, Ms) = (200, 3_000);
const MAX_RETRIES: u8 = 2;

fn survivors(settings: &TrafficSettings, population: &Population) -> Option<(Ms, Crowd)> {
    let silent_ms = settings.silent_from_ms?;
    let last = u16::try_from(population.tenants.len()).ok()?.checked_sub(1)?;
    Some((silent_ms, Crowd::new(population, Some(last))?))
}

fn success(operation: Operation, draws: &mut Draws) -> u16 {
    let chance = draws.unit();
    match operation {
        Operation::Heartbeat => 204,
        _ if chance < 0.006 => 429,
        Operation::Read | Operation::Search if chance < 0.035 => 404,
        Operation::Write if chance < 0.5 => 201,
        Operation::Write if chance < 0.7 => 204,
        Operation::Pay | Operation::Checkout => 201,
        _ => 200,
    }
}

/// Log-normal around the operation's median.
fn latency_us(operation: Operation, draws: &mut Draws) -> u32 {
    let (median_us, sigma) = match operation {
        Operation::Read => (18_000.0, 0.5),
        Operation::Write => (35_000.0, 0.5),
        Operation::Search => (60_000.0, 0.6),
        Operation::Checkout => (120_000.0, 0.45),
        Operation::Login => (45_000.0, 0.5),
        Operation::Pay => (180_000.0, 0.45),
        Operation::Heartbeat => (2_000.0, 0.3),
    };
    (median_us * libm::exp(sigma * draws.normal())) as u32
}

fn hit(event: &mut Event, incident: &Incident, draws: &mut Draws) {
    if incident.kind == IncidentKind::Latency {
        event.latency_us = event.latency_us.map(|us| (f64::from(us) * incident.slow_factor) as u32);
    } else {
        fail(event, draws);
    }
}

/// Turns an event into a server error; absent fields stay absent.
fn fail(event: &mut Event, draws: &mut Draws) {
    const FAILURES: [(u16, &str); 3] = [(500, "internal"), (503, "unavailable"), (504, "timeout")];
    const TIMEOUT_US: u32 = 10_000_000;
    let (status, error_type) = FAILURES[draws.weighted(&[0.4, 0.4, 0.2])];
    event.status = event.status.map(|_| status);
    event.error_type = Some(error_type);
    if status == 504 {
        event.latency_us = event.latency_us.map(|_| TIMEOUT_US);
    }
}
