//! Drives workers as `tailburn run` does: starts them, lets them poll, commits at intervals, and starts a new one after
//! one ended, until everything is read and no fault can occur any more.

use crate::broker::{Broker, Place};
use crate::change;
use crate::compare;
use crate::dice::Dice;
use crate::faults::{Fault, Faults, Taken};
use crate::log::SimLog;
use crate::partition::Partition;
use crate::reference::{route, setup};
use crate::scenario::Scenario;
use crate::store::{Directory, SimStores};
use crate::world::{Life, Shared, Tally, Waits, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tailburn::log::{LogError, Stream};
use tailburn::model::record::Topic;
use tailburn::model::slo::Slo;
use tailburn::model::time::{HOUR_MS, MINUTE_MS, Ms};
use tailburn::pipeline::checkpoint::CheckpointError;
use tailburn::state::StoreError;
use tailburn::worker::{Nobody, Tasks, Worker, WorkerError};

/// A run with more turns than this counts as endless.
const TURNS_MAX: u64 = 150_000;
/// After this many turns of each process without any change, while time stands still, nothing more will happen.
const QUIET_TURNS: u64 = 40;

/// Why a run failed.
pub struct Failure {
    pub what: String,
    pub taken: Vec<Taken>,
}

/// What a successful run did.
pub struct Success {
    pub tally: Tally,
    pub taken: Vec<Taken>,
    pub compared: compare::Compared,
    /// The checks of changed definitions, if they changed.
    pub changed: change::Checked,
}

/// A worker, and the state of the thread that drives it.
struct Process {
    worker: Worker<SimLog>,
    life: Life,
    began_ms: Ms,
    committed_ms: Ms,
    read: u64,
    /// After its sleep it commits before it polls.
    commits_first: bool,
}

enum State {
    Down { until_ms: Ms },
    Up(Box<Process>),
    Asleep(Box<Process>, u64),
    Gone,
}

struct Instance {
    producer: String,
    directory: Directory,
    leaves_ms: Option<Ms>,
    state: State,
}

pub struct Simulation<'a> {
    scenario: &'a Scenario,
    /// The definitions for processes that start now.
    slos: Arc<Vec<Slo>>,
    world: Shared,
    instances: Vec<Instance>,
    arrived: usize,
    is_frozen: bool,
    quiet: u64,
}

/// Runs a scenario with at most `faults_max` faults.
pub fn run(scenario: &Scenario, faults_max: usize) -> Result<Success, Failure> {
    let mut simulation = Simulation::new(scenario, faults_max);
    let outcome = simulation.run_to_the_end();
    simulation.instances.clear();
    let world = &mut *simulation.world.borrow_mut();
    world.broker.settle();
    world.tally.moved = world.broker.group.moved;
    let mut violations = std::mem::take(&mut world.violations);
    violations.append(&mut world.broker.violations);
    let checked = outcome.and_then(|()| match violations.first() {
        Some(violation) => Err(format!("a rule was broken: {violation}")),
        None if scenario.becomes.is_some() => {
            change::check(scenario, &world.broker).map(|changed| (compare::Compared::default(), changed))
        }
        None => compare::compare(scenario, world).map(|compared| (compared, change::Checked::default())),
    });
    let taken = world.faults.taken.clone();
    match checked {
        Ok((compared, changed)) => Ok(Success { tally: world.tally, taken, compared, changed }),
        Err(what) => Err(Failure { what, taken }),
    }
}

fn partitions(scenario: &Scenario) -> BTreeMap<Place, Partition> {
    let mut partitions = BTreeMap::new();
    for (partition, first) in (0..).zip(&scenario.firsts) {
        partitions.insert(Place::Input(partition), Partition::beginning_at(*first));
    }
    for topic in Topic::OUTPUTS.into_iter().chain(Topic::INTERNAL) {
        let count = match topic {
            Topic::DeadLetters => scenario.inputs,
            Topic::Repartition => scenario.spread.partitions,
            Topic::Changelog => scenario.users_tasks() + scenario.rollups,
            Topic::Sources => 1,
            _ => scenario.rollups,
        };
        partitions.extend((0..count).map(|p| (Place::Output(topic, p), Partition::default())));
    }
    partitions
}

/// The brokers of a scenario before anything happens.
pub fn world(scenario: &Scenario, faults_max: usize) -> Shared {
    let mut broker = Broker::new(partitions(scenario), scenario.streams());
    broker.now_ms = scenario.begin_ms;
    Rc::new(RefCell::new(World {
        broker,
        faults: Faults::new(scenario.seed, scenario.one_in, faults_max),
        reading: Dice::new(scenario.seed, "reading"),
        clock_error_ms: 0,
        silent_until_ms: Ms::MIN,
        stalled: BTreeMap::new(),
        waits: Waits::default(),
        batch: scenario.batch,
        violations: Vec::new(),
        tally: Tally::default(),
    }))
}

impl<'a> Simulation<'a> {
    fn new(scenario: &'a Scenario, faults_max: usize) -> Simulation<'a> {
        let instances = scenario.stays.iter().enumerate().map(|(index, stay)| Instance {
            producer: format!("tailburn-{index}"),
            directory: Directory::default(),
            leaves_ms: stay.until_ms,
            state: State::Down { until_ms: stay.from_ms },
        });
        Simulation {
            scenario,
            slos: Arc::clone(&scenario.slos),
            world: world(scenario, faults_max),
            instances: instances.collect(),
            arrived: 0,
            is_frozen: false,
            quiet: 0,
        }
    }

    fn run_to_the_end(&mut self) -> Result<(), String> {
        loop {
            if self.pass_time() {
                return Err(format!("the run did not end within {TURNS_MAX} turns: {}", self.standstill()));
            }
            if let Some(violation) = self.world.borrow().violations.first() {
                return Err(format!("a rule was broken: {violation}"));
            }
            self.change_definitions()?;
            let count = self.instances.len() as u64;
            let at = self.world.borrow_mut().reading.below(count) as usize;
            let state = std::mem::replace(&mut self.instances[at].state, State::Gone);
            let state = self.turn(at, state)?;
            self.instances[at].state = state;
            self.is_frozen = self.is_frozen || self.has_arrived();
            if self.quiet > QUIET_TURNS * count && self.is_settled() {
                return Ok(());
            }
        }
    }

    /// One turn of an instance, in any state.
    fn turn(&mut self, at: usize, state: State) -> Result<State, String> {
        let now_ms = self.now_ms();
        match state {
            State::Gone => Ok(State::Gone),
            State::Down { until_ms } if now_ms < until_ms => Ok(State::Down { until_ms }),
            State::Down { .. } => {
                self.quiet = 0;
                Ok(State::Up(Box::new(self.begin(at))))
            }
            State::Asleep(process, until) => {
                let is_over = self.world.borrow().tally.turns >= until || self.world.borrow().faults.is_over();
                Ok(if is_over { State::Up(process) } else { State::Asleep(process, until) })
            }
            State::Up(mut process) => {
                if self.instances[at].leaves_ms.is_some_and(|ms| now_ms >= ms) {
                    let outcome = self.stop(&mut process);
                    let state = self.ended(at, process, outcome)?;
                    let is_out = matches!(state, State::Down { .. }) && self.world.borrow().faults.is_over();
                    return Ok(if is_out || self.world.borrow_mut().reading.one_in(2) { State::Gone } else { state });
                }
                if self.strikes(Fault::Stopped) {
                    let outcome = self.stop(&mut process);
                    return self.ended(at, process, outcome);
                }
                if self.strikes(Fault::Stalled) {
                    let world = &mut *self.world.borrow_mut();
                    process.commits_first = world.reading.one_in(2);
                    return Ok(State::Asleep(process, world.tally.turns + world.reading.below(200)));
                }
                match self.work(&mut process) {
                    Ok(()) if !process.life.is_over() => Ok(State::Up(process)),
                    outcome => self.ended(at, process, outcome),
                }
            }
        }
    }

    /// When it is time: all processes stop gracefully, one after the other, and later start with the changed definitions.
    /// No fault strikes meanwhile, because the new definitions must start from a checkpoint of the old ones.
    fn change_definitions(&mut self) -> Result<(), String> {
        let Some(becomes) = &self.scenario.becomes else { return Ok(()) };
        if Arc::ptr_eq(&self.slos, &becomes.slos) || self.now_ms() < becomes.at_ms {
            return Ok(());
        }
        self.world.borrow_mut().faults.is_held = true;
        let is_ready = |instance: &Instance| match &instance.state {
            State::Up(process) => process.worker.is_live(),
            State::Gone => true,
            State::Down { until_ms } => *until_ms > self.now_ms() + MINUTE_MS,
            State::Asleep(..) => false,
        };
        let members = self.instances.iter().filter(|i| matches!(i.state, State::Up(_))).count();
        let is_calm = {
            let world = self.world.borrow();
            world.broker.is_calm() && world.broker.group.is_calm() && members == world.broker.group.len()
        };
        // Every task must have an owner and be live, so that a stopping process leaves a checkpoint of it.
        if !is_calm || members == 0 || !self.instances.iter().all(is_ready) {
            return Ok(());
        }
        let mut all_stopped = true;
        for at in 0..self.instances.len() {
            match std::mem::replace(&mut self.instances[at].state, State::Gone) {
                State::Up(mut process) => {
                    let outcome = self.stop(&mut process);
                    all_stopped &= outcome.is_ok();
                    self.instances[at].state = self.ended(at, process, outcome)?;
                }
                other => self.instances[at].state = other,
            }
        }
        if all_stopped {
            self.slos = Arc::clone(&becomes.slos);
            self.world.borrow_mut().faults.is_held = false;
        }
        Ok(())
    }

    fn begin(&mut self, at: usize) -> Process {
        self.world.borrow_mut().tally.workers += 1;
        let (instance, life) = (&self.instances[at], Life::default());
        let log = SimLog::open(&self.world, &life, &instance.producer);
        let stores = SimStores::open(&instance.directory, &self.world, &life, self.scenario.is_keyed);
        let tasks = Tasks::new(setup(self.scenario, &self.slos), Box::new(stores), route(self.scenario));
        let now_ms = self.now_ms();
        let worker = Worker::new(log, tasks);
        Process { worker, life, began_ms: now_ms, committed_ms: now_ms, read: 0, commits_first: false }
    }

    /// The work of a worker's thread between two checks for signals.
    fn work(&mut self, process: &mut Process) -> Result<(), WorkerError> {
        if std::mem::take(&mut process.commits_first) {
            self.commit(process)?;
        }
        let now = self.world.borrow().now();
        let phases = process.worker.figures().phases;
        let records = process.worker.poll(Duration::ZERO, now)?;
        process.read += records;
        if phases[1] > 0 {
            self.world.borrow_mut().tally.replayed += records;
            self.die_at(process, Fault::CrashInReplay)?;
        }
        let now_ms = self.now_ms();
        let is_due = self.is_frozen || now_ms - process.committed_ms >= self.scenario.commit_ms;
        let is_quiet = records == 0 && process.worker.is_live() && !process.worker.has_news() && process.read == 0;
        if process.worker.is_leaving() {
            self.die_at(process, Fault::CrashLeaving)?;
        }
        if process.worker.is_leaving() || is_due && (process.read > 0 || process.worker.has_news()) {
            self.commit(process)?;
        }
        self.quiet = if is_quiet && self.is_frozen && process.worker.log.is_at_ends() { self.quiet + 1 } else { 0 };
        Ok(())
    }

    fn commit(&self, process: &mut Process) -> Result<(), WorkerError> {
        let elapsed_ms = self.now_ms() - process.began_ms;
        process.worker.commit(&mut Nobody, elapsed_ms)?;
        (process.committed_ms, process.read) = (self.now_ms(), 0);
        Ok(())
    }

    fn die_at(&self, process: &Process, fault: Fault) -> Result<(), WorkerError> {
        match process.life.dies(&mut self.world.borrow_mut().faults, fault) {
            true => Err(LogError::Broken("the process died".to_owned()).into()),
            false => Ok(()),
        }
    }

    /// Stops as after a signal: commits and checkpoints everything that was read.
    fn stop(&self, process: &mut Process) -> Result<(), WorkerError> {
        process.worker.checkpoint_all();
        self.commit(process)?;
        self.die_at(process, Fault::CrashStopping)?;
        process.worker.flush()
    }

    /// A worker ended. The next start is the program's own, or that of a service manager.
    fn ended(&mut self, at: usize, process: Box<Process>, outcome: Result<(), WorkerError>) -> Result<State, String> {
        self.quiet = 0;
        let life = process.life.clone();
        drop(process);
        let world = &mut *self.world.borrow_mut();
        let instance = &mut self.instances[at];
        if life.is_over() {
            world.tally.crashes += 1;
            if instance.directory.crash(&mut world.faults) {
                // The instance's identity was in its directory, so it has a new one now.
                instance.producer.push('+');
            }
        } else {
            match outcome {
                Ok(()) => {}
                Err(WorkerError::Useless { task, .. }) => {
                    world.tally.wiped += 1;
                    instance.directory.wipe(task);
                }
                Err(WorkerError::Aborted(_) | WorkerError::Lost(_)) => {}
                Err(WorkerError::Log(LogError::Broken(_) | LogError::Fenced(_))) => {}
                // The disk is full or fails: the process ends.
                Err(WorkerError::Checkpoint(CheckpointError::Store(StoreError::Io { .. }))) => {}
                // A task published more than its checkpoint has. As the message advises, the old definitions are started
                // once more and stopped gracefully.
                Err(WorkerError::Refused(why))
                    if why.contains("stop it gracefully") && !Arc::ptr_eq(&self.slos, &self.scenario.slos) =>
                {
                    self.slos = Arc::clone(&self.scenario.slos);
                }
                Err(error) => return Err(format!("a worker ended: {error}")),
            }
        }
        let down_ms = if self.is_frozen { 0 } else { world.reading.between(100, MINUTE_MS / 2) };
        Ok(State::Down { until_ms: world.now_ms() + down_ms })
    }

    /// Whether all input arrived, and T passed all of it (if T ever begins).
    fn has_arrived(&self) -> bool {
        let target_ms = self.scenario.last_arrival_ms() + MINUTE_MS;
        let world = self.world.borrow();
        let is_changed = self.scenario.becomes.as_ref().is_none_or(|becomes| Arc::ptr_eq(&self.slos, &becomes.slos));
        let is_over = self.arrived == self.scenario.arrivals.len() && world.faults.is_over() && is_changed;
        if !is_over || world.now_ms() < target_ms || !world.broker.is_calm() || !world.broker.group.is_calm() {
            return false;
        }
        let mut members = 0;
        let mut at_ms = None;
        for instance in &self.instances {
            match &instance.state {
                State::Gone => {}
                State::Up(process) if process.worker.is_live() => {
                    members += 1;
                    let figures = process.worker.figures();
                    if figures.keys > 0 {
                        at_ms = Some(figures.evaluated_ms.unwrap_or(Ms::MIN).min(at_ms.unwrap_or(Ms::MAX)));
                    }
                }
                _ => return false,
            }
        }
        // If every event is excluded, T never begins.
        let never_ms = target_ms + HOUR_MS + 4 * self.scenario.idle_ms;
        members == world.broker.group.len() && at_ms.map_or(world.now_ms() > never_ms, |at_ms| at_ms >= target_ms)
    }

    /// The state of all instances and streams, for a run that does not end.
    fn standstill(&self) -> String {
        let world = self.world.borrow();
        let of = |instance: &Instance| match &instance.state {
            State::Up(p) => format!(
                "up {:?} news {} at ends {}",
                p.worker.figures(),
                p.worker.has_news(),
                p.worker.log.is_at_ends()
            ),
            State::Down { until_ms } => format!("down until {until_ms}"),
            State::Asleep(..) => "asleep".to_owned(),
            State::Gone => "gone".to_owned(),
        };
        let instances: Vec<String> = self.instances.iter().map(of).collect();
        let offsets = self.scenario.streams().into_iter().map(|stream| {
            let committed = world.broker.group.committed(stream);
            format!("{stream:?} {:?} of {}", committed, world.broker.partition(stream.into()).end())
        });
        format!(
            "at {} of {}, {} of {} arrived, frozen {}, broker calm {}, group calm {} with {}\n{}\n{}",
            world.now_ms(),
            self.scenario.last_arrival_ms(),
            self.arrived,
            self.scenario.arrivals.len(),
            self.is_frozen,
            world.broker.is_calm(),
            world.broker.group.is_calm(),
            world.broker.group.len(),
            instances.join("\n"),
            offsets.collect::<Vec<_>>().join("\n")
        )
    }

    fn is_settled(&self) -> bool {
        let world = self.world.borrow();
        let is_up = |instance: &Instance| matches!(instance.state, State::Up(_) | State::Gone);
        world.broker.is_calm() && world.broker.group.is_calm() && self.instances.iter().all(is_up)
    }

    fn now_ms(&self) -> Ms {
        self.world.borrow().now_ms()
    }

    fn strikes(&self, fault: Fault) -> bool {
        self.world.borrow_mut().faults.strikes(fault)
    }

    /// Lets a little time pass, with the input that arrives in it. Returns whether the run has taken too many turns.
    fn pass_time(&mut self) -> bool {
        let world = &mut *self.world.borrow_mut();
        world.tally.turns += 1;
        let is_over = self.arrived == self.scenario.arrivals.len() && world.faults.is_over();
        if !self.is_frozen {
            // Once all is read and no fault can occur, the run only waits for idle timeouts, so time may pass faster.
            let is_read = is_over && is_read(self.scenario, &world.broker);
            let pace_ms = if is_read { self.scenario.idle_ms / 20 } else { 0 }.max(self.scenario.pace_ms);
            let count = self.instances.iter().filter(|i| !matches!(i.state, State::Gone)).count() as Ms;
            world.broker.now_ms += world.reading.between(0, 2 * pace_ms / count.max(1));
        }
        if is_over {
            (world.clock_error_ms, world.silent_until_ms) = (0, Ms::MIN);
            world.stalled.clear();
        }
        let now_ms = world.now_ms();
        for arrival in self.scenario.arrivals[self.arrived..].iter().take_while(|arrival| arrival.at_ms <= now_ms) {
            arrival.append_to(&mut world.broker);
            self.arrived += 1;
        }
        if now_ms > self.scenario.last_arrival_ms() + 4 * MINUTE_MS {
            world.faults.end();
        }
        for (fault, sign) in [(Fault::ClockForward, 1), (Fault::ClockBack, -1)] {
            if world.faults.strikes(fault) {
                world.clock_error_ms += sign * world.faults.size(1_000, 60 * MINUTE_MS);
            }
        }
        for instance in &mut self.instances {
            if let State::Up(process) = &mut instance.state {
                if is_over {
                    process.worker.log.cut_until_ms = Ms::MIN;
                }
                if let Some(member) = process.worker.log.member.filter(|_| process.worker.log.cut_until_ms <= now_ms) {
                    world.broker.group.heartbeat(member, now_ms);
                }
            }
        }
        world.tally.expelled += world.broker.group.expire(now_ms) as u64;
        disturb(world, self.scenario);
        world.tally.turns > TURNS_MAX
    }
}

/// Faults that do not belong to one process.
fn disturb(world: &mut World, scenario: &Scenario) {
    if world.faults.strikes(Fault::Shuffled) {
        world.broker.group.shuffle(&mut world.reading);
    }
    if world.faults.strikes(Fault::FellBehind) {
        let commits = world.faults.size(1, 5) as u32;
        world.broker.group.fall_behind(commits);
    }
    if world.faults.strikes(Fault::Compacted) {
        let changelogs = (0..scenario.users_tasks() + scenario.rollups).map(|p| Place::Output(Topic::Changelog, p));
        for place in changelogs.chain([Place::from(Stream::Sources)]) {
            let (share, drops_tombstones) = (world.reading.between(20, 120), world.reading.one_in(2));
            let partition = world.broker.partition(place);
            let to = partition.first() + (partition.end() - partition.first()) * share / 100;
            world.tally.compacted += world.broker.compact(place, to, drops_tombstones) as u64;
        }
    }
}

/// Whether the whole input was read and committed.
fn is_read(scenario: &Scenario, broker: &Broker) -> bool {
    let is_read = |source: u32| {
        let partition = broker.partition(Place::Input(source));
        let last = partition.ever().last().map_or(partition.first(), |(offset, _)| offset + 1);
        broker.group.committed(Stream::Input(source)).map_or(partition.first(), |c| c.next.0) >= last
    };
    (0..scenario.inputs).all(is_read)
}
