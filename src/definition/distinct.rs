//! An SLO that counts users, each once (contract, section 11).

use super::annotations::Settings;
use super::cursor::Cursor;
use super::error::Report;
use crate::model::period::Method;
use crate::model::slo::Slo;
use crate::model::time::DAY_MS;

/// Takes away what an SLO about users has not, and refuses what has no meaning, or no figures yet.
pub(super) fn settle(slo: &mut Slo, at: &Cursor<'_>, settings: &Settings<'_>, report: &mut Report) {
    if !slo.counts_users() {
        return;
    }
    if slo.method != Method::Occurrences {
        at.error(report, "users are counted over whole windows, not by slices", "write budgetingMethod: Occurrences");
    }
    if slo.period.calendar().is_some() {
        let remedy = "write a rolling window, as in {duration: 28d, isRolling: true}";
        at.error(report, "users of a calendar's period are not counted yet", remedy);
    }
    if let Some((_, windows)) = &settings.user_windows {
        windows.error(report, "an SLO that counts users has no distribution over them", "leave it out");
    }
    // Rows are kept as long as the longest user window asks for them, and every status has a window of three days. The
    // figures of this one are not shown.
    slo.user_windows_ms = vec![slo.period.nominal_ms().max(3 * DAY_MS)];
    (slo.tail_alerts, slo.forecast_alerts) = (None, None);
    (slo.cohorts, slo.budget_rule) = (false, false);
}
