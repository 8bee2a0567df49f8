//! Buckets: a time by its month, a number by edges. They turn a value with many possibilities into one of few labels,
//! as attributes need (`signup: 2026-05`, `seats: 10..100`).

use super::super::field::Scalar;
use super::super::{numeric, rfc3339};
use crate::model::time::Ms;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bucket {
    /// `2026-05`, in UTC.
    Month,
    /// Ascending edges and the labels around them: one more than edges.
    Edges { edges: Vec<f64>, labels: Vec<String> },
}

impl Bucket {
    pub(super) fn by_edges(edges: Vec<f64>) -> Result<Bucket, String> {
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

    /// The label of a value: text; null for null; [`Scalar::Other`] if the value has no bucket.
    pub fn label<'a>(&'a self, value: &Scalar<'a>) -> Scalar<'a> {
        if *value == Scalar::Null {
            return Scalar::Null;
        }
        let label = match self {
            Bucket::Month => time(value).and_then(month).map(Cow::Owned),
            Bucket::Edges { edges, labels } => match numeric::finite(value) {
                Some(None) => return Scalar::Null,
                Some(Some(n)) => labels.get(edges.partition_point(|e| *e <= n)).map(|label| Cow::Borrowed(&**label)),
                None => None,
            },
        };
        label.map_or(Scalar::Other, Scalar::Text)
    }
}

/// A time as `timestamp` takes it, or only a date.
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
