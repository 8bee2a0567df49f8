//! Drives workers as `tailburn run` does: begins one, turns it, commits and checkpoints by the clock,
//! begins the next one where it ended, until everything is read and nothing is left to go wrong.

use crate::broker::{Broker, Place};
use crate::compare;
use crate::dice::Dice;
use crate::faults::{Fault, Faults, Taken};
use crate::log::SimLog;
use crate::partition::Partition;
use crate::reference::{Tasks, tasks};
use crate::scenario::{OUT_OF_ORDERNESS_MS, Scenario};
use crate::store::{SharedDisk, SimStore};
use crate::world::{Life, Shared, Tally, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tailburn::log::{LogError, Stream};
use tailburn::model::record::Topic;
use tailburn::model::time::{MINUTE_MS, Ms};
use tailburn::worker::{Nobody, Worker, WorkerError};

/// A run that takes more turns does not come to an end.
const TURNS_MAX: u64 = 60_000;
/// Turns without anything new, with the time standing still, after which nothing more will come.
const QUIET_TURNS: u32 = 12;
const IDENTITY: &str = "simulated";

/// Why a run is wrong.
pub struct Failure {
    pub what: String,
    pub taken: Vec<Taken>,
}

/// What a run that is right did.
pub struct Success {
    pub tally: Tally,
    pub taken: Vec<Taken>,
    pub compared: compare::Compared,
}

/// How one worker ended.
enum Ended {
    /// Everything is said and done; the boundary up to which it is.
    Settled(Option<Ms>),
    Stopped,
    Stalled(Box<Worker<SimLog>>),
    Failed(WorkerError),
}

impl From<WorkerError> for Ended {
    fn from(error: WorkerError) -> Ended {
        Ended::Failed(error)
    }
}

pub struct Simulation<'a> {
    scenario: &'a Scenario,
    world: Shared,
    disk: SharedDisk,
    /// The transactional id of the instance; another machine has another one.
    producer: String,
    arrived: usize,
    is_frozen: bool,
    sleeper: Option<(Box<Worker<SimLog>>, u64)>,
}

/// Runs a scenario with at most so many faults.
pub fn run(scenario: &Scenario, faults_max: usize) -> Result<Success, Failure> {
    let mut simulation = Simulation::new(scenario, faults_max);
    let outcome = simulation.run_to_the_end();
    drop(simulation.sleeper.take());
    let world = &mut *simulation.world.borrow_mut();
    world.broker.settle();
    let mut violations = std::mem::take(&mut world.violations);
    violations.append(&mut world.broker.violations);
    let checked = outcome.and_then(|to_ms| match violations.first() {
        Some(violation) => Err(format!("a rule was broken: {violation}")),
        None => compare::compare(scenario, world, to_ms),
    });
    let taken = world.faults.taken.clone();
    match checked {
        Ok(compared) => Ok(Success { tally: world.tally, taken, compared }),
        Err(what) => Err(Failure { what, taken }),
    }
}

impl<'a> Simulation<'a> {
    fn new(scenario: &'a Scenario, faults_max: usize) -> Simulation<'a> {
        let mut partitions = BTreeMap::new();
        for (partition, first) in (0..).zip(&scenario.firsts) {
            partitions.insert(Place::Input(partition), Partition::beginning_at(*first));
        }
        let topics = Topic::OUTPUTS.into_iter().chain([Topic::Partials]);
        for topic in topics {
            let count = if topic == Topic::DeadLetters { scenario.inputs } else { scenario.rollups };
            partitions.extend((0..count).map(|p| (Place::Output(topic, p), Partition::default())));
        }
        let inputs = (0..scenario.inputs).map(Stream::Input);
        let streams = inputs.chain((0..scenario.rollups).map(Stream::Partials)).collect();
        let mut broker = Broker::new(partitions, streams);
        broker.now_ms = scenario.begin_ms;
        let world = World {
            broker,
            faults: Faults::new(scenario.seed, scenario.one_in, faults_max),
            reading: Dice::new(scenario.seed, "reading"),
            clock_error_ms: 0,
            silent_until_ms: Ms::MIN,
            batch: scenario.batch,
            violations: Vec::new(),
            tally: Tally::default(),
        };
        Simulation {
            scenario,
            world: Rc::new(RefCell::new(world)),
            disk: SharedDisk::default(),
            producer: "tailburn-a-0".to_owned(),
            arrived: 0,
            is_frozen: false,
            sleeper: None,
        }
    }

    fn run_to_the_end(&mut self) -> Result<Option<Ms>, String> {
        loop {
            let life = Life::default();
            let ended = match self.one_worker(&life) {
                Ok(ended) | Err(ended) => ended,
            };
            let world = &mut *self.world.borrow_mut();
            if world.tally.turns > TURNS_MAX {
                return Err(format!("the run did not come to an end within {TURNS_MAX} turns"));
            }
            if life.is_over() {
                world.tally.crashes += 1;
                self.disk.borrow_mut().crash(&mut world.faults);
            }
            match ended {
                Ended::Settled(to_ms) => return Ok(to_ms),
                Ended::Failed(WorkerError::Refused(why)) => return Err(format!("the worker refused: {why}")),
                Ended::Failed(WorkerError::Log(error @ LogError::Refused { .. })) => return Err(error.to_string()),
                Ended::Failed(error @ (WorkerError::Encode(_) | WorkerError::Partial { .. })) => {
                    return Err(error.to_string());
                }
                // A service manager begins the program again where it does not do so itself.
                Ended::Stopped | Ended::Failed(_) => {}
                Ended::Stalled(worker) => {
                    let turns = world.reading.below(200);
                    self.sleeper = Some((worker, world.tally.turns + turns));
                    world.broker.group.expel_all();
                    if self.scenario.loses_disks && world.reading.one_in(2) {
                        // Another machine, which has none of the state.
                        self.producer.push('b');
                        self.disk = SharedDisk::default();
                    } else {
                        // The same state, attached elsewhere; what the sleeper still writes goes nowhere.
                        let copy = self.disk.borrow().clone();
                        self.disk = Rc::new(RefCell::new(copy));
                    }
                }
            }
            world.broker.now_ms += world.reading.between(100, MINUTE_MS / 2);
        }
    }

    /// Begins a worker and turns it until something ends it.
    fn one_worker(&mut self, life: &Life) -> Result<Ended, Ended> {
        self.world.borrow_mut().tally.workers += 1;
        let store = SimStore::open(&self.disk, &self.world, life);
        let log = SimLog::open(&self.world, life, &self.producer);
        let Tasks { route, users, rollups } = tasks(self.scenario);
        let worker = Worker::new(log, route, users, rollups, self.scenario.inputs)
            .pass_over_idle(self.scenario.idle_ms, OUT_OF_ORDERNESS_MS)
            .restore(Box::new(store), IDENTITY, self.scenario.memory_bytes)?;
        self.turn(Box::new(worker))
    }

    fn turn(&mut self, mut worker: Box<Worker<SimLog>>) -> Result<Ended, Ended> {
        let mut read = 0;
        let (mut committed_ms, mut checkpointed_ms) = (self.now_ms(), self.now_ms());
        let mut quiet = 0;
        loop {
            if self.pass_time() {
                return Ok(Ended::Stopped);
            }
            self.wake_the_sleeper();
            if self.strikes(Fault::Stopped) {
                return Self::stop(&mut worker);
            }
            // (One that never was a member has nobody who takes over from it.)
            if self.sleeper.is_none() && worker.is_live() && self.strikes(Fault::Stalled) {
                return Ok(Ended::Stalled(worker));
            }
            let clock_ms = self.world.borrow().clock_ms();
            let turn = worker.poll(Duration::ZERO, clock_ms)?;
            read += turn.records;
            self.world.borrow_mut().tally.replayed += if worker.is_replaying() { turn.records } else { 0 };
            let is_due = self.is_frozen || self.now_ms() - committed_ms >= self.scenario.commit_ms;
            if is_due && (read > 0 || worker.has_news()) && !worker.is_replaying() {
                worker.commit(&mut Nobody)?;
                (committed_ms, read) = (self.now_ms(), 0);
                quiet = 0;
            }
            if self.now_ms() - checkpointed_ms >= self.scenario.checkpoint_ms && worker.checkpoint(IDENTITY)? {
                checkpointed_ms = self.now_ms();
                let tally = &mut self.world.borrow_mut().tally;
                tally.cold_users = tally.cold_users.max(worker.users.cold_users());
            }
            let is_quiet = turn.records == 0 && worker.is_live() && !worker.has_news() && worker.log.is_at_ends();
            // A reader of few records at a time never catches up with a clock that goes on.
            self.is_frozen = self.has_arrived(&worker);
            quiet = if is_quiet && self.is_frozen { quiet + 1 } else { 0 };
            if quiet > QUIET_TURNS {
                return Ok(Ended::Settled(worker.users.closed_ms()));
            }
        }
    }

    /// As a signal does: what was read is committed and checkpointed.
    fn stop(worker: &mut Worker<SimLog>) -> Result<Ended, Ended> {
        if worker.is_live() {
            worker.commit(&mut Nobody)?;
            worker.checkpoint(IDENTITY)?;
        }
        Ok(Ended::Stopped)
    }

    /// Whether everything arrived, and T went beyond all of it (where it can).
    fn has_arrived(&self, worker: &Worker<SimLog>) -> bool {
        let target_ms = self.scenario.last_arrival_ms() + MINUTE_MS;
        self.arrived == self.scenario.arrivals.len()
            && self.sleeper.is_none()
            && self.now_ms() >= target_ms
            && worker.users.closed_ms().map_or(worker.users.end_ms().is_none(), |closed_ms| closed_ms >= target_ms)
    }

    fn now_ms(&self) -> Ms {
        self.world.borrow().now_ms()
    }

    fn strikes(&self, fault: Fault) -> bool {
        self.world.borrow_mut().faults.strikes(fault)
    }

    /// A little time goes by, and what arrives in it is there; `true`: too much of it went by.
    fn pass_time(&mut self) -> bool {
        let world = &mut *self.world.borrow_mut();
        world.tally.turns += 1;
        if !self.is_frozen {
            // When nothing more will arrive or go wrong, only silences are waited for, by the right time.
            let is_over = self.arrived == self.scenario.arrivals.len() && world.faults.is_over();
            let pace_ms = if is_over { self.scenario.idle_ms / 20 } else { 0 }.max(self.scenario.pace_ms);
            world.clock_error_ms = if is_over { 0 } else { world.clock_error_ms };
            world.broker.now_ms += world.reading.between(0, 2 * pace_ms);
        }
        let now_ms = world.now_ms();
        let due = self.scenario.arrivals[self.arrived..].iter().take_while(|arrival| arrival.at_ms <= now_ms);
        for arrival in due {
            arrival.append_to(&mut world.broker);
            self.arrived += 1;
        }
        if self.is_frozen || now_ms > self.scenario.last_arrival_ms() + 4 * MINUTE_MS {
            world.faults.end();
        }
        if self.is_frozen {
            world.silent_until_ms = Ms::MIN;
        }
        for (fault, sign) in [(Fault::ClockForward, 1), (Fault::ClockBack, -1)] {
            if world.faults.strikes(fault) {
                world.clock_error_ms += sign * world.faults.size(1_000, 60 * MINUTE_MS);
            }
        }
        world.tally.turns > TURNS_MAX
    }

    /// A process that slept goes on where it was. Nothing of it may count any more.
    fn wake_the_sleeper(&mut self) {
        let now = self.world.borrow().tally.turns;
        let Some((mut worker, _)) = self.sleeper.take_if(|(_, at_turn)| *at_turn <= now) else { return };
        let commits = self.world.borrow().tally.commits;
        let clock_ms = self.world.borrow().clock_ms();
        let begins_with_commit = self.world.borrow_mut().reading.one_in(2);
        let _ = (|| -> Result<(), WorkerError> {
            if begins_with_commit {
                worker.commit(&mut Nobody)?;
                worker.checkpoint(IDENTITY)?;
            }
            (0..4).try_for_each(|_| worker.poll(Duration::ZERO, clock_ms).map(|_| ()))?;
            worker.commit(&mut Nobody)
        })();
        let world = &mut *self.world.borrow_mut();
        if world.tally.commits != commits {
            world.violated("a process that others had taken over from committed".to_owned());
        }
    }
}
