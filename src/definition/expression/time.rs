//! Times and lengths of time: `timestamp()`, `duration()`, what is asked of them, and their sums.

use super::ast::{Expr, Kind, Literal};
use super::{Compiled, ExpressionError, Typed, compile, error};
use crate::model::expr::{Arithmetic, Clock, Condition, Int, Moment, Part, Span, Text, Time, Zone, parse_length};

const A_TIME: &str = "as in timestamp('2026-01-31T09:00:00+01:00')";
const A_LENGTH: &str = "as in duration('1h30m'): hours, minutes and seconds without blanks, a day is 24h";
const A_ZONE: &str = "write a name of the IANA data in its exact case, as in 'Europe/Berlin', an offset, as in '+02:00', or \
                      '' for UTC";

/// The function that asks for a part of a time.
pub(super) fn part(name: &str) -> Option<Part> {
    Part::ALL.into_iter().find(|part| part.name() == name)
}

/// `time.getHours('Europe/Berlin')`, `length.getHours()`.
pub(super) fn compile_part(part: Part, a: &Expr, zone: Option<&Expr>) -> Compiled<Typed> {
    match (compile(a)?, zone) {
        (Typed::Time(time), None) => Ok(Typed::Int(Int::PartOfTime(part, Box::new(time), Zone::Utc))),
        (Typed::Time(time), Some(zone)) => Ok(Typed::Int(Int::PartOfTime(part, Box::new(time), compile_zone(zone)?))),
        (Typed::Span(span), None) if part.unit_ns().is_some() => Ok(Typed::Int(Int::PartOfSpan(part, Box::new(span)))),
        (Typed::Span(_), Some(_)) => {
            Err(error("a length of time has no time zone").with_remedy(format!("write {}()", part.name())))
        }
        (Typed::Span(_), None) => Err(error(format!("a length of time has no {}()", part.name()))
            .with_remedy("it has getHours(), getMinutes() and getSeconds(), each the whole of it")),
        (other, _) => Err(error(format!("{}() needs a time, and this is {}", part.name(), other.kind()))
            .with_remedy(format!("as in timestamp.{}('Europe/Berlin')", part.name()))),
    }
}

fn compile_zone(zone: &Expr) -> Compiled<Zone> {
    match compile(zone)? {
        Typed::Text(Text::Literal(written)) => match Clock::parse(&written) {
            Some(clock) => Ok(Zone::Known { written, clock }),
            None => Err(unknown_zone(&written).or_at(zone.at)),
        },
        Typed::Text(text) => Ok(Zone::Read(Box::new(text))),
        other => Err(error(format!("a time zone is a text, and this is {}", other.kind()))
            .with_remedy(A_ZONE)
            .or_at(zone.at)),
    }
}

fn unknown_zone(written: &str) -> ExpressionError {
    if written == "Local" {
        return error("`Local` is the zone of the machine that happens to run this: figures would depend on it")
            .with_remedy(A_ZONE);
    }
    let e = error(format!("there is no time zone `{written}`"));
    match crate::model::calendar::zone(written).as_ref().and_then(|zone| zone.iana_name()) {
        Some(name) if name != written && Clock::parse(name).is_some() => {
            e.with_remedy(format!("did you mean '{name}'?"))
        }
        _ => e.with_remedy(A_ZONE),
    }
}

/// `timestamp(text)`, `timestamp(seconds)`.
pub(super) fn compile_timestamp(a: &Expr) -> Compiled<Typed> {
    let time = match (compile(a)?, &a.kind) {
        (Typed::Time(time), _) => time,
        (Typed::Text(_), Kind::Literal(Literal::Text(text))) => {
            Time::Literal(Moment::parse(text).ok_or_else(|| {
                error(format!("`{text}` is no time as RFC 3339 has it")).with_remedy(A_TIME).or_at(a.at)
            })?)
        }
        (Typed::Text(text), _) => Time::FromText(Box::new(text)),
        (Typed::Int(_), Kind::Literal(Literal::Int(seconds))) => {
            Time::Literal(Moment::from_seconds(*seconds).ok_or_else(|| {
                error(format!("{seconds} seconds since 1970 lie outside the years 1 to 9999"))
                    .with_remedy("milliseconds are no seconds: leave their last three digits out")
                    .or_at(a.at)
            })?)
        }
        (Typed::Int(int), _) => Time::FromInt(Box::new(int)),
        (other, _) => {
            return Err(error(format!("timestamp() needs a text or whole seconds, and this is {}", other.kind()))
                .with_remedy(A_TIME));
        }
    };
    Ok(Typed::Time(time))
}

/// `duration(text)`.
pub(super) fn compile_duration(a: &Expr) -> Compiled<Typed> {
    let span = match (compile(a)?, &a.kind) {
        (Typed::Span(span), _) => span,
        (Typed::Text(_), Kind::Literal(Literal::Text(text))) => Span::Literal(
            parse_length(text)
                .ok_or_else(|| error(format!("`{text}` is no length of time")).with_remedy(A_LENGTH).or_at(a.at))?,
        ),
        (Typed::Text(text), _) => Span::FromText(Box::new(text)),
        (other, _) => {
            return Err(error(format!("duration() needs a text, and this is {}", other.kind())).with_remedy(A_LENGTH));
        }
    };
    Ok(Typed::Span(span))
}

/// `string()` of what prints alike everywhere.
pub(super) fn compile_string(a: &Expr) -> Compiled<Typed> {
    Ok(Typed::Text(match compile(a)? {
        Typed::Text(text) => text,
        Typed::Bool(condition) => Text::FromBool(Box::new(condition)),
        Typed::Int(int) => Text::FromInt(Box::new(int)),
        Typed::Time(time) => Text::FromTime(Box::new(time)),
        Typed::Span(span) => Text::FromSpan(Box::new(span)),
        Typed::Double(_) => {
            return Err(error("string() of a double is written differently by every implementation of CEL")
                .with_remedy("compare it as a number, or write string(int(...))"));
        }
        other => {
            return Err(error(format!("string() needs one value, and this is {}", other.kind()))
                .with_remedy("name what is in it, as in string(status)"));
        }
    }))
}

/// `? :` with times on both sides, if they are.
pub(super) fn compile_choice(c: Condition, yes: Typed, no: Typed) -> Compiled<Typed> {
    match (yes, no) {
        (Typed::Time(a), Typed::Time(b)) => Ok(Typed::Time(Time::If(Box::new((c, a, b))))),
        (Typed::Span(a), Typed::Span(b)) => Ok(Typed::Span(Span::If(Box::new((c, a, b))))),
        (a, b) => Err(error(format!("both sides of `? :` must be of one type: {} and {}", a.kind(), b.kind()))
            .with_remedy("write both as texts, both as whole numbers or both as doubles, as in 1.0")),
    }
}

/// `+` and `-` with a time or a length of time on a side.
pub(super) fn compile_sum(op: Arithmetic, a: Typed, b: Typed) -> Compiled<Typed> {
    Ok(match (op, a, b) {
        (Arithmetic::Add, Typed::Time(time), Typed::Span(span))
        | (Arithmetic::Add, Typed::Span(span), Typed::Time(time)) => Typed::Time(Time::Plus(Box::new((time, span)))),
        (Arithmetic::Sub, Typed::Time(time), Typed::Span(span)) => Typed::Time(Time::Minus(Box::new((time, span)))),
        (Arithmetic::Sub, Typed::Time(a), Typed::Time(b)) => Typed::Span(Span::Between(Box::new((a, b)))),
        (Arithmetic::Add | Arithmetic::Sub, Typed::Span(a), Typed::Span(b)) => {
            Typed::Span(Span::Binary(op, Box::new((a, b))))
        }
        (_, a, b) => {
            let e = error(format!("`{}` cannot calculate with {} and {}", op.symbol(), a.kind(), b.kind()));
            return Err(e.with_remedy(match (a, b) {
                (Typed::Time(_), Typed::Time(_)) => "two times have a difference: timestamp - timestamp(...)",
                (Typed::Int(_) | Typed::Double(_), _) | (_, Typed::Int(_) | Typed::Double(_)) => {
                    "a length of time is written as duration('90s'); as a number of seconds it is .getSeconds(), and a time \
                     is int(timestamp)"
                }
                (Typed::Text(_), _) | (_, Typed::Text(_)) => {
                    "write timestamp(...) or duration(...) around the text, or string(...) around the time to join texts"
                }
                _ => "times and lengths of time are added and subtracted, as in timestamp - duration('1h')",
            }));
        }
    })
}

/// A comparison of a time or a length of time with something else.
pub(super) fn incomparable(e: ExpressionError, a: &Typed, b: &Typed) -> ExpressionError {
    match (a, b) {
        (Typed::Time(_), Typed::Int(int)) | (Typed::Int(int), Typed::Time(_)) => match written(int) {
            Some(text) => e.with_remedy(format!("write timestamp('{text}')")),
            None => e.with_remedy("write timestamp('2026-01-31T09:00:00Z'), or int(timestamp): seconds since 1970"),
        },
        (Typed::Time(_), Typed::Text(_)) | (Typed::Text(_), Typed::Time(_)) => {
            e.with_remedy(format!("write timestamp(...) around the text, {A_TIME}"))
        }
        (Typed::Span(_), Typed::Text(_)) | (Typed::Text(_), Typed::Span(_)) => {
            e.with_remedy(format!("write duration(...) around the text, {A_LENGTH}"))
        }
        (Typed::Span(_), _) | (_, Typed::Span(_)) => {
            e.with_remedy("compare it with a length of time, as in > duration('90s'), or ask .getSeconds() of it")
        }
        _ => e.with_remedy(format!("compare it with a time, {A_TIME}")),
    }
}

/// The time that a number most likely stands for: milliseconds or seconds since 1970.
fn written(int: &Int) -> Option<String> {
    const EARLIEST_MS: i64 = 100_000_000_000;
    match int {
        Int::Literal(ms) if *ms >= EARLIEST_MS => Moment::from_ms(*ms).map(|moment| moment.to_string()),
        Int::Literal(seconds) if *seconds >= 100_000_000 => {
            Moment::from_seconds(*seconds).map(|moment| moment.to_string())
        }
        _ => None,
    }
}
