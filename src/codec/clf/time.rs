//! The time of a line: `17/May/2015:10:05:03 +0200]`.
//!
//! The usual form takes a fast path. A month in another language, a fraction of a second and an offset with a colon are
//! unambiguous, so they are read, too. An offset that no place has (not a multiple of 15 minutes) is a program's
//! mistake, and the true time is unknown.

use super::super::rfc3339::{clock_ms, days_since_epoch, digits};
use super::months;
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Not a time at all.
    None,
    /// It has the form of a time but is impossible.
    Unreadable,
    /// The time, and its length with the closing bracket.
    At(Ms, usize),
}

/// Reads what follows an opening bracket.
#[inline]
pub(super) fn read(inside: &[u8]) -> Stamp {
    match usual(inside) {
        Some(time_ms) => Stamp::At(time_ms, 27),
        None => unusual(inside),
    }
}

#[inline]
fn usual(inside: &[u8]) -> Option<Ms> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let b: &[u8; 27] = inside.first_chunk()?;
    if (b[2], b[6], b[11], b[20], b[26]) != (b'/', b'/', b':', b' ', b']') {
        return None;
    }
    let month = MONTHS.iter().position(|m| m[..] == b[3..6])? as i64 + 1;
    time_ms(&b[7..11], month, &b[0..2], &b[12..20], 0, offset_ms(b[21], &b[22..24], &b[24..26])?)
}

fn time_ms(year: &[u8], month: i64, day: &[u8], clock: &[u8], fraction_ms: Ms, offset_ms: Ms) -> Option<Ms> {
    let day = days_since_epoch(digits(year)?, month, digits(day)?)?;
    Some(day * DAY_MS + clock_ms(clock)? + fraction_ms - offset_ms)
}

/// Hours and minutes ahead of UTC; `None` if no place has this offset.
fn offset_ms(sign: u8, hours: &[u8], minutes: &[u8]) -> Option<Ms> {
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    if hours > 23 || minutes > 59 || minutes % 15 != 0 {
        return None;
    }
    let ms = hours * HOUR_MS + minutes * MINUTE_MS;
    match sign {
        b'+' => Some(ms),
        b'-' => Some(-ms),
        _ => None,
    }
}

/// The parts of a time, not yet checked.
struct Parts<'a> {
    year: &'a [u8],
    month: i64,
    day: &'a [u8],
    clock: &'a [u8],
    fraction_ms: Ms,
    sign: u8,
    hours: &'a [u8],
    minutes: &'a [u8],
    len: usize,
}

#[cold]
fn unusual(inside: &[u8]) -> Stamp {
    let Some(p) = parts(inside) else { return Stamp::None };
    let time_ms = offset_ms(p.sign, p.hours, p.minutes)
        .and_then(|offset_ms| time_ms(p.year, p.month, p.day, p.clock, p.fraction_ms, offset_ms));
    time_ms.map_or(Stamp::Unreadable, |time_ms| Stamp::At(time_ms, p.len))
}

fn parts(inside: &[u8]) -> Option<Parts<'_>> {
    let (day, rest) = inside.split_at_checked(2)?;
    let rest = rest.strip_prefix(b"/")?;
    let month_len = memchr::memchr(b'/', &rest[..rest.len().min(months::LONGEST + 1)])?;
    let month = months::number(&rest[..month_len])?;
    let (year, rest) = rest[month_len + 1..].split_at_checked(4)?;
    let (clock, rest) = rest.strip_prefix(b":")?.split_at_checked(8)?;
    let (fraction_ms, rest) = fraction(rest)?;
    let (&sign, rest) = rest.strip_prefix(b" ")?.split_first()?;
    let (hours, rest) = rest.split_at_checked(2)?;
    let (minutes, rest) = rest.strip_prefix(b":").unwrap_or(rest).split_at_checked(2)?;
    let rest = rest.strip_prefix(b"]")?;
    let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let has_form = [day, year, hours, minutes].into_iter().all(is_number)
        && matches!(sign, b'+' | b'-')
        && clock.iter().enumerate().all(|(i, b)| if i % 3 == 2 { *b == b':' } else { b.is_ascii_digit() });
    has_form.then_some(Parts {
        year,
        month,
        day,
        clock,
        fraction_ms,
        sign,
        hours,
        minutes,
        len: inside.len() - rest.len(),
    })
}

/// The milliseconds of `.123`, and the rest.
fn fraction(rest: &[u8]) -> Option<(Ms, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) else { return Some((0, rest)) };
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let kept = len.min(3);
    let ms = digits(&rest[..kept])? * [0, 100, 10, 1][kept];
    (1..=9).contains(&len).then_some((ms, &rest[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Stamp {
        read(format!("{text}] \"GET / HTTP/1.1\"").as_bytes())
    }

    #[test]
    fn reads_what_has_one_meaning() {
        let utc_ms = 1_431_857_103_000; // 2015-05-17T10:05:03Z
        for (text, ms) in [
            ("17/May/2015:10:05:03 +0000", utc_ms),
            ("17/May/2015:12:05:03 +0200", utc_ms),
            ("17/May/2015:04:35:03 -0530", utc_ms),
            ("17/May/2015:15:50:03 +0545", utc_ms),
            ("17/May/2015:12:05:03 +02:00", utc_ms),
            ("17/May/2015:10:05:03.581 +0000", utc_ms + 581),
            ("17/May/2015:10:05:03,5 +0000", utc_ms + 500),
            ("17/May/2015:10:05:03.581999 +0000", utc_ms + 581),
            ("17/Mai/2015:10:05:03 +0000", utc_ms),
            ("17/may/2015:10:05:03 +0000", utc_ms),
            ("17/mai./2015:10:05:03 +0000", utc_ms),
            ("17/5月/2015:10:05:03 +0000", utc_ms),
            ("17/мая/2015:10:05:03 +0000", utc_ms),
        ] {
            assert_eq!(at(text), Stamp::At(ms, text.len() + 1), "{text}");
        }
    }

    #[test]
    fn the_form_of_a_time_that_is_none_cannot_be_read() {
        for text in [
            "31/Feb/2015:10:05:03 +0000",
            "00/May/2015:10:05:03 +0000",
            "17/May/2015:24:05:03 +0000",
            "17/May/2015:10:05:63 +0000",
            "17/May/2015:10:05:03 +0550",
            "17/May/2015:10:05:03 +0575",
            "17/May/2015:10:05:03 +1050",
            "17/May/2015:10:05:03 +2500",
            "17/Mai/2015:10:05:03 -0501",
        ] {
            assert_eq!(at(text), Stamp::Unreadable, "{text}");
        }
    }

    #[test]
    fn what_has_not_the_form_of_a_time_is_none() {
        for text in [
            "ext",
            "",
            "7/May/2015:10:05:03 +0000",
            "17/May/2015:10:05:03",
            "17/May/2015:10:05:03 0000",
            "17/May/2015:10:05:03 -3.530",
            "17/May/2015:10:05:03. +0000",
            "17/May/15:10:05:03 +0000",
            "17/May/2015 10:05:03 +0000",
            "17/Lip/2015:10:05:03 +0000",
            "17/Foo/2015:10:05:03 +0000",
            "17/05/2015:10:05:03 +0000",
            "2015-05-17T10:05:03+0000",
        ] {
            assert_eq!(at(text), Stamp::None, "{text}");
        }
    }
}
