//! One request outcome after decoding and mapping (contract, section 1).
//!
//! Texts are borrowed from the record's bytes if the format allows it: the hot path decodes, classifies and drops an
//! outcome without allocating.

use super::time::Ms;
use smallvec::SmallVec;
use std::borrow::Cow;

/// A weight of 1 in micro-weights, the integer every sum is made of.
pub const WEIGHT_ONE: u64 = 1_000_000;

/// Name and value of an attribute or a measure.
pub type Pairs<'a, T> = SmallVec<[(Cow<'a, str>, T); 8]>;

/// A decoded outcome. `timestamp_ms` and `tenant` are always there; a record without them became a
/// dead letter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome<'a> {
    pub tenant: Cow<'a, str>,
    pub user: Option<Cow<'a, str>>,
    pub timestamp_ms: Ms,
    pub operation: Option<Cow<'a, str>>,
    pub dependency: Option<Cow<'a, str>>,
    pub error_type: Option<Cow<'a, str>>,
    pub trace_id: Option<Cow<'a, str>>,
    pub event_id: Option<Cow<'a, str>>,
    pub journey: Option<Cow<'a, str>>,
    pub step: Option<Cow<'a, str>>,
    pub status: Option<i64>,
    pub latency_ms: Option<f64>,
    /// In the record's order; a name that comes twice counts with its last value.
    pub measures: Pairs<'a, f64>,
    /// In the record's order; a name that comes twice counts with its last value.
    pub attributes: Pairs<'a, Cow<'a, str>>,
    /// Micro-weights, rounded half-even; within [1, 10^12].
    pub weight_micros: u64,
}

impl Outcome<'_> {
    /// The same, without borrowing from the record.
    pub fn into_owned<'b>(self) -> Outcome<'b> {
        fn owned<'b>(text: Cow<'_, str>) -> Cow<'b, str> {
            Cow::Owned(text.into_owned())
        }
        Outcome {
            tenant: owned(self.tenant),
            user: self.user.map(owned),
            timestamp_ms: self.timestamp_ms,
            operation: self.operation.map(owned),
            dependency: self.dependency.map(owned),
            error_type: self.error_type.map(owned),
            trace_id: self.trace_id.map(owned),
            event_id: self.event_id.map(owned),
            journey: self.journey.map(owned),
            step: self.step.map(owned),
            status: self.status,
            latency_ms: self.latency_ms,
            measures: self.measures.into_iter().map(|(name, n)| (owned(name), n)).collect(),
            attributes: self.attributes.into_iter().map(|(name, text)| (owned(name), owned(text))).collect(),
            weight_micros: self.weight_micros,
        }
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_ref())
    }

    /// Whether it failed by common rules, independent of any SLO: a server error, or an `error_type`.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.status.is_some_and(|status| status >= 500) || self.error_type.is_some()
    }

    /// A field's or attribute's value for grouping.
    #[inline]
    pub fn group_value(&self, name: &str) -> Option<&str> {
        match name {
            "operation" => self.operation.as_deref(),
            "dependency" => self.dependency.as_deref(),
            "error_type" => self.error_type.as_deref(),
            _ => self.attribute(name),
        }
    }

    /// The fields that [`Outcome::text`] knows, beside attributes.
    pub const TEXTS: [&'static str; 7] =
        ["trace_id", "event_id", "operation", "dependency", "error_type", "journey", "step"];

    /// A text by its name in `journey.by`: a field, or `attributes.NAME`.
    pub fn text(&self, name: &str) -> Option<&str> {
        match name {
            "trace_id" => self.trace_id.as_deref(),
            "event_id" => self.event_id.as_deref(),
            "journey" => self.journey.as_deref(),
            "step" => self.step.as_deref(),
            "operation" | "dependency" | "error_type" => self.group_value(name),
            _ => self.attribute(name.strip_prefix("attributes.")?),
        }
    }

    pub fn measure(&self, name: &str) -> Option<f64> {
        self.measures.iter().rev().find(|(n, _)| n == name).map(|(_, v)| *v)
    }
}

/// Why a record is a dead letter; if several reasons apply, the first in this order (contract, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejection {
    NotDecodable,
    NoTenant,
    NoTimestamp,
    Before2000,
    InTheFuture,
    NotFinite,
    WeightOutOfRange,
    TooLong,
}

impl Rejection {
    pub const ALL: [Rejection; 8] = [
        Rejection::NotDecodable,
        Rejection::NoTenant,
        Rejection::NoTimestamp,
        Rejection::Before2000,
        Rejection::InTheFuture,
        Rejection::NotFinite,
        Rejection::WeightOutOfRange,
        Rejection::TooLong,
    ];

    /// The reason's name in the dead letter and in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rejection::NotDecodable => "not_decodable",
            Rejection::NoTenant => "no_tenant",
            Rejection::NoTimestamp => "no_timestamp",
            Rejection::Before2000 => "before_2000",
            Rejection::InTheFuture => "in_the_future",
            Rejection::NotFinite => "not_finite",
            Rejection::WeightOutOfRange => "weight_out_of_range",
            Rejection::TooLong => "too_long",
        }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
