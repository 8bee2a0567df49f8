//! Typed expressions over an outcome's fields, as compiled from CEL by `definition`.
//!
//! Types, field names, regular expressions and time zones are resolved when an expression is compiled, so that evaluation
//! neither allocates nor looks up fixed names (texts that it makes itself, as by `string()` and `+`, do allocate). The semantics are CEL's: reading an absent field is an error, and `&&` and `||`
//! ignore an error on one side if the other side alone decides. An error makes the event unclassified; evaluation never
//! panics.

mod display;
mod eval;
mod moment;
mod reads;
#[cfg(test)]
mod tests;
mod time;
mod wanted;

use super::outcome::Outcome;
pub use moment::{Moment, parse_length};
use regex::Regex;
pub use time::{Clock, Part, Span, Time, Zone};

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Filter {
    source: String,
    condition: Condition,
}

impl Filter {
    pub fn new(source: impl Into<String>, condition: Condition) -> Filter {
        Filter { source: source.into(), condition }
    }

    /// `None` if the expression reads an absent field (the event is unclassified).
    #[inline]
    pub fn eval(&self, outcome: &Outcome<'_>) -> Option<bool> {
        self.condition.eval(outcome).ok()
    }

    /// As `eval`, and says why an event is unclassified.
    pub fn eval_explain(&self, outcome: &Outcome<'_>) -> Result<bool, Fault<'_>> {
        self.condition.eval(outcome)
    }

    /// The smallest part of the condition that decided the verdict: the first false operand of a `&&`, the first true
    /// one of a `||`, the first one that failed.
    pub fn deciding(&self, outcome: &Outcome<'_>) -> &Condition {
        self.condition.deciding(outcome)
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn condition(&self) -> &Condition {
        &self.condition
    }
}

/// A compiled number.
#[derive(Clone, Debug)]
pub struct NumberExpr {
    source: String,
    value: Double,
}

impl NumberExpr {
    pub fn new(source: impl Into<String>, value: Double) -> NumberExpr {
        NumberExpr { source: source.into(), value }
    }

    /// `None` if the expression reads an absent field or has no value (the event is unclassified).
    #[inline]
    pub fn eval(&self, outcome: &Outcome<'_>) -> Option<f64> {
        self.eval_explain(outcome).ok()
    }

    /// As `eval`, and says why an event is unclassified. Comparing a NaN is an error, as in CEL.
    pub fn eval_explain(&self, outcome: &Outcome<'_>) -> Result<f64, Fault<'_>> {
        let value = self.value.eval(outcome)?;
        if value.is_nan() { Err(Fault::NotComparable) } else { Ok(value) }
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn value(&self) -> &Double {
        &self.value
    }
}

/// Why an expression has no value for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'e> {
    AbsentField(Field),
    AbsentMeasure(&'e Name),
    AbsentAttribute(&'e Name),
    DivisionByZero,
    Overflow,
    NotANumber,
    NotComparable,
    NotATime,
    NotALength,
    NotAZone,
    TimeOutOfRange,
}

/// A regular expression, as written and as compiled.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: Box<str>,
    regex: Regex,
}

impl Pattern {
    /// `regex` must match what `source` matches by RE2's rules.
    pub fn new(source: &str, regex: Regex) -> Pattern {
        Pattern { source: source.into(), regex }
    }

    /// Matches anywhere in the text, unless the pattern is anchored.
    #[inline]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The name of a measure or an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub Box<str>);

/// The named fields of an outcome.
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
    Weight,
}

impl Field {
    pub const ALL: [Field; 13] = [
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
        Field::Weight,
    ];

    pub const fn as_str(self) -> &'static str {
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
            Field::Weight => "weight",
        }
    }

    pub fn parse(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|f| f.as_str() == name)
    }

    /// Whether an accepted outcome always has this field.
    pub const fn is_required(self) -> bool {
        matches!(self, Field::Tenant | Field::Timestamp | Field::Weight)
    }
}

/// A field, a measure or an attribute, as the argument of `has()`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    Field(Field),
    Measure(Name),
    Attribute(Name),
}

/// The two maps of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Measures,
    Attributes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// An expression of type bool.
#[derive(Clone, Debug)]
pub enum Condition {
    Literal(bool),
    Has(Reference),
    Not(Box<Condition>),
    /// `a && b && ...`: false if any is false, else a fault if any has one.
    All(Vec<Condition>),
    /// `a || b || ...`: true if any is true, else a fault if any has one.
    Any(Vec<Condition>),
    If(Box<(Condition, Condition, Condition)>),
    /// `a == b`, or `a != b` if `negated`, of two conditions.
    Same {
        negated: bool,
        sides: Box<(Condition, Condition)>,
    },
    CompareInt(Comparison, Int, Int),
    CompareDouble(Comparison, Double, Double),
    CompareText(Comparison, Text, Text),
    CompareTime(Comparison, Time, Time),
    CompareSpan(Comparison, Span, Span),
    IntIn(Int, Vec<i64>),
    DoubleIn(Double, Vec<f64>),
    TextIn(Text, Vec<Box<str>>),
    Test(TextTest, Text, Text),
    Matches(Text, Pattern),
}

/// An expression of type int.
#[derive(Clone, Debug)]
pub enum Int {
    Literal(i64),
    Status,
    Negate(Box<Int>),
    Binary(Arithmetic, Box<(Int, Int)>),
    If(Box<(Condition, Int, Int)>),
    /// In characters.
    SizeOfText(Text),
    SizeOfMap(Map),
    FromDouble(Box<Double>),
    FromText(Text),
    /// Seconds since the Unix epoch, downwards.
    FromTime(Box<Time>),
    PartOfTime(Part, Box<Time>, Zone),
    PartOfSpan(Part, Box<Span>),
}

/// An expression of type double.
#[derive(Clone, Debug)]
pub enum Double {
    Literal(f64),
    LatencyMs,
    Weight,
    Measure(Name),
    Negate(Box<Double>),
    Binary(Arithmetic, Box<(Double, Double)>),
    If(Box<(Condition, Double, Double)>),
    FromInt {
        int: Box<Int>,
        /// False if the expression only compares an int with a double.
        written: bool,
    },
    FromText(Text),
}

/// An expression of type string.
#[derive(Clone, Debug)]
pub enum Text {
    Literal(Box<str>),
    Field(Field),
    Attribute(Name),
    If(Box<(Condition, Text, Text)>),
    Join(Box<(Text, Text)>),
    FromBool(Box<Condition>),
    FromInt(Box<Int>),
    FromTime(Box<Time>),
    FromSpan(Box<Span>),
}
