//! The worker over a log that outlives it: whatever moment it dies at, and however little memory it
//! has, the records that leave are those of a worker that never died.

use super::*;
use crate::codec::output::{Encoder, OutputFormat};
use crate::codec::{Decoder, InputSettings};
use crate::log::{Assignment, Committed};
use crate::model::record::NoHeaders;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::rollup::{RollupSettings, rollup_tasks};
use crate::pipeline::route::{DeadLetterForm, SourceName};
use crate::pipeline::users::UsersSettings;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

const SLO: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations: {tailburn.dev/group-by: region, tailburn.dev/allowed-lateness: 10m}
spec:
  service: checkout
  description: answers that are no errors
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: checkout, target: 0.99}]
";

const INPUTS: u32 = 2;
const ROLLUPS: u32 = 3;

/// What a broker would keep.
#[derive(Default)]
struct Durable {
    inputs: Vec<Vec<Vec<u8>>>,
    partials: Vec<Vec<Vec<u8>>>,
    outputs: Vec<RecordOut>,
    committed: BTreeMap<Stream, Committed>,
}

/// One worker's view of it.
struct TestLog {
    durable: Rc<RefCell<Durable>>,
    next: BTreeMap<Stream, i64>,
    paused: BTreeSet<Stream>,
    sent: Vec<RecordOut>,
    batch: usize,
    /// More may come after what is there.
    is_unbounded: bool,
}

impl TestLog {
    fn open(durable: &Rc<RefCell<Durable>>, batch: usize) -> TestLog {
        let (next, paused) = (BTreeMap::new(), BTreeSet::new());
        TestLog { durable: Rc::clone(durable), next, paused, sent: Vec::new(), batch, is_unbounded: false }
    }

    fn assign(&mut self) -> LogEvent {
        let streams = (0..INPUTS).map(Stream::Input).chain((0..ROLLUPS).map(Stream::Partials));
        let assignments = streams.map(|stream| {
            let committed = self.durable.borrow().committed.get(&stream).cloned();
            let next = committed.as_ref().map_or(NextOffset(0), |c| c.next);
            self.next.insert(stream, next.0);
            Assignment { stream, next, log_start: NextOffset(0), committed }
        });
        LogEvent::Assigned(assignments.collect())
    }
}

impl Log for TestLog {
    fn poll(
        &mut self,
        _wait: Duration,
        each: &mut dyn FnMut(Stream, &RecordIn<'_>),
    ) -> Result<Vec<LogEvent>, LogError> {
        if self.next.is_empty() {
            return Ok(vec![self.assign()]);
        }
        let mut events = Vec::new();
        let durable = self.durable.borrow();
        for (stream, next) in self.next.iter_mut().filter(|(s, _)| !self.paused.contains(s)) {
            let (partition, records) = match stream {
                Stream::Input(p) => (*p, &durable.inputs[*p as usize]),
                Stream::Partials(p) => (*p, &durable.partials[*p as usize]),
                Stream::Repartition(_) | Stream::Sources => continue,
            };
            for value in records.iter().skip(*next as usize).take(self.batch) {
                let headers = &NoHeaders;
                each(*stream, &RecordIn { partition, offset: *next, key: None, value, timestamp_ms: None, headers });
                *next += 1;
            }
            if matches!(stream, Stream::Input(_)) && *next as usize == records.len() {
                let event = if self.is_unbounded { LogEvent::End } else { LogEvent::Finished };
                events.push(event(*stream, NextOffset(*next)));
            }
        }
        Ok(events)
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        self.sent.push(record.clone());
        Ok(())
    }

    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        let mut durable = self.durable.borrow_mut();
        for record in self.sent.drain(..) {
            match (record.topic, &record.value) {
                (Topic::Partials, Some(value)) => durable.partials[record.partition as usize].push(value.clone()),
                _ => durable.outputs.push(record),
            }
        }
        for (stream, next, metadata) in offsets {
            durable.committed.insert(*stream, Committed { next: *next, metadata: metadata.clone() });
        }
        Ok(CommitOutcome::Committed)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.sent.clear();
        Ok(())
    }

    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        let durable = self.durable.borrow();
        let end = |stream: &Stream| match stream {
            Stream::Input(p) => durable.inputs[*p as usize].len(),
            Stream::Partials(p) => durable.partials[*p as usize].len(),
            Stream::Repartition(_) | Stream::Sources => 0,
        };
        Ok(Some(streams.iter().map(|s| NextOffset(end(s) as i64)).collect()))
    }

    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        self.next.insert(stream, next.0);
        Ok(())
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.paused.extend(streams);
        Ok(())
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.paused.retain(|s| !streams.contains(s));
        Ok(())
    }

    fn changelog_range(&mut self, _partition: u32) -> Result<std::ops::Range<NextOffset>, LogError> {
        Ok(NextOffset(0)..NextOffset(0))
    }

    fn changelog(&mut self, _: u32, _: NextOffset) -> Result<Box<dyn crate::log::Changelog>, LogError> {
        Err(LogError::Broken("there is no changelog".to_owned()))
    }

    fn purge(&mut self, _before: &[(Stream, NextOffset)]) {}
}

/// A store that outlives its worker, as a directory does.
#[derive(Clone, Default)]
struct SharedStore(Rc<RefCell<MemoryStore>>);

impl Store for SharedStore {
    fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, crate::state::StoreError> {
        self.0.borrow().get(key, into)
    }

    fn multi_get(
        &self,
        keys: &[&[u8]],
        each: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<(), crate::state::StoreError> {
        self.0.borrow().multi_get(keys, each)
    }

    fn scan(&self, prefix: &[u8], each: &mut crate::state::EachRow<'_>) -> Result<(), crate::state::StoreError> {
        self.0.borrow().scan(prefix, each)
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), crate::state::StoreError> {
        self.0.borrow_mut().write(batch)
    }

    fn flush(&mut self) -> Result<(), crate::state::StoreError> {
        self.0.borrow_mut().flush()
    }

    fn usage(&self) -> Result<crate::state::Usage, crate::state::StoreError> {
        self.0.borrow().usage()
    }
}

fn worker(durable: &Rc<RefCell<Durable>>, store: &SharedStore, memory_bytes: u64, batch: usize) -> Worker<TestLog> {
    let slos = crate::definition::parse(&[("slo.yaml".to_owned(), SLO.to_owned())]).expect("a definition").slos;
    let slos = Arc::new(slos);
    let decoder = Decoder::new(InputSettings::default()).expect("a decoder");
    let names = (0..INPUTS).map(|p| SourceName { topic: "outcomes".to_owned(), partition: p }).collect();
    let route = Route::new(decoder, names, DeadLetterForm::Record { partitions: INPUTS });
    let settings = UsersSettings { out_of_orderness_ms: 5_000, groups_max: 2, rollup_partitions: ROLLUPS };
    let users = UsersTask::new(Arc::clone(&slos), INPUTS as usize, settings);
    let rollup = RollupSettings {
        partition: 0,
        users_tasks: 1,
        status_interval_ms: MINUTE_MS,
        tenant_status_interval_ms: 5 * MINUTE_MS,
        user_ids: UserIds::Plain,
        encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("schemas")),
    };
    let log = TestLog::open(durable, batch);
    Worker::new(log, route, users, rollup_tasks(&slos, ROLLUPS, &rollup), INPUTS)
        .restore(Box::new(store.clone()), "test", memory_bytes)
        .expect("restored")
}

/// A small counter-based generator: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Sixteen hours of traffic with users who come back after hours, an outage, late events and rubbish.
fn traffic(seed: u64) -> Vec<Vec<Vec<u8>>> {
    let mut dice = Dice(seed);
    let mut inputs = vec![Vec::new(); INPUTS as usize];
    let start = 1_780_000_000_000i64;
    for i in 0..3_000i64 {
        let at = start + i * 19_000;
        let late = if dice.below(40) == 0 { dice.below(700_000) as i64 } else { dice.below(3_000) as i64 };
        let outage = (900..1_100).contains(&i) || (2_000..2_040).contains(&i);
        let status = if outage && dice.below(3) > 0 || dice.below(200) == 0 { 503 } else { 200 };
        // Who comes changes with the hour, so that most users rest most of the time.
        let user = (i / 180) % 12 * 40 + dice.below(60) as i64;
        let region = ["eu", "us", "ap"][dice.below(3) as usize];
        let line = match dice.below(100) {
            0 => "{\"tenant\": 7}".to_owned(),
            _ => format!(
                "{{\"tenant\":\"t{}\",\"user\":\"u{user}\",\"timestamp\":{},\"status\":{status},\"latency_ms\":{},\
                 \"attributes\":{{\"region\":\"{region}\",\"tier\":\"{}\"}}}}",
                user % 3,
                at - late,
                10 + dice.below(900),
                ["free", "pro"][(user % 2) as usize]
            ),
        };
        inputs[dice.below(u64::from(INPUTS)) as usize].push(line.into_bytes());
    }
    inputs
}

/// The records that left, as a consumer of each partition sees them.
fn per_partition(outputs: &[RecordOut]) -> BTreeMap<(Topic, u32), Vec<RecordOut>> {
    let mut by_partition: BTreeMap<(Topic, u32), Vec<RecordOut>> = BTreeMap::new();
    for record in outputs {
        by_partition.entry((record.topic, record.partition)).or_default().push(record.clone());
    }
    by_partition
}

/// Runs to the end; `dies` says when a worker ends without a word and another takes its place.
fn run(seed: u64, memory_bytes: u64, batch: usize, dies: &mut dyn FnMut() -> bool) -> (Vec<RecordOut>, u64, u64) {
    let durable = Durable { inputs: traffic(seed), partials: vec![Vec::new(); ROLLUPS as usize], ..Durable::default() };
    let durable = Rc::new(RefCell::new(durable));
    let store = SharedStore::default();
    let (mut deaths, mut cold) = (0, 0);
    let mut dice = Dice(seed ^ 1);
    loop {
        let mut worker = worker(&durable, &store, memory_bytes, batch);
        let is_done = loop {
            let turn = worker.poll(Duration::ZERO, 0).expect("a turn");
            if dies() {
                break false;
            }
            if dice.below(3) == 0 || turn.is_finished {
                worker.commit(&mut Nobody).expect("a commit");
                if dies() {
                    break false;
                }
                if dice.below(4) == 0 && !worker.is_replaying() {
                    worker.checkpoint("test").expect("a checkpoint");
                    cold = cold.max(worker.users.cold_users());
                }
            }
            if turn.is_finished && turn.records == 0 && !worker.has_news() {
                break true;
            }
        };
        if is_done {
            let outputs = durable.borrow().outputs.clone();
            return (outputs, deaths, cold);
        }
        deaths += 1;
    }
}

/// Fails with the first record that differs, readably.
fn assert_same(got: &[RecordOut], want: &[RecordOut], what: &str) {
    let (got, want) = (per_partition(got), per_partition(want));
    for (partition, want) in &want {
        let got = got.get(partition).map_or(&[][..], Vec::as_slice);
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let text = |record: &RecordOut| {
                let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| String::from_utf8_lossy(b).into_owned());
                format!("{:?} at {}: {:?}", text(&record.key), record.timestamp_ms, text(&record.value))
            };
            assert!(got == want, "{what}: {partition:?} record {i}\n got {}\nwant {}", text(got), text(want));
        }
        assert_eq!(got.len(), want.len(), "{what}: {partition:?}");
    }
    assert_eq!(got.len(), want.len(), "{what}: partitions");
}

#[test]
fn a_worker_that_dies_again_and_again_publishes_what_one_that_lives_does() {
    for seed in 0..4 {
        let (whole, ..) = run(seed, u64::MAX, 64, &mut || false);
        let alerts = whole.iter().filter(|r| r.topic == Topic::BurnAlerts).count();
        assert!(alerts > 4 && whole.len() > 1_000, "{alerts} alerts of {} records", whole.len());
        let mut dice = Dice(seed ^ 77);
        let (torn, deaths, _) = run(seed, u64::MAX, 12, &mut || dice.below(30) == 0);
        assert!(deaths > 3, "it died {deaths} times");
        assert_same(&torn, &whole, &format!("seed {seed}, {deaths} deaths"));
    }
}

#[test]
fn rows_beyond_the_memory_limit_count_as_those_within() {
    for seed in 0..2 {
        let (whole, ..) = run(seed, u64::MAX, 64, &mut || false);
        let (small, _, cold) = run(seed, 20_000, 64, &mut || false);
        assert!(cold > 50, "only {cold} users were ever in the store alone");
        assert_same(&small, &whole, &format!("seed {seed}, little memory"));
        let mut dice = Dice(seed ^ 99);
        let (torn, deaths, cold) = run(seed, 20_000, 12, &mut || dice.below(40) == 0);
        assert!(deaths > 3 && cold > 10, "{deaths} deaths, {cold} cold users");
        assert_same(&torn, &whole, &format!("seed {seed}, {deaths} deaths"));
    }
}

#[test]
fn an_end_that_was_reached_in_a_replay_makes_nobody_idle() {
    const IDLE_MS: Ms = 30_000;
    let durable = frozen_traffic();
    let live = |batch| {
        let mut worker = worker(&durable, &SharedStore::default(), u64::MAX, batch).pass_over_idle(IDLE_MS, 5_000);
        worker.log.is_unbounded = true;
        worker
    };
    let mut dies = live(FROZEN_AFTER);
    for _ in 0..2 {
        dies.poll(Duration::ZERO, 0).expect("a turn");
        dies.commit(&mut Nobody).expect("a commit");
    }
    let mut next = live(usize::MAX);
    // The log hands over everything to its end, also what the dead worker never read.
    next.poll(Duration::ZERO, 0).expect("the assignment");
    next.poll(Duration::ZERO, 0).expect("a turn");
    assert!(!next.is_replaying(), "what was committed was read");
    // What is behind the replay is still on its way when the timeout is over.
    next.log.batch = 0;
    next.poll(Duration::ZERO, IDLE_MS + 1).expect("a turn");
    for source in 0..INPUTS {
        assert!(!next.users.watermark(source).is_passed_over(), "nothing after offset {FROZEN_AFTER} was read");
    }
}

/// The rows that the state of version 1 consists of, as `key value` in hex, one a line.
const FROZEN: &str = include_str!("../../tests/fixtures/state-v1.txt");
/// Records of each partition that the frozen state has seen.
const FROZEN_AFTER: usize = 40;

/// A worker that has read the beginning of a traffic, and what its store then holds.
fn frozen_state(durable: &Rc<RefCell<Durable>>) -> SharedStore {
    let store = SharedStore::default();
    let mut worker = worker(durable, &store, u64::MAX, FROZEN_AFTER);
    // The assignment, the first batch, and then only the partials that came of it.
    for turn in 0..4 {
        worker.poll(Duration::ZERO, 0).expect("a turn");
        worker.commit(&mut Nobody).expect("a commit");
        if turn == 1 {
            worker.log.paused.extend((0..INPUTS).map(Stream::Input));
        }
    }
    worker.checkpoint("frozen").expect("a checkpoint");
    store
}

fn rows_of(store: &SharedStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        std::ops::ControlFlow::Continue(())
    };
    store.scan(&[], &mut each).expect("a scan");
    rows
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn frozen_traffic() -> Rc<RefCell<Durable>> {
    let partials = vec![Vec::new(); ROLLUPS as usize];
    Rc::new(RefCell::new(Durable { inputs: traffic(5), partials, ..Durable::default() }))
}

fn frozen_text() -> String {
    let rows = rows_of(&frozen_state(&frozen_traffic()));
    rows.iter().map(|(key, value)| format!("{} {}\n", hex(key), hex(value))).collect()
}

#[test]
fn the_bytes_of_state_are_those_of_version_1() {
    assert!(
        frozen_text() == FROZEN,
        "the stored bytes changed: raise the version, keep reading the old one, and freeze the new one beside it"
    );
}

#[test]
fn a_worker_goes_on_from_state_that_an_earlier_build_wrote() {
    let durable = frozen_traffic();
    let _ = frozen_state(&durable);
    let store = SharedStore::default();
    let mut batch = Batch::default();
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex")).collect()
    };
    for (key, value) in FROZEN.lines().filter_map(|line| line.split_once(' ')) {
        batch.put(&bytes(key), &bytes(value));
    }
    store.clone().write(&mut batch).expect("written");
    let mut worker = worker(&durable, &store, u64::MAX, 64);
    loop {
        let turn = worker.poll(Duration::ZERO, 0).expect("a turn");
        worker.commit(&mut Nobody).expect("a commit");
        if turn.is_finished && turn.records == 0 && !worker.has_news() {
            break;
        }
    }
    let (whole, ..) = run(5, u64::MAX, 64, &mut || false);
    assert_same(&durable.borrow().outputs, &whole, "from frozen state");
}

/// Writes the fixture; for a new version only, beside the old one.
#[test]
#[ignore = "writes the fixture of the current version"]
fn freezes_the_state_of_this_version() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state-v1.txt");
    std::fs::write(path, frozen_text()).expect("written");
}
