//! What the outcomes looked like: a sample, so that a summary can say what a filter should have asked for.
//!
//! It looks at the first outcomes, then at one in a few, and at those that an SLO could not classify.
//! Everything it keeps is bounded.

use crate::model::expr::{Fault, Field};
use crate::model::outcome::Outcome;
use crate::model::record::RecordIn;
use crate::model::slo::{Criterion, Slo};
use serde::Deserialize;
use std::collections::BTreeMap;

/// So many outcomes are looked at from the beginning on, then one in [`EVERY`].
const FIRST: u64 = 4_096;
const EVERY: u64 = 64;
/// So many unclassified ones are looked at, wherever they are.
const UNCLASSIFIED: u64 = 10_000;
/// So many of them are looked at as they came, for names that are no fields.
const RAW: u64 = 256;
const NAMES: usize = 256;
const VALUES: usize = 32;
const TEXT_BYTES: usize = 80;

/// What an expression read and an event did not have, or could not be calculated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// As it stands in an expression, `attributes.region`; none where the field is there and has no usable value.
    pub field: Option<String>,
    /// In words, where no field is absent.
    pub fault: String,
    /// The smallest part of the expression that has no value, and whether it is of the `total` filter.
    pub part: String,
    pub is_total: bool,
    pub events: u64,
    /// Of these, the ones that failed by what is usual.
    pub failing: u64,
    /// The first record of which this is known.
    pub source: u32,
    pub offset: i64,
}

/// The sample.
#[derive(Default)]
pub struct Seen {
    outcomes: u64,
    unclassified: u64,
    raw: u64,
    /// By name in an expression: values, the first of them.
    fields: BTreeMap<String, Vec<String>>,
    /// Names at the top of JSON records that are no fields of an outcome.
    unknown: BTreeMap<String, u64>,
    /// By SLO.
    gaps: Vec<Vec<Gap>>,
}

impl Seen {
    /// Whether the next outcome is to be looked at; `is_unclassified`: it is for an SLO.
    #[inline]
    pub fn is_due(&mut self, is_unclassified: bool) -> bool {
        self.outcomes += 1;
        self.outcomes <= FIRST
            || self.outcomes.is_multiple_of(EVERY)
            || is_unclassified && self.unclassified < UNCLASSIFIED
    }

    #[cold]
    pub fn look<'a>(
        &mut self,
        slos: impl Iterator<Item = &'a Slo>,
        source: u32,
        record: &RecordIn<'_>,
        outcome: &Outcome<'_>,
    ) {
        self.look_at_fields(outcome);
        let mut is_unclassified = false;
        for (index, slo) in slos.enumerate() {
            if let Some(gap) = gap(slo, source, record.offset, outcome) {
                is_unclassified = true;
                self.keep(index, gap);
            }
        }
        if is_unclassified {
            self.unclassified += 1;
            self.look_at_names(record.value);
        }
    }

    fn look_at_fields(&mut self, outcome: &Outcome<'_>) {
        let texts = [
            (Field::User, &outcome.user),
            (Field::Operation, &outcome.operation),
            (Field::Dependency, &outcome.dependency),
            (Field::ErrorType, &outcome.error_type),
            (Field::Journey, &outcome.journey),
            (Field::Step, &outcome.step),
        ];
        for (field, text) in texts.iter().filter_map(|(field, text)| Some((field, text.as_deref()?))) {
            // Who the users are is nobody's business here.
            self.note(field.as_str().to_owned(), (*field != Field::User).then_some(text));
        }
        self.note(Field::Tenant.as_str().to_owned(), Some(&outcome.tenant));
        if outcome.status.is_some() {
            self.note(Field::Status.as_str().to_owned(), None);
        }
        if outcome.latency_ms.is_some() {
            self.note(Field::LatencyMs.as_str().to_owned(), None);
        }
        for (name, value) in &outcome.attributes {
            self.note(format!("attributes.{name}"), Some(value));
        }
        for (name, _) in &outcome.measures {
            self.note(format!("measures.{name}"), None);
        }
    }

    fn note(&mut self, field: String, value: Option<&str>) {
        let is_known = self.fields.contains_key(&field);
        if !is_known && (self.fields.len() >= NAMES || field.len() > TEXT_BYTES) {
            return;
        }
        let values = self.fields.entry(field).or_default();
        if let Some(value) = value.filter(|value| value.len() <= TEXT_BYTES)
            && values.len() < VALUES
            && !values.iter().any(|known| known == value)
        {
            values.push(value.to_owned());
        }
    }

    /// The names at the top of a JSON record; of other formats none.
    fn look_at_names(&mut self, record: &[u8]) {
        #[derive(Deserialize)]
        struct Names(BTreeMap<String, serde::de::IgnoredAny>);
        if self.raw >= RAW || record.first() != Some(&b'{') {
            return;
        }
        self.raw += 1;
        let Ok(Names(names)) = serde_json::from_slice(record) else { return };
        let is_ours = |name: &str| Field::parse(name).is_some() || matches!(name, "attributes" | "measures");
        for name in names.into_keys().filter(|name| !is_ours(name) && name.len() <= TEXT_BYTES) {
            if self.unknown.len() < NAMES || self.unknown.contains_key(&name) {
                *self.unknown.entry(name).or_insert(0) += 1;
            }
        }
    }

    fn keep(&mut self, slo: usize, gap: Gap) {
        /// Expressions read a few fields; more kinds of gaps than this are of no use to anybody.
        const GAPS: usize = 8;
        if self.gaps.len() <= slo {
            self.gaps.resize_with(slo + 1, Vec::new);
        }
        let gaps = &mut self.gaps[slo];
        if let Some(known) = gaps.iter_mut().find(|known| known.field == gap.field && known.fault == gap.fault) {
            known.events += 1;
            known.failing += gap.failing;
        } else if gaps.len() < GAPS {
            gaps.push(gap);
        }
    }

    /// Why events were unclassified for the SLO with this index, the most frequent first.
    pub fn gaps(&self, slo: usize) -> Vec<&Gap> {
        let mut gaps: Vec<&Gap> = self.gaps.get(slo).into_iter().flatten().collect();
        gaps.sort_by_key(|gap| std::cmp::Reverse(gap.events));
        gaps
    }

    /// The fields that events have, as expressions name them.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// Names at the top of unclassified JSON records that are no fields of an outcome.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.keys().map(String::as_str)
    }

    /// Values of a field, the first ones that came, and whether these are all of the sample.
    pub fn values(&self, field: &str) -> (&[String], bool) {
        let values = self.fields.get(field).map_or(&[][..], Vec::as_slice);
        (values, values.len() < VALUES)
    }
}

/// Why an SLO cannot classify an outcome; `None` where it can.
fn gap(slo: &Slo, source: u32, offset: i64, outcome: &Outcome<'_>) -> Option<Gap> {
    let new = |fault: Fault<'_>, part: String, is_total| Gap {
        field: field_of(&fault),
        fault: fault.to_string(),
        part,
        is_total,
        events: 1,
        failing: u64::from(outcome.has_failed()),
        source,
        offset,
    };
    if let Some(total) = &slo.indicator.total {
        match total.eval_explain(outcome) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(fault) => return Some(new(fault, total.deciding(outcome).to_string(), true)),
        }
    }
    match &slo.indicator.criterion {
        Criterion::Good(filter) | Criterion::Bad(filter) => {
            let fault = filter.eval_explain(outcome).err()?;
            Some(new(fault, filter.deciding(outcome).to_string(), false))
        }
        Criterion::Threshold { value, .. } => {
            let fault = value.eval_explain(outcome).err()?;
            Some(new(fault, value.source().to_owned(), false))
        }
    }
}

fn field_of(fault: &Fault<'_>) -> Option<String> {
    match fault {
        Fault::AbsentField(field) => Some(field.as_str().to_owned()),
        Fault::AbsentMeasure(name) => Some(format!("measures.{}", name.0)),
        Fault::AbsentAttribute(name) => Some(format!("attributes.{}", name.0)),
        _ => None,
    }
}
