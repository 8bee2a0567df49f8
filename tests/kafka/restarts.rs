//! The program is stopped and killed, its state is lost, its broker is killed: the output is the same.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::story::{ROLLUPS, Story};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(240);
/// The traffic arrives over some time, and no partition is idle before its end.
const SLICES: usize = 120;
const PAUSE: Duration = Duration::from_millis(100);

fn settings(name: &str, checkpoint_interval: &str) -> String {
    format!(
        "input: {{topics: [{name}-outcomes], idle_timeout: 6s}}\n\
         state: {{checkpoint_interval: {checkpoint_interval}}}\n"
    )
}

/// The times of the faults, different ones in each run of the tests.
struct Boundary(u64);

impl Boundary {
    fn new() -> Boundary {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        eprintln!("moments from {}", now.as_nanos());
        Boundary(now.as_nanos() as u64 | 1)
    }

    fn next(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(from_ms + (self.0 >> 33) % (to_ms - from_ms))
    }
}

#[test]
fn stopped_in_the_middle_it_goes_on_where_it_was() {
    let story = Story::new(broker_or_skip!(), "stopped", "28d", &settings("stopped", "30s"));
    std::thread::scope(|scope| {
        scope.spawn(|| story.feed(SLICES / 2, PAUSE));
        for _ in 0..2 {
            let running = story.run();
            std::thread::sleep(Duration::from_millis(2_500));
            assert_eq!(running.stop(), Some(0), "{}", story.log());
        }
        let running = story.run();
        assert!(story.is_told(SOON), "{}", story.log());
        assert_eq!(running.stop(), Some(0), "{}", story.log());
    });
    story.assert_same();
}

#[test]
fn killed_at_any_moment_it_goes_on_from_a_checkpoint() {
    let story = Story::new(broker_or_skip!(), "killed", "28d", &settings("killed", "400ms"));
    kill_often(&story, 4, |_| {});
    story.assert_same();
}

#[test]
fn killed_without_a_checkpoint_or_without_its_state_it_reads_the_log_again() {
    let story = Story::new(broker_or_skip!(), "rebuilt", "28d", &settings("rebuilt", "1h"));
    kill_often(&story, 3, |kill| {
        if kill == 1 {
            std::fs::remove_dir_all(story.path().join("tailburn-state")).expect("the state is gone");
        }
    });
    story.assert_same();
}

fn kill_often(story: &Story, kills: usize, after: impl Fn(usize)) {
    let mut moments = Boundary::new();
    std::thread::scope(|scope| {
        scope.spawn(|| story.feed(SLICES, PAUSE));
        for kill in 0..kills {
            let running = story.run();
            // The group expels a killed member after two seconds.
            std::thread::sleep(moments.next(300, 5_000));
            running.kill();
            after(kill);
        }
        let running = story.run();
        assert!(story.is_told(SOON), "{}", story.log());
        assert_eq!(running.stop(), Some(0), "{}", story.log());
    });
}

#[test]
fn a_broker_that_was_killed_and_comes_back_is_worked_with_again() {
    let Some(broker) = Broker::start_apart().map(Arc::new) else { return };
    let story = Story::new(Arc::clone(&broker), "crash", "28d", &settings("crash", "1s"));
    std::thread::scope(|scope| {
        scope.spawn(|| story.feed(SLICES, PAUSE));
        let running = story.run();
        until_it_works(&story);
        std::thread::sleep(Boundary::new().next(0, 1_000));
        broker.kill();
        broker.restart();
        assert!(story.is_told(SOON), "{}", story.log());
        assert_eq!(running.stop(), Some(0), "{}", story.log());
    });
    story.assert_same();
}

fn until_it_works(story: &Story) {
    let deadline = Instant::now() + SOON;
    while !story.log().contains("made the topics") || story.visible("slo-status", ROLLUPS).is_empty() {
        assert!(Instant::now() < deadline, "{}", story.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
