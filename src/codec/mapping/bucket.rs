//! Buckets: a time by its month, a number by edges. They turn a value of many into a label of few,
//! which an attribute has to be (`signup: 2026-05`, `seats: 10..100`).

use super::super::field::Scalar;
use super::super::{numeric, rfc3339};
use super::Path;
use crate::model::time::Ms;
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BucketSpec {
    path: String,
    by: Option<By>,
    edges: Option<Vec<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Month,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bucket {
    /// `2026-05`, in UTC.
    Month,
    /// Ascending edges and the labels around them: one more than edges.
    Edges { edges: Vec<f64>, labels: Vec<String> },
}

impl BucketSpec {
    pub fn compile(self) -> Result<(Path, Bucket), String> {
        let path = Path::parse(&self.path)?;
        match (self.by, self.edges) {
            (Some(By::Month), None) => Ok((path, Bucket::Month)),
            (None, Some(edges)) => Ok((path, Bucket::by_edges(edges)?)),
            _ => Err("`bucket` takes one of `by: month` and `edges: [..]`".to_owned()),
        }
    }
}

impl Bucket {
    fn by_edges(edges: Vec<f64>) -> Result<Bucket, String> {
        let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
        let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
            return Err("`edges` is empty".to_owned());
        };
        if !ascending || edges.iter().any(|e| !e.is_finite()) {
            return Err("`edges` must be finite and ascend".to_owned());
        }
        let mut labels = vec![format!("<{first}")];
        labels.extend(edges.windows(2).map(|pair| format!("{}..{}", pair[0], pair[1])));
        labels.push(format!("{last}+"));
        Ok(Bucket::Edges { edges, labels })
    }

    /// The label of a value: text; null for null; [`Scalar::Other`] where the value has no bucket.
    pub fn label<'a>(&'a self, value: &Scalar<'a>) -> Scalar<'a> {
        if *value == Scalar::Null {
            return Scalar::Null;
        }
        let label = match self {
            Bucket::Month => time(value).and_then(month).map(Cow::Owned),
            Bucket::Edges { edges, labels } => {
                number(value).and_then(|n| labels.get(edges.partition_point(|e| *e <= n))).map(|l| Cow::Borrowed(&**l))
            }
        };
        label.map_or(Scalar::Other, Scalar::Text)
    }
}

/// A time as `timestamp` takes it, or a date alone.
fn time(value: &Scalar<'_>) -> Option<Ms> {
    match value {
        Scalar::Time(t) | Scalar::Long(t) => Some(*t),
        Scalar::Number(n) => n.as_i64(),
        Scalar::Text(text) => rfc3339::parse(text).or_else(|| rfc3339::parse(&format!("{text}T00:00:00Z"))),
        _ => None,
    }
}

fn month(t: Ms) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(t).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    Some(format!("{:04}-{:02}", at.year(), at.month()))
}

/// A number, also one in text, as other fields take it.
fn number(value: &Scalar<'_>) -> Option<f64> {
    numeric::double(value).flatten().filter(|n| !n.is_nan())
}
