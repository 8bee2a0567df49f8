//! Boundaries, slices, durations and the visibility of an event, from section 3 of the contract.
//!
//! It knows nothing about keys or windows, and reads no clock.

pub const SECOND_MS: i64 = 1_000;
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
pub const PANE_MS: i64 = 10 * SECOND_MS;

pub fn floor_to(time_ms: i64, step_ms: i64) -> i64 {
    time_ms.div_euclid(step_ms) * step_ms
}

pub fn ceil_to(time_ms: i64, step_ms: i64) -> i64 {
    -floor_to(-time_ms, step_ms)
}

/// The slice of a window: section 4.
pub fn slice_of(window_ms: i64) -> i64 {
    match window_ms {
        w if w <= 10 * MINUTE_MS => PANE_MS,
        w if w <= 2 * HOUR_MS => MINUTE_MS,
        w if w <= 12 * HOUR_MS => 5 * MINUTE_MS,
        w if w <= 3 * DAY_MS => HOUR_MS,
        w if w <= 31 * DAY_MS => 6 * HOUR_MS,
        _ => DAY_MS,
    }
}

pub fn window_start(at_ms: i64, window_ms: i64) -> i64 {
    ceil_to(at_ms - window_ms, slice_of(window_ms))
}

pub fn parse_duration(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit_ms = match unit {
        "ms" => 1,
        "s" => SECOND_MS,
        "m" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => DAY_MS,
        "w" => 7 * DAY_MS,
        _ => return Err(format!("{text:?} is no duration")),
    };
    number.parse::<i64>().map(|n| n * unit_ms).map_err(|e| format!("{text:?}: {e}"))
}

/// In its largest whole unit, as in the contract.
pub fn print_duration(duration_ms: i64) -> String {
    for (unit_ms, unit) in [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s")] {
        if duration_ms % unit_ms == 0 {
            return format!("{}{unit}", duration_ms / unit_ms);
        }
    }
    format!("{duration_ms}ms")
}

pub fn print_time(time_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(time_ms).expect("a time of the traffic is within jiff's range");
    format!("{time:.3}")
}

/// The facts from an event's arrival, before any SLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub visible_ms: i64,
    pub late: bool,
    /// How far it is behind its partition's watermark; an SLO drops events above its allowed lateness.
    pub behind_ms: i64,
}

/// One input partition: its watermark moves with every record that is not a dead letter.
#[derive(Default)]
pub struct Partition {
    watermark_ms: Option<i64>,
}

impl Partition {
    pub fn arrive(&mut self, time_ms: i64, out_of_orderness_ms: i64) -> Arrival {
        let watermark_ms = self.watermark_ms;
        let behind_ms = watermark_ms.map_or(0, |w| (w - time_ms).max(0));
        let shown_ms = watermark_ms.map_or(time_ms, |w| w.max(time_ms));
        let moved_ms = time_ms - out_of_orderness_ms;
        self.watermark_ms = Some(watermark_ms.map_or(moved_ms, |w| w.max(moved_ms)));
        Arrival { visible_ms: floor_to(shown_ms, PANE_MS) + PANE_MS, late: behind_ms > 0, behind_ms }
    }
}
