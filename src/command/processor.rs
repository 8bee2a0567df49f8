//! What an instance does, for operators: an object of `/api/v1/processor`.

use crate::codec::field::Field;
use crate::model::outcome::Rejection;
use crate::model::time::{Moment, Ms};
use crate::worker::{Figures, PartitionFigures};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Topic and partition of an input.
pub type Place = (String, u32);

/// What operators want to know of the process.
#[derive(Clone, Default)]
pub struct Told {
    /// Of all workers.
    pub figures: Option<Figures>,
    /// How long ago the oldest key group was written, by worker.
    pub checkpoint_age_ms: BTreeMap<u32, Ms>,
    pub partitions: BTreeMap<Place, PartitionFigures>,
    /// Who holds T back, and since when it is the one, by the wall clock.
    pub held_back: Option<(Place, Ms)>,
}

/// `role`: the command; `instance`: distinguishes it from others of the same application.
pub fn describe(told: &Told, role: &str, application_id: &str, instance: &str) -> Value {
    let partitions: Vec<Value> = told.partitions.iter().map(|(place, figures)| partition(place, figures)).collect();
    let mut all = json!({
        "role": role,
        "application_id": application_id,
        "instance": instance,
        "partitions": partitions,
        "held_back_by": held_back_by(told),
        "checkpoint_age_seconds": told.checkpoint_age_ms.values().max().map(|ms| *ms as f64 / 1_000.0),
    });
    if let (Some(figures), Value::Object(fields)) = (&told.figures, &mut all) {
        fields.extend(of_figures(figures));
    }
    all
}

fn time(ms: Option<Ms>) -> Option<String> {
    ms.map(|ms| Moment(ms).to_string())
}

fn partition((topic, partition): &Place, figures: &PartitionFigures) -> Value {
    json!({
        "topic": topic,
        "partition": partition,
        "watermark": time(figures.watermark_ms),
        "lag": figures.lag,
        "is_idle": figures.is_idle,
        "is_at_end": figures.is_at_end,
        "is_of_this_instance": figures.is_ours,
    })
}

/// The partition that holds T back.
pub struct Holder<'a> {
    pub place: &'a Place,
    figures: &'a PartitionFigures,
    /// How far it is behind the furthest.
    pub behind_ms: Option<Ms>,
    pub since_ms: Ms,
}

impl Told {
    pub fn who_holds_back(&self) -> Option<Holder<'_>> {
        let (place, since_ms) = self.held_back.as_ref()?;
        let figures = self.partitions.get(place)?;
        let furthest_ms = self.partitions.values().filter_map(|other| other.watermark_ms).max();
        let behind_ms = furthest_ms.zip(figures.watermark_ms).map(|(furthest_ms, own_ms)| furthest_ms - own_ms);
        Some(Holder { place, figures, behind_ms, since_ms: *since_ms })
    }
}

impl Holder<'_> {
    /// One of a few words.
    pub fn reason(&self) -> &'static str {
        match (self.figures.has_read, self.figures.is_at_end) {
            (false, _) => "no_outcome_yet",
            (_, true) => "read_to_its_end",
            (_, false) => "not_read_yet",
        }
    }
}

/// Who holds T back, since when, and why.
fn held_back_by(told: &Told) -> Option<Value> {
    let holder = told.who_holds_back()?;
    let Holder { place: (topic, partition), figures, behind_ms, since_ms } = holder;
    let why = match (figures.has_read, figures.is_at_end, figures.lag) {
        (false, ..) => {
            "no outcome was read from it yet: evaluation begins once each partition has one, or is idle for \
                        input.idle_timeout"
                .to_owned()
        }
        (_, true, _) => "it is read to its end, and its newest event is older than those of others: it is passed over \
                         once nothing came for input.idle_timeout"
            .to_owned(),
        (_, _, Some(lag)) => format!("it has {lag} records that are not read yet"),
        (_, _, None) => "it has records that are not read yet".to_owned(),
    };
    Some(json!({
        "topic": topic,
        "partition": partition,
        "watermark": time(figures.watermark_ms),
        "behind_seconds": behind_ms.map(|ms| ms as f64 / 1_000.0),
        "since": Moment(since_ms).to_string(),
        "reason": holder.reason(),
        "why": why,
    }))
}

fn of_figures(figures: &Figures) -> Map<String, Value> {
    let counts = &figures.counts;
    let named = |names: Vec<&'static str>, numbers: &[u64]| -> Map<String, Value> {
        names.into_iter().map(str::to_owned).zip(numbers.iter().map(|number| json!(number))).collect()
    };
    let reasons = Rejection::ALL.iter().map(|reason| reason.as_str()).collect();
    let fields = Field::ALL.iter().map(|field| field.name()).collect();
    let [restoring, replaying, live] = figures.phases;
    let all = json!({
        "evaluated_at": time(figures.evaluated_ms),
        "events": {
            "accepted": counts.good + counts.bad,
            "excluded": counts.excluded,
            "unclassified": counts.unclassified,
            "late": counts.late,
            "late_dropped": counts.late_dropped,
        },
        "dead_letters": named(reasons, &figures.dead_letters),
        "unreadable_fields": named(fields, &figures.unreadable),
        "tasks": {"restoring": restoring, "replaying": replaying, "live": live},
        "memory": {"user_rows": figures.rows, "keys": figures.keys, "resident_bytes": resident_bytes()},
        "changelog_bytes": figures.changelog_bytes,
        "restore_remaining_records": figures.remaining,
        "state_bytes": {"memory": figures.stores.memory_bytes, "disk": figures.stores.disk_bytes},
    });
    if let Value::Object(fields) = all { fields } else { Map::new() }
}

/// `None`: this system does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_time_back_is_said_with_its_reason() {
        let place = |number| ("outcomes".to_owned(), number);
        let figures = |source, watermark_ms, is_at_end, lag| PartitionFigures {
            source,
            watermark_ms,
            has_read: watermark_ms.is_some(),
            is_at_end,
            is_idle: false,
            is_ours: true,
            lag,
        };
        let mut told = Told { held_back: Some((place(1), 60_000)), ..Told::default() };
        told.partitions.insert(place(0), figures(0, Some(120_000), true, Some(0)));
        for (slow, why) in [
            (figures(1, Some(90_000), false, Some(7)), "7 records"),
            (figures(1, Some(90_000), true, Some(0)), "read to its end"),
            (figures(1, None, true, Some(0)), "no outcome was read"),
        ] {
            told.partitions.insert(place(1), slow);
            let held = &describe(&told, "run", "app", "one")["held_back_by"];
            assert!(held["why"].as_str().is_some_and(|text| text.contains(why)), "{held}");
            assert_eq!((&held["partition"], &held["since"]), (&json!(1), &json!("1970-01-01T00:01:00.000Z")));
        }
        told.held_back = None;
        assert_eq!(describe(&told, "run", "app", "one")["held_back_by"], Value::Null);
    }
}
