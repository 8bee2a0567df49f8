//! Times and lengths of time, by figures of other software: Go 1.26 (`time.ParseDuration`, `time.Parse`), `date -u`.

use super::moment::{Civil, Moment, Written, in_seconds, parse_length};
use super::time::Clock;

#[test]
fn reads_lengths_as_go_does() {
    for (text, nanos) in [
        ("0", Some(0)),
        ("-0", Some(0)),
        ("1h30m", Some(5_400_000_000_000)),
        ("1h1h", Some(7_200_000_000_000)),
        (".5s", Some(500_000_000)),
        ("1.s", Some(1_000_000_000)),
        ("-1.5h", Some(-5_400_000_000_000)),
        ("+3us2\u{b5}s1\u{3bc}s", Some(6_000)),
        ("0.3333333333333333333h", Some(1_200_000_000_000)),
        ("9007199254740993ns", Some(9_007_199_254_740_993)),
        ("9223372036854775807ns", Some(i64::MAX)),
        ("-9223372036854775808ns", Some(i64::MIN)),
        ("9223372036854775808ns", None),
        ("3000000h", None),
        ("1d", None),
        ("1h 30m", None),
        (" 1h", None),
        ("1", None),
        ("", None),
        ("-", None),
        (".s", None),
        ("1.2.3s", None),
        ("1H", None),
    ] {
        assert_eq!(parse_length(text), nanos, "{text}");
    }
}

#[test]
fn a_length_that_was_printed_is_the_same() {
    for nanos in [0, 1, -1, 5_400_000_000_000, 1_500_000_000, -86_399_999_999_999, i64::MAX, i64::MIN] {
        assert_eq!(parse_length(&Written(nanos).to_string()), Some(nanos), "{}", Written(nanos));
    }
    assert_eq!(Written(5_400_000_000_000).to_string(), "1h30m");
    assert_eq!(in_seconds(5_400_000_000_000), "5400s");
    assert_eq!(in_seconds(-1_500_000_000), "-1.5s");
}

#[test]
fn reads_rfc_3339_to_the_letter() {
    for (text, printed) in [
        ("2026-01-31T09:00:00Z", Some("2026-01-31T09:00:00Z")),
        ("2026-01-31T09:00:00.250+02:00", Some("2026-01-31T09:00:00.25+02:00")),
        ("2026-01-31T09:00:00-00:00", Some("2026-01-31T09:00:00Z")),
        ("2024-02-29T23:59:59.1234567899Z", Some("2024-02-29T23:59:59.123456789Z")),
        ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
        ("9999-12-31T23:59:59.999999999Z", Some("9999-12-31T23:59:59.999999999Z")),
        ("0001-01-01T00:00:00+00:01", None),
        ("9999-12-31T23:59:59-00:01", None),
        ("2023-02-29T00:00:00Z", None),
        ("1900-02-29T00:00:00Z", None),
        ("2026-01-31T09:00Z", None),
        ("2026-01-31T09:00:60Z", None),
        ("2026-01-31t09:00:00z", None),
        ("2026-01-31 09:00:00Z", None),
        ("2026-01-31T09:00:00", None),
        ("2026-01-31T09:00:00.Z", None),
        ("2026-01-31T09:00:00,5Z", None),
        ("2026-01-31T09:00:00+0200", None),
        ("2026-01-31T09:00:00+24:00", None),
        ("2026-1-31T09:00:00Z", None),
        ("2026-01-31T09:00:00Z ", None),
        ("\u{661}026-01-31T09:00:00Z", None),
    ] {
        assert_eq!(Moment::parse(text).map(|moment| moment.to_string()).as_deref(), printed, "{text}");
    }
}

#[test]
fn takes_seconds_apart_over_leap_days_and_year_ends() {
    for (seconds, year, month, day, of_year, of_week) in [
        (0, 1970, 1, 1, 0, 4),
        (-1, 1969, 12, 31, 364, 3),
        (951_782_400, 2000, 2, 29, 59, 2),
        (1_798_761_599, 2026, 12, 31, 364, 4),
        (1_735_603_200, 2024, 12, 31, 365, 2),
        (-62_135_596_800, 1, 1, 1, 0, 1),
        (253_402_300_799, 9999, 12, 31, 364, 5),
    ] {
        let civil = Civil::of(seconds);
        assert_eq!((civil.year, civil.month, civil.day), (year, month, day), "{seconds}");
        assert_eq!((civil.day_of_year, civil.day_of_week), (of_year, of_week), "{seconds}");
    }
}

#[test]
fn a_clock_is_a_name_to_the_letter_an_offset_or_utc() {
    for known in ["", "UTC", "Europe/Berlin", "US/Central", "+02:00", "02:00", "-00:30", "+2:0", "-23:59"] {
        assert!(Clock::parse(known).is_some(), "{known}");
    }
    for unknown in [
        "europe/berlin",
        "utc",
        "Z",
        "Local",
        "local",
        "+0200",
        "+2",
        "GMT+2",
        "24:00",
        "1:60",
        ":",
        "1:",
        "+-1:00",
        "Etc/Unknown",
        "Europe/Berlin ",
        "1:2:3",
    ] {
        assert!(Clock::parse(unknown).is_none(), "{unknown}");
    }
}
