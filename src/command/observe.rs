//! What was committed, for the HTTP board and the metrics: the published bytes themselves, so that
//! every place shows the same figure.

use super::Failure;
use crate::codec::output::{Decoder, OutputFormat};
use crate::http::{Board, Update};
use crate::model::outcome::Rejection;
use crate::model::output::SloStatus;
use crate::model::record::{RecordOut, Topic};
use crate::model::time::Ms;
use crate::telemetry::names;
use crate::worker::{Figures, Observer};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the board has to know of an alert or a cohort.
#[derive(Deserialize)]
struct Head {
    id: String,
    state: String,
}

/// What the metrics have to know of an alert.
#[derive(Deserialize)]
struct AlertHead {
    slo: String,
    severity: String,
}

pub struct Published {
    board: Arc<Board>,
    /// Reads Avro back into JSON for the board; JSON goes there as it is.
    decoder: Option<Decoder>,
    /// Keys with a status, by SLO.
    keys: BTreeMap<String, BTreeSet<String>>,
    /// Ids of alerts that fire, by SLO and severity.
    firing: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Published {
    pub fn new(board: Arc<Board>, format: OutputFormat) -> Result<Published, Failure> {
        let decoder = match format {
            OutputFormat::Json => None,
            OutputFormat::AvroRaw => Some(Decoder::new().map_err(anyhow::Error::from)?),
        };
        Ok(Published { board, decoder, keys: BTreeMap::new(), firing: BTreeMap::new() })
    }

    /// What a record means for the board; `None` where the board does not show its topic.
    fn update(&self, record: &RecordOut) -> Option<Update> {
        if !matches!(record.topic, Topic::SloStatus | Topic::BurnAlerts | Topic::TailCohorts) {
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
        if record.topic == Topic::SloStatus {
            return Some(Update::Status { key, json });
        }
        let Head { id, state } = serde_json::from_slice(&json).ok()?;
        Some(match record.topic {
            Topic::BurnAlerts => Update::Alert { key, id, firing: state != "resolved", json },
            _ => Update::Cohort { key, id, open: state != "closed", json },
        })
    }

    /// The figures of the tasks, once a commit. `now_ms` is the wall clock, where traffic goes by it.
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

    /// Keys, alerts that fire and the figures of the aggregates.
    fn note(&mut self, updates: &[Update]) {
        let mut aggregates: BTreeMap<&str, &[u8]> = BTreeMap::new();
        for update in updates {
            match update {
                Update::Status { key, json } => {
                    self.note_key(key, true);
                    if key.ends_with("|aggregate") {
                        aggregates.insert(key, json);
                    }
                }
                Update::Forget { key } => self.note_key(key, false),
                Update::Alert { id, firing, json, .. } => self.note_alert(id, *firing, json),
                Update::Cohort { .. } => {}
            }
        }
        // Only the last status of a commit counts: the others were overtaken before anybody could look.
        aggregates.into_values().filter_map(|json| serde_json::from_slice(json).ok()).for_each(|s| show(&s));
    }

    fn note_key(&mut self, key: &str, exists: bool) {
        let slo = key.split('|').next().unwrap_or_default();
        let keys = self.keys.entry(slo.to_owned()).or_default();
        let changed = match exists {
            true => !keys.contains(key) && keys.insert(key.to_owned()),
            false => keys.remove(key),
        };
        if changed {
            metrics::gauge!(names::KEYS, "slo" => slo.to_owned()).set(keys.len() as f64);
        }
    }

    fn note_alert(&mut self, id: &str, firing: bool, json: &[u8]) {
        let Ok(AlertHead { slo, severity }) = serde_json::from_slice(json) else { return };
        let ids = self.firing.entry((slo.clone(), severity.clone())).or_default();
        if firing {
            ids.insert(id.to_owned())
        } else {
            ids.remove(id)
        };
        metrics::gauge!(names::ALERTS_FIRING, "slo" => slo, "severity" => severity).set(ids.len() as f64);
    }
}

impl Observer for Published {
    fn committed(&mut self, records: &[RecordOut]) {
        let updates: Vec<Update> = records.iter().filter_map(|record| self.update(record)).collect();
        self.note(&updates);
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

/// The figures of an aggregate.
fn show(status: &SloStatus) {
    let gauge = |name: &'static str, figure: Option<f64>| {
        if let Some(figure) = figure {
            metrics::gauge!(name, "slo" => status.slo.clone()).set(figure);
        }
    };
    let compliance = status.windows.iter().find(|w| w.window == status.compliance_window);
    gauge(names::OBJECTIVE, Some(status.objective));
    gauge(names::SLI, compliance.and_then(|w| w.sli));
    gauge(names::BUDGET_REMAINING, status.budget_remaining);
    gauge(names::USERS_BELOW_OBJECTIVE, status.users.last().map(|u| u.below_objective as f64));
    for window in &status.windows {
        if let Some(burn) = window.burn {
            let labels = [("slo", status.slo.clone()), ("window", window.window.clone())];
            metrics::gauge!(names::BURN_RATE, &labels).set(burn);
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

    #[test]
    fn keys_and_alerts_are_counted_as_they_come_and_go() {
        let mut published = Published::new(Arc::default(), OutputFormat::Json).expect("JSON needs no decoder");
        let alert = |state: &str| format!(r#"{{"id":"a1","state":"{state}","slo":"checkout","severity":"page"}}"#);
        published.committed(&[record(Topic::SloStatus, Some("{}")), record(Topic::BurnAlerts, Some(&alert("firing")))]);
        let firing = ("checkout".to_owned(), "page".to_owned());
        assert_eq!((published.keys["checkout"].len(), published.firing[&firing].len()), (1, 1));
        published.committed(&[record(Topic::SloStatus, None), record(Topic::BurnAlerts, Some(&alert("resolved")))]);
        assert_eq!((published.keys["checkout"].len(), published.firing[&firing].len()), (0, 0));
    }
}
