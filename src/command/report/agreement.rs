//! The agreement (SLA) beside the objective: the result of the month against it, and the months that missed it.
//!
//! Where the agreement's own period is the month, the figures are those that the status has of it. For months before, the
//! published hours are summed and held against what is agreed now: a status does not say what was agreed then.

use super::month::{Month, Sum};
use crate::model::output::Sla;
use crate::model::time::{DAY_MS, Moment};
use serde::Serialize;
use std::collections::BTreeMap;

/// An agreement's period may begin at the midnight of another time zone.
const ZONES_MS: i64 = DAY_MS;
const MONTHLY: &str = "1M";

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    pub objective: f64,
    /// `1M`, `1Q` ...
    pub period: String,
    /// Of the month that is reported; `null`: it has no figures.
    pub result: Option<Held>,
    /// All months that there are hours of, up to this one.
    pub months: Vec<Held>,
    /// The names of those that missed it.
    pub missed: Vec<String>,
}

/// What was counted, held against the agreement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// `2026-11`.
    pub month: String,
    /// Of the agreement's own period; `null`: the hours of the month in UTC are summed.
    pub start: Option<String>,
    pub end: Option<String>,
    #[serde(flatten)]
    pub sum: Sum,
    pub is_kept: Option<bool>,
    /// Events may still be counted.
    pub is_open: bool,
}

/// `months`: the sums of the hours of each month, by name; `None`: the hours count something else than events.
pub fn agreement(sla: &Sla, months: Option<&BTreeMap<String, Sum>>, month: &Month) -> Option<Agreement> {
    let is_monthly = sla.period == MONTHLY;
    let mut held: BTreeMap<String, Held> = BTreeMap::new();
    for (name, sum) in months.into_iter().flatten().filter(|_| is_monthly) {
        let is_kept = sum.sli.map(|sli| sli >= sla.objective);
        let of = Held { month: name.clone(), start: None, end: None, sum: *sum, is_kept, is_open: false };
        held.insert(name.clone(), of);
    }
    for of in own(sla).into_iter().filter(|of| is_monthly && of.month <= month.name) {
        held.insert(of.month.clone(), of);
    }
    // Of a quarter or a year the period counts that the month lies in.
    let result = match is_monthly {
        true => held.get(&month.name).cloned(),
        false => own(sla).into_iter().find(|of| of.has(month)),
    };
    let months: Vec<Held> = held.into_values().collect();
    let missed = months.iter().filter(|of| of.is_kept == Some(false)).map(|of| of.month.clone()).collect();
    (result.is_some() || !months.is_empty()).then(|| Agreement {
        objective: sla.objective,
        period: sla.period.clone(),
        result,
        months,
        missed,
    })
}

impl Held {
    fn has(&self, month: &Month) -> bool {
        let middle = Moment(i64::midpoint(month.range.start, month.range.end)).to_string();
        self.start.as_ref().is_some_and(|start| *start <= middle) && self.end.as_ref().is_some_and(|end| middle < *end)
    }
}

/// The periods that a status has itself: the present one and the one before.
fn own(sla: &Sla) -> Vec<Held> {
    let sum = |good: f64, bad: f64, sli: Option<f64>| Sum { good, bad, sli };
    let held = |start: Moment, end: Moment, sum: Sum, is_missed: bool, is_open: bool| Held {
        // The month of the middle of its first days, whatever the zone.
        month: Moment(start.0 + 2 * ZONES_MS).to_string().chars().take("2026-11".len()).collect(),
        start: Some(start.to_string()),
        end: Some(end.to_string()),
        is_kept: sum.sli.map(|sli| sli >= sla.objective && !is_missed),
        sum,
        is_open,
    };
    let now = held(sla.start, sla.end, sum(sla.good, sla.bad, sla.sli), sla.is_missed, true);
    let previous = sla.previous.as_ref().map(|of| {
        let counted = sum(of.good.unwrap_or_default(), of.bad.unwrap_or_default(), of.sli);
        held(of.start, of.end, counted, false, !of.is_final)
    });
    // A period without an event says nothing.
    [previous, Some(now)].into_iter().flatten().filter(|of| of.sum.sli.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sla(objective: f64, period: &str, start: &str, end: &str) -> Sla {
        let json = json!({
            "objective": objective, "period": period, "start": start, "end": end, "good": 990.0, "bad": 10.0, "sli": 0.99,
            "budget_remaining": -1.0, "at_risk": false, "is_missed": false,
            "previous": {"start": "2026-09-30T22:00:00.000Z", "end": start, "good": 999.0, "bad": 1.0, "sli": 0.999,
                         "budget_remaining": 0.8, "is_final": true},
        });
        serde_json::from_value(json).expect("an agreement")
    }

    fn months() -> BTreeMap<String, Sum> {
        let sum = |good: f64, bad: f64| Sum { good, bad, sli: Some(good / (good + bad)) };
        [
            ("2026-08", sum(9.0, 1.0)),
            ("2026-09", sum(1_000.0, 0.0)),
            ("2026-10", sum(1.0, 1.0)),
            ("2026-11", sum(1.0, 1.0)),
        ]
        .map(|(name, sum)| (name.to_owned(), sum))
        .into()
    }

    #[test]
    fn a_month_is_held_against_the_figures_of_the_agreement_where_it_has_them() {
        let november = Month::parse("2026-11").expect("a month");
        // Months in Berlin: the names are those of the months there.
        let sla = sla(0.995, "1M", "2026-10-31T23:00:00.000Z", "2026-11-30T23:00:00.000Z");
        let of = agreement(&sla, Some(&months()), &november).expect("an agreement");
        let result = of.result.clone().expect("a result");
        assert_eq!((result.sum.sli, result.is_kept, result.is_open), (Some(0.99), Some(false), true));
        assert_eq!(of.missed, ["2026-08", "2026-11"]);
        let october = of.months.iter().find(|of| of.month == "2026-10").expect("the month before");
        assert_eq!((october.sum.bad, october.is_kept, october.is_open), (1.0, Some(true), false));
        // A report of September knows nothing of what came later, and sums hours.
        let to_september: BTreeMap<String, Sum> =
            months().into_iter().filter(|(name, _)| name.as_str() <= "2026-09").collect();
        let september = Month::parse("2026-09").expect("a month");
        let of = agreement(&sla, Some(&to_september), &september).expect("an agreement");
        assert_eq!(of.missed, ["2026-08"]);
        assert_eq!(of.result.map(|of| (of.start, of.is_kept)), Some((None, Some(true))));
        // Slices are no events.
        assert_eq!(agreement(&sla, None, &november).expect("an agreement").missed, ["2026-11"]);
        assert_eq!(agreement(&sla, None, &september), None);
    }

    #[test]
    fn of_a_quarter_the_period_counts_that_the_month_lies_in() {
        let november = Month::parse("2026-11").expect("a month");
        let sla = sla(0.98, "1Q", "2026-10-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z");
        let of = agreement(&sla, Some(&months()), &november).expect("an agreement");
        assert_eq!((of.months.len(), of.result.and_then(|of| of.is_kept)), (0, Some(true)));
    }
}
