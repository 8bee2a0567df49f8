//! Event time: milliseconds since the Unix epoch, panes and the two roundings the contract uses.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Milliseconds since the Unix epoch, in event time unless a name says otherwise.
pub type Ms = i64;

/// The length of a pane, and the distance between two boundaries.
pub const PANE_MS: Ms = 10_000;
pub const SECOND_MS: Ms = 1_000;
pub const MINUTE_MS: Ms = 60_000;
pub const HOUR_MS: Ms = 3_600_000;
pub const DAY_MS: Ms = 86_400_000;

/// What the clocks of the machine show, for those who are told and do not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Of the day, since the Unix epoch. Somebody may set it: it measures nothing.
    pub wall_ms: Ms,
    /// Since some moment of its own, and always forward: how long something took or has to wait.
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

/// The first boundary behind a time.
pub fn boundary_behind(time_ms: Ms) -> Ms {
    floor_to(time_ms, PANE_MS) + PANE_MS
}

/// The boundary at which an event becomes visible: `floor_10s(max(t, w)) + 10 s`.
#[inline]
pub fn visible_boundary(time_ms: Ms, watermark_ms: Option<Ms>) -> Ms {
    let at = watermark_ms.map_or(time_ms, |w| w.max(time_ms));
    floor_to(at, PANE_MS) + PANE_MS
}

/// A moment that leaves tailburn: RFC 3339 UTC with milliseconds for people, an integer of
/// microseconds (`timestamp-micros`) where the format is not human-readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Ms);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
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
            let t: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
            Ok(Moment(t.as_millisecond()))
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
}
