//! A point in time and a length of time as CEL has them: read from text, printed, and taken apart.
//!
//! cel-go is followed to the letter: years 1 to 9999, whole nanoseconds, a point keeps the offset it was written with (for
//! its text alone), a length is Go's `time.Duration`.

use std::fmt::{Display, Formatter, Result};

pub const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_SECONDS: i64 = 86_400;
/// 0001-01-01T00:00:00Z, and the last second of the year 9999.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since the Unix epoch.
    nanos: i128,
    /// Seconds east of UTC in which it was written; it compares without.
    offset_s: i32,
}

impl Moment {
    /// `None` outside the years 1 to 9999.
    pub fn new(nanos: i128, offset_s: i32) -> Option<Moment> {
        let second = nanos.div_euclid(i128::from(SECOND_NS));
        let is_in_range = (i128::from(FIRST_SECOND)..=i128::from(LAST_SECOND)).contains(&second);
        is_in_range.then_some(Moment { nanos, offset_s })
    }

    pub fn from_seconds(seconds: i64) -> Option<Moment> {
        Moment::new(i128::from(seconds) * i128::from(SECOND_NS), 0)
    }

    pub fn from_ms(ms: i64) -> Option<Moment> {
        Moment::new(i128::from(ms) * 1_000_000, 0)
    }

    /// Of RFC 3339 to the letter: a capital `T` and `Z`, two digits in each field, no second 60.
    pub fn parse(text: &str) -> Option<Moment> {
        let bytes = text.as_bytes();
        let (date_time, rest) = (bytes.get(..19)?, bytes.get(19..)?);
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if marks.iter().any(|(at, mark)| date_time.get(*at) != Some(mark)) {
            return None;
        }
        let field = |from: usize, to: usize, least: i64, most: i64| digits(date_time.get(from..to)?, least, most);
        let (year, month) = (field(0, 4, 0, 9999)?, field(5, 7, 1, 12)?);
        let day = field(8, 10, 1, days_in(year, month))?;
        let time = field(11, 13, 0, 23)? * 3600 + field(14, 16, 0, 59)? * 60 + field(17, 19, 0, 59)?;
        let (nanos, offset) = fraction(rest)?;
        let offset_s = offset_of(offset)?;
        let seconds = days_from_civil(year, month, day) * DAY_SECONDS + time - i64::from(offset_s);
        Moment::new(i128::from(seconds) * i128::from(SECOND_NS) + i128::from(nanos), offset_s)
    }

    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// Whole seconds since the Unix epoch, downwards.
    pub fn seconds(self) -> i64 {
        // In range: see `new`.
        self.nanos.div_euclid(i128::from(SECOND_NS)) as i64
    }

    pub fn plus(self, length_ns: i64) -> Option<Moment> {
        Moment::new(self.nanos + i128::from(length_ns), self.offset_s)
    }

    /// `None` if the length is longer than 292 years.
    pub fn since(self, earlier: Moment) -> Option<i64> {
        // cel-go scales the seconds first, so that at the ends of the range a few are refused that would fit.
        let seconds = self.seconds().checked_sub(earlier.seconds())?.checked_mul(SECOND_NS)?;
        let rest = |moment: Moment| moment.nanos.rem_euclid(i128::from(SECOND_NS)) as i64;
        seconds.checked_add(rest(self) - rest(earlier))
    }
}

/// As Go's `RFC3339Nano`: zeros at the end of the fraction are left out.
impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let civil = Civil::of(self.seconds() + i64::from(self.offset_s));
        let (date, time) = ((civil.year, civil.month, civil.day), civil.second_of_day);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(f, "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}", date.0, date.1, date.2)?;
        print_fraction(f, self.nanos.rem_euclid(i128::from(SECOND_NS)) as i64)?;
        if self.offset_s == 0 {
            return f.write_str("Z");
        }
        let (sign, offset) = (if self.offset_s < 0 { '-' } else { '+' }, self.offset_s.abs());
        write!(f, "{sign}{:02}:{:02}", offset / 3600, offset / 60 % 60)
    }
}

fn print_fraction(f: &mut Formatter<'_>, nanos: i64) -> Result {
    if nanos == 0 {
        return Ok(());
    }
    write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))
}

/// A number of digits alone, within limits.
fn digits(text: &[u8], least: i64, most: i64) -> Option<i64> {
    let digit = |number: i64, b: &u8| b.is_ascii_digit().then(|| number * 10 + i64::from(b - b'0'));
    let number = text.iter().try_fold(0, digit)?;
    (least..=most).contains(&number).then_some(number)
}

/// The nanoseconds of `.25`, where it stands, and what follows. Digits from the tenth on are left out.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(behind) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = behind.iter().take_while(|b| b.is_ascii_digit()).count();
    let (written, rest) = behind.split_at(length);
    let kept = written.get(..length.min(9)).filter(|kept| !kept.is_empty())?;
    let scale = 10i64.pow(9 - kept.len() as u32);
    Some((digits(kept, 0, SECOND_NS)? * scale, rest))
}

/// Seconds east of UTC.
fn offset_of(text: &[u8]) -> Option<i32> {
    let (sign, hours, minutes) = match text {
        b"Z" => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => (*sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let seconds = digits(&hours, 0, 23)? * 3600 + digits(&minutes, 0, 59)? * 60;
    i32::try_from(if sign == b'-' { -seconds } else { seconds }).ok()
}

/// A time of a clock on a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// From 0.
    pub day_of_year: i64,
    /// From 0 = Sunday.
    pub day_of_week: i64,
    pub second_of_day: i64,
}

impl Civil {
    /// Of seconds since 1970-01-01 00:00 of the same clock. Algorithm: Howard Hinnant, `civil_from_days`.
    pub fn of(seconds: i64) -> Civil {
        let (days, second_of_day) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        // Days since 0000-03-01, and the day of the era of 400 years.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // From March = 0.
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Civil {
            year,
            month,
            day,
            day_of_year: days - days_from_civil(year, 1, 1),
            // 1970-01-01 was a Thursday.
            day_of_week: (days + 4).rem_euclid(7),
            second_of_day,
        }
    }
}

/// Days since 1970-01-01. Algorithm: Howard Hinnant, `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A length of time in nanoseconds, in Go's form: `1h30m`, `-1.5s`, `250ms`. No days, no blanks.
pub fn parse_length(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(0);
    }
    let limit = i64::MIN.unsigned_abs();
    let (mut rest, mut total) = (unsigned, 0u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (part, behind) = length_part(rest, limit)?;
        total = total.checked_add(part).filter(|total| *total <= limit)?;
        rest = behind;
    }
    if text.starts_with('-') { 0i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() }
}

/// `1.5h`: a number and its unit, and what follows.
fn length_part(text: &str, limit: u64) -> Option<(u64, &str)> {
    let split = |text: &'_ str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, behind) = text.split_at(split(text));
    let (fraction, behind) = match behind.strip_prefix('.') {
        Some(behind) => behind.split_at(split(behind)),
        None => ("", behind),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (unit, rest) = behind.split_at(behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len()));
    let unit_ns: u64 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND_NS.unsigned_abs(),
        "m" => MINUTE_NS.unsigned_abs(),
        "h" => HOUR_NS.unsigned_abs(),
        _ => return None,
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok().filter(|whole| *whole <= limit)? };
    let part =
        whole.checked_mul(unit_ns)?.checked_add(part_of_unit(fraction, unit_ns)).filter(|part| *part <= limit)?;
    Some((part, rest))
}

/// Calculated in a double and cut off, as Go does; digits that no longer fit 63 bits are left out.
fn part_of_unit(fraction: &str, unit_ns: u64) -> u64 {
    let (mut number, mut scale) = (0u64, 1.0f64);
    for digit in fraction.bytes().map(|b| u64::from(b - b'0')) {
        match number.checked_mul(10).and_then(|n| n.checked_add(digit)) {
            Some(more) if number <= i64::MAX.unsigned_abs() / 10 && more <= i64::MIN.unsigned_abs() => {
                (number, scale) = (more, scale * 10.0);
            }
            _ => break,
        }
    }
    (number as f64 * (unit_ns as f64 / scale)) as u64
}

/// A length as Go prints it in a literal: `1h30m`.
pub struct Written(pub i64);

impl Display for Written {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let length = self.0.unsigned_abs();
        let (hours, minutes) = (length / HOUR_NS.unsigned_abs(), length / MINUTE_NS.unsigned_abs() % 60);
        let rest = length % MINUTE_NS.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if rest > 0 || length == 0 {
            write!(f, "{}", rest / SECOND_NS.unsigned_abs())?;
            print_fraction(f, (rest % SECOND_NS.unsigned_abs()) as i64)?;
            f.write_str("s")?;
        }
        Ok(())
    }
}

/// A length in a unit, as a double: whole units and the rest, as Go adds them.
pub fn in_units(length_ns: i64, unit_ns: i64) -> f64 {
    (length_ns / unit_ns) as f64 + (length_ns % unit_ns) as f64 / unit_ns as f64
}

/// As `string(duration)` prints it: seconds, `5400s`.
pub fn in_seconds(length_ns: i64) -> String {
    format!("{}s", in_units(length_ns, SECOND_NS))
}
