//! Workers over a log that outlives them: whenever they die, however tasks move among them and however
//! little memory they have, the records that leave are those of a direct worker that read it all.

mod model;

use super::direct::DirectWorker;
use super::*;
use crate::codec::output::{Encoder, OutputFormat};
use crate::codec::{Decoder, InputSettings};
use crate::log::TopicId;
use crate::log::embedded::{EmbeddedLog, Sink, Source, SourceState};
use crate::model::record::{NoHeaders, RecordIn, Topic};
use crate::model::slo::Slo;
use crate::model::time::{HOUR_MS, MINUTE_MS, Ms, Now, PANE_MS, SECOND_MS, floor_to};
use crate::pipeline::intake::Spread;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::rollup::{RollupSettings, rollup_tasks};
use crate::pipeline::route::{DeadLetterForm, Route, SourceName};
use crate::pipeline::users::{UsersSettings, UsersTask};
use model::{Brokers, Directory, Durable, TestLog};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
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

const INPUTS: u32 = 3;
const USERS: u32 = 5;
const ROLLUPS: u32 = 2;
const START_MS: Ms = 1_780_000_000_000;
const OUT_OF_ORDERNESS_MS: Ms = 5_000;
/// The last event of every partition: what was before is closed by it.
const LAST_MS: Ms = START_MS + 17 * HOUR_MS;

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
fn traffic(seed: u64, is_keyed: bool) -> Vec<Vec<Vec<u8>>> {
    let mut dice = Dice(seed);
    let mut inputs = vec![Vec::new(); INPUTS as usize];
    for i in 0..3_000i64 {
        let at = START_MS + i * 19_000;
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
        let anywhere = dice.below(u64::from(INPUTS)) as usize;
        inputs[if is_keyed { user as usize % INPUTS as usize } else { anywhere }].push(line.into_bytes());
    }
    for input in &mut inputs {
        input.push(format!("{{\"tenant\":\"t0\",\"timestamp\":{LAST_MS},\"status\":200}}").into_bytes());
    }
    inputs
}

fn slos() -> Arc<Vec<Slo>> {
    Arc::new(crate::definition::parse(&[("slo.yaml".to_owned(), SLO.to_owned())]).expect("a definition").slos)
}

fn route(inputs: u32) -> Route {
    let decoder = Decoder::new(InputSettings::default()).expect("a decoder");
    let names = (0..inputs).map(|p| SourceName { topic: "outcomes".to_owned(), partition: p }).collect();
    Route::new(decoder, names, DeadLetterForm::Record { partitions: inputs })
}

fn users_settings() -> UsersSettings {
    UsersSettings {
        out_of_orderness_ms: OUT_OF_ORDERNESS_MS,
        // Fewer than there are, so that somebody has to decide for all users tasks.
        groups_max: 2,
        tenants_max: 2,
        rollup_partitions: ROLLUPS,
    }
}

fn rollup_settings() -> RollupSettings {
    RollupSettings {
        partition: 0,
        users_tasks: 1,
        status_interval_ms: MINUTE_MS,
        tenant_status_interval_ms: 5 * MINUTE_MS,
        user_ids: UserIds::Plain,
        encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("schemas")),
    }
}

/// How a run is made.
#[derive(Clone, Copy)]
struct Made {
    inputs: u32,
    is_keyed: bool,
    memory_bytes: u64,
    batch: usize,
    passes_over: bool,
}

const PLAIN: Made = Made { inputs: INPUTS, is_keyed: false, memory_bytes: u64::MAX, batch: 64, passes_over: false };

fn worker(brokers: &Brokers, directory: &Directory, made: Made) -> Worker<TestLog> {
    let setup = Setup {
        slos: slos(),
        inputs: made.inputs,
        keyed_by_user: made.is_keyed,
        spread: Spread { partitions: USERS, per_tenant: 3, large_tenants: vec!["t1".to_owned()] },
        rollups: ROLLUPS,
        users: users_settings(),
        rollup: rollup_settings(),
        patience: IdlePolicy {
            idle_timeout_ms: 30_000,
            max_alignment_wait_ms: 600_000,
            out_of_orderness_ms: OUT_OF_ORDERNESS_MS,
        },
        passes_over: made.passes_over,
        identity: "test".to_owned(),
        checkpoint_interval_ms: 2_000,
        deltas_min_bytes: DELTAS_MIN_BYTES,
        memory_limit_bytes: made.memory_bytes,
    };
    Worker::new(TestLog::open(brokers, made.batch), Tasks::new(setup, Box::new(directory.clone()), route(made.inputs)))
}

fn streams(is_keyed: bool) -> Vec<Stream> {
    let blocks = (0..if is_keyed { 0 } else { USERS }).map(Stream::Repartition);
    (0..INPUTS).map(Stream::Input).chain(blocks).chain((0..ROLLUPS).map(Stream::Partials)).collect()
}

/// Lines of one partition, for the embedded log.
struct Lines(Vec<Vec<u8>>, i64);

impl Source for Lines {
    fn read(&mut self, max: usize, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<SourceState, LogError> {
        for _ in 0..max {
            let Some(value) = self.0.get(self.1 as usize) else { return Ok(SourceState::Finished) };
            let (offset, headers) = (self.1, &NoHeaders);
            each(&RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers });
            self.1 += 1;
        }
        Ok(SourceState::More)
    }
}

#[derive(Default)]
struct Kept(Vec<RecordOut>);

impl Sink for Kept {
    fn commit(&mut self, records: Vec<RecordOut>) -> Result<(), LogError> {
        self.0.extend(records);
        Ok(())
    }
}

fn embedded(inputs: &[Vec<Vec<u8>>]) -> EmbeddedLog<Kept> {
    let source = |lines: &Vec<Vec<u8>>| -> Box<dyn Source> { Box::new(Lines(lines.clone(), 0)) };
    EmbeddedLog::new(inputs.iter().map(source).collect(), ROLLUPS, Kept::default())
}

/// The output of a worker that reads everything at once and never crashes.
fn direct(inputs: &[Vec<Vec<u8>>]) -> Vec<RecordOut> {
    let slos = slos();
    let users = UsersTask::new(Arc::clone(&slos), INPUTS as usize, users_settings());
    let rollups = rollup_tasks(&slos, ROLLUPS, &rollup_settings());
    let mut worker = DirectWorker::new(embedded(inputs), route(INPUTS), users, rollups, INPUTS);
    loop {
        let turn = worker.poll(Duration::ZERO).expect("a turn");
        worker.commit(&mut Nobody).expect("a commit");
        if turn.is_finished && turn.records == 0 {
            return worker.log.into_sink().0;
        }
    }
}

/// The records that left, as a consumer of each partition sees them.
fn per_partition(outputs: &[RecordOut]) -> BTreeMap<(Topic, u32), Vec<RecordOut>> {
    let mut by_partition: BTreeMap<(Topic, u32), Vec<RecordOut>> = BTreeMap::new();
    for record in outputs {
        by_partition.entry((record.topic, record.partition)).or_default().push(record.clone());
    }
    by_partition
}

/// Fails with the first record that differs, readably. What is wanted behind `to_ms` may be missing.
fn assert_same(got: &[RecordOut], want: &[RecordOut], to_ms: Ms, what: &str) {
    // At its last T a backtest publishes a status of every key; a live run does not know that it is the last.
    let last_ms = want.iter().filter(|r| r.topic == Topic::SloStatus).map(|r| r.timestamp_ms).max();
    let but_last = |records: &[RecordOut]| -> Vec<RecordOut> {
        let is_last = |r: &&RecordOut| r.topic == Topic::SloStatus && Some(r.timestamp_ms) == last_ms;
        records.iter().filter(|r| !is_last(r)).cloned().collect()
    };
    let (got, want) = (per_partition(&but_last(got)), per_partition(&but_last(want)));
    for (partition, want) in &want {
        let got = got.get(partition).map_or(&[][..], Vec::as_slice);
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let text = |record: &RecordOut, from: usize| {
                let text =
                    |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or(b"null")).into_owned();
                let value: String = text(&record.value).chars().skip(from).take(200).collect();
                format!("{:?} at {}: ..{value}", text(&record.key), record.timestamp_ms)
            };
            let bytes = |record: &RecordOut| record.value.clone().unwrap_or_default();
            let alike = bytes(got).iter().zip(&bytes(want)).take_while(|(a, b)| a == b).count().saturating_sub(60);
            assert!(
                got == want,
                "{what}: {partition:?} record {i}\n got {}\nwant {}",
                text(got, alike),
                text(want, alike)
            );
        }
        let wanted = want.iter().filter(|record| record.timestamp_ms <= to_ms).count();
        assert!(got.len() >= wanted && got.len() <= want.len(), "{what}: {partition:?}: {} of {wanted}", got.len());
    }
    assert!(got.keys().all(|partition| want.contains_key(partition)), "{what}: partitions that nobody wants");
}

/// The last T if the input is not known to end.
const END_MS: Ms = LAST_MS - OUT_OF_ORDERNESS_MS;

fn end_ms() -> Ms {
    floor_to(END_MS, PANE_MS)
}

/// What happens to workers.
#[derive(Default)]
struct Happened {
    deaths: u32,
    moves: u32,
    lost_directories: u32,
    aborts: u32,
}

/// Runs so many workers to the end of T. Every stream is somebody's; `mischief` is how often, in a
/// thousand turns, each of the things happens that must not matter.
fn run(seed: u64, made: Made, workers: usize, mischief: u64) -> (Vec<RecordOut>, Happened, usize) {
    let durable = Durable { inputs: traffic(seed, made.is_keyed), ..Durable::default() };
    let brokers = Rc::new(RefCell::new(durable));
    let directories = vec![Directory::default(); workers].iter().map(|_| Directory::default()).collect::<Vec<_>>();
    let mut dice = Dice(seed ^ 1);
    let mut alive: Vec<Worker<TestLog>> = directories.iter().map(|d| worker(&brokers, d, made)).collect();
    let mut homes: BTreeMap<Stream, usize> = BTreeMap::new();
    for (i, stream) in streams(made.is_keyed).into_iter().enumerate() {
        homes.insert(stream, i % workers);
    }
    for (home, worker) in alive.iter_mut().enumerate() {
        worker.log.assign(&of(&homes, home));
    }
    let (mut happened, mut now_ms) = (Happened::default(), 0);
    for _ in 0..200_000 {
        let at = dice.below(workers as u64) as usize;
        now_ms += 100;
        alive[at].poll(Duration::ZERO, now(now_ms)).expect("a turn");
        let happens = |dice: &mut Dice| dice.below(1_000) < mischief;
        if happens(&mut dice) {
            alive[at].log.aborts = 1 + dice.below(3) as u32;
            happened.aborts += 1;
        }
        if alive[at].is_leaving() || dice.below(3) == 0 {
            alive[at].commit(&mut Nobody, now_ms).expect("a commit");
        }
        if happens(&mut dice) {
            happened.deaths += 1;
            if dice.below(4) == 0 {
                directories[at].lose();
                happened.lost_directories += 1;
            } else {
                directories[at].crash(&mut || dice.below(20) as usize);
            }
            alive[at] = worker(&brokers, &directories[at], made);
            alive[at].log.assign(&of(&homes, at));
        }
        if workers > 1 && happens(&mut dice) {
            happened.moves += 1;
            shuffle(&mut dice, &mut alive, &mut homes, now_ms);
        }
        if dice.below(500) == 0 {
            brokers.borrow_mut().compact();
        }
        let at_ms = alive.iter().map(|w| w.figures()).filter(|f| f.keys > 0).filter_map(|f| f.evaluated_ms).min();
        if at_ms == Some(end_ms()) && alive.iter().all(|w| !w.has_news() && w.is_live()) {
            let brokers = brokers.borrow();
            return (brokers.outputs.clone(), happened, brokers.changelog_bytes);
        }
    }
    panic!("seed {seed} does not come to an end");
}

/// The steady clock begins with the run, the other one with the epoch.
fn now(steady_ms: Ms) -> Now {
    Now { wall_ms: START_MS + steady_ms, steady_ms }
}

fn of(homes: &BTreeMap<Stream, usize>, home: usize) -> Vec<Stream> {
    homes.iter().filter(|(_, h)| **h == home).map(|(stream, _)| *stream).collect()
}

/// Some streams go from one worker to another, as a cooperative group moves them.
fn shuffle(dice: &mut Dice, alive: &mut [Worker<TestLog>], homes: &mut BTreeMap<Stream, usize>, now_ms: Ms) {
    let (from, to) = (dice.below(alive.len() as u64) as usize, dice.below(alive.len() as u64) as usize);
    let moved: Vec<Stream> = of(homes, from).into_iter().filter(|_| dice.below(2) == 0).collect();
    if from == to || moved.is_empty() {
        return;
    }
    let owned = alive[from].log.owned();
    let moved: Vec<Stream> = moved.into_iter().filter(|stream| owned.contains(stream)).collect();
    alive[from].log.revoke(&moved);
    while !alive[from].is_leaving() {
        alive[from].poll(Duration::ZERO, now(now_ms)).expect("a turn");
    }
    if dice.below(4) > 0 {
        alive[from].commit(&mut Nobody, now_ms).expect("a commit");
    }
    alive[from].poll(Duration::ZERO, now(now_ms)).expect("a turn");
    for stream in &moved {
        homes.insert(*stream, to);
    }
    alive[to].log.assign(&moved);
}

#[test]
fn blocks_between_route_and_users_change_nothing() {
    let inputs = traffic(3, false);
    let whole = direct(&inputs);
    let brokers = Rc::new(RefCell::new(Durable::default()));
    let made = worker(&brokers, &Directory::default(), PLAIN);
    let mut worker = Worker::new(embedded(&inputs).with_repartition(USERS), made.tasks);
    loop {
        let turn = worker.poll(Duration::ZERO, now(0)).expect("a turn");
        worker.commit(&mut Nobody, 0).expect("a commit");
        if turn.is_finished && turn.records == 0 {
            break;
        }
    }
    assert_same(&worker.log.into_sink().0, &whole, Ms::MAX, "the embedded log");
}

#[test]
fn one_worker_or_several_publish_what_a_direct_one_does() {
    for (is_keyed, workers) in [(false, 1), (true, 1), (false, 3), (true, 2)] {
        let made = Made { is_keyed, ..PLAIN };
        let whole = direct(&traffic(1, is_keyed));
        let alerts = whole.iter().filter(|r| r.topic == Topic::BurnAlerts).count();
        assert!(alerts > 4 && whole.len() > 1_000, "{alerts} alerts of {} records", whole.len());
        let (got, ..) = run(1, made, workers, 0);
        assert_same(&got, &whole, end_ms(), &format!("keyed {is_keyed}, {workers} workers"));
    }
}

#[test]
fn input_that_is_said_to_be_keyed_by_user_and_is_not_is_refused() {
    for workers in [1, 2] {
        let made = Made { is_keyed: true, ..PLAIN };
        let durable = Durable { inputs: traffic(1, false), ..Durable::default() };
        let brokers = Rc::new(RefCell::new(durable));
        let mut alive: Vec<_> = (0..workers).map(|_| worker(&brokers, &Directory::default(), made)).collect();
        for (i, stream) in streams(true).into_iter().enumerate() {
            alive[i % workers].log.assign(&[stream]);
        }
        let mut turns = (0..100_000).map(|turn| {
            let worker = &mut alive[turn % workers];
            worker
                .poll(Duration::ZERO, now(turn as Ms * 100))
                .and_then(|_| worker.commit(&mut Nobody, turn as Ms * 100))
        });
        let error = turns.find_map(Result::err).expect("the input is not keyed by user").to_string();
        assert!(error.contains("input.keyed_by_user: a user's events are on input partitions 0 and 1"), "{error}");
    }
}

/// A topic has other records at the offsets of the one that had its name, and state is of the old one.
#[test]
fn a_topic_that_was_created_again_and_offsets_that_are_gone_are_refused() {
    let created_again = |durable: &mut Durable| {
        durable.topics.insert(Stream::Input(1), TopicId([2; 16]));
    };
    let with_its_offsets = |durable: &mut Durable| {
        durable.topics.insert(Stream::Input(1), TopicId([2; 16]));
        durable.committed.remove(&Stream::Input(1));
    };
    let expired = |durable: &mut Durable| durable.committed.clear();
    let of_a_task = |durable: &mut Durable| {
        durable.committed.remove(&Stream::Repartition(2));
    };
    type Loss<'a> = (&'a dyn Fn(&mut Durable), &'a str);
    let cases: [Loss<'_>; 4] = [
        (&created_again, "created again"),
        (&with_its_offsets, "created again"),
        (&expired, "has no offset of it, and it had one"),
        (&of_a_task, "has no offset of it, and it had one"),
    ];
    for (happens, says) in cases {
        for is_lost in [false, true] {
            let topics = streams(false).into_iter().map(|stream| (stream, TopicId([1; 16]))).collect();
            let durable = Durable { inputs: traffic(1, false), topics, ..Durable::default() };
            let (brokers, directory) = (Rc::new(RefCell::new(durable)), Directory::default());
            let mut first = worker(&brokers, &directory, PLAIN);
            first.log.assign(&streams(false));
            turns(&mut first, 0..50);
            drop(first);
            happens(&mut brokers.borrow_mut());
            if is_lost {
                directory.lose();
            }
            let was = brokers.borrow().outputs.len();
            let mut second = worker(&brokers, &directory, PLAIN);
            second.log.assign(&streams(false));
            let error = second.poll(Duration::ZERO, now(HOUR_MS)).expect_err(says).to_string();
            assert!(error.contains(says) && error.contains("another application_id"), "{error}");
            assert_eq!(brokers.borrow().outputs.len(), was, "nothing is written before it is said");
        }
    }
}

fn turns(worker: &mut Worker<TestLog>, turns: std::ops::Range<Ms>) {
    for turn in turns {
        worker.poll(Duration::ZERO, now(turn * 200)).expect("a turn");
        worker.commit(&mut Nobody, turn * 200).expect("a commit");
    }
}

/// Who has nothing is not ready before the group said that it is so, and who has something not before it is restored.
#[test]
fn a_worker_is_ready_once_it_is_assigned_and_restored() {
    let durable = Durable { inputs: traffic(1, false), ..Durable::default() };
    let (brokers, directory) = (Rc::new(RefCell::new(durable)), Directory::default());
    let mut first = worker(&brokers, &directory, PLAIN);
    turns(&mut first, 0..3);
    assert!(!first.is_ready(), "the group has said nothing");
    first.log.assign(&streams(false));
    turns(&mut first, 3..50);
    assert!(first.is_ready());
    drop(first);
    directory.lose();

    let mut second = worker(&brokers, &directory, PLAIN);
    second.log.assign(&streams(false));
    second.poll(Duration::ZERO, now(50 * 200)).expect("a turn");
    assert!(!second.is_ready(), "the state is not restored");
    turns(&mut second, 51..100);
    assert!(second.is_ready());

    let mut third = worker(&brokers, &directory, PLAIN);
    third.log.join_with_nothing();
    turns(&mut third, 100..102);
    assert!(third.is_ready(), "others have it all");
}

/// Keys of statuses, and ids of alerts that fire.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    keys: BTreeSet<Vec<u8>>,
    firing: BTreeSet<String>,
}

impl Shown {
    fn of<'a>(records: impl IntoIterator<Item = &'a RecordOut>) -> Shown {
        let mut shown = Shown::default();
        for record in records {
            let (Some(key), Some(value)) = (&record.key, &record.value) else { continue };
            match record.topic {
                Topic::SloStatus => drop(shown.keys.insert(key.clone())),
                Topic::BurnAlerts => {
                    let alert: serde_json::Value = serde_json::from_slice(value).expect("JSON");
                    let id = alert["id"].as_str().expect("an id").to_owned();
                    if alert["state"] == "resolved" {
                        shown.firing.remove(&id);
                    } else {
                        shown.firing.insert(id);
                    }
                }
                _ => {}
            }
        }
        shown
    }
}

#[derive(Default)]
struct Restored(Vec<RecordOut>);

impl Observer for Restored {
    fn restored(&mut self, record: &RecordOut) {
        self.0.push(record.clone());
    }

    fn committed(&mut self, _: &[RecordOut]) {}
}

/// Killed in the outage, with a checkpoint or before the first one.
#[test]
fn a_restarted_worker_shows_all_keys_and_the_firing_alerts() {
    for (has_checkpoint, is_lost) in [(false, false), (true, false), (true, true)] {
        let inputs = traffic(1, false).into_iter().map(|input| input[..input.len() / 3].to_vec()).collect();
        let (brokers, directory) =
            (Rc::new(RefCell::new(Durable { inputs, ..Durable::default() })), Directory::default());
        let mut first = worker(&brokers, &directory, PLAIN);
        first.log.assign(&streams(false));
        // No time goes by, so that no checkpoint is due.
        for _ in 0..60 {
            first.poll(Duration::ZERO, now(0)).expect("a turn");
            first.commit(&mut Nobody, 0).expect("a commit");
        }
        if has_checkpoint {
            first.checkpoint_all();
            turns(&mut first, 0..1);
        }
        drop(first);
        directory.crash(&mut || 0);
        if is_lost {
            directory.lose();
        }
        let published = Shown::of(&brokers.borrow().outputs);
        assert!(published.keys.len() >= 4 && !published.firing.is_empty(), "{published:?}");

        let mut second = worker(&brokers, &directory, PLAIN);
        second.log.assign(&streams(false));
        let mut restored = Restored::default();
        for turn in 100..200 {
            second.poll(Duration::ZERO, now(turn * 200)).expect("a turn");
            if second.is_ready() {
                break;
            }
        }
        assert!(second.is_ready());
        second.tell_restored(&mut restored).expect("told");
        let restored = Shown::of(&restored.0);
        assert_eq!(restored, published, "a checkpoint: {has_checkpoint}, lost: {is_lost}");
    }
}

/// The input gets a fourth partition while its workers live, or die, with a checkpoint or without one.
#[test]
fn a_partition_that_is_added_is_read_from_its_beginning_and_what_was_published_stands() {
    for (before, is_graceful) in [(1, false), (3, false), (15, false), (15, true)] {
        let whole = traffic(1, false);
        let half = whole.iter().map(|input| input[..input.len() / 2].to_vec()).collect();
        let (brokers, directory) =
            (Rc::new(RefCell::new(Durable { inputs: half, ..Durable::default() })), Directory::default());
        let mut first = worker(&brokers, &directory, PLAIN);
        first.log.assign(&streams(false));
        turns(&mut first, 0..before);
        if is_graceful {
            first.checkpoint_all();
            turns(&mut first, before..before + 1);
        }
        drop(first);
        directory.crash(&mut || 0);
        let published = brokers.borrow().outputs.clone();
        let mut fourth = whole[0].clone();
        fourth.truncate(300);
        fourth.push(whole[0][whole[0].len() - 1].clone());
        let added = fourth.len() as i64;
        brokers.borrow_mut().inputs = whole.into_iter().chain([fourth]).collect();

        let made = Made { inputs: INPUTS + 1, ..PLAIN };
        let all: Vec<Stream> = streams(false).into_iter().chain([Stream::Input(INPUTS)]).collect();
        for (round, count) in [(1, 5), (2, 40), (3, 2_000)] {
            let mut next = worker(&brokers, &directory, made);
            next.log.assign(&all);
            turns(&mut next, round * 10_000..round * 10_000 + count);
            if round == 3 {
                assert_eq!(next.figures().evaluated_ms, Some(end_ms()), "{before} turns before");
            }
            drop(next);
            directory.crash(&mut || 0);
        }
        let brokers = brokers.borrow();
        assert_eq!(brokers.outputs[..published.len()], published, "{before} turns before");
        let read = brokers.committed.get(&Stream::Input(INPUTS)).map(|committed| committed.next.0);
        assert_eq!(read, Some(added), "{before} turns before: it is read from its beginning to its end");
    }
}

#[test]
fn a_changelog_without_the_checkpoint_is_waited_for_and_then_refused() {
    let durable = Durable { inputs: traffic(1, false), ..Durable::default() };
    let (brokers, directory) = (Rc::new(RefCell::new(durable)), Directory::default());
    let mut first = worker(&brokers, &directory, PLAIN);
    first.log.assign(&streams(false));
    for turn in 0..300 {
        first.poll(Duration::ZERO, now(turn * 200)).expect("a turn");
        first.commit(&mut Nobody, turn * 200).expect("a commit");
    }
    drop(first);
    directory.lose();
    brokers.borrow_mut().lose_changelog();

    // The clock that measures has been running for long, and the other one is set while it waits.
    let began_ms = HOUR_MS;
    let mut second = worker(&brokers, &directory, PLAIN);
    second.log.assign(&streams(false));
    let mut polled = |waited_ms: Ms, set_ms: Ms| {
        let steady_ms = began_ms + waited_ms;
        second.poll(Duration::ZERO, Now { wall_ms: START_MS + steady_ms + set_ms, steady_ms }).map(|_| ())
    };
    for (waited_ms, set_ms) in [(0, 0), (1, HOUR_MS), (30 * SECOND_MS, 0), (59 * SECOND_MS, -HOUR_MS)] {
        polled(waited_ms, set_ms).expect("it may become visible yet");
    }
    let error = polled(61 * SECOND_MS, 0).expect_err("nothing true can be told").to_string();
    assert!(error.contains("cannot be restored from the changelog: it ends before the checkpoint"), "{error}");
}

#[test]
fn workers_that_crash_and_hand_over_publish_what_a_direct_one_does() {
    let mut all = Happened::default();
    for seed in 0..8 {
        let made = Made { is_keyed: seed % 3 == 2, batch: 12, ..PLAIN };
        let whole = direct(&traffic(seed, made.is_keyed));
        let (got, happened, _) = run(seed, made, 1 + seed as usize % 3, 12);
        assert_same(&got, &whole, end_ms(), &format!("seed {seed}, {} deaths", happened.deaths));
        all.deaths += happened.deaths;
        all.moves += happened.moves;
        all.lost_directories += happened.lost_directories;
        all.aborts += happened.aborts;
    }
    let Happened { deaths, moves, lost_directories, aborts } = all;
    assert!(
        deaths > 30 && moves > 25 && lost_directories > 5 && aborts > 30,
        "{deaths} deaths, {moves} moves, {lost_directories} lost directories, {aborts} aborts"
    );
}

#[test]
fn rows_on_disk_count_like_rows_in_memory() {
    for seed in 20..22 {
        let made = Made { memory_bytes: 20_000, batch: 12, ..PLAIN };
        let (got, happened, _) = run(seed, made, 2, 8);
        assert!(happened.deaths > 3, "{} deaths", happened.deaths);
        assert_same(&got, &direct(&traffic(seed, false)), end_ms(), &format!("seed {seed}, little memory"));
    }
}
