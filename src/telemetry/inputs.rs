//! The metrics of input partitions in Prometheus' text format, rendered for each scrape: a partition that moved to another
//! instance has no sample here any more, which a gauge of the recorder would keep.

use super::names;
use super::samples::Families;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One input partition of this instance.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSample {
    pub topic: String,
    pub partition: u32,
    /// Records that are not read yet; `None`: not known.
    pub lag: Option<u64>,
    pub watermark_ms: Option<i64>,
    pub is_idle: bool,
}

/// The input partition that T waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldBack {
    pub topic: String,
    pub partition: u32,
    /// One of a few.
    pub reason: &'static str,
    /// How far it is behind the furthest; `None`: nothing was read from it.
    pub behind_ms: Option<i64>,
    /// Since when it is the one, by the wall clock.
    pub since_ms: i64,
}

/// The input partitions of a process.
#[derive(Default)]
pub struct Inputs(Mutex<Known>);

#[derive(Default)]
struct Known {
    by_worker: Vec<Vec<InputSample>>,
    held_back: Option<HeldBack>,
}

impl Inputs {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces those of one worker.
    pub fn set(&self, worker: u32, samples: Vec<InputSample>) {
        let all = &mut self.known().by_worker;
        let at = worker as usize;
        if all.len() <= at {
            all.resize(at + 1, Vec::new());
        }
        all[at] = samples;
    }

    /// `None`: no partition is behind another one.
    pub fn hold(&self, held_back: Option<HeldBack>) {
        self.known().held_back = held_back;
    }

    pub fn text(&self) -> String {
        let known = self.known();
        let mut samples: Vec<&InputSample> = known.by_worker.iter().flatten().collect();
        samples.sort_by_key(|sample| (&sample.topic, sample.partition));
        let mut families = Families::default();
        if let Some(HeldBack { topic, partition, reason, behind_ms, since_ms }) = &known.held_back {
            let partition = partition.to_string();
            // Where nothing was read from a partition, nobody knows how far it is behind: that it holds T back is known.
            let behind = behind_ms.unwrap_or(0) as f64 / 1_000.0;
            families.put(names::HELD_BACK, &[topic, &partition, reason], Some(behind));
            families.put(names::HELD_BACK_SINCE, &[topic, &partition], Some(*since_ms as f64 / 1_000.0));
        }
        for sample in samples {
            let partition = sample.partition.to_string();
            let labels = [sample.topic.as_str(), partition.as_str()];
            families.put(names::INPUT_LAG, &labels, sample.lag.map(|lag| lag as f64));
            families.put(names::WATERMARK, &labels, sample.watermark_ms.map(|ms| ms as f64 / 1_000.0));
            families.put(names::IDLE, &labels, Some(f64::from(u8::from(sample.is_idle))));
        }
        families.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(partition: u32, lag: Option<u64>) -> InputSample {
        InputSample {
            topic: "checkouts".to_owned(),
            partition,
            lag,
            watermark_ms: Some(1_500),
            is_idle: partition == 1,
        }
    }

    #[test]
    fn partitions_are_shown_in_order_and_go_when_they_move() {
        let inputs = Inputs::default();
        assert_eq!(inputs.text(), "");
        inputs.set(1, vec![sample(0, Some(7))]);
        inputs.set(0, vec![sample(1, None)]);
        let text = inputs.text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert_eq!(
            samples,
            [
                "tailburn_input_idle{topic=\"checkouts\",partition=\"0\"} 0",
                "tailburn_input_idle{topic=\"checkouts\",partition=\"1\"} 1",
                "tailburn_input_lag_records{topic=\"checkouts\",partition=\"0\"} 7",
                "tailburn_watermark_timestamp_seconds{topic=\"checkouts\",partition=\"0\"} 1.5",
                "tailburn_watermark_timestamp_seconds{topic=\"checkouts\",partition=\"1\"} 1.5",
            ]
        );
        inputs.set(1, Vec::new());
        assert!(!inputs.text().contains("partition=\"0\""), "{}", inputs.text());
    }

    #[test]
    fn who_holds_time_back_is_shown_while_it_does() {
        let inputs = Inputs::default();
        let held_back = HeldBack {
            topic: "checkouts".to_owned(),
            partition: 3,
            reason: "not_read_yet",
            behind_ms: Some(90_500),
            since_ms: 1_780_000_000_000,
        };
        inputs.hold(Some(held_back));
        let text = inputs.text();
        for line in [
            r#"tailburn_held_back_seconds{topic="checkouts",partition="3",reason="not_read_yet"} 90.5"#,
            r#"tailburn_held_back_since_timestamp_seconds{topic="checkouts",partition="3"} 1780000000"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{text}");
        }
        inputs.hold(None);
        assert_eq!(inputs.text(), "");
    }
}
