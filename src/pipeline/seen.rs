//! A sample of the outcomes, so that a summary can suggest what a filter should have read.
//!
//! It inspects the first outcomes, then one in [`EVERY`], and those that an SLO could not classify. Everything it
//! keeps is bounded.

use crate::model::expr::{Fault, Field};
use crate::model::outcome::Outcome;
use crate::model::record::RecordIn;
use crate::model::slo::{Criterion, Slo};
use crate::operator::first_chunk::FirstChunks;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The first outcomes are all inspected, then one in [`EVERY`].
const FIRST: u64 = 4_096;
const EVERY: u64 = 64;
/// Up to this many unclassified outcomes are inspected, wherever they occur.
const UNCLASSIFIED: u64 = 10_000;
/// For up to this many of them the record is searched for names that are not fields.
const RAW: u64 = 256;
const NAMES: usize = 256;
const VALUES: usize = 32;
const TEXT_BYTES: usize = 80;

/// Why events could not be classified: an expression read an absent field or an unusable value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The absent field as expressions name it, such as `attributes.region`; `None` if the field is present but its value
    /// is unusable.
    pub field: Option<String>,
    /// The fault in words.
    pub fault: String,
    /// The smallest part of the expression without a value, and whether it belongs to the `total` filter.
    pub part: String,
    pub is_total: bool,
    pub events: u64,
    /// How many of these events failed by the usual criteria ([`Outcome::has_failed`]).
    pub failing: u64,
    /// The first record with this gap.
    pub source: u32,
    pub offset: i64,
}

/// The sample.
#[derive(Default)]
pub struct Seen {
    outcomes: u64,
    /// Outcomes that were inspected, and those of them without a user.
    looked: u64,
    without_user: u64,
    first_chunks: FirstChunks,
    unclassified: u64,
    raw: u64,
    /// The first values of each field, by its name in expressions.
    fields: BTreeMap<String, Vec<String>>,
    /// Top-level names of JSON records that are not fields of an outcome.
    unknown: BTreeMap<String, u64>,
    /// By SLO.
    gaps: Vec<Vec<Gap>>,
}

impl Seen {
    /// Whether to inspect the next outcome. `is_unclassified`: at least one SLO cannot classify it.
    #[inline]
    pub fn is_due(&mut self, is_unclassified: bool) -> bool {
        self.outcomes += 1;
        self.outcomes <= FIRST
            || self.outcomes.is_multiple_of(EVERY)
            || is_unclassified && self.unclassified < UNCLASSIFIED
    }

    /// How many outcomes were inspected, and how many of them have no user.
    pub const fn without_user(&self) -> (u64, u64) {
        (self.looked, self.without_user)
    }

    /// The streams among the inspected outcomes.
    pub const fn first_chunks(&self) -> FirstChunks {
        self.first_chunks
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
        self.looked += 1;
        self.without_user += u64::from(outcome.user.is_none());
        self.first_chunks.add(outcome);
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
            // User ids are personal data, so their values are not kept.
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

    /// Notes the top-level names of a JSON record; does nothing for other formats.
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
        /// Expressions read few fields, and nobody reads a longer list of gaps.
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

    /// Top-level names of unclassified JSON records that are not fields of an outcome.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.keys().map(String::as_str)
    }

    /// The first values of a field, and whether the sample had no others.
    pub fn values(&self, field: &str) -> (&[String], bool) {
        let values = self.fields.get(field).map_or(&[][..], Vec::as_slice);
        (values, values.len() < VALUES)
    }
}

/// Why an SLO cannot classify an outcome; `None` if it can.
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
    // The components of a composite tell their own.
    if !slo.components().is_empty() {
        return None;
    }
    for step in &slo.steps {
        match step.eval_explain(outcome) {
            Ok(true) => break,
            Ok(false) => {}
            Err(fault) => return Some(new(fault, step.deciding(outcome).to_string(), true)),
        }
    }
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
