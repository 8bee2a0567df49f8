//! The metrics of input partitions in Prometheus' text format, rendered for each scrape: a partition that moved to another
//! instance has no sample here any more, which a gauge of the recorder would keep.

use super::figures::Families;
use super::names;
use std::sync::{Mutex, PoisonError};

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

/// The input partitions of all workers of a process, by worker.
#[derive(Default)]
pub struct Inputs(Mutex<Vec<Vec<InputSample>>>);

impl Inputs {
    /// Replaces those of one worker.
    pub fn set(&self, worker: u32, samples: Vec<InputSample>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = worker as usize;
        if all.len() <= at {
            all.resize(at + 1, Vec::new());
        }
        all[at] = samples;
    }

    pub fn text(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut samples: Vec<&InputSample> = all.iter().flatten().collect();
        samples.sort_by_key(|sample| (&sample.topic, sample.partition));
        let mut families = Families::default();
        for sample in samples {
            let partition = sample.partition.to_string();
            let labels = [("topic", sample.topic.as_str()), ("partition", partition.as_str())];
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
}
