//! Passes what was published to the board and the metrics, as the published bytes, so that all show the same figures.

use super::Failure;
use crate::board::{self, Board, Update};
use crate::codec::field::Field;
use crate::codec::output::{Decoder, OutputFormat};
use crate::model::outcome::Rejection;
use crate::model::record::{RecordOut, Topic};
use crate::model::time::Ms;
use crate::telemetry::{self, Committed, Inputs, Metrics, names};
use crate::worker::{Figures, Observer};
use std::sync::Arc;

/// The metrics' text: the counters, and the figures of the records that were published last. `is_ours`: the keys that
/// this process evaluates; the others are in the metrics of other instances.
pub fn metrics_text(metrics: &Metrics, board: &Board, inputs: &Inputs, is_ours: impl Fn(&str) -> bool) -> String {
    let fill = board.fill();
    metrics::gauge!(names::BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::gauge!(names::BOARD_OVERFLOWED).set(fill.keys_not_shown as f64);
    metrics::gauge!(names::BOARD_BEHIND).set(f64::from(u8::from(board.reading() != board::Reading::CaughtUp)));
    metrics::gauge!(names::HISTORY_BYTES).set(fill.history_bytes as f64);
    metrics::gauge!(names::VIEWERS).set(fill.viewers as f64);
    let (aggregates, firing) = (board.aggregates_of(&is_ours), board.firing_of(&is_ours));
    let figures = telemetry::figures(&Committed {
        aggregates: &aggregates.iter().map(|json| &**json).collect::<Vec<_>>(),
        firing: &firing.iter().map(|json| &**json).collect::<Vec<_>>(),
        keys: &board.keys_of(&is_ours),
        canaries: &[],
    });
    metrics.render() + &figures.text() + &inputs.text()
}

/// Turns records of our topics into updates of the board.
pub struct Reading {
    /// Turns Avro back into JSON; JSON is passed on unchanged.
    decoder: Option<Decoder>,
}

impl Reading {
    pub fn new(format: OutputFormat) -> Result<Reading, Failure> {
        let decoder = match format {
            OutputFormat::Json => None,
            OutputFormat::AvroRaw => Some(Decoder::new().map_err(anyhow::Error::from)?),
        };
        Ok(Reading { decoder })
    }

    /// `None`: the board does not show it. Dead letters in Kafka are no records of ours: they are made ones where they are read.
    pub fn update(&self, topic: Topic, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Update> {
        if Topic::INTERNAL.contains(&topic) {
            return None;
        }
        let key = String::from_utf8(key.unwrap_or_default().to_vec()).ok()?;
        let json = match (value, &self.decoder) {
            (None, _) => None,
            (Some(value), Some(decoder)) if topic != Topic::DeadLetters => {
                Some(serde_json::to_vec(&decoder.decode(topic, value).ok()?).ok()?)
            }
            (Some(value), _) => Some(value.to_vec()),
        };
        Update::of(topic, key, json)
    }
}

/// Shows what a worker in this process publishes: the board itself, where nobody could read it from topics, and the
/// metrics.
pub struct Published {
    board: Option<(Arc<Board>, Reading)>,
}

impl Published {
    /// The board is fed from the topics, as in every other instance.
    pub fn to_topics() -> Published {
        Published { board: None }
    }

    /// There are no topics: the records feed the board.
    pub fn to_board(board: Arc<Board>) -> Result<Published, Failure> {
        Ok(Published { board: Some((board, Reading::new(OutputFormat::Json)?)) })
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
        metrics::gauge!(names::RESTORE_REMAINING).set(figures.remaining as f64);
        metrics::gauge!(names::STATE_BYTES, "place" => "memory").set(figures.stores.memory_bytes as f64);
        metrics::gauge!(names::STATE_BYTES, "place" => "disk").set(figures.stores.disk_bytes as f64);
        metrics::counter!(names::CHANGELOG_BYTES).absolute(figures.changelog_bytes);
        if let Some(at_ms) = figures.evaluated_ms {
            metrics::gauge!(names::EVALUATED).set(at_ms as f64 / 1_000.0);
            if let Some(now_ms) = now_ms {
                metrics::gauge!(names::EVALUATION_LAG).set((now_ms - at_ms) as f64 / 1_000.0);
            }
        }
    }
}

impl Observer for Published {
    fn committed(&mut self, records: &[RecordOut]) {
        if let Some((board, reading)) = &self.board {
            let update =
                |record: &RecordOut| reading.update(record.topic, record.key.as_deref(), record.value.as_deref());
            board.publish(records.iter().filter_map(update));
        }
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
