//! The cost of the core: `cargo bench --no-default-features --bench pipeline`.
//!
//! Everything is measured in CPU time of its thread, stage by stage and as a whole, with numbers of users that fit into
//! the caches and that do not.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

mod world;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use tailburn::model::record::{NoHeaders, RecordIn};
use tailburn::model::time::{MINUTE_MS, PANE_MS, window_start};
use tailburn::operator::classify::classify;
use tailburn::operator::partial::{Counts, PaneDelta};
use tailburn::operator::sketch::{Sketch, SketchBuilder, bin_of};
use tailburn::operator::user_row::{NO_GROUP, UserEvent, UserRow};
use tailburn::operator::window::{Layout, Windows};
use world::{PANE_EVENTS, START_MS, Traffic, World, cpu_ns, decoder, mix, several, slo};

/// CPU time of the thread. The kernel counts it in steps of some milliseconds, so samples are long.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = Duration;

    fn start(&self) -> u64 {
        cpu_ns()
    }

    fn end(&self, start: u64) -> Duration {
        // Criterion cannot divide by a sample of zero time.
        Duration::from_nanos((cpu_ns() - start).max(1))
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// The time of `part` in `rounds` rounds; the rest of a round is not counted.
fn timed(rounds: u64, mut round: impl FnMut() -> u64) -> Duration {
    Duration::from_nanos((0..rounds).map(|_| round()).sum::<u64>().max(1))
}

fn cost_of(part: impl FnOnce()) -> u64 {
    let start = cpu_ns();
    part();
    cpu_ns() - start
}

fn one_event(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("event");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    let mut traffic = Traffic::new(10_000);
    let (decoder, slo) = (decoder(), slo());
    group.bench_function("traffic", |b| b.iter(|| black_box(traffic.next().2).len()));
    group.bench_function("decode", |b| {
        b.iter(|| {
            let (offset, _, value) = traffic.next();
            let record = RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers: &NoHeaders };
            decoder.read(&record, |outcome| assert!(black_box(outcome).timestamp_ms > 0)).became.is_ok()
        });
    });
    let value = traffic.next().2.to_vec();
    let record =
        RecordIn { partition: 0, offset: 0, key: None, value: &value, timestamp_ms: None, headers: &NoHeaders };
    let outcome = decoder.decode(&record).expect("the record decodes");
    group.bench_function("classify", |b| b.iter(|| classify(&slo, black_box(&outcome))));
    group.bench_function("row", |b| {
        let mut row = UserRow::new(0, NO_GROUP);
        let mut time_ms = START_MS;
        b.iter(|| {
            time_ms += 700;
            let event = UserEvent { time_ms, weight_micros: 1_000_000, is_bad: false };
            row.add(black_box(&event), &slo.user_windows_ms, time_ms + PANE_MS);
        });
    });
    group.finish();
}

/// Stages of a pane of [`PANE_EVENTS`] events, and all of it.
fn one_pane(c: &mut Criterion<CpuTime>) {
    for users in [10_000, 100_000, 1_000_000] {
        let mut group = c.benchmark_group(format!("pane/{users}"));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(PANE_EVENTS));
        let mut world = World::warm(users);
        group.bench_function("whole", |b| b.iter(|| world.pane()));
        group.bench_function("route_and_enqueue", |b| {
            b.iter_custom(|rounds| {
                timed(rounds, || {
                    let cost = cost_of(|| (0..PANE_EVENTS).for_each(|_| world.enqueue()));
                    world.close();
                    world.roll_up();
                    cost
                })
            });
        });
        group.bench_function("close", |b| {
            b.iter_custom(|rounds| {
                timed(rounds, || {
                    (0..PANE_EVENTS).for_each(|_| world.enqueue());
                    let cost = cost_of(|| world.close());
                    world.roll_up();
                    cost
                })
            });
        });
        group.bench_function("roll_up", |b| {
            b.iter_custom(|rounds| {
                timed(rounds, || {
                    (0..PANE_EVENTS).for_each(|_| world.enqueue());
                    world.close();
                    cost_of(|| world.roll_up())
                })
            });
        });
        group.finish();
    }
}

/// A pane of one SLO and of ten over the same events: what they share is paid once.
fn several_slos(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("several");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(PANE_EVENTS));
    for slos in [1, 10] {
        let mut world = World::warm_with(10_000, several(slos));
        group.bench_function(format!("slos/{slos}"), |b| b.iter(|| world.pane()));
    }
    group.finish();
}

/// A minute of event time without events: the step of the 1 h window over all users.
fn user_window_step(c: &mut Criterion<CpuTime>) {
    for users in [10_000, 1_000_000] {
        let mut group = c.benchmark_group(format!("step/{users}"));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(users));
        let mut world = World::warm(users);
        let mut to_ms = 0;
        let mut until_ms = 0;
        group.bench_function("hour_window", |b| {
            b.iter_custom(|rounds| {
                timed(rounds, || {
                    // Users get new events well before they leave the window.
                    if to_ms >= until_ms {
                        world = World::warm(users);
                        to_ms = world.users.closed_ms().unwrap_or(START_MS);
                        until_ms = to_ms + 40 * MINUTE_MS;
                    }
                    to_ms += MINUTE_MS;
                    let cost = cost_of(|| world.close_until(to_ms));
                    world.roll_up();
                    cost
                })
            });
        });
        group.finish();
    }
}

/// One key: its windows take a pane and advance by one.
fn one_key(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("key");
    group.sampling_mode(SamplingMode::Flat);
    let layout = Layout::of(&slo());
    let sketch = |seed: u64| {
        let mut gathering = SketchBuilder::default();
        (0..1_000).for_each(|i| gathering.add(bin_of((mix(seed + i) % 900_000) as f64 / 1e3), 1_000_000));
        gathering.into_sketch()
    };
    let counts = Counts { events: 1_000, good: 1_000_000_000, ..Counts::default() };
    group.bench_function("windows_advance_and_add", |b| {
        let latency: Vec<Sketch> = (0..16).map(|i| sketch(i * 1_000)).collect();
        let mut windows = Windows::new(&layout);
        let mut at_ms = START_MS;
        b.iter(|| {
            at_ms += PANE_MS;
            let latency = latency[(at_ms / PANE_MS) as usize % 16].clone();
            let pane = PaneDelta { start_ms: at_ms - PANE_MS, counts, latency, ..PaneDelta::default() };
            let starts = layout.starts_at(at_ms);
            windows.advance(&layout, &starts);
            windows.add(&layout, &starts, &pane);
        });
    });
    group.bench_function("sketch_gather_1000", |b| b.iter(|| sketch(black_box(7))));
    group.bench_function("window_starts", |b| b.iter(|| window_start(black_box(START_MS), 28 * 24 * 60 * MINUTE_MS)));
    group.finish();
}

/// Ten minutes without events, for 51 keys without changes.
fn empty_boundaries(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("empty");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(60 * 51));
    let mut world = World::warm(10_000);
    let mut to_ms = world.users.closed_ms().unwrap_or(START_MS);
    group.bench_function("boundaries_of_51_keys", |b| {
        b.iter(|| {
            to_ms += 10 * MINUTE_MS;
            world.close_until(to_ms);
            world.roll_up();
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = one_event, one_pane, several_slos, user_window_step, one_key, empty_boundaries
}
criterion_main!(benches);
