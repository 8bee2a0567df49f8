//! The fields of an outcome by name, and the values any format can give them.
//!
//! Every decoder turns what it reads into a [`Scalar`], and only [`super::gather`] decides what a field takes. This
//! file knows no format.

use super::number::Number;
use crate::model::time::Ms;
use std::borrow::Cow;

/// A field of the outcome, in the order of the contract's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Tenant,
    User,
    Timestamp,
    Operation,
    Dependency,
    ErrorType,
    TraceId,
    EventId,
    Journey,
    Step,
    Status,
    LatencyMs,
    Measures,
    Attributes,
    Weight,
}

impl Field {
    pub const ALL: [Field; 15] = [
        Field::Tenant,
        Field::User,
        Field::Timestamp,
        Field::Operation,
        Field::Dependency,
        Field::ErrorType,
        Field::TraceId,
        Field::EventId,
        Field::Journey,
        Field::Step,
        Field::Status,
        Field::LatencyMs,
        Field::Measures,
        Field::Attributes,
        Field::Weight,
    ];

    #[inline]
    pub fn by_name(name: &str) -> Option<Field> {
        Some(match name {
            "tenant" => Field::Tenant,
            "user" => Field::User,
            "timestamp" => Field::Timestamp,
            "operation" => Field::Operation,
            "dependency" => Field::Dependency,
            "error_type" => Field::ErrorType,
            "trace_id" => Field::TraceId,
            "event_id" => Field::EventId,
            "journey" => Field::Journey,
            "step" => Field::Step,
            "status" => Field::Status,
            "latency_ms" => Field::LatencyMs,
            "measures" => Field::Measures,
            "attributes" => Field::Attributes,
            "weight" => Field::Weight,
            _ => return None,
        })
    }

    pub const fn name(self) -> &'static str {
        match self {
            Field::Tenant => "tenant",
            Field::User => "user",
            Field::Timestamp => "timestamp",
            Field::Operation => "operation",
            Field::Dependency => "dependency",
            Field::ErrorType => "error_type",
            Field::TraceId => "trace_id",
            Field::EventId => "event_id",
            Field::Journey => "journey",
            Field::Step => "step",
            Field::Status => "status",
            Field::LatencyMs => "latency_ms",
            Field::Measures => "measures",
            Field::Attributes => "attributes",
            Field::Weight => "weight",
        }
    }

    /// The values that the field takes, for people.
    pub(super) const fn expects(self) -> &'static str {
        match self {
            Field::Timestamp => "a time: epoch milliseconds as an integer, or RFC 3339 text",
            Field::Status => "an integer",
            Field::LatencyMs | Field::Weight => "a number",
            Field::Measures => "an object of numbers",
            Field::Attributes => "an object of texts, numbers and booleans",
            _ => "text or an integer",
        }
    }

    #[inline]
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// One value of a record, in any format.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// A number as written in the record.
    Number(Number<'a>),
    /// A binary integer.
    Long(i64),
    /// A binary floating-point number.
    Double(f64),
    Text(Cow<'a, str>),
    /// A value that the format itself marks as a time.
    Time(Ms),
    /// A value of this type that is no point in time (a local time, a date), in its own unit.
    NoMoment(&'static str, i64),
    /// An object, an array or bytes; only `attributes` and `measures` take these.
    Other,
}
