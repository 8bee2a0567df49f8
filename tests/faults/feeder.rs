//! Sends the traffic, at a pace that follows the scenario's progress.

use crate::outsider::Outsider;
use crate::stage::Stage;
use crate::traffic::Line;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const BEAT: Duration = Duration::from_millis(100);

/// In how many milliseconds the traffic should end. The scenario updates it with its progress; the feeder counts down.
pub struct Pace {
    left_ms: AtomicU64,
    is_given_up: AtomicBool,
}

impl Pace {
    pub fn new(left: Duration) -> Pace {
        Pace { left_ms: AtomicU64::new(left.as_millis() as u64), is_given_up: AtomicBool::new(false) }
    }

    pub fn end_in(&self, left: Duration) {
        self.left_ms.store(left.as_millis() as u64, Ordering::Relaxed);
    }

    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// The share of the rest to send in the next beat, as a divisor.
    fn beats_left(&self) -> usize {
        let beat = BEAT.as_millis() as u64;
        let left = self.left_ms.load(Ordering::Relaxed);
        // An update from the scenario in between wins over this countdown.
        let _ = self.left_ms.compare_exchange(left, left.saturating_sub(beat), Ordering::Relaxed, Ordering::Relaxed);
        (left / beat).max(1) as usize
    }
}

/// Ends the traffic at once when the scenario is over, however it ended.
pub struct Release<'a>(pub &'a Pace);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.end_in(Duration::ZERO);
        // No broker will come back any more.
        self.0.is_given_up.store(std::thread::panicking(), Ordering::Relaxed);
    }
}

/// Sends everything, and returns when all of it is on the broker.
pub fn feed(stage: &Stage, pace: &Pace) {
    let producer = Outsider::new(stage.broker.bootstrap()).producer();
    let topic = stage.input();
    let mut left: Vec<&[Line]> = stage.traffic.lines.iter().map(Vec::as_slice).collect();
    while left.iter().any(|lines| !lines.is_empty()) && !pace.is_given_up() {
        let beats = pace.beats_left();
        for (partition, lines) in left.iter_mut().enumerate() {
            let (now, later) = lines.split_at(lines.len().div_ceil(beats));
            now.iter().for_each(|line| send(&producer, pace, &topic, partition as i32, &line.bytes));
            *lines = later;
        }
        if beats > 1 {
            producer.poll(Duration::ZERO);
            std::thread::sleep(BEAT);
        }
    }
    while producer.in_flight_count() > 0 && !pace.is_given_up() {
        // Waits as long as needed for a broker that is down.
        let _ = producer.flush(Duration::from_secs(5));
    }
}

fn send(producer: &BaseProducer, pace: &Pace, topic: &str, partition: i32, bytes: &[u8]) {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(bytes);
    while let Err((_, again)) = producer.send(record) {
        if pace.is_given_up() {
            return;
        }
        producer.poll(Duration::from_millis(5));
        record = again;
    }
}
