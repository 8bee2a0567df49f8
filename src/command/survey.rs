//! What recorded traffic looks like to each SLO, from one pass over it.

use crate::model::outcome::Outcome;
use crate::model::slo::Slo;
use crate::model::time::{HOUR_MS, MINUTE_MS, Ms, floor_to};
use crate::operator::classify::Verdict;
use crate::operator::first_chunk::FirstChunks;
use crate::operator::sanity::{self, Defect, Hours};
use std::collections::BTreeMap;

/// With less time between first and last event nothing is said about events per second.
const SPAN_MIN_MS: Ms = MINUTE_MS;

/// Counts of all outcomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    pub outcomes: u64,
    pub dead_letters: u64,
    /// The smallest and the largest time of an outcome.
    span_ms: Option<(Ms, Ms)>,
    pub first_chunks: FirstChunks,
    pub slos: Vec<SloSurvey>,
}

/// Counts of one SLO.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SloSurvey {
    pub good: u64,
    pub bad: u64,
    pub unclassified: u64,
    without_user: u64,
    /// Good and bad events, and the bad ones of them, by hour.
    hours: BTreeMap<Ms, (u64, u64)>,
}

impl Survey {
    pub fn new(slos: usize) -> Survey {
        Survey { slos: vec![SloSurvey::default(); slos], ..Survey::default() }
    }

    /// An outcome, before its verdicts.
    pub fn add(&mut self, outcome: &Outcome<'_>) {
        let at_ms = outcome.timestamp_ms;
        self.outcomes += 1;
        self.first_chunks.add(outcome);
        let (first_ms, last_ms) = self.span_ms.unwrap_or((at_ms, at_ms));
        self.span_ms = Some((first_ms.min(at_ms), last_ms.max(at_ms)));
    }

    pub fn judge(&mut self, slo: usize, outcome: &Outcome<'_>, verdict: Verdict) {
        let Some(of_slo) = self.slos.get_mut(slo) else { return };
        let is_bad = match verdict {
            Verdict::Excluded | Verdict::Maintenance => return,
            Verdict::Unclassified => {
                of_slo.unclassified += 1;
                return;
            }
            Verdict::Good => false,
            Verdict::Bad => true,
        };
        *(if is_bad { &mut of_slo.bad } else { &mut of_slo.good }) += 1;
        of_slo.without_user += u64::from(outcome.user.is_none());
        let hour = of_slo.hours.entry(floor_to(outcome.timestamp_ms, HOUR_MS)).or_default();
        hour.0 += 1;
        hour.1 += u64::from(is_bad);
    }

    /// From the first to the last outcome.
    pub fn length_ms(&self) -> Ms {
        self.span_ms.map_or(0, |(first_ms, last_ms)| last_ms - first_ms)
    }

    /// Good and bad events per second; `None` if the traffic is too short to tell, or has none.
    pub fn events_per_second(&self, slo: usize) -> Option<f64> {
        let events = self.slos.get(slo).map(|s| s.good + s.bad).filter(|events| *events > 1)?;
        let length_ms = self.length_ms();
        (length_ms >= SPAN_MIN_MS).then(|| events as f64 * 1_000.0 / length_ms as f64)
    }

    /// What is wrong with an SLI; nothing if there is no outcome.
    pub fn defects(&self, slo: usize, definition: &Slo) -> Vec<Defect> {
        let Some(of_slo) = self.slos.get(slo).filter(|_| self.outcomes > 0) else { return Vec::new() };
        let mut hours = Hours::default();
        of_slo.hours.values().for_each(|(events, bad)| hours.add(*bad, *events, definition.objective));
        let seen = sanity::Seen {
            good: of_slo.good,
            bad: of_slo.bad,
            unclassified: of_slo.unclassified,
            without_user: of_slo.without_user,
            hours,
        };
        sanity::defects(&seen, definition.objective)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition;
    use crate::model::outcome::WEIGHT_ONE;
    use crate::operator::classify::classify;

    const DOCUMENT: &str = "
apiVersion: openslo/v1
kind: SLO
metadata: {name: NAME}
spec:
  service: web
  indicator:
    metadata: {name: NAME}
    spec:
      ratioMetric:
        counter: true
        SIDE: {metricSource: {type: tailburn, spec: {filter: \"FILTER\"}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"TOTAL\"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: TARGET}]
";

    /// A defect that somebody wrote into an SLO: its name, the side that is written, its filter, `total`, the objective, and
    /// what is to be found.
    type Planted = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static [Defect]);

    const PLANTED: [Planted; 10] = [
        ("healthy", "good", "status < 500", "true", "0.999", &[]),
        ("case", "bad", "attributes.result == 'Failed'", "true", "0.999", &[Defect::NeverBad]),
        ("milliseconds", "good", "latency_ms < 300000.0", "true", "0.999", &[Defect::NeverBad]),
        ("unrecorded", "bad", "has(error_type)", "true", "0.999", &[Defect::NeverBad]),
        ("swapped", "good", "status >= 500", "true", "0.999", &[Defect::ConstantBurn]),
        ("seconds", "good", "latency_ms < 0.3", "true", "0.999", &[Defect::ConstantBurn]),
        ("clients-mistakes", "good", "status < 400", "true", "0.9995", &[Defect::ConstantBurn]),
        ("misspelt", "good", "status < 500", "operation == 'chekout'", "0.999", &[Defect::NoEvents]),
        ("absent", "good", "attributes.cache == 'hit'", "true", "0.5", &[Defect::Unclassified]),
        ("nobody", "good", "status < 500", "operation == 'internal'", "0.999", &[Defect::NoUser]),
    ];

    /// 30 hours of an outcome a second: each 2,000th fails, each 100th is a client's mistake, each 10th is of nobody.
    fn outcome(i: u64) -> Outcome<'static> {
        let status = match i {
            i if i.is_multiple_of(2_000) => 503,
            i if i % 100 == 1 => 404,
            _ => 200,
        };
        let is_internal = i % 10 == 3;
        let result = if status == 503 { "failed" } else { "ok" };
        let mut attributes = vec![("result".into(), result.into())];
        if i % 50 != 7 {
            attributes.push(("cache".into(), if i.is_multiple_of(3) { "miss" } else { "hit" }.into()));
        }
        Outcome {
            tenant: "acme".into(),
            user: (!is_internal).then(|| format!("u{}", i % 500).into()),
            timestamp_ms: 1_780_000_000_000 + i as i64 * 1_000,
            operation: Some(if is_internal { "internal" } else { "checkout" }.into()),
            status: Some(status),
            latency_ms: Some(120.0),
            attributes: attributes.into_iter().collect(),
            weight_micros: WEIGHT_ONE,
            ..Outcome::default()
        }
    }

    #[test]
    fn planted_defects_are_found_and_a_healthy_sli_has_none() {
        let written = |(name, side, filter, total, target, _): &Planted| {
            let text = DOCUMENT.replace("NAME", name).replace("SIDE", side).replace("FILTER", filter);
            (format!("{name}.yaml"), text.replace("TOTAL", total).replace("TARGET", target))
        };
        let sources: Vec<(String, String)> = PLANTED.iter().map(written).collect();
        let slos = definition::parse(&sources).expect("SLOs").slos;
        let mut survey = Survey::new(slos.len());
        for i in 0..108_000 {
            let outcome = outcome(i);
            survey.add(&outcome);
            slos.iter().enumerate().for_each(|(at, slo)| survey.judge(at, &outcome, classify(slo, &outcome).0));
        }
        for (at, slo) in slos.iter().enumerate() {
            let (.., expected) = PLANTED.iter().find(|(name, ..)| *name == slo.name).expect("a planted one");
            assert_eq!(survey.defects(at, slo), *expected, "{}", slo.name);
        }
        let healthy = slos.iter().position(|slo| slo.name == "healthy").expect("a healthy one");
        assert!((survey.events_per_second(healthy).expect("a rate") - 1.0).abs() < 1e-4);
    }

    #[test]
    fn without_an_outcome_nothing_is_wrong_with_an_sli() {
        let text = DOCUMENT.replace("SIDE", "good").replace("FILTER", "status < 500").replace("TOTAL", "true");
        let text = text.replace("TARGET", "0.9");
        let slos = definition::parse(&[("a.yaml".to_owned(), text)]).expect("an SLO").slos;
        let survey = Survey::new(1);
        assert_eq!((survey.defects(0, &slos[0]), survey.events_per_second(0)), (vec![], None));
    }
}
