//! Which windows are possible: whole slices, and not longer than the history's retention.

use super::cursor::Cursor;
use super::error::Report;
use crate::model::duration;
use crate::model::time::{DAY_MS, Ms, slice_ms};

/// The retention of the history topic.
pub(super) const LONGEST_MS: Ms = 400 * DAY_MS;

/// The window if it is possible; otherwise the reason is reported.
pub(super) fn check(at: &Cursor<'_>, window_ms: Ms, report: &mut Report) -> Option<Ms> {
    let slice_ms = slice_ms(window_ms);
    if window_ms <= 0 {
        at.error(report, "a window must be longer than 0", "write at least 10s");
    } else if window_ms > LONGEST_MS {
        let message = format!("a window of {} is too long", duration::print(window_ms));
        at.error(report, message, format!("the longest is {}", duration::print(LONGEST_MS)));
    } else if window_ms % slice_ms != 0 {
        let message = format!("a window of {} is not a multiple of its slice", duration::print(window_ms));
        let below = window_ms - window_ms % slice_ms;
        let near = if below > 0 { below } else { slice_ms };
        let remedy = format!(
            "windows of this length are made of {}: write {}",
            duration::print(slice_ms),
            duration::print(near)
        );
        at.error(report, message, remedy);
    } else {
        return Some(window_ms);
    }
    None
}
