//! Builds an outcome from values: type rules, the last of several values, size limits, and the eight reasons for a dead
//! letter in their order (contract, section 1).
//!
//! A decoder passes values in the record's order. The verdict comes only at the end, in [`Gathered::finish`], because a
//! later value of the same name replaces an earlier one and its fault, and because the first reason in the contract's
//! order wins, not the first one met.
//!
//! Only the tenant, the time, the weight and the size of the user id can cause a dead letter here. Any other value that
//! a field cannot take is a [`Fault`]: absent and counted, and the event stays.

use super::fault::{Fault, Problem};
use super::field::{Field, Scalar};
use super::found::Found;
use super::limits::FieldLimits;
use super::rejected::Rejected;
use super::rules::{Rules, TimestampIs};
use super::{numeric, odd_time, rfc3339};
use crate::model::outcome::{Outcome, Pairs, Rejection, WEIGHT_ONE};
use crate::model::tenants::JoinedAttributes;
use crate::model::time::Ms;
use std::borrow::Cow;

/// 2000-01-01T00:00:00Z.
const YEAR_2000_MS: Ms = 946_684_800_000;
/// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 (and so our outputs) can write.
const LAST_TIME_MS: Ms = 253_402_300_799_999;
const WEIGHT_MIN: f64 = 1e-6;
const WEIGHT_MAX: f64 = 1e6;
/// The most faults of single names that are kept per record.
const NAMED_FAULTS_MAX: usize = 16;

/// An outcome under construction.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    outcome: Outcome<'a>,
    timestamp_ms: Option<Ms>,
    weight: Option<f64>,
    /// Values that their fields could not take. Normally empty, so the check is free.
    faults: Vec<Fault<'a>>,
    /// What the mapping found, if there is one.
    pub(super) found: Option<Found>,
}

impl<'a> Gathered<'a> {
    #[inline]
    pub fn new() -> Self {
        let mut new = Gathered::default();
        new.outcome.weight_micros = WEIGHT_ONE;
        new
    }

    /// Sets a field's value, or notes a fault; either replaces what was there before. `measures` and `attributes` come
    /// name by name ([`Self::begin`]).
    #[inline]
    pub fn set(&mut self, field: Field, value: Scalar<'a>) {
        if !self.faults.is_empty() {
            self.forgive(field);
        }
        let taken = match field {
            Field::Timestamp => self.set_timestamp(value),
            Field::Status => Self::taken(&mut self.outcome.status, numeric::integer(&value), value),
            Field::LatencyMs => Self::taken(&mut self.outcome.latency_ms, numeric::finite(&value), value),
            Field::Weight => Self::taken(&mut self.weight, numeric::double(&value), value),
            Field::Measures | Field::Attributes => {
                self.begin(field);
                if matches!(value, Scalar::Null) { Ok(()) } else { Err(value) }
            }
            _ => self.set_text(field, value),
        };
        if let Err(value) = taken {
            self.fault(field, None, Problem::Value(value));
        }
    }

    /// The same, without borrowing from the record.
    #[cold]
    pub fn into_owned<'b>(self) -> Gathered<'b> {
        Gathered {
            outcome: self.outcome.into_owned(),
            timestamp_ms: self.timestamp_ms,
            weight: self.weight,
            faults: self.faults.into_iter().map(Fault::into_owned).collect(),
            found: self.found,
        }
    }

    /// Whether a field would take this value.
    pub fn takes(field: Field, value: Scalar<'_>) -> bool {
        let mut probe = Gathered::new();
        probe.set(field, value);
        probe.faults.is_empty()
    }

    /// The outcome, once it is finished.
    pub fn into_outcome(self) -> Outcome<'a> {
        self.outcome
    }

    /// The values that their fields could not take, once the outcome is finished.
    #[inline]
    pub fn take_faults(&mut self) -> Vec<Fault<'a>> {
        std::mem::take(&mut self.faults)
    }

    /// Clears `measures` or `attributes`: a second object of that name replaces the first.
    #[inline]
    pub fn begin(&mut self, field: Field) {
        if !self.faults.is_empty() {
            self.forgive(field);
        }
        if field == Field::Measures {
            self.outcome.measures.clear();
        } else {
            self.outcome.attributes.clear();
        }
    }

    /// Takes one attribute; numbers and booleans become text, null is absent.
    #[inline]
    pub fn attribute(&mut self, name: Cow<'a, str>, value: Scalar<'a>, limits: &FieldLimits) {
        let text = match value {
            Scalar::Text(text) => text,
            Scalar::Number(n) if n.is_finite() => Cow::Borrowed(n.text),
            Scalar::Bool(b) => Cow::Borrowed(if b { "true" } else { "false" }),
            Scalar::Long(n) => Cow::Owned(n.to_string()),
            Scalar::Double(n) if n.is_finite() => Cow::Owned(format!("{n:?}")),
            Scalar::Time(t) => Cow::Owned(crate::model::time::Moment(t).to_string()),
            Scalar::Null => return self.leave_out(Field::Attributes, &name),
            Scalar::Number(_) | Scalar::Double(_) | Scalar::NoMoment(..) | Scalar::Other => {
                return self.name_fault(Field::Attributes, name, Problem::Value(value));
            }
        };
        let (bytes, limit) = (text.len(), limits.attribute_value_bytes);
        if bytes > limit {
            return self.name_fault(Field::Attributes, name, Problem::TooLong { bytes, limit });
        }
        if self.admits(Field::Attributes, &name, limits)
            && !put(&mut self.outcome.attributes, name, text, limits.attributes)
        {
            self.crowded(Field::Attributes, limits.attributes);
        }
    }

    /// Takes one measure; null is absent.
    #[inline]
    pub fn measure(&mut self, name: Cow<'a, str>, value: Scalar<'a>, limits: &FieldLimits) {
        let number = match numeric::finite(&value) {
            Some(Some(number)) => number,
            Some(None) => return self.leave_out(Field::Measures, &name),
            None => return self.name_fault(Field::Measures, name, Problem::Value(value)),
        };
        if self.admits(Field::Measures, &name, limits)
            && !put(&mut self.outcome.measures, name, number, limits.measures)
        {
            self.crowded(Field::Measures, limits.measures);
        }
    }

    /// The outcome, or the first reason for a dead letter in the contract's order. It is not moved: an outcome takes
    /// nearly a kilobyte, and moving it costs as much as reading it.
    #[inline]
    pub fn finish(&mut self, rules: &Rules<'a>, joined: &'a JoinedAttributes) -> Result<&Outcome<'a>, Rejected> {
        if !self.faults.is_empty() {
            self.check_readable()?;
        }
        if rules.timestamp_is == TimestampIs::Start {
            self.add_latency();
        }
        self.check_writable_time(rules)?;
        self.fill_tenant(rules)?;
        self.check_time(rules)?;
        self.set_weight()?;
        self.check_sizes(rules.limits)?;
        if !joined.is_empty() {
            self.join(joined);
        }
        Ok(&self.outcome)
    }

    /// What is known of the tenant joins its event where that has no attribute of the name.
    fn join(&mut self, joined: &'a JoinedAttributes) {
        for (name, value) in joined.of(&self.outcome.tenant) {
            if self.outcome.attribute(name).is_none() {
                self.outcome.attributes.push((Cow::Borrowed(name), Cow::Borrowed(value)));
            }
        }
    }

    /// Stores the value that was read; gives the raw value back if it was unreadable.
    #[inline]
    fn taken<T>(place: &mut Option<T>, found: Option<Option<T>>, value: Scalar<'a>) -> Result<(), Scalar<'a>> {
        let readable = found.is_some();
        *place = found.flatten();
        if readable { Ok(()) } else { Err(value) }
    }

    #[inline]
    fn set_timestamp(&mut self, value: Scalar<'a>) -> Result<(), Scalar<'a>> {
        let found = match &value {
            Scalar::Null => Some(None),
            // An integer past 64 bits is still a time, one far away.
            Scalar::Number(n) => n.as_integer_saturating().map(Some),
            Scalar::Long(n) | Scalar::Time(n) => Some(Some(*n)),
            Scalar::Text(text) => rfc3339::parse(text).map(Some),
            Scalar::Bool(_) | Scalar::Double(_) | Scalar::NoMoment(..) | Scalar::Other => None,
        };
        Self::taken(&mut self.timestamp_ms, found, value)
    }

    #[inline]
    fn set_text(&mut self, field: Field, value: Scalar<'a>) -> Result<(), Scalar<'a>> {
        let (text, taken) = match value {
            Scalar::Text(text) => (Some(text), Ok(())),
            Scalar::Null => (None, Ok(())),
            Scalar::Number(n) if n.is_integer() => (Some(Cow::Borrowed(n.text)), Ok(())),
            Scalar::Long(n) => (Some(Cow::Owned(n.to_string())), Ok(())),
            other => (None, Err(other)),
        };
        let o = &mut self.outcome;
        match field {
            Field::Tenant => o.tenant = text.unwrap_or_default(),
            // An empty id is no user: all clients that send it would count as one.
            Field::User => o.user = text.filter(|id| !id.is_empty()),
            Field::Operation => o.operation = text,
            Field::Dependency => o.dependency = text,
            Field::ErrorType => o.error_type = text,
            Field::TraceId => o.trace_id = text,
            Field::EventId => o.event_id = text,
            Field::Journey => o.journey = text,
            Field::Step => o.step = text,
            // Set by other functions.
            Field::Timestamp
            | Field::Status
            | Field::LatencyMs
            | Field::Measures
            | Field::Attributes
            | Field::Weight => {}
        }
        taken
    }

    /// Notes a status that means that there was no answer; it is absent.
    #[cold]
    pub fn unanswered(&mut self, status: Cow<'a, str>) {
        self.fault(Field::Status, None, Problem::Unanswered(status));
    }

    #[cold]
    fn fault(&mut self, field: Field, name: Option<Cow<'a, str>>, problem: Problem<'a>) {
        self.faults.push(Fault { field, name, problem });
    }

    /// One fault is enough to count a field, so the list can be bounded.
    #[cold]
    fn name_fault(&mut self, field: Field, name: Cow<'a, str>, problem: Problem<'a>) {
        self.leave_out(field, &name);
        if self.faults.iter().filter(|fault| fault.name.is_some()).count() < NAMED_FAULTS_MAX {
            self.fault(field, Some(name), problem);
        }
    }

    /// Removes an attribute or a measure, because its last value is unusable.
    fn leave_out(&mut self, field: Field, name: &str) {
        self.forgive_name(field, name);
        match field {
            Field::Measures => self.outcome.measures.retain(|(n, _)| n != name),
            _ => self.outcome.attributes.retain(|(n, _)| n != name),
        }
    }

    /// A new value of a field replaces the old one and its fault.
    #[cold]
    fn forgive(&mut self, field: Field) {
        self.faults.retain(|fault| fault.field != field);
    }

    #[inline]
    fn forgive_name(&mut self, field: Field, name: &str) {
        if !self.faults.is_empty() {
            self.faults.retain(|fault| fault.field != field || fault.name.as_deref() != Some(name));
        }
    }

    /// Whether a name is short enough to be kept.
    #[inline]
    #[expect(clippy::ptr_arg, reason = "a name that is told of keeps its own form")]
    fn admits(&mut self, field: Field, name: &Cow<'a, str>, limits: &FieldLimits) -> bool {
        self.forgive_name(field, name);
        let (bytes, limit) = (name.len(), limits.name_bytes);
        if bytes > limit {
            self.name_fault(field, name.clone(), Problem::NameTooLong { bytes, limit });
        }
        bytes <= limit
    }

    #[cold]
    fn crowded(&mut self, field: Field, limit: usize) {
        if !self.faults.iter().any(|fault| fault.field == field && fault.name.is_none()) {
            self.fault(field, None, Problem::TooMany { limit });
        }
    }

    /// A time or a weight that cannot be read; the rest of an outcome is optional.
    #[cold]
    fn check_readable(&self) -> Result<(), Rejected> {
        let of = |field: Field| self.faults.iter().find(|fault| fault.field == field);
        match of(Field::Timestamp).or_else(|| of(Field::Weight)) {
            Some(fault) => Err(Rejected::new(Rejection::NotDecodable, odd_time::unreadable(fault))),
            None => Ok(()),
        }
    }

    /// Moves the time from a request's start to its end. A negative latency is ignored.
    fn add_latency(&mut self) {
        let latency_ms = self.outcome.latency_ms.map_or(0.0, |ms| ms.max(0.0).floor());
        // Saturates, so a huge latency gives a time far away.
        self.timestamp_ms = self.timestamp_ms.map(|start| start.saturating_add(latency_ms as Ms));
    }

    /// A time past the year 9999 cannot be written by our outputs, so it is `not_decodable`, unless it is also too far
    /// ahead of the log's own clock: that reason is more precise.
    #[inline]
    fn check_writable_time(&self, rules: &Rules<'a>) -> Result<(), Rejected> {
        match self.timestamp_ms {
            Some(t) if t > LAST_TIME_MS && rules.not_after_ms.is_none_or(|limit| t <= limit) => {
                Err(Rejected::new(Rejection::NotDecodable, odd_time::after_9999(t)))
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn fill_tenant(&mut self, rules: &Rules<'a>) -> Result<(), Rejected> {
        if self.outcome.tenant.is_empty() {
            let Some(tenant) = rules.default_tenant else { return Err(self.no_tenant()) };
            self.outcome.tenant = Cow::Borrowed(tenant);
        }
        Ok(())
    }

    #[cold]
    fn no_tenant(&self) -> Rejected {
        let detail = match self.faults.iter().find(|fault| fault.field == Field::Tenant) {
            Some(fault) => fault.to_string(),
            None => "`tenant` is absent or empty, and input.default_tenant is not set".to_owned(),
        };
        Rejected::new(Rejection::NoTenant, detail)
    }

    #[inline]
    fn check_time(&mut self, rules: &Rules<'a>) -> Result<(), Rejected> {
        let Some(t) = self.timestamp_ms else {
            return Err(Rejected::new(Rejection::NoTimestamp, "`timestamp` is absent".to_owned()));
        };
        if t < YEAR_2000_MS {
            return Err(Rejected::new(Rejection::Before2000, odd_time::before_2000(t)));
        }
        if let Some(limit) = rules.not_after_ms.filter(|limit| t > *limit) {
            return Err(Rejected::new(Rejection::InTheFuture, odd_time::in_the_future(t, limit)));
        }
        self.outcome.timestamp_ms = t;
        Ok(())
    }

    #[inline]
    fn set_weight(&mut self) -> Result<(), Rejected> {
        if let Some(weight) = self.weight {
            if !weight.is_finite() {
                return Err(Rejected::new(Rejection::NotFinite, format!("`weight` is {weight:?}")));
            }
            if !(WEIGHT_MIN..=WEIGHT_MAX).contains(&weight) {
                let detail = format!("`weight` {weight:?} is outside [1e-6, 1e6]");
                return Err(Rejected::new(Rejection::WeightOutOfRange, detail));
            }
            // In range, so it fits; 1e-6 * 1e6 may fall a hair short of 1 and rounds to it.
            self.outcome.weight_micros = (weight * 1e6).round_ties_even() as u64;
        }
        Ok(())
    }

    /// A tenant or user cannot be cut, as it would become another one; any other text that is too long is absent.
    #[inline]
    fn check_sizes(&mut self, limits: &FieldLimits) -> Result<(), Rejected> {
        let user_bytes = self.outcome.user.as_ref().map_or(0, |user| user.len());
        if self.outcome.tenant.len() > limits.tenant_bytes || user_bytes > limits.user_bytes {
            return Err(self.too_long(limits));
        }
        let limit = limits.text_bytes;
        if self.texts().iter().any(|(_, text)| text.as_ref().is_some_and(|text| text.len() > limit)) {
            self.drop_long_texts(limit);
        }
        Ok(())
    }

    #[inline]
    fn texts(&mut self) -> [(Field, &mut Option<Cow<'a, str>>); 7] {
        let o = &mut self.outcome;
        [
            (Field::Operation, &mut o.operation),
            (Field::Dependency, &mut o.dependency),
            (Field::ErrorType, &mut o.error_type),
            (Field::TraceId, &mut o.trace_id),
            (Field::EventId, &mut o.event_id),
            (Field::Journey, &mut o.journey),
            (Field::Step, &mut o.step),
        ]
    }

    #[cold]
    fn drop_long_texts(&mut self, limit: usize) {
        let mut faults = std::mem::take(&mut self.faults);
        for (field, text) in self.texts() {
            if let Some(long) = text.take_if(|text| text.len() > limit) {
                faults.push(Fault { field, name: None, problem: Problem::TooLong { bytes: long.len(), limit } });
            }
        }
        self.faults = faults;
    }

    #[cold]
    fn too_long(&self, limits: &FieldLimits) -> Rejected {
        let user_bytes = self.outcome.user.as_ref().map_or(0, |user| user.len());
        let tenant = ("tenant", self.outcome.tenant.len(), limits.tenant_bytes);
        let (name, bytes, limit) = if tenant.1 > tenant.2 { tenant } else { ("user", user_bytes, limits.user_bytes) };
        Rejected::new(Rejection::TooLong, format!("`{name}` has {bytes} bytes, and {limit} are allowed"))
    }
}

/// Sets or replaces a name. False if the limit leaves no room for it.
#[inline]
fn put<'a, T>(pairs: &mut Pairs<'a, T>, name: Cow<'a, str>, value: T, limit: usize) -> bool {
    match pairs.iter().position(|(n, _)| *n == name) {
        Some(known) => pairs[known].1 = value,
        None if pairs.len() >= limit => return false,
        None => pairs.push((name, value)),
    }
    true
}
