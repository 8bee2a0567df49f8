//! An SLO that counts users, each once (contract, section 11).

use super::annotations::Settings;
use super::cursor::Cursor;
use super::error::Report;
use crate::model::period::Method;
use crate::model::slo::Slo;
use crate::model::time::DAY_MS;

/// Takes away what an SLO about users has not, and refuses what has no meaning.
pub(super) fn settle(slo: &mut Slo, at: &Cursor<'_>, settings: &Settings<'_>, report: &mut Report) {
    if !slo.counts_users() {
        return;
    }
    if slo.method != Method::Occurrences {
        at.error(report, "users are counted over whole windows, not by slices", "write budgetingMethod: Occurrences");
    }
    if let Some((_, windows)) = &settings.user_windows {
        windows.error(report, "an SLO that counts users has no distribution over them", "leave it out");
    }
    // Rows are kept as long as the longest user window asks for them, and every status has a window of three days. The
    // figures of this one are not shown.
    let kept_ms = match slo.period.calendar() {
        // A late event may be of the period before. Of two periods one is longer than its unit's nominal length.
        Some(_) => slo.period.nominal_ms() * 2 + slo.period.nominal_ms() / 10,
        None => slo.period.nominal_ms(),
    };
    slo.user_windows_ms = vec![kept_ms.max(3 * DAY_MS)];
    (slo.tail_alerts, slo.forecast_alerts) = (None, None);
    (slo.cohorts, slo.budget_rule) = (false, false);
}
