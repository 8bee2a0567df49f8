//! What becomes of the values: type rules, the last of several values, size limits, and the eight
//! reasons for a dead letter in their order (contract, section 1).
//!
//! A decoder hands over values in the record's order and reads nothing back; the verdict falls once,
//! in [`Gathered::finish`], because a later value of the same name replaces an earlier one, errors
//! included, and because the first reason in the contract's order wins, not the first one met.

use super::field::{Field, Scalar};
use super::{FieldLimits, Rejected, rfc3339};
use crate::model::outcome::{Outcome, Pairs, Rejection, WEIGHT_ONE};
use crate::model::time::Ms;
use std::borrow::Cow;

/// 2000-01-01T00:00:00Z.
const YEAR_2000_MS: Ms = 946_684_800_000;
/// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 (and so our outputs) can write.
const LAST_TIME_MS: Ms = 253_402_300_799_999;
const WEIGHT_MIN: f64 = 1e-6;
const WEIGHT_MAX: f64 = 1e6;

/// What a verdict needs beside the record's own fields.
pub(super) struct Rules<'a> {
    pub limits: &'a FieldLimits,
    /// Fills in an absent or empty tenant; not empty itself.
    pub default_tenant: Option<&'a str>,
    /// The largest acceptable event time; `None` where no record can be in the future.
    pub not_after_ms: Option<Ms>,
}

/// An outcome under construction.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    outcome: Outcome<'a>,
    timestamp_ms: Option<Ms>,
    weight: Option<f64>,
    /// Fields whose last value is of a wrong type ([`Field::bit`]).
    wrong: u32,
    /// Fields that hold more names than their limit.
    crowded: u32,
    /// An attribute was an infinite number or NaN (which has no text).
    attribute_not_finite: bool,
    /// Attributes and measures whose last value is of a wrong type. Empty unless a record is bad.
    wrong_names: Vec<(Field, Cow<'a, str>)>,
}

impl<'a> Gathered<'a> {
    #[inline]
    pub fn new() -> Self {
        let mut new = Gathered::default();
        new.outcome.weight_micros = WEIGHT_ONE;
        new
    }

    /// Takes a field's value. `measures` and `attributes` come name by name ([`Self::begin`]).
    #[inline]
    pub fn set(&mut self, field: Field, value: Scalar<'a>) {
        let taken = match field {
            Field::Timestamp => self.set_timestamp(value),
            Field::Status => self.set_status(value),
            Field::LatencyMs => number(value).map(|n| self.outcome.latency_ms = n),
            Field::Weight => number(value).map(|n| self.weight = n),
            Field::Measures | Field::Attributes => {
                self.clear(field);
                matches!(value, Scalar::Null).then_some(())
            }
            _ => self.set_text(field, value),
        };
        match taken {
            Some(()) => self.wrong &= !field.bit(),
            None => self.wrong |= field.bit(),
        }
    }

    /// Whether a field would take this value.
    pub fn takes(field: Field, value: Scalar<'_>) -> bool {
        let mut probe = Gathered::new();
        probe.set(field, value);
        probe.wrong == 0
    }

    /// The outcome, once it is finished.
    pub fn into_outcome(self) -> Outcome<'a> {
        self.outcome
    }

    /// Starts `measures` or `attributes` anew: a second object of that name replaces the first.
    #[inline]
    pub fn begin(&mut self, field: Field) {
        self.wrong &= !field.bit();
        self.clear(field);
    }

    #[inline]
    fn clear(&mut self, field: Field) {
        self.crowded &= !field.bit();
        if !self.wrong_names.is_empty() {
            self.wrong_names.retain(|(f, _)| *f != field);
        }
        if field == Field::Measures {
            self.outcome.measures.clear();
        } else {
            self.attribute_not_finite = false;
            self.outcome.attributes.clear();
        }
    }

    /// Takes one attribute; numbers and booleans become text, null is absent.
    #[inline]
    pub fn attribute(&mut self, name: Cow<'a, str>, value: Scalar<'a>, limits: &FieldLimits) {
        let text = match value {
            Scalar::Text(text) => Some(text),
            Scalar::Number(n) => {
                self.attribute_not_finite |= !n.is_finite();
                Some(Cow::Borrowed(n.text))
            }
            Scalar::Bool(b) => Some(Cow::Borrowed(if b { "true" } else { "false" })),
            Scalar::Long(n) => Some(Cow::Owned(n.to_string())),
            Scalar::Double(n) => {
                self.attribute_not_finite |= !n.is_finite();
                Some(Cow::Owned(format!("{n:?}")))
            }
            Scalar::Time(t) => Some(Cow::Owned(crate::model::time::Moment(t).to_string())),
            Scalar::Null => None,
            Scalar::Other => return self.wrong_name(Field::Attributes, name),
        };
        self.right_name(Field::Attributes, &name);
        let crowded = put(&mut self.outcome.attributes, name, text, limits.attributes);
        self.crowded |= if crowded { Field::Attributes.bit() } else { 0 };
    }

    /// Takes one measure; null is absent.
    #[inline]
    pub fn measure(&mut self, name: Cow<'a, str>, value: Scalar<'a>, limits: &FieldLimits) {
        let Some(number) = number(value) else { return self.wrong_name(Field::Measures, name) };
        self.right_name(Field::Measures, &name);
        let crowded = put(&mut self.outcome.measures, name, number, limits.measures);
        self.crowded |= if crowded { Field::Measures.bit() } else { 0 };
    }

    /// The outcome, or the first reason in the contract's order why it is none. It stays in place: an
    /// outcome is near a kilobyte, and moving it costs as much as reading it.
    #[inline]
    pub fn finish(&mut self, rules: &Rules<'a>) -> Result<&Outcome<'a>, Rejected> {
        if self.wrong != 0 || !self.wrong_names.is_empty() {
            return Err(self.wrong_type());
        }
        self.check_readable_time(rules)?;
        self.fill_tenant(rules)?;
        self.check_time(rules)?;
        self.check_finite()?;
        self.set_weight()?;
        self.check_sizes(rules.limits)?;
        Ok(&self.outcome)
    }

    #[inline]
    fn set_timestamp(&mut self, value: Scalar<'a>) -> Option<()> {
        self.timestamp_ms = match value {
            Scalar::Null => None,
            // An integer past 64 bits is a time all the same: one far away.
            Scalar::Number(n) => Some(n.as_integer_saturating()?),
            Scalar::Long(n) | Scalar::Time(n) => Some(n),
            Scalar::Text(text) => Some(rfc3339::parse(&text)?),
            Scalar::Bool(_) | Scalar::Double(_) | Scalar::Other => return None,
        };
        Some(())
    }

    #[inline]
    fn set_status(&mut self, value: Scalar<'a>) -> Option<()> {
        self.outcome.status = match value {
            Scalar::Null => None,
            Scalar::Number(n) => Some(n.as_i64()?),
            Scalar::Long(n) => Some(n),
            // FromStr of an integer takes digits and one sign, no spaces: what is meant here.
            Scalar::Text(text) => Some(text.parse().ok()?),
            _ => return None,
        };
        Some(())
    }

    #[inline]
    fn set_text(&mut self, field: Field, value: Scalar<'a>) -> Option<()> {
        let text = match value {
            Scalar::Text(text) => Some(text),
            Scalar::Null => None,
            _ => return None,
        };
        let o = &mut self.outcome;
        match field {
            Field::Tenant => o.tenant = text.unwrap_or_default(),
            // An empty id names nobody: all who send it would be one user.
            Field::User => o.user = text.filter(|id| !id.is_empty()),
            Field::Operation => o.operation = text,
            Field::Dependency => o.dependency = text,
            Field::ErrorType => o.error_type = text,
            Field::TraceId => o.trace_id = text,
            Field::EventId => o.event_id = text,
            Field::Journey => o.journey = text,
            Field::Step => o.step = text,
            _ => return None,
        }
        Some(())
    }

    #[cold]
    fn wrong_name(&mut self, field: Field, name: Cow<'a, str>) {
        // One name is enough to reject the record; the list is bounded whatever the record holds.
        if self.wrong_names.len() < 16 {
            self.wrong_names.push((field, name));
        }
    }

    #[inline]
    fn right_name(&mut self, field: Field, name: &str) {
        if !self.wrong_names.is_empty() {
            self.wrong_names.retain(|(f, n)| *f != field || n != name);
        }
    }

    #[cold]
    fn wrong_type(&self) -> Rejected {
        let detail = match Field::ALL.into_iter().find(|f| self.wrong & f.bit() != 0) {
            Some(field) => format!("`{}` must be {}", field.name(), field.expects()),
            None => self.wrong_names.first().map_or_else(String::new, |(field, name)| {
                format!("`{}.{name}`: `{}` must be {}", field.name(), field.name(), field.expects())
            }),
        };
        Rejected::new(Rejection::NotDecodable, detail)
    }

    /// A time past the year 9999 cannot be written by our outputs, so it is not readable as one,
    /// unless the contract has a better word for it: further ahead than the log's own clock.
    #[inline]
    fn check_readable_time(&self, rules: &Rules<'a>) -> Result<(), Rejected> {
        match self.timestamp_ms {
            Some(t) if t > LAST_TIME_MS && rules.not_after_ms.is_none_or(|limit| t <= limit) => {
                Err(Rejected::new(Rejection::NotDecodable, format!("`timestamp` {t} ms is after the year 9999")))
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn fill_tenant(&mut self, rules: &Rules<'a>) -> Result<(), Rejected> {
        if self.outcome.tenant.is_empty() {
            let Some(tenant) = rules.default_tenant else {
                let detail = "`tenant` is absent or empty, and input.default_tenant is not set";
                return Err(Rejected::new(Rejection::NoTenant, detail.to_owned()));
            };
            self.outcome.tenant = Cow::Borrowed(tenant);
        }
        Ok(())
    }

    #[inline]
    fn check_time(&mut self, rules: &Rules<'a>) -> Result<(), Rejected> {
        let Some(t) = self.timestamp_ms else {
            return Err(Rejected::new(Rejection::NoTimestamp, "`timestamp` is absent".to_owned()));
        };
        if t < YEAR_2000_MS {
            return Err(Rejected::new(Rejection::Before2000, before_2000(t)));
        }
        if let Some(limit) = rules.not_after_ms.filter(|limit| t > *limit) {
            let ahead = t.saturating_sub(limit);
            let detail =
                format!("`timestamp` {t} ms is {ahead} ms past the record's own timestamp plus input.max_future_skew");
            return Err(Rejected::new(Rejection::InTheFuture, detail));
        }
        self.outcome.timestamp_ms = t;
        Ok(())
    }

    #[inline]
    fn check_finite(&self) -> Result<(), Rejected> {
        let o = &self.outcome;
        let finite = o.latency_ms.is_none_or(f64::is_finite)
            && self.weight.is_none_or(f64::is_finite)
            && o.measures.iter().all(|(_, n)| n.is_finite())
            && !self.attribute_not_finite;
        if finite { Ok(()) } else { Err(self.not_finite()) }
    }

    #[cold]
    fn not_finite(&self) -> Rejected {
        let o = &self.outcome;
        let name = if o.latency_ms.is_some_and(|n| !n.is_finite()) {
            "latency_ms".to_owned()
        } else if self.weight.is_some_and(|n| !n.is_finite()) {
            "weight".to_owned()
        } else if let Some((name, _)) = o.measures.iter().find(|(_, n)| !n.is_finite()) {
            format!("measures.{name}")
        } else {
            "attributes".to_owned()
        };
        Rejected::new(Rejection::NotFinite, format!("`{name}` holds a number that is not finite"))
    }

    #[inline]
    fn set_weight(&mut self) -> Result<(), Rejected> {
        if let Some(weight) = self.weight {
            if !(WEIGHT_MIN..=WEIGHT_MAX).contains(&weight) {
                let detail = format!("`weight` {weight:?} is outside [1e-6, 1e6]");
                return Err(Rejected::new(Rejection::WeightOutOfRange, detail));
            }
            // In range, so it fits; 1e-6 * 1e6 may fall a hair short of 1 and rounds to it.
            self.outcome.weight_micros = (weight * 1e6).round_ties_even() as u64;
        }
        Ok(())
    }

    #[inline]
    fn check_sizes(&self, limits: &FieldLimits) -> Result<(), Rejected> {
        let o = &self.outcome;
        let over = |text: &Option<Cow<'a, str>>, limit: usize| text.as_ref().is_some_and(|t| t.len() > limit);
        let too_long = o.tenant.len() > limits.tenant_bytes
            || over(&o.user, limits.user_bytes)
            || self.texts().iter().any(|(_, text)| over(text, limits.text_bytes))
            || self.crowded != 0
            || o.measures.iter().any(|(name, _)| name.len() > limits.name_bytes)
            || o.attributes
                .iter()
                .any(|(name, value)| name.len() > limits.name_bytes || value.len() > limits.attribute_value_bytes);
        if too_long { Err(self.too_long(limits)) } else { Ok(()) }
    }

    #[inline]
    fn texts(&self) -> [(Field, &Option<Cow<'a, str>>); 7] {
        let o = &self.outcome;
        [
            (Field::Operation, &o.operation),
            (Field::Dependency, &o.dependency),
            (Field::ErrorType, &o.error_type),
            (Field::TraceId, &o.trace_id),
            (Field::EventId, &o.event_id),
            (Field::Journey, &o.journey),
            (Field::Step, &o.step),
        ]
    }

    #[cold]
    fn too_long(&self, limits: &FieldLimits) -> Rejected {
        let o = &self.outcome;
        let mut sized = vec![("tenant", o.tenant.len(), limits.tenant_bytes)];
        sized.push(("user", o.user.as_ref().map_or(0, |t| t.len()), limits.user_bytes));
        for (field, text) in self.texts() {
            sized.push((field.name(), text.as_ref().map_or(0, |t| t.len()), limits.text_bytes));
        }
        for name in o.measures.iter().map(|(name, _)| name).chain(o.attributes.iter().map(|(name, _)| name)) {
            sized.push(("a name of an attribute or a measure", name.len(), limits.name_bytes));
        }
        for (name, value) in &o.attributes {
            sized.push((name, value.len(), limits.attribute_value_bytes));
        }
        let detail = match sized.iter().find(|(_, len, limit)| len > limit) {
            Some((name, len, limit)) => format!("`{name}`: {len} bytes, and {limit} are allowed"),
            None if self.crowded & Field::Measures.bit() != 0 => format!("more than {} measures", limits.measures),
            None => format!("more than {} attributes", limits.attributes),
        };
        Rejected::new(Rejection::TooLong, detail)
    }
}

/// A number or its absence; `None` where the value is neither.
#[inline]
/// The mistake of those who count seconds comes with its remedy.
fn before_2000(t: Ms) -> String {
    let is_seconds = (YEAR_2000_MS / 1_000..YEAR_2000_MS / 1_000 * 5).contains(&t);
    let remedy = if is_seconds { "; if it counts seconds, map it: `timestamp: {path: ..., unit: s}`" } else { "" };
    format!("`timestamp` {t} ms is before the year 2000{remedy}")
}

fn number(value: Scalar<'_>) -> Option<Option<f64>> {
    match value {
        Scalar::Number(n) => Some(Some(n.as_f64())),
        Scalar::Double(n) => Some(Some(n)),
        Scalar::Long(n) => Some(Some(n as f64)),
        Scalar::Null => Some(None),
        Scalar::Bool(_) | Scalar::Text(_) | Scalar::Time(_) | Scalar::Other => None,
    }
}

/// Sets, replaces or (with `None`) removes a name. True where the limit leaves no room for it.
#[inline]
fn put<'a, T>(pairs: &mut Pairs<'a, T>, name: Cow<'a, str>, value: Option<T>, limit: usize) -> bool {
    let known = pairs.iter().position(|(n, _)| *n == name);
    match (known, value) {
        (Some(at), Some(value)) => pairs[at].1 = value,
        (Some(at), None) => drop(pairs.remove(at)),
        (None, Some(_)) if pairs.len() >= limit => return true,
        (None, Some(value)) => pairs.push((name, value)),
        (None, None) => {}
    }
    false
}
