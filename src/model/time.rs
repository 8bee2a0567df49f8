//! Event time: milliseconds since the Unix epoch, panes, and the contract's two roundings.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Milliseconds since the Unix epoch, in event time unless a name says otherwise.
pub type Ms = i64;

/// The length of a pane, and the distance between two boundaries.
pub const PANE_MS: Ms = 10_000;
pub const SECOND_MS: Ms = 1_000;
pub const MINUTE_MS: Ms = 60_000;
pub const HOUR_MS: Ms = 3_600_000;
pub const DAY_MS: Ms = 86_400_000;

/// The readings of the machine's clocks, passed to code that must not read a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, since the Unix epoch. It may be set, so it must not measure durations.
    pub wall_ms: Ms,
    /// Monotonic clock, for durations and waiting.
    pub steady_ms: Ms,
}

/// The largest multiple of `step_ms` that is not above `t`.
#[inline]
pub const fn floor_to(t: Ms, step_ms: Ms) -> Ms {
    t - t.rem_euclid(step_ms)
}

/// The smallest multiple of `step_ms` that is not below `t`.
#[inline]
pub const fn ceil_to(t: Ms, step_ms: Ms) -> Ms {
    let rest = t.rem_euclid(step_ms);
    if rest == 0 { t } else { t - rest + step_ms }
}

/// The slice length of a window (contract, section 4).
pub const fn slice_ms(window_ms: Ms) -> Ms {
    if window_ms <= 10 * MINUTE_MS {
        PANE_MS
    } else if window_ms <= 2 * HOUR_MS {
        MINUTE_MS
    } else if window_ms <= 12 * HOUR_MS {
        5 * MINUTE_MS
    } else if window_ms <= 3 * DAY_MS {
        HOUR_MS
    } else if window_ms <= 31 * DAY_MS {
        6 * HOUR_MS
    } else {
        DAY_MS
    }
}

/// The start of a window at the boundary `t`: `ceil_s(t - W)`.
pub const fn window_start(t: Ms, window_ms: Ms) -> Ms {
    ceil_to(t - window_ms, slice_ms(window_ms))
}

/// The first boundary at which what begins at a time is no longer in a window.
pub fn leaves_window_ms(begin_ms: Ms, window_ms: Ms) -> Ms {
    boundary_behind(floor_to(begin_ms, slice_ms(window_ms)) + window_ms)
}

/// The first boundary after a time.
pub fn boundary_behind(time_ms: Ms) -> Ms {
    floor_to(time_ms, PANE_MS) + PANE_MS
}

/// The boundary at which an event becomes visible: `floor_10s(max(t, w)) + 10 s`.
#[inline]
pub fn visible_boundary(time_ms: Ms, watermark_ms: Option<Ms>) -> Ms {
    let at = watermark_ms.map_or(time_ms, |w| w.max(time_ms));
    floor_to(at, PANE_MS) + PANE_MS
}

/// A time in an output: RFC 3339 UTC with milliseconds for people, an integer of microseconds (`timestamp-micros`)
/// where the format is not human-readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Ms);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => self.write_beyond(f),
        }
    }
}

/// The calendar repeats itself after 400 years.
const CYCLE_YEARS: i64 = 400;
const CYCLE_MS: Ms = 146_097 * DAY_MS;

impl Moment {
    /// A time beyond the library's range: from the last two hours of the year 9999 on. A year with more than four
    /// digits has a sign and at least six digits, as in ISO 8601.
    #[cold]
    fn write_beyond(self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let within = jiff::Timestamp::from_millisecond(self.0.rem_euclid(CYCLE_MS)).map_err(|_| std::fmt::Error)?;
        let text = format!("{within:.3}");
        let (year, rest) = text.split_once('-').ok_or(std::fmt::Error)?;
        let year = year.parse::<i64>().map_err(|_| std::fmt::Error)? + CYCLE_YEARS * self.0.div_euclid(CYCLE_MS);
        if (0..10_000).contains(&year) { write!(f, "{year:04}-{rest}") } else { write!(f, "{year:+07}-{rest}") }
    }

    /// Reads what [`Moment::write_beyond`] wrote.
    #[cold]
    fn read_beyond(text: &str) -> Option<Moment> {
        let (year, rest) = text.split_at_checked(text.len().checked_sub("-12-31T23:59:59.999Z".len())?)?;
        let year: i64 = year.parse().ok()?;
        let cycles = (year - 1970).div_euclid(CYCLE_YEARS);
        let within: jiff::Timestamp = format!("{:04}{rest}", year - CYCLE_YEARS * cycles).parse().ok()?;
        Some(Moment(within.as_millisecond().checked_add(cycles.checked_mul(CYCLE_MS)?)?))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0 * 1_000)
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
            match text.parse::<jiff::Timestamp>() {
                Ok(t) => Ok(Moment(t.as_millisecond())),
                Err(e) => Moment::read_beyond(&text).ok_or_else(|| D::Error::custom(e)),
            }
        } else {
            Ok(Moment(i64::deserialize(deserializer)?.div_euclid(1_000)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_towards_the_past_and_the_future_also_before_the_epoch() {
        assert_eq!(floor_to(-1, 10), -10);
        assert_eq!(ceil_to(-1, 10), 0);
        assert_eq!(ceil_to(20, 10), 20);
        assert_eq!(floor_to(29, 10), 20);
    }

    #[test]
    fn an_event_is_visible_at_the_boundary_after_the_later_of_its_time_and_the_watermark() {
        assert_eq!(visible_boundary(10_000, None), 20_000);
        assert_eq!(visible_boundary(9_999, Some(5_000)), 10_000);
        assert_eq!(visible_boundary(1, Some(25_000)), 30_000);
    }

    #[test]
    fn prints_milliseconds_always() {
        assert_eq!(Moment(1_780_074_060_000).to_string(), "2026-05-29T17:01:00.000Z");
        assert_eq!(
            serde_json::to_string(&Moment(1_780_074_060_007)).ok().as_deref(),
            Some("\"2026-05-29T17:01:00.007Z\"")
        );
    }

    #[test]
    fn times_print_as_times_to_the_end_of_the_year_9999_and_beyond() {
        for (ms, text) in [
            (253_402_207_200_000, "9999-12-30T22:00:00.000Z"),
            (253_402_207_201_000, "9999-12-30T22:00:01.000Z"),
            (253_402_297_199_001, "9999-12-31T22:59:59.001Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (253_405_454_400_000, "+010000-02-06T12:00:00.000Z"),
            (12_622_780_799_999 + 253_402_300_800_000, "+010399-12-31T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Moment(ms).to_string(), text);
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::from_str::<Moment>(&json).ok(), Some(Moment(ms)), "{text}");
        }
        assert!(Moment(i64::MAX).to_string().starts_with("+2922789"));
        assert!(Moment(i64::MIN).to_string().starts_with("-292275"));
        for text in ["", "\u{e4}-12-31T23:59:59.999Z", "99999999999999999999-12-31T23:59:59.999Z", "yesterday"] {
            assert!(serde_json::from_str::<Moment>(&format!("\"{text}\"")).is_err(), "{text}");
        }
    }
}
