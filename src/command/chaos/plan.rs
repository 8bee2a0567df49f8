//! One look at the recording: which events each fault would hit, and which kind of failure each SLO would notice.

use super::fault::{Fault, FaultSpec, Kind, value_of};
use super::overlay::changed;
use super::replay::Recording;
use crate::command::{Failure, files};
use crate::model::outcome::Outcome;
use crate::model::slo::Slo;
use crate::model::time::{Moment, Ms};
use crate::operator::classify::{Verdict, classify};
use std::collections::BTreeSet;

/// For so many values of a field a message says which there are.
const VALUES_MAX: usize = 8;

/// First and last time of the recording's outcomes.
pub type Span = (Ms, Ms);

/// What a fault would do, whatever its share.
pub struct Plan {
    pub fault: Fault,
    /// For each kind that turns events of SLOs from good to bad: these SLOs, by their place in the list.
    pub groups: Vec<(Kind, Vec<usize>)>,
    /// SLOs of which no event becomes bad.
    pub untouched: Vec<usize>,
}

/// Reads the recording's times.
pub fn span(recording: &Recording<'_>) -> Result<Span, Failure> {
    let mut span: Option<Span> = None;
    each(recording, |outcome| {
        let at_ms = outcome.timestamp_ms;
        let (first, last) = span.unwrap_or((at_ms, at_ms));
        span = Some((first.min(at_ms), last.max(at_ms)));
    })?;
    span.ok_or_else(|| {
        let remedy = "`tailburn check --input FILE` says what becomes of each record";
        Failure::Definition(format!("the recording has no outcome; {remedy}"))
    })
}

/// Says for each fault which SLOs would notice it, and as which kind. `longest_ms` is the longest time that it is tried
/// for, if not its own.
pub fn plans(
    recording: &Recording<'_>,
    slos: &[Slo],
    specs: &[FaultSpec],
    span: Span,
    longest_ms: Option<Ms>,
) -> Result<Vec<Plan>, Failure> {
    let with_length = |fault: Fault| match longest_ms {
        Some(length_ms) => fault.with(fault.spec.share, length_ms),
        None => fault,
    };
    let faults = specs.iter().map(|spec| with_length(spec.at(span.0)));
    let mut looks: Vec<Look> = faults.map(|fault| Look::new(fault, slos.len())).collect();
    looks.iter().try_for_each(|look| look.refuse_outside(span))?;
    each(recording, |outcome| looks.iter_mut().for_each(|look| look.take(slos, outcome)))?;
    looks.into_iter().map(|look| look.plan(slos)).collect()
}

fn each(recording: &Recording<'_>, mut take: impl FnMut(&Outcome<'_>)) -> Result<(), Failure> {
    let (inputs, decoder) = recording.open()?;
    for (partition, mut file) in inputs.into_iter().enumerate() {
        while let Some(record) = file.next_record().map_err(|e| Failure::Definition(e.to_string()))? {
            // What cannot be read becomes a dead letter in every run alike.
            let _ = decoder.read(&files::of_file(&record, partition as u32), &mut take);
        }
    }
    Ok(())
}

/// What is known of a fault so far.
struct Look {
    fault: Fault,
    kinds: Vec<Kind>,
    /// Events that it selects.
    selected: u64,
    /// Those that an SLO counts as good, by SLO.
    good: Vec<u64>,
    /// Those of them that would be bad, by SLO and kind.
    turned: Vec<Vec<u64>>,
    /// Values of the selector's fields, for a message.
    values: Vec<BTreeSet<String>>,
}

impl Look {
    fn new(fault: Fault, slos: usize) -> Look {
        let kinds = match (fault.spec.kind, fault.spec.changes.is_empty()) {
            (Some(kind), _) => vec![kind],
            (None, false) => vec![Kind::Set],
            (None, true) => vec![Kind::Error, Kind::Slow],
        };
        let turned = vec![vec![0; kinds.len()]; slos];
        let values = vec![BTreeSet::new(); fault.spec.selector.len()];
        Look { fault, kinds, selected: 0, good: vec![0; slos], turned, values }
    }

    fn refuse_outside(&self, (first_ms, last_ms): Span) -> Result<(), Failure> {
        if self.fault.from_ms <= last_ms && self.fault.to_ms > first_ms {
            return Ok(());
        }
        let (from, first, last) = (Moment(self.fault.from_ms), Moment(first_ms), Moment(last_ms));
        Err(Failure::Definition(format!(
            "the fault on {} begins at {from}, outside the recording ({first} to {last}); choose another `from`",
            self.fault.who()
        )))
    }

    fn take(&mut self, slos: &[Slo], outcome: &Outcome<'_>) {
        self.note_values(outcome);
        if !self.fault.selects(outcome) {
            return;
        }
        self.selected += 1;
        let changes = &self.fault.spec.changes;
        let faulty: Vec<Outcome<'_>> = self.kinds.iter().map(|kind| changed(outcome, *kind, changes)).collect();
        for (index, slo) in slos.iter().enumerate() {
            if classify(slo, outcome).0 != Verdict::Good {
                continue;
            }
            self.good[index] += 1;
            for (turned, faulty) in self.turned[index].iter_mut().zip(&faulty) {
                *turned += u64::from(classify(slo, faulty).0 == Verdict::Bad);
            }
        }
    }

    fn note_values(&mut self, outcome: &Outcome<'_>) {
        for ((name, _), values) in self.fault.spec.selector.iter().zip(&mut self.values) {
            let value = value_of(outcome, name);
            if let Some(value) = value.filter(|value| values.len() < VALUES_MAX && !values.contains(value.as_ref())) {
                values.insert(value.into_owned());
            }
        }
    }

    fn plan(self, slos: &[Slo]) -> Result<Plan, Failure> {
        if self.selected == 0 {
            return Err(Failure::Definition(self.nothing_selected()));
        }
        let mut plan = Plan { fault: self.fault.clone(), groups: Vec::new(), untouched: Vec::new() };
        for (index, turned) in self.turned.iter().enumerate() {
            // Of kinds that turn equally many, the first.
            let best = turned.iter().enumerate().rev().max_by_key(|(_, turned)| **turned);
            let kind = best.filter(|(_, turned)| **turned > 0).and_then(|(kind, _)| self.kinds.get(kind));
            match kind.filter(|_| !slos[index].is_value()) {
                None => plan.untouched.push(index),
                Some(kind) => match plan.groups.iter_mut().find(|(known, _)| known == kind) {
                    Some((_, group)) => group.push(index),
                    None => plan.groups.push((*kind, vec![index])),
                },
            }
        }
        if plan.groups.is_empty() {
            return Err(Failure::Definition(self.nothing_turned()));
        }
        Ok(plan)
    }

    fn nothing_selected(&self) -> String {
        let seen = |(name, _): &(String, String), values: &BTreeSet<String>| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let more = if values.len() == VALUES_MAX { ", ..." } else { "" };
            let values = if values.is_empty() { "nothing".to_owned() } else { values.join(", ") + more };
            format!("{name} is {values}")
        };
        let seen: Vec<String> = self.fault.spec.selector.iter().zip(&self.values).map(|(s, v)| seen(s, v)).collect();
        let seen = if seen.is_empty() { String::new() } else { format!("; in the recording {}", seen.join("; ")) };
        let (from, to) = (Moment(self.fault.from_ms), Moment(self.fault.to_ms));
        format!(
            "the fault on {} selects no event between {from} and {to}: choose another selector, `from` or `for`{seen}",
            self.fault.who()
        )
    }

    fn nothing_turned(&self) -> String {
        let (who, selected) = (self.fault.who(), self.selected);
        let good = self.good.iter().max().copied().unwrap_or(0);
        if good == 0 {
            return format!(
                "the fault on {who} selects {selected} events, and none of them is good for an SLO: nothing can become \
                 bad; select events that an SLO counts"
            );
        }
        let tried: Vec<String> =
            self.kinds.iter().map(|kind| format!("kind={} ({})", kind.name(), kind.told())).collect();
        format!(
            "the fault on {who} turns none of {selected} events from good to bad, with {}: say how they fail in the \
             words of the SLOs' filters, as in set.measures.quality=0.1 or set.attributes.result=failed",
            tried.join(", nor with ")
        )
    }
}
