//! Passes what was committed to the HTTP board and the metrics, as the published bytes, so that all show the same
//! figures.

use super::Failure;
use crate::codec::field::Field;
use crate::codec::output::{Decoder, OutputFormat};
use crate::http::{Board, Update};
use crate::model::outcome::Rejection;
use crate::model::record::{RecordOut, Topic};
use crate::model::time::Ms;
use crate::telemetry::{self, Committed, Inputs, Metrics, names};
use crate::worker::{Figures, Observer};
use serde::Deserialize;
use std::sync::Arc;

/// What the board needs of an alert or a cohort.
#[derive(Deserialize)]
struct Head {
    id: String,
    state: String,
}

pub struct Published {
    board: Arc<Board>,
    /// Turns Avro back into JSON for the board; JSON is passed on unchanged.
    decoder: Option<Decoder>,
}

/// The metrics' text: the counters, and the figures of the last commit.
pub fn metrics_text(metrics: &Metrics, board: &Board, inputs: &Inputs) -> String {
    let (aggregates, firing) = (board.aggregates(), board.firing());
    let figures = telemetry::figures(&Committed {
        aggregates: &aggregates.iter().map(|json| &**json).collect::<Vec<_>>(),
        firing: &firing.iter().map(|json| &**json).collect::<Vec<_>>(),
        keys: &board.keys(),
    });
    metrics.render() + &figures + &inputs.text()
}

impl Published {
    pub fn new(board: Arc<Board>, format: OutputFormat) -> Result<Published, Failure> {
        let decoder = match format {
            OutputFormat::Json => None,
            OutputFormat::AvroRaw => Some(Decoder::new().map_err(anyhow::Error::from)?),
        };
        Ok(Published { board, decoder })
    }

    /// A record as an update of the board; `None` if the board does not show its topic.
    fn update(&self, record: &RecordOut) -> Option<Update> {
        if !matches!(record.topic, Topic::SloStatus | Topic::BurnAlerts | Topic::TailCohorts | Topic::CanaryVerdicts) {
            return None;
        }
        let key = String::from_utf8(record.key.clone()?).ok()?;
        let Some(value) = &record.value else {
            return (record.topic == Topic::SloStatus).then_some(Update::Forget { key });
        };
        let json = match &self.decoder {
            None => value.clone(),
            Some(decoder) => serde_json::to_vec(&decoder.decode(record.topic, value).ok()?).ok()?,
        };
        match record.topic {
            Topic::SloStatus => return Some(Update::Status { key, json }),
            Topic::CanaryVerdicts => return Some(Update::Canary { key, json }),
            _ => {}
        }
        let Head { id, state } = serde_json::from_slice(&json).ok()?;
        Some(match record.topic {
            Topic::BurnAlerts => Update::Alert { key, id, firing: state != "resolved", json },
            _ => Update::Cohort { key, id, open: state != "closed", json },
        })
    }

    /// Sets the tasks' metrics, once a commit. `now_ms` is the wall clock, if the traffic is live.
    pub fn tell(&self, figures: &Figures, now_ms: Option<Ms>) {
        let counts = &figures.counts;
        let verdicts = [
            ("accepted", counts.good + counts.bad),
            ("excluded", counts.excluded),
            ("unclassified", counts.unclassified),
            ("late", counts.late),
            ("late_dropped", counts.late_dropped),
        ];
        for (verdict, count) in verdicts {
            metrics::counter!(names::EVENTS, "verdict" => verdict).absolute(count);
        }
        for (reason, count) in Rejection::ALL.iter().zip(&figures.dead_letters) {
            metrics::counter!(names::DEAD_LETTERS, "reason" => reason.as_str()).absolute(*count);
        }
        for (field, count) in Field::ALL.iter().zip(&figures.unreadable) {
            metrics::counter!(names::UNREADABLE_FIELDS, "field" => field.name()).absolute(*count);
        }
        metrics::gauge!(names::ROWS, "kind" => "users").set(figures.rows as f64);
        metrics::gauge!(names::ROWS, "kind" => "rollup").set(figures.keys as f64);
        for (state, count) in ["restoring", "replaying", "live"].into_iter().zip(figures.phases) {
            metrics::gauge!(names::TASKS, "state" => state).set(count as f64);
        }
        metrics::counter!(names::CHANGELOG_BYTES).absolute(figures.changelog_bytes);
        if let Some(at_ms) = figures.evaluated_ms {
            metrics::gauge!(names::EVALUATED).set(at_ms as f64 / 1_000.0);
            if let Some(now_ms) = now_ms {
                metrics::gauge!(names::EVALUATION_LAG).set((now_ms - at_ms) as f64 / 1_000.0);
            }
        }
        metrics::gauge!(names::BOARD_OVERFLOWED).set(self.board.not_shown() as f64);
    }
}

impl Observer for Published {
    fn restored(&mut self, record: &RecordOut) {
        self.board.publish(self.update(record));
    }

    fn let_go(&mut self, is_gone: &dyn Fn(&str) -> bool) {
        self.board.retain(|key| !is_gone(key));
    }

    fn committed(&mut self, records: &[RecordOut]) {
        let updates: Vec<Update> = records.iter().filter_map(|record| self.update(record)).collect();
        self.board.publish(updates);
        for topic in Topic::OUTPUTS {
            let of_topic = records.iter().filter(|r| r.topic == topic);
            let (count, bytes) = of_topic.fold((0, 0), |(count, bytes), record| {
                (count + 1, bytes + record.value.as_ref().map_or(0, Vec::len) as u64)
            });
            if count > 0 {
                metrics::counter!(names::RECORDS_WRITTEN, "topic" => topic.name()).increment(count);
                metrics::counter!(names::BYTES_WRITTEN, "topic" => topic.name()).increment(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: Topic, value: Option<&str>) -> RecordOut {
        RecordOut {
            topic,
            partition: 0,
            key: Some(b"checkout|aggregate".to_vec()),
            value: value.map(|v| v.as_bytes().to_vec()),
            headers: Vec::new(),
            timestamp_ms: 0,
        }
    }

    #[test]
    fn records_become_what_the_board_shows() {
        let published = Published::new(Arc::default(), OutputFormat::Json).expect("JSON needs no decoder");
        let update_of = |topic, value: Option<&str>| published.update(&record(topic, value));
        let key = || "checkout|aggregate".to_owned();
        let cases = [
            (Topic::SloStatus, Some("{}"), Some(Update::Status { key: key(), json: b"{}".to_vec() })),
            (Topic::SloStatus, None, Some(Update::Forget { key: key() })),
            (Topic::SloHistory, Some("{}"), None),
            (Topic::CanaryVerdicts, Some("{}"), Some(Update::Canary { key: key(), json: b"{}".to_vec() })),
            (Topic::BurnAlerts, Some("no JSON"), None),
        ];
        for (topic, value, update) in cases {
            assert_eq!(update_of(topic, value), update, "{topic:?} {value:?}");
        }
        for (state, live) in [("firing", true), ("update", true), ("resolved", false)] {
            let update = update_of(Topic::BurnAlerts, Some(&format!(r#"{{"id":"a1","state":"{state}"}}"#)));
            assert!(matches!(update, Some(Update::Alert { firing, .. }) if firing == live), "{state}");
        }
        for (state, live) in [("open", true), ("update", true), ("closed", false)] {
            let update = update_of(Topic::TailCohorts, Some(&format!(r#"{{"id":"c1","state":"{state}"}}"#)));
            assert!(matches!(update, Some(Update::Cohort { open, .. }) if open == live), "{state}");
        }
    }
}
