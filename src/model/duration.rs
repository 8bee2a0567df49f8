//! Durations as people write them (`10s`, `5m`, `1h30m`, `28d`, `4w`), and as tailburn prints them: windows and
//! settings in their largest whole unit ([`print()`]), lengths of time in sentences in at most two units ([`words`]).

use super::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, SECOND_MS};

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("an empty duration: write a number and a unit, as in 30s, 5m, 1h, 28d")]
    Empty,
    #[error("`{0}` is not a duration: write a number and a unit (ms, s, m, h, d, w), as in 30s, 5m, 1h, 28d")]
    Malformed(String),
    #[error("`{0}` is longer than a duration can be")]
    TooLong(String),
}

/// Parses `10s`, `5m`, `1h30m`, `28d`, `4w`, `200ms`.
///
/// `m` is minutes: months (`M`), quarters (`Q`) and years (`Y`) are calendar periods, not durations.
pub fn parse(text: &str) -> Result<Ms, DurationError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(DurationError::Empty);
    }
    let malformed = || DurationError::Malformed(text.to_owned());
    let mut rest = trimmed;
    let mut total: Ms = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
        let amount: Ms = rest[..digits].parse().map_err(|_| malformed())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit_ms = match &rest[..unit] {
            "ms" => 1,
            "s" => SECOND_MS,
            "m" => MINUTE_MS,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            "w" => 7 * DAY_MS,
            _ => return Err(malformed()),
        };
        rest = &rest[unit..];
        total = amount
            .checked_mul(unit_ms)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
    }
    Ok(total)
}

/// Prints a duration in its largest whole unit: `24h` is `1d`, `90m` stays `90m`.
pub fn print(duration_ms: Ms) -> String {
    for (unit_ms, unit) in [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s")] {
        if duration_ms != 0 && duration_ms % unit_ms == 0 {
            return format!("{}{unit}", duration_ms / unit_ms);
        }
    }
    if duration_ms == 0 { "0s".to_owned() } else { format!("{duration_ms}ms") }
}

/// A length of time for a sentence, rounded to at most two units: `39 min 10 s`, `1 h 30 min`, `3 d 2 h`.
pub fn words(duration_ms: Ms) -> String {
    in_two_units(duration_ms, [(DAY_MS, " d"), (HOUR_MS, " h"), (MINUTE_MS, " min"), (SECOND_MS, " s")])
}

/// The same, shorter: `39m 10s`, `1h 30m`, `3d 2h`.
pub fn short_words(duration_ms: Ms) -> String {
    in_two_units(duration_ms, [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s")])
}

fn in_two_units(duration_ms: Ms, units: [(Ms, &str); 4]) -> String {
    let length_ms = duration_ms.saturating_abs();
    if length_ms < SECOND_MS {
        return format!("{length_ms} ms");
    }
    // 59 min 59.6 s rounds to 1 h, so the units are chosen after rounding.
    let rounded_ms = units
        .windows(2)
        .find(|pair| length_ms >= pair[0].0)
        .map_or_else(|| round_to(length_ms, SECOND_MS), |pair| round_to(length_ms, pair[1].0));
    let mut parts = Vec::with_capacity(2);
    let mut rest_ms = rounded_ms;
    for (unit_ms, unit) in units.into_iter().skip_while(|(unit_ms, _)| rounded_ms < *unit_ms).take(2) {
        let count = rest_ms / unit_ms;
        rest_ms %= unit_ms;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    parts.join(" ")
}

fn round_to(length_ms: Ms, unit_ms: Ms) -> Ms {
    length_ms.saturating_add(unit_ms / 2) / unit_ms * unit_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_a_length_of_time_in_at_most_two_units() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (20 * SECOND_MS, "20 s"),
            (59_600, "1 min"),
            (2_350 * SECOND_MS, "39 min 10 s"),
            (HOUR_MS - 400, "1 h"),
            (90 * MINUTE_MS, "1 h 30 min"),
            (HOUR_MS + 29 * SECOND_MS, "1 h"),
            (86_660 * SECOND_MS, "1 d"),
            (DAY_MS - SECOND_MS, "1 d"),
            (3 * DAY_MS + 90 * MINUTE_MS, "3 d 2 h"),
            (400 * DAY_MS, "400 d"),
            (-2_350 * SECOND_MS, "39 min 10 s"),
        ] {
            assert_eq!(words(ms), text, "{ms}");
        }
        let short = [2_350, 20, 86_660, 93_600, 3_600].map(|seconds| short_words(seconds * SECOND_MS));
        assert_eq!(short, ["39m 10s", "20s", "1d", "1d 2h", "1h"]);
        assert!(words(Ms::MAX).ends_with(" h"), "no overflow: {}", words(Ms::MAX));
    }

    #[test]
    fn parses_what_people_write() {
        assert_eq!(parse("1h30m"), Ok(90 * MINUTE_MS));
        assert_eq!(parse(" 28d "), Ok(28 * DAY_MS));
        assert_eq!(parse("200ms"), Ok(200));
        assert_eq!(parse("4w"), Ok(28 * DAY_MS));
    }

    #[test]
    fn refuses_what_is_no_duration() {
        assert_eq!(parse(""), Err(DurationError::Empty));
        for bad in ["5", "m", "5x", "1M", "-5m", "5m3"] {
            assert_eq!(parse(bad), Err(DurationError::Malformed(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn prints_the_largest_whole_unit() {
        for (ms, text) in [(24 * HOUR_MS, "1d"), (90 * MINUTE_MS, "90m"), (1_500, "1500ms"), (0, "0s")] {
            assert_eq!(print(ms), text);
        }
    }
}
