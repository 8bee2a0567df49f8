//! How the budget of each SLO burnt hour by hour, from the records of `slo-history`.

use crate::model::key::{Scope, key_text};
use crate::model::ratio::Ratio;
use crate::model::record::{RecordOut, Topic};
use crate::model::slo::Slo;
use crate::operator::sanity::Hours;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct HoursSeen {
    /// By the key of the aggregate.
    slos: BTreeMap<Vec<u8>, (String, Ratio)>,
    /// By SLO.
    pub told: BTreeMap<String, Hours>,
}

/// Good and bad events of the hour before.
#[derive(Deserialize)]
struct Hour {
    good: f64,
    bad: f64,
}

impl HoursSeen {
    pub fn of(slos: &[Slo]) -> HoursSeen {
        let key = |slo: &Slo| key_text(&slo.name, &Scope::Aggregate).into_bytes();
        let slos = slos.iter().map(|slo| (key(slo), (slo.name.clone(), slo.objective))).collect();
        HoursSeen { slos, told: BTreeMap::new() }
    }

    pub fn note(&mut self, record: &RecordOut) {
        let (Topic::SloHistory, Some(key), Some(value)) = (record.topic, &record.key, &record.value) else { return };
        let Some((name, objective)) = self.slos.get(key) else { return };
        let Ok(hour) = serde_json::from_slice::<Hour>(value) else { return };
        let (good, bad) = (hour.good.round() as u64, hour.bad.round() as u64);
        self.told.entry(name.clone()).or_default().add(bad, good.saturating_add(bad), *objective);
    }
}
