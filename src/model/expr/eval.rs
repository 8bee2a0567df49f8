//! Evaluation. Every step returns a value or the fault that CEL would raise; nothing allocates but
//! a text that is made here.

use super::moment::in_seconds;
use super::{Arithmetic, Comparison, Condition, Double, Fault, Field, Int, Map, Name, Reference, Text, TextTest};
use crate::model::outcome::{Outcome, WEIGHT_ONE};
use std::borrow::Cow;

impl Condition {
    pub fn eval(&self, o: &Outcome<'_>) -> Result<bool, Fault<'_>> {
        match self {
            Condition::Literal(b) => Ok(*b),
            Condition::Has(reference) => Ok(reference.is_present(o)),
            Condition::Not(inner) => Ok(!inner.eval(o)?),
            Condition::All(parts) => absorb(parts, o, false),
            Condition::Any(parts) => absorb(parts, o, true),
            Condition::If(c) => {
                if c.0.eval(o)? {
                    c.1.eval(o)
                } else {
                    c.2.eval(o)
                }
            }
            Condition::Same { negated, sides } => Ok((sides.0.eval(o)? == sides.1.eval(o)?) != *negated),
            Condition::CompareInt(op, a, b) => Ok(op.of(&a.eval(o)?, &b.eval(o)?)),
            Condition::CompareDouble(op, a, b) => compare_doubles(*op, a.eval(o)?, b.eval(o)?),
            Condition::CompareText(op, a, b) => Ok(op.of::<str>(&a.eval(o)?, &b.eval(o)?)),
            Condition::CompareTime(op, a, b) => Ok(op.of(&a.eval(o)?.nanos(), &b.eval(o)?.nanos())),
            Condition::CompareSpan(op, a, b) => Ok(op.of(&a.eval(o)?, &b.eval(o)?)),
            Condition::IntIn(a, list) => Ok(list.contains(&a.eval(o)?)),
            Condition::DoubleIn(a, list) => {
                let number = a.eval(o)?;
                if number.is_nan() { Err(Fault::NotComparable) } else { Ok(list.contains(&number)) }
            }
            Condition::TextIn(a, list) => {
                let text = a.eval(o)?;
                Ok(list.iter().any(|item| **item == *text))
            }
            Condition::Test(test, a, b) => Ok(test.of(&a.eval(o)?, &b.eval(o)?)),
            Condition::Matches(a, regex) => Ok(regex.is_match(&a.eval(o)?)),
        }
    }

    /// The smallest part that decides the value of the whole.
    pub fn deciding(&self, o: &Outcome<'_>) -> &Condition {
        match self {
            // If a part has no value, the reader must see where it is used.
            Condition::Not(inner) if inner.eval(o).is_err() => self,
            Condition::Not(inner) => inner.deciding(o),
            Condition::All(parts) => settling(parts, o, false).map_or(self, |part| part.deciding(o)),
            Condition::Any(parts) => settling(parts, o, true).map_or(self, |part| part.deciding(o)),
            Condition::If(c) => match c.0.eval(o) {
                Ok(true) => c.1.deciding(o),
                Ok(false) => c.2.deciding(o),
                Err(_) => c.0.deciding(o),
            },
            _ => self,
        }
    }
}

/// `&&` (decided by false) and `||` (decided by true): a deciding operand wins over any fault.
#[inline]
fn absorb<'e>(parts: &'e [Condition], o: &Outcome<'_>, decided_by: bool) -> Result<bool, Fault<'e>> {
    let mut fault = None;
    for part in parts {
        match part.eval(o) {
            Ok(value) if value == decided_by => return Ok(decided_by),
            Ok(_) => {}
            Err(f) => fault = fault.or(Some(f)),
        }
    }
    fault.map_or(Ok(!decided_by), Err)
}

fn settling<'e>(parts: &'e [Condition], o: &Outcome<'_>, decided_by: bool) -> Option<&'e Condition> {
    let decides = |part: &&Condition| part.eval(o) == Ok(decided_by);
    parts.iter().find(decides).or_else(|| parts.iter().find(|part| part.eval(o).is_err()))
}

impl Int {
    pub fn eval(&self, o: &Outcome<'_>) -> Result<i64, Fault<'_>> {
        match self {
            Int::Literal(i) => Ok(*i),
            Int::Status => o.status.ok_or(Fault::AbsentField(Field::Status)),
            Int::Negate(a) => a.eval(o)?.checked_neg().ok_or(Fault::Overflow),
            Int::Binary(op, sides) => op.of_ints(sides.0.eval(o)?, sides.1.eval(o)?),
            Int::If(c) => {
                if c.0.eval(o)? {
                    c.1.eval(o)
                } else {
                    c.2.eval(o)
                }
            }
            Int::SizeOfText(text) => Ok(text.eval(o)?.chars().count() as i64),
            Int::SizeOfMap(map) => Ok(size_of(*map, o)),
            Int::FromDouble(d) => double_to_int(d.eval(o)?),
            Int::FromText(text) => text.eval(o)?.parse().map_err(|_| Fault::NotANumber),
            Int::FromTime(time) => Ok(time.eval(o)?.seconds()),
            Int::PartOfTime(part, time, zone) => zone.part_of(*part, time.eval(o)?, o),
            Int::PartOfSpan(part, span) => span.in_whole(*part, o),
        }
    }
}

impl Double {
    pub fn eval(&self, o: &Outcome<'_>) -> Result<f64, Fault<'_>> {
        match self {
            Double::Literal(d) => Ok(*d),
            Double::LatencyMs => o.latency_ms.ok_or(Fault::AbsentField(Field::LatencyMs)),
            Double::Weight => Ok(o.weight_micros as f64 / WEIGHT_ONE as f64),
            Double::Measure(name) => o.measure(&name.0).ok_or(Fault::AbsentMeasure(name)),
            Double::Negate(a) => Ok(-a.eval(o)?),
            Double::Binary(op, sides) => Ok(op.of_doubles(sides.0.eval(o)?, sides.1.eval(o)?)),
            Double::If(c) => {
                if c.0.eval(o)? {
                    c.1.eval(o)
                } else {
                    c.2.eval(o)
                }
            }
            Double::FromInt { int, .. } => Ok(int.eval(o)? as f64),
            Double::FromText(text) => number_of(&text.eval(o)?),
        }
    }
}

impl Text {
    pub fn eval<'o, 'e: 'o>(&'e self, o: &'o Outcome<'_>) -> Result<Cow<'o, str>, Fault<'e>> {
        match self {
            Text::Literal(text) => Ok(Cow::Borrowed(text)),
            Text::Field(field) => text_field(*field, o).map(Cow::Borrowed).ok_or(Fault::AbsentField(*field)),
            Text::Attribute(name) => o.attribute(&name.0).map(Cow::Borrowed).ok_or(Fault::AbsentAttribute(name)),
            Text::Join(sides) => {
                let (a, b) = (sides.0.eval(o)?, sides.1.eval(o)?);
                Ok(a + b)
            }
            Text::FromBool(condition) => Ok(Cow::Borrowed(if condition.eval(o)? { "true" } else { "false" })),
            Text::FromInt(int) => Ok(Cow::Owned(int.eval(o)?.to_string())),
            Text::FromTime(time) => Ok(Cow::Owned(time.eval(o)?.to_string())),
            Text::FromSpan(span) => Ok(Cow::Owned(in_seconds(span.eval(o)?))),
            Text::If(c) => {
                if c.0.eval(o)? {
                    c.1.eval(o)
                } else {
                    c.2.eval(o)
                }
            }
        }
    }
}

impl Reference {
    pub fn is_present(&self, o: &Outcome<'_>) -> bool {
        match self {
            Reference::Field(Field::Status) => o.status.is_some(),
            Reference::Field(Field::LatencyMs) => o.latency_ms.is_some(),
            Reference::Field(field) => field.is_required() || text_field(*field, o).is_some(),
            Reference::Measure(Name(name)) => o.measure(name).is_some(),
            Reference::Attribute(Name(name)) => o.attribute(name).is_some(),
        }
    }
}

/// `None` for a field that is absent or not a text.
#[inline]
fn text_field<'o>(field: Field, o: &'o Outcome<'_>) -> Option<&'o str> {
    match field {
        Field::Tenant => Some(&o.tenant),
        Field::User => o.user.as_deref(),
        Field::Operation => o.operation.as_deref(),
        Field::Dependency => o.dependency.as_deref(),
        Field::ErrorType => o.error_type.as_deref(),
        Field::TraceId => o.trace_id.as_deref(),
        Field::EventId => o.event_id.as_deref(),
        Field::Journey => o.journey.as_deref(),
        Field::Step => o.step.as_deref(),
        Field::Timestamp | Field::Status | Field::LatencyMs | Field::Weight => None,
    }
}

/// A repeated name counts once.
fn size_of(map: Map, o: &Outcome<'_>) -> i64 {
    fn distinct<T>(pairs: &[(std::borrow::Cow<'_, str>, T)]) -> i64 {
        let first_of_its_name = |i: &usize| !pairs[..*i].iter().any(|(name, _)| *name == pairs[*i].0);
        (0..pairs.len()).filter(first_of_its_name).count() as i64
    }
    match map {
        Map::Measures => distinct(&o.measures),
        Map::Attributes => distinct(&o.attributes),
    }
}

impl Comparison {
    #[inline]
    fn of<T: PartialOrd + ?Sized>(self, a: &T, b: &T) -> bool {
        match self {
            Comparison::Eq => a == b,
            Comparison::Ne => a != b,
            Comparison::Lt => a < b,
            Comparison::Le => a <= b,
            Comparison::Gt => a > b,
            Comparison::Ge => a >= b,
        }
    }
}

/// A comparison with NaN is neither good nor bad.
#[inline]
fn compare_doubles<'e>(op: Comparison, a: f64, b: f64) -> Result<bool, Fault<'e>> {
    if a.is_nan() || b.is_nan() { Err(Fault::NotComparable) } else { Ok(op.of(&a, &b)) }
}

/// A number in text as CEL reads it: no blanks, and not out of range.
fn number_of<'e>(text: &str) -> Result<f64, Fault<'e>> {
    let number = text.parse().ok().or_else(|| as_go_writes_it(text)).ok_or(Fault::NotANumber)?;
    let names_infinity = || text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    if f64::is_infinite(number) && !names_infinity() { Err(Fault::NotANumber) } else { Ok(number) }
}

/// Syntax of Go's literals that Rust lacks: `_` between digits, and hexadecimal digits with a `p`.
fn as_go_writes_it(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hexadecimal = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
    // A `_` may also follow the prefix.
    let digits = hexadecimal.unwrap_or(unsigned);
    let is_digit = |b: u8| if hexadecimal.is_some() { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    let mut before = hexadecimal.is_some();
    for (at, byte) in digits.bytes().enumerate() {
        let behind = digits.as_bytes().get(at + 1).is_some_and(|b| is_digit(*b));
        if byte == b'_' && !(before && behind) {
            return None;
        }
        before = is_digit(byte);
    }
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    let value = match hexadecimal {
        Some(_) => hexadecimal_double(&plain)?,
        None if plain.len() < digits.len() && plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            plain.parse().ok()?
        }
        None => return None,
    };
    Some(if text.starts_with('-') { -value } else { value })
}

/// `1F.8p-3`: the exponent (of two) is mandatory. Up to 53 bits of digits are exact here.
fn hexadecimal_double(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    Some(libm::scalbn(value, shift))
}

impl Arithmetic {
    #[inline]
    fn of_ints<'e>(self, a: i64, b: i64) -> Result<i64, Fault<'e>> {
        if b == 0 && matches!(self, Arithmetic::Div | Arithmetic::Rem) {
            return Err(Fault::DivisionByZero);
        }
        match self {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Sub => a.checked_sub(b),
            Arithmetic::Mul => a.checked_mul(b),
            Arithmetic::Div => a.checked_div(b),
            Arithmetic::Rem => a.checked_rem(b),
        }
        .ok_or(Fault::Overflow)
    }

    #[inline]
    fn of_doubles(self, a: f64, b: f64) -> f64 {
        match self {
            Arithmetic::Add => a + b,
            Arithmetic::Sub => a - b,
            Arithmetic::Mul => a * b,
            Arithmetic::Div => a / b,
            Arithmetic::Rem => a % b,
        }
    }
}

impl TextTest {
    #[inline]
    fn of(self, text: &str, pattern: &str) -> bool {
        match self {
            TextTest::StartsWith => text.starts_with(pattern),
            TextTest::EndsWith => text.ends_with(pattern),
            TextTest::Contains => text.contains(pattern),
        }
    }
}

/// CEL converts within (-2^63, 2^63), both ends excluded, towards zero.
fn double_to_int<'e>(value: f64) -> Result<i64, Fault<'e>> {
    // 2^63, which a double represents exactly but an i64 does not.
    let limit = -(i64::MIN as f64);
    if value > -limit && value < limit { Ok(value as i64) } else { Err(Fault::Overflow) }
}
