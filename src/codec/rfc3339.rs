//! RFC 3339 times to milliseconds since the epoch, floored.
//!
//! Strict where general date parsers are generous: a date alone, a missing offset, an offset without
//! its colon or a week date is no time here. Any number of fraction digits is read; what is below a
//! millisecond is floored, before 1970 too. A leap second reads as the second after it.

use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, SECOND_MS};

/// Parses `2026-05-29T17:00:48.581Z`; `None` where the text is no such time.
pub fn parse(text: &str) -> Option<Ms> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked(19)?;
    if head[4] != b'-' || head[7] != b'-' || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let day_ms = days_since_epoch(digits(&head[0..4])?, digits(&head[5..7])?, digits(&head[8..10])?)? * DAY_MS;
    let (fraction_ms, offset) = fraction(rest)?;
    Some(day_ms + clock_ms(&head[11..19])? + fraction_ms - offset_ms(offset)?)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` where there is no such date.
pub(super) fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Counted in years that begin in March, so that the leap day is the last day of a year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * m + 2) / 5 + day - 1;
    Some(365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468)
}

/// `17:00:48` in milliseconds of the day.
pub(super) fn clock_ms(clock: &[u8]) -> Option<Ms> {
    if clock.len() != 8 || clock[2] != b':' || clock[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&clock[0..2])?, digits(&clock[3..5])?, digits(&clock[6..8])?);
    let second_max = if minute == 59 { 60 } else { 59 };
    if hour > 23 || minute > 59 || second > second_max {
        return None;
    }
    Some(hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS)
}

/// Hours and minutes of an offset from UTC, without its sign.
pub(super) fn offset_part_ms(hours: &[u8], minutes: &[u8]) -> Option<Ms> {
    let (hour, minute) = (digits(hours)?, digits(minutes)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    Some(hour * HOUR_MS + minute * MINUTE_MS)
}

/// A run of decimal digits; `None` where any byte is something else.
pub(super) fn digits(bytes: &[u8]) -> Option<i64> {
    let mut n = 0;
    for &b in bytes {
        if !b.is_ascii_digit() {
            return None;
        }
        n = n * 10 + i64::from(b - b'0');
    }
    Some(n)
}

/// The milliseconds of `.581999`, and what follows them. Dropping digits is flooring: a fraction
/// counts forward from its second on both sides of the epoch.
fn fraction(rest: &[u8]) -> Option<(Ms, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let kept = digits(&rest[..len.min(3)])?;
    Some((kept * [100, 10, 1][len.min(3) - 1], &rest[len..]))
}

fn offset_ms(offset: &[u8]) -> Option<Ms> {
    match offset {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let ms = offset_part_ms(&[*h1, *h2], &[*m1, *m2])?;
            Some(if *sign == b'-' { -ms } else { ms })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_offsets_and_any_fraction_and_floors_to_the_millisecond() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-05-29T17:00:48.581Z", 1_780_074_048_581),
            ("2026-05-29T17:00:48.5819999999999999Z", 1_780_074_048_581),
            ("2026-05-29t19:00:48.5+02:00", 1_780_074_048_500),
            ("2026-05-29 11:30:48-05:30", 1_780_074_048_000),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("1969-12-31T23:59:59.0001Z", -1_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("2000-02-29T00:00:00-00:00", 951_782_400_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_rfc_3339_time() {
        for text in [
            "",
            "yesterday",
            "2026-05-29",
            "2026-05-29T17:00:48",
            "2026-05-29T17:00Z",
            "2026-05-29T17:00:48.Z",
            "2026-05-29T17:00:48,5Z",
            "2026-05-29T17:00:48+0200",
            "2026-05-29T17:00:48+02",
            "2026-05-29T17:00:48+24:00",
            "2026-05-29T24:00:00Z",
            "2026-05-29T17:60:00Z",
            "2026-05-29T17:00:60Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-05-29T17:00:48Zulu",
            "20260529T170048Z",
            " 2026-05-29T17:00:48Z",
            "1780074048581",
            "२०२६-05-29T17:00:48Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(ms in -62_000_000_000_000i64..253_000_000_000_000, nanos in 0i32..1_000_000, offset in -23i32..=23) {
            let at = jiff::Timestamp::new(ms.div_euclid(1_000), 0).unwrap()
                + jiff::SignedDuration::new(0, ms.rem_euclid(1_000) as i32 * 1_000_000 + nanos);
            let zone = jiff::tz::Offset::from_hours(offset as i8).unwrap();
            let text = at.display_with_offset(zone).to_string();
            prop_assert_eq!(parse(&text), Some(ms), "{}", text);
        }
    }
}
