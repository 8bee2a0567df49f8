//! However many users tasks there are, whatever is passed over and wherever a task is torn away: the
//! same records leave.

mod admission;
mod causes;
mod changes;
mod failures;
mod frozen;
mod heap;
mod kinds;
mod maintenance;
mod size;

use super::*;
use crate::codec::output::Encoder;
use crate::codec::output::OutputFormat;
use crate::model::outcome::{Outcome, Pairs, WEIGHT_ONE};
use crate::model::record::Topic;
use crate::model::time::HOUR_MS;
use crate::model::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use crate::pipeline::mark::RollupMark;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::users::{UsersSettings, UsersTask};
use crate::state::{Batch, MemoryStore, Store};
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

const ROLLUPS: u32 = 2;
const START_MS: Ms = 1_780_000_000_000;

/// Groups, tenants with objectives and pages of their own, rules that fire soon, users from one event on.
const CHECKOUT: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations:
    tailburn.dev/group-by: region
    tailburn.dev/allowed-lateness: 10m
    tailburn.dev/tenant-objectives: t1=0.9
    tailburn.dev/tenant-alerts: page
    tailburn.dev/user-windows: 1h,1d
    tailburn.dev/min-user-events: '1'
    tailburn.dev/alert-rules: '10m/2m/2/page, 1h/5m/1/ticket, 30m/1/info'
    tailburn.dev/no-data-after: 20m
spec:
  service: checkout
  description: answers that are no errors
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation != 'ghost'\"}}}
  timeWindow: [{duration: 2d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: checkout, target: 0.95}]
";

/// The default rules, and a window whose steps are boundaries.
const SPEED: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: speed
  annotations: {tailburn.dev/user-windows: '10m,1d', tailburn.dev/min-user-events: '2'}
spec:
  service: checkout
  description: answers in time
  indicator:
    metadata: {name: fast}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'latency_ms < 300.0'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation != 'ghost'\"}}}
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: speed, target: 0.9}]
";

/// Regions as two tracks of a rollout.
const TRACKS: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: tracks
  annotations:
    tailburn.dev/canary: region=us/eu
    tailburn.dev/canary-max-burn: '3'
    tailburn.dev/user-windows: 1h
    tailburn.dev/low-traffic-guard: 'off'
spec:
  service: checkout
  description: answers that are no errors
  indicator:
    metadata: {name: answered}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: tailburn, spec: {filter: 'status >= 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation != 'ghost'\"}}}
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: tracks, target: 0.95}]
";

/// Days of a calendar, an agreement of two days, and a policy.
const PROMISES: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: promises
  annotations:
    tailburn.dev/sla: 0.93 per 2d in Europe/Berlin
    tailburn.dev/tenant-slas: t1=0.97
    tailburn.dev/policy: '0.5=caution, 0=freeze, -1=rollback'
    tailburn.dev/user-windows: 1h
    tailburn.dev/group-by: region
    tailburn.dev/allowed-lateness: 25m
spec:
  service: checkout
  description: answers that are no errors
  indicator:
    metadata: {name: kept}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation != 'ghost'\"}}}
  timeWindow: [{duration: 1d, isRolling: false, calendar: {startTime: '2026-01-01 07:00:00', timeZone: UTC}}]
  budgetingMethod: Occurrences
  objectives: [{displayName: promises, target: 0.95}]
";

fn slos(documents: &[&str]) -> Arc<Vec<Slo>> {
    let named: Vec<(String, String)> =
        documents.iter().map(|text| ("slo.yaml".to_owned(), (*text).to_owned())).collect();
    Arc::new(crate::definition::parse(&named).expect("definitions").slos)
}

fn rollup(slos: &[Slo], partition: u32, users_tasks: u32) -> RollupTask {
    let settings = RollupSettings {
        partition,
        users_tasks,
        status_interval_ms: MINUTE_MS,
        tenant_status_interval_ms: 5 * MINUTE_MS,
        user_ids: UserIds::Plain,
        encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("schemas")),
    };
    RollupTask::new(slos, settings)
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

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// One event, before it is known which users task gets it.
#[derive(Clone)]
struct Event {
    time_ms: Ms,
    tenant: u64,
    user: Option<u64>,
    status: Option<i64>,
    latency_ms: f64,
    region: u64,
    tier: u64,
    weight: u64,
    any: u64,
}

impl Event {
    fn outcome(&self) -> Outcome<'static> {
        let mut attributes: Pairs<'static, Cow<'static, str>> = Pairs::new();
        attributes.push(("region".into(), ["eu", "us", "ap"][self.region as usize].into()));
        attributes.push(("tier".into(), ["free", "pro"][self.tier as usize].into()));
        Outcome {
            tenant: format!("t{}", self.tenant).into(),
            user: self.user.map(|user| format!("user-{user}").into()),
            timestamp_ms: self.time_ms,
            operation: Some("pay".into()),
            trace_id: Some(format!("{:x}", self.any % 50_000).into()),
            dependency: Some(format!("d{}", self.any % 7).into()),
            error_type: (!self.any.is_multiple_of(3)).then(|| format!("e{}", self.any / 7 % 40).into()),
            status: self.status,
            latency_ms: Some(self.latency_ms),
            attributes,
            weight_micros: self.weight,
            ..Outcome::default()
        }
    }

    /// What moves a watermark and nothing else.
    fn ghost(&self) -> Outcome<'static> {
        Outcome { operation: Some("ghost".into()), user: None, ..self.outcome() }
    }

    fn owner(&self, users_tasks: u64) -> u64 {
        let of_user = |user| xxh3_64(format!("{}\0{user}", self.tenant).as_bytes());
        self.user.map_or(self.any, of_user) % users_tasks
    }
}

#[derive(Clone, Copy)]
struct Traffic {
    events: u64,
    users: u64,
    bad_percent: u64,
    longest_gap_ms: Ms,
    odd_weights: bool,
}

impl Traffic {
    /// Bursts in which very many users get one bad event each, an incident of a part of them, late
    /// events, silences.
    fn draw(&self, dice: &mut Dice) -> Vec<Event> {
        let mut at_ms = START_MS;
        let mut events = Vec::new();
        while (events.len() as u64) < self.events {
            at_ms += dice.below(3 * SECOND_MS as u64) as Ms;
            if dice.one_in(self.events / 8) {
                at_ms += dice.below(self.longest_gap_ms as u64) as Ms;
            }
            if dice.one_in(400) {
                at_ms = at_ms / PANE_MS * PANE_MS + PANE_MS;
                events.extend((0..90).map(|user| Event {
                    status: Some(503),
                    user: Some(user),
                    ..self.event(at_ms, dice)
                }));
            }
            let mut event = self.event(at_ms, dice);
            if dice.one_in(30) {
                event.time_ms -= dice.below(12 * MINUTE_MS as u64) as Ms;
            }
            events.push(event);
        }
        events
    }

    fn event(&self, time_ms: Ms, dice: &mut Dice) -> Event {
        let user = dice.below(self.users);
        let (region, tier) = (user % 3, user / 3 % 2);
        let affected = region == 1 && tier == 0 && time_ms / (20 * MINUTE_MS) % 3 == 0;
        let is_bad = dice.below(100) < if affected { 70 } else { self.bad_percent };
        Event {
            time_ms,
            tenant: user % 4,
            user: (!dice.one_in(12)).then_some(user),
            status: (!dice.one_in(60)).then_some(if is_bad { 503 } else { 200 }),
            latency_ms: [20.0, 100.0, 290.5, 301.0, 0.0][dice.below(5) as usize],
            region,
            tier,
            weight: if self.odd_weights { 1 + dice.below(5 * WEIGHT_ONE) } else { WEIGHT_ONE },
            any: dice.below(u64::MAX),
        }
    }
}

/// The partials stream of each rollup task: what the users tasks said, in any order and in any parts.
fn said(slos: &Arc<Vec<Slo>>, events: &[Event], users_tasks: u32, dice: &mut Dice) -> Vec<Vec<Vec<u8>>> {
    let settings = UsersSettings {
        out_of_orderness_ms: 5_000,
        groups_max: 1_000,
        tenants_max: 50_000,
        rollup_partitions: ROLLUPS,
    };
    let mut tasks: Vec<UsersTask> = (0..users_tasks).map(|_| UsersTask::new(Arc::clone(slos), 1, settings)).collect();
    let mut streams = vec![Vec::new(); ROLLUPS as usize];
    for (offset, event) in (0..).zip(events) {
        for (index, task) in (0..).zip(&mut tasks) {
            let is_own = event.owner(u64::from(users_tasks)) == index;
            task.apply(0, offset, &if is_own { event.outcome() } else { event.ghost() });
            if dice.one_in(40)
                && let Some(to_ms) = task.aligned_ms()
            {
                close(slos, task, index as u32, to_ms, &mut streams, dice);
            }
        }
    }
    for (index, task) in (0..).zip(&mut tasks) {
        let end_ms = task.end_ms().expect("events");
        close(slos, task, index, end_ms, &mut streams, dice);
    }
    streams
}

fn close(slos: &[Slo], task: &mut UsersTask, index: u32, to_ms: Ms, streams: &mut [Vec<Vec<u8>>], dice: &mut Dice) {
    if task.closed_ms().is_some_and(|closed| closed >= to_ms) {
        return;
    }
    let (from_ms, mut partials) = (task.closed_ms(), vec![Partial::default(); streams.len()]);
    task.close_until(to_ms, &mut partials, &MemoryStore::default()).expect("closed");
    for (partial, stream) in partials.into_iter().zip(streams) {
        let Some(up_to_ms) = task.closed_ms() else { continue };
        let mut send = |up_to_ms, boundaries| {
            let slos = slo_ids(slos);
            let part = Partial { users_task: index, from_ms, up_to_ms, boundaries, slos, ..Partial::default() };
            stream.push(postcard::to_stdvec(&part).expect("bytes"));
        };
        let mut boundaries = partial.boundaries;
        while boundaries.len() > 1 && dice.one_in(3) {
            let rest = boundaries.split_off(1 + dice.below(boundaries.len() as u64 - 1) as usize);
            send(Ms::MIN, std::mem::replace(&mut boundaries, rest));
        }
        send(up_to_ms, boundaries);
    }
}

fn read(bytes: &[u8]) -> Partial {
    postcard::from_bytes(bytes).expect("a partial")
}

/// All that a rollup task publishes of a stream.
fn published(mut task: RollupTask, stream: &[Vec<u8>], dice: &mut Dice) -> Vec<RecordOut> {
    let mut out = Vec::new();
    for (offset, bytes) in (0..).zip(stream) {
        task.apply(offset, read(bytes)).expect("in turn");
        if dice.one_in(3) {
            task.advance(&mut out).expect("evaluated");
        }
    }
    task.advance(&mut out).expect("evaluated");
    out
}

fn text(record: &RecordOut) -> String {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| String::from_utf8_lossy(b).into_owned());
    format!("{:?} {:?} at {}: {:?}", record.topic, text(&record.key), record.timestamp_ms, text(&record.value))
}

/// Fails with the first record that differs, readably.
fn assert_same(got: &[RecordOut], want: &[RecordOut], what: &str) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(got == want, "{what}: record {i}\n got {}\nwant {}", text(got), text(want));
    }
    assert_eq!(got.len(), want.len(), "{what}");
}

fn count(out: &[RecordOut], topic: Topic) -> usize {
    out.iter().filter(|r| r.topic == topic).count()
}

const MANY: Traffic =
    Traffic { events: 5_000, users: 400, bad_percent: 4, longest_gap_ms: 3 * HOUR_MS, odd_weights: false };

const BUDGET_FIRES: &str = r#""rule":"budget","severity":"page","state":"firing""#;

const SEEN: [Topic; 5] =
    [Topic::SloStatus, Topic::BurnAlerts, Topic::TailCohorts, Topic::UserStatus, Topic::CanaryVerdicts];

#[test]
fn it_does_not_matter_how_many_users_tasks_there_are() {
    let slos = slos(&[CHECKOUT, SPEED, TRACKS, PROMISES]);
    // With so many different users the distributions are sketches.
    let sketched = Traffic { events: 9_000, users: 2_500, bad_percent: 35, odd_weights: true, ..MANY };
    let mut seen: BTreeMap<Topic, usize> = BTreeMap::new();
    for (seed, traffic) in [(1, MANY), (2, MANY), (3, sketched), (4, Traffic { users: 120, ..MANY })] {
        let mut dice = Dice(seed);
        let events = traffic.draw(&mut dice);
        let of = |users_tasks: u32, dice: &mut Dice| -> Vec<Vec<RecordOut>> {
            let streams = said(&slos, &events, users_tasks, dice);
            let each = (0..).zip(&streams);
            each.map(|(r, stream)| published(rollup(&slos, r, users_tasks), stream, dice)).collect()
        };
        let whole = of(1, &mut dice);
        for topic in SEEN {
            *seen.entry(topic).or_default() += whole.iter().map(|out| count(out, topic)).sum::<usize>();
        }
        for users_tasks in [2, 5] {
            for (r, (got, want)) in of(users_tasks, &mut dice).iter().zip(&whole).enumerate() {
                assert_same(got, want, &format!("seed {seed}, {users_tasks} users tasks, rollup {r}"));
            }
        }
    }
    assert!(seen.len() == SEEN.len() && seen.values().all(|n| *n > 20), "{seen:?}");
}

#[test]
fn a_killed_task_continues_from_groups_saved_at_different_boundaries() {
    let slos = slos(&[CHECKOUT, SPEED, TRACKS, PROMISES]);
    let (mut deaths, mut again, mut budgets, mut canaries) = (0, 0, 0, 0);
    for seed in 0..6 {
        let mut dice = Dice(seed ^ 0xdead);
        let users_tasks = 1 + (seed % 3) as u32;
        let events = Traffic { events: 3_000, users: 60, longest_gap_ms: DAY_MS, ..MANY }.draw(&mut dice);
        let streams = said(&slos, &events, users_tasks, &mut dice);
        for (r, stream) in (0..).zip(&streams) {
            let new = || rollup(&slos, r, users_tasks);
            let whole = published(new(), stream, &mut dice);
            let mut torn = Torn::new(new());
            while torn.next < stream.len() {
                torn.turn(stream, &mut dice);
                if dice.one_in(40) {
                    torn.die(new(), stream, &mut dice);
                    deaths += 1;
                    again += torn.read_again;
                }
            }
            torn.commit(&mut dice);
            assert_same(&torn.out, &whole, &format!("seed {seed}, rollup {r}"));
            budgets += usize::from(holds(&whole, BUDGET_FIRES));
            canaries += count(&whole, Topic::CanaryVerdicts);
        }
    }
    assert!(budgets > 2 && canaries > 100, "{budgets} times the rule budget, {canaries} verdicts");
    assert!(deaths > 40 && again > 400, "it died {deaths} times and read {again} partials again");
}

/// What outlives a rollup task, and the task.
struct Torn {
    task: RollupTask,
    next: usize,
    uncommitted: Vec<RecordOut>,
    out: Vec<RecordOut>,
    store: MemoryStore,
    mark: crate::pipeline::mark::RollupMark,
    committed: usize,
    groups_at_ms: Vec<Option<Ms>>,
    groups_again: Vec<i64>,
    read_again: usize,
}

impl Torn {
    fn new(task: RollupTask) -> Torn {
        let groups = usize::from(KEY_GROUPS);
        Torn {
            next: 0,
            uncommitted: Vec::new(),
            out: Vec::new(),
            store: MemoryStore::default(),
            mark: task.mark(),
            committed: 0,
            groups_at_ms: vec![None; groups],
            groups_again: vec![0; groups],
            read_again: 0,
            task,
        }
    }

    fn turn(&mut self, stream: &[Vec<u8>], dice: &mut Dice) {
        self.task.apply(self.next as i64, read(&stream[self.next])).expect("in turn");
        self.next += 1;
        if dice.one_in(2) {
            self.task.advance(&mut self.uncommitted).expect("evaluated");
        }
        if dice.one_in(4) {
            self.commit(dice);
        }
    }

    /// With some of the groups, as a checkpoint in turns has it.
    fn commit(&mut self, dice: &mut Dice) {
        self.task.advance(&mut self.uncommitted).expect("evaluated");
        self.out.append(&mut self.uncommitted);
        (self.committed, self.mark) = (self.next, self.task.mark());
        let mut batch = Batch::default();
        for group in 0..KEY_GROUPS {
            if dice.one_in(5) {
                self.task.save_group(group, &mut batch).expect("saved");
                self.groups_at_ms[usize::from(group)] = self.task.at_ms();
                self.groups_again[usize::from(group)] = self.task.read_again(self.next as i64);
            }
        }
        self.store.write(&mut batch).expect("written");
    }

    fn die(&mut self, task: RollupTask, stream: &[Vec<u8>], dice: &mut Dice) {
        self.task = task;
        self.uncommitted.clear();
        self.task.load(&self.groups_at_ms, &self.mark, &self.store).expect("loaded");
        assert!(self.task.up_to_ms.iter().all(Option::is_none));
        let from = self.groups_again.iter().copied().min().unwrap_or(0) as usize;
        let mut dropped = Vec::new();
        for (offset, bytes) in stream.iter().enumerate().take(self.committed).skip(from) {
            self.task.apply(offset as i64, read(bytes)).expect("in turn");
            if dice.one_in(3) {
                self.task.advance(&mut dropped).expect("evaluated");
            }
        }
        self.task.end_replay(&self.mark);
        self.task.advance(&mut dropped).expect("evaluated");
        assert_eq!(self.task.mark(), self.mark);
        self.read_again = self.committed - from;
        self.next = self.committed;
    }
}

/// Compares with evaluating every boundary; what leaves.
fn passes_over(slos: &Arc<Vec<Slo>>, events: &[Event], dice: &mut Dice, what: &str) -> Vec<RecordOut> {
    let mut all = Vec::new();
    for (r, stream) in (0..).zip(&said(slos, events, 1, dice)) {
        let plain = RollupTask { skips_nothing: true, ..rollup(slos, r, 1) };
        let want = published(plain, stream, dice);
        let got = published(rollup(slos, r, 1), stream, dice);
        assert_same(&got, &want, &format!("{what}, rollup {r}"));
        all.extend(got);
    }
    all
}

fn holds(out: &[RecordOut], part: &str) -> bool {
    out.iter().filter_map(|r| r.value.as_deref()).any(|value| String::from_utf8_lossy(value).contains(part))
}

#[test]
fn boundaries_at_which_nothing_happens_may_be_passed_over() {
    let tiers = TRACKS.replace("region=us/eu", "tier").replace("name: tracks", "name: tiers");
    let slos = slos(&[CHECKOUT, SPEED, TRACKS, &tiers, PROMISES]);
    let gaps_ms = [30 * MINUTE_MS, 6 * HOUR_MS, 2 * DAY_MS, 9 * DAY_MS, 3 * HOUR_MS, 20 * DAY_MS, 50 * MINUTE_MS];
    let mut all = Vec::new();
    for (seed, longest_gap_ms) in (1..).zip(gaps_ms) {
        let mut dice = Dice(seed ^ 0x9a9);
        let users = [3, 40, 200][seed as usize % 3];
        let bad_percent = [1, 6, 30][seed as usize / 2 % 3];
        let events = Traffic { events: 600, users, bad_percent, longest_gap_ms, odd_weights: false }.draw(&mut dice);
        all.extend(passes_over(&slos, &events, &mut dice, &format!("seed {seed}")));
    }
    for word in [BUDGET_FIRES, "\"verdict\":\"fail\""] {
        assert!(holds(&all, word), "none was {word}");
    }
    for word in
        ["\"is_final\":true", "\"is_missed\":true", "\"action\":\"rollback\"", "\"rule\":\"sla\",\"long_window\":null"]
    {
        assert!(holds(&all, word), "none was {word}");
    }
    let words = ["\"data\":\"stale\"", "\"no_data\"", "\"recovered\"", "\"closed\"", "\"breached\"", "\"at_risk\""];
    for word in words {
        assert!(holds(&all, word), "none was {word}");
    }
    assert!(all.iter().any(|r| r.value.is_none()), "no key was forgotten");
}

/// A budget is spent by time alone: as more of the period is covered.
#[test]
fn a_budget_spent_during_a_silence_is_published_at_its_boundary() {
    let slos = slos(&[CHECKOUT]);
    let bad = |i: i64| (i * 31) % 100 < 60;
    let event = |i: i64| plain(START_MS + i * 31 * SECOND_MS, i as u64 % 9, if bad(i) { 503 } else { 200 });
    for (before, silence) in [(230, 36), (440, 35), (445, 37)] {
        let events: Vec<Event> = (0..before).chain(before + silence..before + silence + 9).map(event).collect();
        let out = passes_over(&slos, &events, &mut Dice(3), &format!("{before} events before the silence"));
        assert_eq!(holds(&out, "\"breached\""), before > 300, "{before}");
    }
}

/// An event at a time of its own, good or bad.
fn plain(time_ms: Ms, user: u64, status: i64) -> Event {
    let (status, user) = (Some(status), Some(user));
    Event { time_ms, tenant: 0, user, status, latency_ms: 1.0, region: 0, tier: 0, weight: WEIGHT_ONE, any: 0 }
}

/// Everything said by one users task of the first rollup partition at once.
fn one_partial(slos: &Arc<Vec<Slo>>, events: &[Event], rollups: u32) -> Partial {
    let settings = UsersSettings {
        out_of_orderness_ms: 5_000,
        groups_max: 1_000,
        tenants_max: 50_000,
        rollup_partitions: rollups,
    };
    let mut users = UsersTask::new(Arc::clone(slos), 1, settings);
    (0..).zip(events).for_each(|(offset, event)| users.apply(0, offset, &event.outcome()));
    let mut partials = vec![Partial::default(); rollups as usize];
    users.close_until(users.end_ms().expect("events"), &mut partials, &MemoryStore::default()).expect("closed");
    partials.swap_remove(0)
}

#[test]
fn an_incomplete_boundary_marks_its_records_and_no_others() {
    let slos = slos(&[CHECKOUT]);
    let events: Vec<Event> = (0..600).map(|i| plain(START_MS + i * SECOND_MS, i as u64 % 9, 503)).collect();
    let mut whole = one_partial(&slos, &events, 1);
    let marked = |ms: Ms| (ms / MINUTE_MS) % 2 == 0;
    let of_other = |at_ms| BoundaryPartial { at_ms, is_incomplete: marked(at_ms), ..BoundaryPartial::default() };
    let boundaries = whole.boundaries.iter().map(|b| of_other(b.at_ms)).collect();
    let other = Partial { users_task: 1, boundaries, ..whole.clone() };
    whole.users_task = 0;
    let mut task = rollup(&slos, 0, 2);
    let mut out = Vec::new();
    task.apply(0, whole).expect("in turn");
    task.advance(&mut out).expect("evaluated");
    assert!(out.is_empty() && task.read_again(1) == 0, "the other users task is waited for");
    task.apply(1, other).expect("in turn");
    task.advance(&mut out).expect("evaluated");
    assert_eq!(task.read_again(2), 2);
    let (mut incomplete, mut complete) = (0, 0);
    for record in out.iter().filter(|r| matches!(r.topic, Topic::SloStatus | Topic::BurnAlerts)) {
        let value = String::from_utf8_lossy(record.value.as_deref().expect("a value")).into_owned();
        assert_eq!(value.contains("\"incomplete\""), marked(record.timestamp_ms), "{value}");
        *(if marked(record.timestamp_ms) { &mut incomplete } else { &mut complete }) += 1;
    }
    assert!(incomplete > 10 && complete > 10 && count(&out, Topic::BurnAlerts) > 1, "{incomplete}, {complete}");
}

#[test]
fn records_out_of_sequence_are_refused() {
    let slos = slos(&[CHECKOUT]);
    let said = |from_ms, up_to_ms| Partial {
        from_ms,
        up_to_ms,
        boundaries: vec![BoundaryPartial { at_ms: up_to_ms, ..BoundaryPartial::default() }],
        ..Partial::default()
    };
    let missing = |from, received| Err(SequenceError::Gap { sender: 0, from, received });
    let mut task = rollup(&slos, 0, 1);
    assert_eq!(task.apply(0, said(Some(20_000), 30_000)), missing(Some(20_000), None), "its first one is missing");
    task.apply(0, said(None, 30_000)).expect("in turn");
    assert_eq!(task.apply(1, said(Some(40_000), 50_000)), missing(Some(40_000), Some(30_000)), "one is missing");
    assert_eq!(task.apply(1, said(None, 30_000)), missing(None, Some(30_000)), "it began once more");
    assert_eq!(task.apply(1, said(Some(30_000), 30_000)), Err(SequenceError::Duplicate), "a boundary is closed once");
    task.apply(1, said(Some(30_000), 40_000)).expect("in turn");
    // Read again after a restart, the stream begins anywhere; what comes behind it follows from the mark.
    let mark = task.mark();
    let again = || {
        let mut task = rollup(&slos, 0, 1);
        task.load(&[None; KEY_GROUPS as usize], &RollupMark::default(), &MemoryStore::default()).expect("loaded");
        task
    };
    let mut replaying = again();
    replaying.apply(1, said(Some(30_000), 40_000)).expect("the first that is read again");
    assert_eq!(replaying.apply(2, said(Some(50_000), 60_000)), missing(Some(50_000), Some(40_000)));
    let mut live = again();
    live.end_replay(&mark);
    assert_eq!(live.apply(2, said(Some(50_000), 60_000)), missing(Some(50_000), Some(40_000)));
    live.apply(2, said(Some(40_000), 50_000)).expect("in turn");
}

#[test]
fn partials_are_matched_to_definitions_by_their_filters() {
    let (both, turned, one) = (slos(&[CHECKOUT, SPEED]), slos(&[SPEED, CHECKOUT]), slos(&[SPEED]));
    let mut dice = Dice(11);
    let events = Traffic { events: 800, ..MANY }.draw(&mut dice);
    let said = Partial { slos: slo_ids(&both), ..one_partial(&both, &events, 1) };
    let of = |definitions: &[Slo]| {
        let mut task = rollup(definitions, 0, 1);
        let mut out = Vec::new();
        task.apply(0, said.clone()).expect("in turn");
        task.advance(&mut out).expect("evaluated");
        out
    };
    let whole = of(&both);
    assert_same(&of(&turned), &whole, "in another order");
    let speed: Vec<RecordOut> =
        whole.iter().filter(|r| r.key.as_deref().is_some_and(|k| k.starts_with(b"speed"))).cloned().collect();
    assert!(speed.len() > 50 && speed.len() < whole.len());
    assert_same(&of(&one), &speed, "without the other");
}

/// For a look at what a silence costs: 1,000 tenants and three days of it.
#[test]
#[ignore = "measures, and checks nothing"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn what_three_days_of_silence_cost() {
    let slos = slos(&[SPEED]);
    let mut dice = Dice(7);
    let traffic = Traffic { events: 4_000, users: 1_000, bad_percent: 2, longest_gap_ms: 1, odd_weights: false };
    let mut events = traffic.draw(&mut dice);
    events.iter_mut().for_each(|event| event.tenant = event.any % 1_000);
    let mut last = events.last().cloned().expect("events");
    last.time_ms += 3 * DAY_MS;
    events.push(last);
    let settings =
        UsersSettings { out_of_orderness_ms: 5_000, groups_max: 1_000, tenants_max: 50_000, rollup_partitions: 1 };
    let mut users = UsersTask::new(Arc::clone(&slos), 1, settings);
    (0..).zip(&events).for_each(|(offset, event)| users.apply(0, offset, &event.outcome()));
    let mut partials = vec![Partial::default()];
    users.close_until(users.end_ms().expect("events"), &mut partials, &MemoryStore::default()).expect("closed");
    for skips_nothing in [true, false] {
        let mut task = RollupTask { skips_nothing, ..rollup(&slos, 0, 1) };
        task.apply(0, partials[0].clone()).expect("in turn");
        let begin = std::time::Instant::now();
        let mut out = Vec::new();
        task.advance(&mut out).expect("evaluated");
        println!("{} keys, {} records, {skips_nothing}: {:?}", task.keys(), out.len(), begin.elapsed());
    }
}
