//! Says in the log how late each minute of event time was evaluated: the input of tailburn's SLO on itself (`ops/self`).
//!
//! The figures of the operators come from event time alone, so how late they are stands in no record. It stands in the
//! log, for machines only (`--log-format json`).

use crate::model::time::{MINUTE_MS, Moment, Ms};
use crate::telemetry::PUNCTUAL;

/// What one process has said.
pub struct Punctual {
    /// Distinguishes processes.
    instance: String,
    /// The last minute that was said.
    minute: Option<i64>,
}

impl Punctual {
    pub fn new(instance: String) -> Punctual {
        Punctual { instance, minute: None }
    }

    /// Everything up to `at_ms` is evaluated and published. Minutes that were passed since the last call are said at
    /// once: as late as they are, each counts.
    pub fn tell(&mut self, at_ms: Ms, now_ms: Ms) {
        let minute = at_ms.div_euclid(MINUTE_MS);
        let minutes = self.minute.map_or(1, |told| minute - told);
        if minutes <= 0 {
            return;
        }
        self.minute = Some(minute);
        let (at, latency_ms, instance) = (Moment(at_ms), now_ms - at_ms, self.instance.as_str());
        tracing::info!(target: PUNCTUAL, %at, latency_ms, minutes, instance, "evaluated");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lines").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_minute_is_said_once_and_those_that_were_passed_count() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, || {
            let mut punctual = Punctual::new("one".to_owned());
            for (at_ms, now_ms) in [(60_000, 69_000), (70_000, 79_000), (120_000, 130_000), (420_000, 800_000)] {
                punctual.tell(at_ms, now_ms);
            }
        });
        let text = String::from_utf8(lines.0.lock().expect("lines").clone()).expect("UTF-8");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let figures: Vec<_> =
            lines.iter().map(|line| (line["latency_ms"].as_i64(), line["minutes"].as_i64())).collect();
        assert_eq!(figures, [(Some(9_000), Some(1)), (Some(10_000), Some(1)), (Some(380_000), Some(5))], "{text}");
        // Whatever the configuration of the SLO maps is there.
        let mapped = include_str!("../../ops/self/tailburn.yaml");
        for field in ["timestamp", "message", "latency_ms", "minutes", "instance"] {
            assert!(!lines[0][field].is_null(), "{field} in {text}");
            assert!(mapped.contains(&format!(": {field}\n")), "{field} is not mapped");
        }
        assert_eq!(lines[0]["message"], "evaluated");
    }
}
