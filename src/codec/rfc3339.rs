//! RFC 3339 times, and similar ones that programs print, to milliseconds since the epoch (floored).
//!
//! Also accepted, because they are unambiguous: a time without seconds (java.time leaves out `:00`), an offset without
//! colon or minutes, a comma before the fraction, and suffixes in brackets after the offset (RFC 9557: a zone, a
//! calendar; the offset decides). Refused: only a date, a missing offset, hour 24, a week date. Any number of fraction
//! digits is read and floored to milliseconds, also before 1970. A leap second is read as the second after it.

use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, SECOND_MS};

/// Parses `2026-05-29T17:00:48.581Z`; `None` if the text is not such a time.
pub fn parse(text: &str) -> Option<Ms> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked(16)?;
    if head[4] != b'-' || head[7] != b'-' || !matches!(head[10], b'T' | b't' | b' ') || head[13] != b':' {
        return None;
    }
    let day_ms = days_since_epoch(digits(&head[0..4])?, digits(&head[5..7])?, digits(&head[8..10])?)? * DAY_MS;
    let (clock_ms, rest) = match rest {
        [b':', _, _, rest @ ..] => {
            let (fraction_ms, rest) = fraction(rest)?;
            (clock_ms(&bytes[11..19])? + fraction_ms, rest)
        }
        _ => (offset_part_ms(&head[11..13], &head[14..16])?, rest),
    };
    Some(day_ms + clock_ms - offset_ms(without_suffixes(rest)?)?)
}

/// What a text lacks that is nearly a time, and what to do about it.
#[cold]
pub fn why_not(text: &str) -> Option<String> {
    let trimmed = text.trim_ascii();
    if parse(trimmed).is_some() {
        return Some("; blanks stand around it".to_owned());
    }
    let bare = without_suffixes(trimmed.as_bytes()).and_then(|bare| trimmed.get(..bare.len()))?;
    let is_time = |text: String| parse(&text).is_some() || parse(&format!("{text}Z")).is_some();
    if is_time(bare.to_owned()) {
        let zone = if bare.len() < trimmed.len() { " (a zone in brackets must follow one)" } else { "" };
        return Some(format!("; it has no offset from UTC{zone}: have it written with `Z` or `+02:00`"));
    }
    if is_time(format!("{bare}T00:00")) {
        return Some("; it is a day without a time".to_owned());
    }
    let (day, behind) = (bare.get(..11)?, bare.get(11..)?.strip_prefix("24")?);
    is_time(format!("{day}00{behind}")).then(|| "; there is no hour 24: the day ends at 00:00 of the next".to_owned())
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if there is no such date.
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

/// A run of decimal digits; `None` if any byte is something else.
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

/// The milliseconds of `.581999`, and the rest. Dropping digits is flooring: a fraction counts forward from its second
/// on both sides of the epoch.
fn fraction(rest: &[u8]) -> Option<(Ms, &[u8])> {
    let [b'.' | b',', rest @ ..] = rest else { return Some((0, rest)) };
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let kept = digits(&rest[..len.min(3)])?;
    Some((kept * [100, 10, 1][len.min(3) - 1], &rest[len..]))
}

/// Removes suffixes like `[Europe/Berlin]` or `[u-ca=hebrew]`; `None` if brackets do not match.
fn without_suffixes(offset: &[u8]) -> Option<&[u8]> {
    let mut rest = offset;
    while let [inside @ .., b']'] = rest {
        let open = inside.iter().rposition(|b| matches!(b, b'[' | b']'))?;
        if inside[open] != b'[' || open + 1 == inside.len() {
            return None;
        }
        rest = &inside[..open];
    }
    Some(rest)
}

fn offset_ms(offset: &[u8]) -> Option<Ms> {
    let (sign, ms) = match offset {
        [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, offset_part_ms(&[*h1, *h2], &[*m1, *m2])?),
        [sign, h1, h2] => (sign, offset_part_ms(&[*h1, *h2], b"00")?),
        _ => return None,
    };
    match sign {
        b'+' => Some(ms),
        b'-' => Some(-ms),
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
            // What java.time prints at a full minute, and jiff, Temporal and java.time with a zone.
            ("2026-05-29T17:00Z", 1_780_074_000_000),
            ("2026-05-29T13:00-04:00", 1_780_074_000_000),
            ("2026-05-29T13:00-04:00[America/New_York]", 1_780_074_000_000),
            ("2026-05-29T13:00:48.581-04:00[America/New_York]", 1_780_074_048_581),
            ("2026-05-29T17:00:48Z[UTC]", 1_780_074_048_000),
            ("2026-05-29T17:00:48Z[Etc/GMT+5]", 1_780_074_048_000),
            ("2026-05-29T19:00:48+02:00[!Europe/Berlin]", 1_780_074_048_000),
            ("2026-05-29T19:00:48+02:00[Europe/Berlin][u-ca=hebrew]", 1_780_074_048_000),
            ("2026-05-29T19:00:48+02:00[!Europe/Berlin][!u-ca=gregory][_x=y-z]", 1_780_074_048_000),
            // The offset decides, even if the zone has another one.
            ("2026-05-29T17:00:48+00:00[Europe/Berlin]", 1_780_074_048_000),
            ("2026-05-29T19:00:48+02:00[+02:00]", 1_780_074_048_000),
            // Python, Ruby, date(1), log4j and PostgreSQL.
            ("2026-05-29T17:00:48+0000", 1_780_074_048_000),
            ("2026-05-29T22:30:48+0530", 1_780_074_048_000),
            ("2026-05-29T17:00:48,581+0000", 1_780_074_048_581),
            ("2026-05-29 17:00:48.581999+00", 1_780_074_048_581),
            ("2026-05-29 13:00:48-04", 1_780_074_048_000),
            ("2026-05-29T13:00-04", 1_780_074_000_000),
            ("2026-05-29T13:00-0400", 1_780_074_000_000),
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
            "2026-05-29T17:00",
            "2026-05-29T17Z",
            "2026-05-29T17+02",
            "2026-05-29T17:00.5Z",
            "2026-05-29T17:00:Z",
            "2026-05-29T17:00:4Z",
            "2026-05-29T17:00:48.Z",
            "2026-05-29T17:00:48,Z",
            "2026-05-29T17:00:48+",
            "2026-05-29T17:00:48+2",
            "2026-05-29T17:00:48+020",
            "2026-05-29T17:00:48+02000",
            "2026-05-29T17:00:48+02:0",
            "2026-05-29T17:00:48*02:00",
            "2026-05-29T17:00:48+24:00",
            "2026-05-29T17:00:48+2400",
            "2026-05-29T17:00:48[Europe/Berlin]",
            "2026-05-29T17:00[Europe/Berlin]",
            "2026-05-29T17:00:48[Europe/Berlin]+02:00",
            "2026-05-29T17:00:48Z[]",
            "2026-05-29T17:00:48Z[Europe/Berlin",
            "2026-05-29T17:00:48ZEurope/Berlin]",
            "2026-05-29T17:00:48Z[[UTC]]",
            "2026-05-29T17:00:48Z[UTC]x",
            "2026-05-29T24:00Z",
            "2026-05-29T24:00:00+02:00",
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

    #[test]
    fn a_text_that_is_nearly_a_time_says_what_it_lacks() {
        for (text, lacks) in [
            ("2026-05-29T17:00:48", "no offset"),
            ("2026-05-29 17:00:48.581", "no offset"),
            ("2026-05-29T17:00", "no offset"),
            ("2026-05-29T17:00:48[Europe/Berlin]", "brackets"),
            ("2026-05-29T24:00:00Z", "hour 24"),
            ("2026-05-29T24:00+02:00", "hour 24"),
            ("2026-05-29T24:00:00", "hour 24"),
            ("2026-05-29", "a day"),
            (" 2026-05-29T17:00:48Z", "blanks"),
        ] {
            let told = why_not(text);
            assert!(told.as_ref().is_some_and(|told| told.contains(lacks)), "{text}: {told:?}");
        }
        for text in ["yesterday", "", "2026-02-30T17:00:48Z", "2026-05-29T17:60:48Z", "\u{e4}[", "]", "[x]"] {
            assert_eq!(why_not(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-0-9T:Z+, .\\[\\]\u{e4}a-z/]{0,40}") {
            let _ = (parse(&text), why_not(&text));
        }

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
