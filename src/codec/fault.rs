//! Values that a field could not take. The event stays without them (contract, section 1); they are counted by field,
//! and the first of each is reported.
//!
//! A fault keeps the raw value; it becomes text only for an example.

use super::field::{Field, Scalar};
use std::borrow::Cow;
use std::fmt;

/// How many characters of a value are shown.
const SHOWN_CHARS: usize = 60;

/// One value that is missing in the outcome because its field could not take it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault<'a> {
    pub(super) field: Field,
    /// Name of an attribute or a measure.
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) problem: Problem<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Problem<'a> {
    /// Not of the field's type, or not finite.
    Value(Scalar<'a>),
    TooLong {
        bytes: usize,
        limit: usize,
    },
    NameTooLong {
        bytes: usize,
        limit: usize,
    },
    /// More names than the limit; the first ones are kept.
    TooMany {
        limit: usize,
    },
    /// The status of a request without an answer.
    Unanswered(Cow<'a, str>),
    /// The text of a value whose record is gone.
    Told(String),
}

impl Fault<'_> {
    pub fn field(&self) -> Field {
        self.field
    }

    /// A fault that outlives its record.
    #[cold]
    pub(super) fn into_owned(self) -> Fault<'static> {
        let told = self.problem.to_string();
        let problem = match self.problem {
            Problem::TooLong { bytes, limit } => Problem::TooLong { bytes, limit },
            Problem::NameTooLong { bytes, limit } => Problem::NameTooLong { bytes, limit },
            Problem::TooMany { limit } => Problem::TooMany { limit },
            Problem::Unanswered(status) => Problem::Unanswered(Cow::Owned(status.into_owned())),
            Problem::Value(_) | Problem::Told(_) => Problem::Told(told),
        };
        Fault { field: self.field, name: self.name.map(|name| Cow::Owned(name.into_owned())), problem }
    }

    fn expects(&self) -> &'static str {
        match (self.field, &self.name) {
            (Field::Measures, Some(_)) => "a number",
            (Field::Attributes, Some(_)) => "text, a number, true or false",
            (field, _) => field.expects(),
        }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{}.{}`", self.field.name(), shortened(name))?,
            None => write!(f, "`{}`", self.field.name())?,
        }
        match &self.problem {
            Problem::Value(_) | Problem::Told(_) => write!(f, " must be {}, and is {}", self.expects(), self.problem),
            other => write!(f, " {other}"),
        }
    }
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Value(value) => f.write_str(&shown(value)),
            Problem::Told(told) => f.write_str(told),
            Problem::TooLong { bytes, limit } => write!(f, "has {bytes} bytes, and {limit} are allowed"),
            Problem::NameTooLong { bytes, limit } => write!(f, "has a name of {bytes} bytes, and {limit} are allowed"),
            Problem::Unanswered(status) => {
                let status = shortened(status);
                write!(
                    f,
                    "is {status:?}, which no server sends: there was no answer, so the event cannot be classified"
                )
            }
            Problem::TooMany { limit } => write!(f, "has more than {limit} names, and the first {limit} are kept"),
        }
    }
}

/// A value for people: quoted and shortened.
pub(super) fn shown(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(b) => b.to_string(),
        Scalar::Number(n) => shortened(n.text),
        Scalar::Long(n) => n.to_string(),
        Scalar::Double(n) => n.to_string(),
        Scalar::Text(text) => format!("{:?}", shortened(text)),
        Scalar::Time(t) => format!("the time {}", crate::model::time::Moment(*t)),
        Scalar::NoMoment(name, n) => format!("the {name} {n}"),
        Scalar::Other => "an object, a list or bytes".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
