//! The components of a composite SLO, as one key of the composite sees them: each with its own events of the key.

use serde_json::{Value, json};

use crate::promises::remaining;
use crate::ratio::Ratio;
use crate::replay::Key;
use crate::slo::{Slo, Verdict};
use crate::time::PANE_MS;
use crate::units::{Slice, Slices, Slicing, Units, WHOLE, judge, reach};
use crate::windows::{Axis, History, Sums};

pub struct Part {
    pub name: String,
    pub objective: Ratio,
    pub allowed: Ratio,
    pub weight: f64,
    pub history: History,
    pub slices: Option<Slices>,
    pub first_ms: Option<i64>,
}

pub fn parts_of(slo: &Slo, tenant: Option<&str>, axis: Axis) -> Vec<Part> {
    let part = |(part, weight): &(Slo, f64)| {
        let (objective, history) = (part.objective_of(tenant), History::new(axis));
        let slices = part.slicing.map(|slicing| Slices::new(slicing, &history));
        let (name, allowed) = (part.name.clone(), objective.one_minus());
        Part { name, objective, allowed, weight: *weight, history, slices, first_ms: None }
    };
    slo.parts.iter().map(part).collect()
}

impl Part {
    pub fn see(&mut self, verdict: Verdict, time_ms: i64, weight_micros: i64) {
        let sums = match verdict {
            Verdict::Good => Sums { good: 1, good_micros: weight_micros, ..Sums::default() },
            Verdict::Bad => Sums { bad: 1, bad_micros: weight_micros, ..Sums::default() },
            _ => return,
        };
        self.history.add(self.history.axis.slice(time_ms), &sums);
        self.slices.iter_mut().for_each(|slices| slices.see(time_ms));
        let pane_ms = crate::time::floor_to(time_ms, PANE_MS);
        self.first_ms = Some(self.first_ms.map_or(pane_ms, |ms| ms.min(pane_ms)));
    }

    fn units(&self, start_ms: i64, end_ms: i64) -> Units {
        match &self.slices {
            Some(slices) => slices.between(start_ms, end_ms),
            None => Units::of_events(&self.history.between(start_ms, end_ms)),
        }
    }

    /// The slice of these times, and what it is worth.
    fn slice(&self, slicing: &Slicing, start_ms: i64, end_ms: i64) -> Slice {
        judge(slicing, &self.history.between(start_ms, end_ms))
    }
}

/// A slice of the composite out of those of its components.
pub fn judge_all(parts: &[Part], start_ms: i64, end_ms: i64) -> Slice {
    let of = |part: &Part| Some((part.slice(&part.slices.as_ref()?.slicing, start_ms, end_ms), part.weight));
    let slices: Vec<(Slice, f64)> =
        parts.iter().filter_map(of).filter(|(slice, _)| *slice != Slice::default()).collect();
    reach(!slices.is_empty() && slices.len() < parts.len(), "a slice that not every component has");
    if slices.is_empty() {
        return Slice::default();
    }
    let has_target = parts.iter().all(|part| part.slices.as_ref().is_some_and(|s| s.slicing.target.is_some()));
    let good = if has_target {
        if slices.iter().any(|(slice, _)| slice.bad > 0) { 0 } else { WHOLE }
    } else {
        let weights: f64 = slices.iter().map(|(_, weight)| weight).sum();
        let lost: f64 = slices.iter().map(|(slice, weight)| weight * (1.0 - slice.good as f64 / WHOLE as f64)).sum();
        ((1.0 - lost / weights) * WHOLE as f64).round_ties_even() as i64
    };
    Slice { good, bad: WHOLE - good }
}

/// Sums of events, and the mean burn of the components that have any, in doubles.
pub fn units(parts: &[Part], start_ms: i64, end_ms: i64) -> Units {
    let of: Vec<(Units, &Part)> = parts.iter().map(|part| (part.units(start_ms, end_ms), part)).collect();
    let burns: Vec<(f64, f64)> =
        of.iter().filter_map(|(units, part)| Some((units.burn(part.allowed)?, part.weight))).collect();
    reach(!burns.is_empty() && burns.len() < parts.len(), "a window that not every component has");
    let weights: f64 = burns.iter().map(|(_, weight)| weight).sum();
    let burn = burns.iter().map(|(burn, weight)| weight * burn).sum::<f64>() / weights;
    let sum = |parts: &dyn Fn(&Units) -> i128| of.iter().map(|(units, _)| parts(units)).sum();
    Units { good: sum(&|u| u.good), bad: sum(&|u| u.bad), scale: 1_000_000, burn: Some(burn), is_of_slices: false }
}

/// `components[]` of a status.
pub fn components(slo: &Slo, key: &Key, at_ms: i64, start_ms: i64) -> Value {
    let entry = |part: &Part| {
        let units = part.units(start_ms, i64::MAX);
        json!({"name": part.name, "objective": part.objective.as_f64(), "weight": part.weight, "sli": units.sli(part.allowed),
               "burn": units.burn(part.allowed),
               "budget_remaining": remaining(slo, &units, part.allowed, part.first_ms, at_ms)})
    };
    key.parts.iter().map(entry).collect()
}
