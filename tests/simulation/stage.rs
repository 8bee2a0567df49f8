//! Workers on the simulation's brokers that a test moves by hand: no fault strikes, and what happens is what it does.

use crate::broker::Place;
use crate::log::SimLog;
use crate::reference::{route, setup};
use crate::run;
use crate::scenario::Scenario;
use crate::store::{Directory, SimStores};
use crate::traffic::Arrival;
use crate::world::{Life, Shared};
use std::time::Duration;
use tailburn::log::Stream;
use tailburn::model::record::Topic;
use tailburn::model::time::Ms;
use tailburn::worker::{Nobody, Tasks, Worker, WorkerError};

/// The time between two polls of a worker.
const TURN_MS: Ms = 200;

/// A worker, and whether its process lives.
pub struct Process {
    pub worker: Worker<SimLog>,
    life: Life,
}

pub struct Stage {
    pub scenario: Scenario,
    pub world: Shared,
}

impl Stage {
    /// Nothing has arrived yet.
    pub fn empty(is_keyed: bool) -> Stage {
        let scenario = Scenario::by_hand(is_keyed);
        Stage { world: run::world(&scenario, 0), scenario }
    }

    /// All input has arrived.
    pub fn full(is_keyed: bool) -> Stage {
        let stage = Stage::empty(is_keyed);
        stage.arrive(&stage.scenario.arrivals);
        stage
    }

    pub fn arrive(&self, arrivals: &[Arrival]) {
        let broker = &mut self.world.borrow_mut().broker;
        arrivals.iter().for_each(|arrival| arrival.append_to(broker));
    }

    /// Starts the process with this state directory; it joins the group with its second poll.
    pub fn start(&self, directory: &Directory, name: &str) -> Process {
        let life = Life::default();
        let log = SimLog::open(&self.world, &life, name);
        let stores = SimStores::open(directory, &self.world, &life, self.scenario.is_keyed);
        let setup = setup(&self.scenario, &self.scenario.slos);
        Process { worker: Worker::new(log, Tasks::new(setup, Box::new(stores), route(&self.scenario))), life }
    }

    /// One poll, a little later.
    pub fn poll(&self, process: &mut Process) -> Result<(), WorkerError> {
        self.world.borrow_mut().broker.now_ms += TURN_MS;
        let now = self.world.borrow().now();
        let outcome = process.worker.poll(Duration::ZERO, now).map(|_| ());
        self.check();
        outcome
    }

    /// One poll and a commit.
    pub fn turn(&self, process: &mut Process) -> Result<(), WorkerError> {
        self.poll(process)?;
        let now_ms = self.world.borrow().now_ms();
        let outcome = process.worker.commit(&mut Nobody, now_ms);
        self.check();
        outcome
    }

    pub fn turns(&self, process: &mut Process, turns: usize) {
        (0..turns).for_each(|_| self.turn(process).expect("a turn"));
    }

    /// Polls until the worker is a member of the group. It has nothing yet.
    pub fn join(&self, process: &mut Process) {
        while process.worker.log.member.is_none() {
            self.poll(process).expect("a poll");
        }
    }

    /// The group gives these streams to the process.
    pub fn assign(&self, process: &Process, streams: &[Stream]) {
        let member = process.worker.log.member.expect("it has joined");
        self.world.borrow_mut().broker.group.assign(member, streams);
    }

    /// The process dies and loses what it had not flushed; the group notices at once.
    pub fn kill(&self, process: Process, directory: &Directory) {
        process.life.end();
        let member = process.worker.log.member;
        drop(process);
        directory.crash_unflushed();
        member.into_iter().for_each(|member| self.world.borrow_mut().broker.group.expel(member));
    }

    /// The input gets one more partition.
    pub fn add_input(&mut self) -> Stream {
        let number = self.scenario.inputs;
        (self.scenario.inputs, self.scenario.firsts) = (number + 1, [&self.scenario.firsts[..], &[0]].concat());
        let broker = &mut self.world.borrow_mut().broker;
        broker.add(Place::Input(number));
        broker.add(Place::Output(Topic::DeadLetters, number));
        broker.group.add(Stream::Input(number));
        Stream::Input(number)
    }

    /// All records that were published, as a consumer reads them: its key, its value, its timestamp.
    pub fn published(&self, topic: Topic) -> Vec<(String, Option<Vec<u8>>, Ms)> {
        let broker = &self.world.borrow().broker;
        let places = broker.places().filter(|place| matches!(place, Place::Output(of, _) if *of == topic));
        let records = places.flat_map(|place| broker.partition(place).ever());
        let read = |key: &Option<Vec<u8>>| String::from_utf8(key.clone().unwrap_or_default()).expect("a text");
        records.map(|(_, record)| (read(&record.key), record.value.clone(), record.timestamp_ms)).collect()
    }

    /// How many entries all partitions have that tailburn writes.
    pub fn written(&self) -> i64 {
        let broker = &self.world.borrow().broker;
        broker.places().filter(|place| matches!(place, Place::Output(..))).map(|p| broker.partition(p).end()).sum()
    }

    fn check(&self) {
        let world = self.world.borrow();
        let violations: Vec<&String> = world.violations.iter().chain(&world.broker.violations).collect();
        assert!(violations.is_empty(), "a rule was broken: {violations:?}");
    }
}
