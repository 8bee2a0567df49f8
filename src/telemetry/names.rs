//! The metrics, each a constant with a description. Prometheus' conventions: base units last, counters end in `_total`.
//! Labels are few and bounded: verdict, reason, topic, partition, slo.

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// A histogram of seconds.
    Histogram,
}

/// A metric's description for the recorder.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

/// Declares the constants and the list of all of them together, so that none lacks a description.
macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal, $help:literal;)*) => {
        $($(#[$doc])* pub const $constant: &str = $name;)*

        /// Every metric, in the order of this file.
        pub const ALL: &[Metric] = &[$(Metric { name: $name, kind: Kind::$kind, help: $help }),*];
    };
}

metrics! {
    /// Label: `verdict`.
    EVENTS = Counter "tailburn_events_total",
        "Events by verdict: accepted, excluded and unclassified of every SLO; late and late_dropped of records.";
    /// Label: `reason`.
    DEAD_LETTERS = Counter "tailburn_dead_letters_total", "Input records that could not become events, by reason.";
    /// Label: `field`.
    UNREADABLE_FIELDS = Counter "tailburn_unreadable_fields_total",
        "Events that count without a field because its value could not be read or is over its size limit, by field.";
    /// Label: `topic`.
    RECORDS_READ = Counter "tailburn_records_read_total", "Records read, by topic.";
    /// Label: `topic`.
    BYTES_READ = Counter "tailburn_read_bytes_total", "Bytes of the records read, by topic.";
    /// Label: `topic`.
    RECORDS_WRITTEN = Counter "tailburn_records_written_total", "Records published, by topic.";
    /// Label: `topic`.
    BYTES_WRITTEN = Counter "tailburn_written_bytes_total", "Bytes of the records published, by topic.";
    /// Labels: `topic`, `partition`.
    INPUT_LAG = Gauge "tailburn_input_lag_records", "Records of an input partition that are not read yet.";
    /// Labels: `topic`, `partition`.
    WATERMARK = Gauge "tailburn_watermark_timestamp_seconds", "The watermark of an input partition, in event time.";
    /// Labels: `topic`, `partition`.
    IDLE = Gauge "tailburn_input_idle", "1 if an input partition is passed over because it is idle, else 0.";
    EVALUATED = Gauge "tailburn_evaluated_timestamp_seconds", "The last boundary that was evaluated, in event time.";
    EVALUATION_LAG = Gauge "tailburn_evaluation_lag_seconds", "How far the last evaluated boundary is behind the wall clock.";
    COMMIT_DURATION = Histogram "tailburn_commit_duration_seconds", "How long a transaction took, from its flush to its end.";
    /// Label: `outcome` (committed, aborted).
    COMMITS = Counter "tailburn_commits_total", "Transactions, by how they ended.";
    CHECKPOINT_AGE = Gauge "tailburn_checkpoint_age_seconds", "The age of the oldest key group's checkpoint.";
    CHANGELOG_BYTES = Counter "tailburn_changelog_written_bytes_total", "Bytes of state written to the changelog.";
    TASKS = Gauge "tailburn_tasks", "Tasks of this instance, by state (restoring, replaying, live).";
    /// Label: `kind` (users, rollup).
    ROWS = Gauge "tailburn_state_rows", "State rows in memory, by kind of task.";
    /// Label: `slo`.
    KEYS = Gauge "tailburn_keys", "Keys with a status, by SLO.";
    /// Labels: `slo`, `severity`.
    ALERTS_FIRING = Gauge "tailburn_alerts_firing", "Burn-rate alerts that fire, by SLO and severity.";
    /// Figures of the aggregate, so that a dashboard needs no other source. A null figure is left out. Label: `slo`.
    SLI = Gauge "tailburn_slo_sli_ratio", "The SLI of the aggregate over the compliance window.";
    /// Label: `slo`.
    OBJECTIVE = Gauge "tailburn_slo_objective_ratio", "The objective.";
    /// Label: `slo`.
    BUDGET_REMAINING = Gauge "tailburn_slo_budget_remaining_ratio", "The share of the aggregate's error budget that is left.";
    /// Labels: `slo`, `window`.
    BURN_RATE = Gauge "tailburn_slo_burn_rate", "The burn rate of the aggregate, by window.";
    /// Label: `slo`.
    USERS_BELOW_OBJECTIVE = Gauge "tailburn_slo_users_below_objective", "Users served below the objective, over the longest user window.";
    /// Labels: `slo`, `state`. 1 for the current state, else 0.
    STATE = Gauge "tailburn_slo_state", "1 for the state of the aggregate (ok, at_risk, breached, no_data), else 0.";
    /// Labels: `slo`, `window`.
    COVERAGE = Gauge "tailburn_slo_coverage_ratio", "The share of a window in which the aggregate was observed.";
    /// Label: `slo`.
    STATUS_TIMESTAMP = Gauge "tailburn_slo_status_timestamp_seconds", "The time, in event time, of the status that these figures are from.";
    /// Labels: `receiver`, `outcome` (delivered, refused, failed).
    NOTIFICATIONS = Counter "tailburn_notifications_total", "Requests to the receivers of notifications, by how they ended.";
    /// Labels: `receiver`, `reason`.
    NOTIFICATIONS_NOT_SENT = Counter "tailburn_notifications_not_sent_total",
        "News that a receiver was not told of, or not yet, by reason: refused, given_up and too_old are losses.";
    NOTIFY_OPEN = Gauge "tailburn_notify_open_records", "Records that some receiver still has to hear of.";
    NOTIFY_FIRING = Gauge "tailburn_notify_firing", "Alerts, cohorts and canaries that fire, as notify knows them.";
    /// Keys that found no room on the HTTP board.
    BOARD_OVERFLOWED = Gauge "tailburn_http_keys_not_shown", "Keys with a status that the HTTP API does not hold.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_keep_prometheus_conventions() {
        for Metric { name, kind, help } in ALL {
            assert!(
                name.starts_with("tailburn_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(*kind == Kind::Histogram, name.ends_with("_duration_seconds"), "{name}");
            assert!(help.ends_with('.') && !name.contains("user_id"), "{name}");
        }
    }

    #[test]
    fn no_name_stands_twice() {
        assert_eq!(ALL.iter().map(|m| m.name).collect::<BTreeSet<_>>().len(), ALL.len());
    }
}
