//! What the last statuses of a run show, so that no kind of SLO is left out without anybody noticing.

use crate::broker::{Broker, Place};
use serde_json::Value;
use std::collections::BTreeMap;
use tailburn::model::record::Topic;

/// How many keys ended with a status that shows something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    pub timeslices: usize,
    pub ratio_timeslices: usize,
    /// Composites of which every component has a burn rate, by their method.
    pub composites: usize,
    pub composites_of_timeslices: usize,
    pub composites_of_ratios: usize,
    /// Values with progress towards their goal.
    pub values: usize,
    /// Journeys with good and bad attempts, and with abandoned ones.
    pub journeys: usize,
    pub abandoned: usize,
    /// Events that a maintenance excluded.
    pub maintenance: usize,
    /// The statuses of a run that stand in a maintenance, all of them.
    pub in_maintenance: usize,
    pub failures: usize,
    /// More pairs of failures than are told apart.
    pub other_failures: usize,
}

impl Reached {
    pub fn of(broker: &Broker) -> Reached {
        let mut reached = Reached::default();
        let mut latest: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for place in broker.places().filter(|place| matches!(place, Place::Output(Topic::SloStatus, _))) {
            for (_, record) in broker.partition(place).ever() {
                let (Some(key), Some(value)) = (&record.key, &record.value) else { continue };
                reached.in_maintenance += usize::from(contains(value, b"\"maintenance\":\"upgrade"));
                latest.insert(key.clone(), value.clone());
            }
        }
        for value in latest.values() {
            reached.see_last(&serde_json::from_slice(value).expect("JSON"));
        }
        reached
    }

    /// Looks at one status.
    pub fn see(&mut self, status: &Value) {
        self.in_maintenance += usize::from(status["maintenance"].is_string());
        self.see_last(status);
    }

    fn see_last(&mut self, status: &Value) {
        let list = |field: &str| status[field].as_array().map_or(&[][..], Vec::as_slice);
        let has_slices = list("windows").iter().any(|window| window["sli"].is_number());
        let is_composite = list("components").iter().all(|part| part["burn"].is_number()) && has_slices;
        let is_composite = is_composite && !list("components").is_empty();
        match status["budgeting_method"].as_str() {
            Some("Timeslices") => {
                self.timeslices += usize::from(has_slices);
                self.composites_of_timeslices += usize::from(is_composite);
            }
            Some("RatioTimeslices") => {
                self.ratio_timeslices += usize::from(has_slices);
                self.composites_of_ratios += usize::from(is_composite);
            }
            _ => self.composites += usize::from(is_composite),
        }
        self.values += usize::from(status["gauge"]["progress"].is_number());
        let attempts = |field: &str| status["journey"][field].as_u64().unwrap_or(0);
        self.journeys += usize::from(attempts("attempts") > attempts("abandoned"));
        self.abandoned += usize::from(attempts("abandoned") > 0);
        self.maintenance += usize::from(status["counts"]["maintenance"].as_u64() > Some(0));
        self.failures += usize::from(list("failures").len() > 1);
        self.other_failures += usize::from(list("failures").iter().any(|f| f["dependency"] == "__other__"));
    }

    pub fn add(&mut self, more: &Reached) {
        let mut more = *more;
        for (sum, one) in self.all_mut().into_iter().zip(more.all_mut()) {
            *sum += *one;
        }
    }

    /// Whether everything was seen at least this often.
    pub fn has_seen(mut self, least: usize) -> bool {
        self.all_mut().iter().all(|count| **count >= least)
    }

    fn all_mut(&mut self) -> [&mut usize; 12] {
        [
            &mut self.timeslices,
            &mut self.ratio_timeslices,
            &mut self.composites,
            &mut self.composites_of_timeslices,
            &mut self.composites_of_ratios,
            &mut self.values,
            &mut self.journeys,
            &mut self.abandoned,
            &mut self.maintenance,
            &mut self.in_maintenance,
            &mut self.failures,
            &mut self.other_failures,
        ]
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
