//! Times and lengths of time in expressions: CEL's `timestamp` and `duration`.

use super::moment::{Civil, Moment, SECOND_NS, in_units};
use super::{Arithmetic, Condition, Fault, Int, Text};
use crate::model::calendar;
use crate::model::outcome::Outcome;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// An expression of type timestamp.
#[derive(Clone, Debug)]
pub enum Time {
    Literal(Moment),
    /// The outcome's own time.
    Event,
    Plus(Box<(Time, Span)>),
    Minus(Box<(Time, Span)>),
    If(Box<(Condition, Time, Time)>),
    /// Of seconds since the Unix epoch.
    FromInt(Box<Int>),
    FromText(Box<Text>),
}

/// An expression of type duration, in nanoseconds.
#[derive(Clone, Debug)]
pub enum Span {
    Literal(i64),
    /// The first less the second.
    Between(Box<(Time, Time)>),
    /// A sum or a difference.
    Binary(Arithmetic, Box<(Span, Span)>),
    If(Box<(Condition, Span, Span)>),
    FromText(Box<Text>),
}

/// What is asked of a time or a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    FullYear,
    /// From 0.
    Month,
    /// From 1.
    Date,
    /// From 0.
    DayOfMonth,
    /// From 0 = Sunday.
    DayOfWeek,
    /// From 0.
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
}

impl Part {
    pub const ALL: [Part; 9] = [
        Part::FullYear,
        Part::Month,
        Part::Date,
        Part::DayOfMonth,
        Part::DayOfWeek,
        Part::DayOfYear,
        Part::Hours,
        Part::Minutes,
        Part::Seconds,
    ];

    /// The function's name.
    pub const fn name(self) -> &'static str {
        match self {
            Part::FullYear => "getFullYear",
            Part::Month => "getMonth",
            Part::Date => "getDate",
            Part::DayOfMonth => "getDayOfMonth",
            Part::DayOfWeek => "getDayOfWeek",
            Part::DayOfYear => "getDayOfYear",
            Part::Hours => "getHours",
            Part::Minutes => "getMinutes",
            Part::Seconds => "getSeconds",
        }
    }

    fn of_civil(self, civil: &Civil) -> i64 {
        match self {
            Part::FullYear => civil.year,
            Part::Month => civil.month - 1,
            Part::Date => civil.day,
            Part::DayOfMonth => civil.day - 1,
            Part::DayOfWeek => civil.day_of_week,
            Part::DayOfYear => civil.day_of_year,
            Part::Hours => civil.second_of_day / 3600,
            Part::Minutes => civil.second_of_day / 60 % 60,
            Part::Seconds => civil.second_of_day % 60,
        }
    }

    /// The nanoseconds in which a length is counted; `None` for a part that a length does not have.
    pub const fn unit_ns(self) -> Option<i64> {
        match self {
            Part::Hours => Some(3600 * SECOND_NS),
            Part::Minutes => Some(60 * SECOND_NS),
            Part::Seconds => Some(SECOND_NS),
            _ => None,
        }
    }
}

/// The clock on which a part of a time is read.
#[derive(Clone, Debug)]
pub enum Zone {
    Utc,
    /// Known when the expression was compiled.
    Known {
        written: Box<str>,
        clock: Clock,
    },
    /// Read from the event.
    Read(Box<Text>),
}

/// An offset, or a time zone of the build.
#[derive(Clone, Debug)]
pub enum Clock {
    /// Seconds east of UTC.
    Offset(i32),
    Zone(TimeZone),
}

impl Clock {
    /// Of an IANA name to the letter, of an offset (`+02:00`, `02:00`, `-00:30`), or of nothing: UTC. The machine's own
    /// zone has no name here.
    pub fn parse(text: &str) -> Option<Clock> {
        if text.is_empty() {
            return Some(Clock::Offset(0));
        }
        if text.contains(':') {
            offset(text).map(Clock::Offset)
        } else {
            calendar::zone_to_the_letter(text).map(Clock::Zone)
        }
    }

    fn civil(&self, moment: Moment) -> Civil {
        let seconds = moment.seconds();
        let offset = match self {
            Clock::Offset(offset) => *offset,
            Clock::Zone(zone) => {
                // The library's times end a day before the year does; the offset is that day's.
                let known = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
                let second = seconds.clamp(*known.start(), *known.end());
                Timestamp::from_second(second).map_or(Offset::UTC, |at| zone.to_offset(at)).seconds()
            }
        };
        Civil::of(seconds + i64::from(offset))
    }
}

/// Hours and minutes east of UTC, with or without a sign, of one or two digits each.
fn offset(text: &str) -> Option<i32> {
    let (hours, minutes) = text.strip_prefix(['+', '-']).unwrap_or(text).split_once(':')?;
    let number = |text: &str, most: i32| {
        let is_short = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|number: &i32| is_short && *number <= most)
    };
    let seconds = number(hours, 23)? * 3600 + number(minutes, 59)? * 60;
    Some(if text.starts_with('-') { -seconds } else { seconds })
}

impl Zone {
    pub(super) fn part_of(&self, part: Part, moment: Moment, o: &Outcome<'_>) -> Result<i64, Fault<'_>> {
        let civil = match self {
            Zone::Utc => Civil::of(moment.seconds()),
            Zone::Known { clock, .. } => clock.civil(moment),
            Zone::Read(text) => Clock::parse(&text.eval(o)?).ok_or(Fault::NotAZone)?.civil(moment),
        };
        Ok(part.of_civil(&civil))
    }
}

impl Time {
    pub fn eval(&self, o: &Outcome<'_>) -> Result<Moment, Fault<'_>> {
        match self {
            Time::Literal(moment) => Ok(*moment),
            Time::Event => Moment::from_ms(o.timestamp_ms).ok_or(Fault::TimeOutOfRange),
            Time::Plus(sides) => {
                let (time, length) = (sides.0.eval(o)?, sides.1.eval(o)?);
                time.plus(length).ok_or(Fault::TimeOutOfRange)
            }
            Time::Minus(sides) => {
                let (time, length) = (sides.0.eval(o)?, sides.1.eval(o)?);
                length.checked_neg().and_then(|length| time.plus(length)).ok_or(Fault::TimeOutOfRange)
            }
            Time::If(c) => {
                if c.0.eval(o)? {
                    c.1.eval(o)
                } else {
                    c.2.eval(o)
                }
            }
            Time::FromInt(int) => Moment::from_seconds(int.eval(o)?).ok_or(Fault::TimeOutOfRange),
            Time::FromText(text) => Moment::parse(&text.eval(o)?).ok_or(Fault::NotATime),
        }
    }
}

impl Span {
    pub fn eval(&self, o: &Outcome<'_>) -> Result<i64, Fault<'_>> {
        match self {
            Span::Literal(length) => Ok(*length),
            Span::Between(sides) => {
                let (later, earlier) = (sides.0.eval(o)?, sides.1.eval(o)?);
                later.since(earlier).ok_or(Fault::TimeOutOfRange)
            }
            Span::Binary(op, sides) => {
                let (a, b) = (sides.0.eval(o)?, sides.1.eval(o)?);
                let sum = if *op == Arithmetic::Sub { a.checked_sub(b) } else { a.checked_add(b) };
                sum.ok_or(Fault::TimeOutOfRange)
            }
            Span::If(c) => {
                if c.0.eval(o)? {
                    c.1.eval(o)
                } else {
                    c.2.eval(o)
                }
            }
            Span::FromText(text) => super::moment::parse_length(&text.eval(o)?).ok_or(Fault::NotALength),
        }
    }

    /// The whole units, towards zero.
    pub(super) fn in_whole(&self, part: Part, o: &Outcome<'_>) -> Result<i64, Fault<'_>> {
        let length = self.eval(o)?;
        Ok(part.unit_ns().map_or(0, |unit| in_units(length, unit) as i64))
    }
}
