//! The metrics, each a constant with a description. Prometheus' conventions: base units last, counters end in `_total`.
//! Labels are few and bounded: verdict, reason, topic, partition, slo. Each metric names its labels here, and a test holds
//! rules and dashboards to them.

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
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Declares the constants and the list of all of them together, so that none lacks a description.
macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal [$($label:literal),*], $help:literal;)*) => {
        $($(#[$doc])* pub const $constant: &str = $name;)*

        /// Every metric, in the order of this file.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help }),*];
    };
}

metrics! {
    /// Always 1; the label says what runs.
    BUILD = Gauge "tailburn_build_info" ["version"], "1, with the version of this build.";
    EVENTS = Counter "tailburn_events_total" ["verdict"],
        "Events by verdict: accepted, excluded and unclassified of every SLO; late and late_dropped of records.";
    DEAD_LETTERS = Counter "tailburn_dead_letters_total" ["reason"],
        "Input records that could not become events, by reason.";
    UNREADABLE_FIELDS = Counter "tailburn_unreadable_fields_total" ["field"],
        "Events that count without a field because its value could not be read or is over its size limit, by field.";
    RECORDS_READ = Counter "tailburn_records_read_total" ["topic"], "Records read, by topic.";
    BYTES_READ = Counter "tailburn_read_bytes_total" ["topic"], "Bytes of the records read, by topic.";
    RECORDS_WRITTEN = Counter "tailburn_records_written_total" ["topic"], "Records published, by topic.";
    BYTES_WRITTEN = Counter "tailburn_written_bytes_total" ["topic"], "Bytes of the records published, by topic.";
    INPUT_LAG = Gauge "tailburn_input_lag_records" ["topic", "partition"],
        "Records of an input partition that are not read yet.";
    WATERMARK = Gauge "tailburn_watermark_timestamp_seconds" ["topic", "partition"],
        "The watermark of an input partition, in event time.";
    IDLE = Gauge "tailburn_input_idle" ["topic", "partition"],
        "1 if an input partition is passed over because it is idle, else 0.";
    /// Absent while no partition is behind another one.
    HELD_BACK = Gauge "tailburn_held_back_seconds" ["topic", "partition", "reason"],
        "How far the input partition that holds T back is behind the furthest one, in event time, and why.";
    HELD_BACK_SINCE = Gauge "tailburn_held_back_since_timestamp_seconds" ["topic", "partition"],
        "Since when this input partition has been the one that holds T back, by the wall clock.";
    EVALUATED = Gauge "tailburn_evaluated_timestamp_seconds" [], "The last boundary that was evaluated, in event time.";
    EVALUATION_LAG = Gauge "tailburn_evaluation_lag_seconds" [],
        "How far the last evaluated boundary is behind the wall clock.";
    COMMIT_DURATION = Histogram "tailburn_commit_duration_seconds" [],
        "How long a transaction took, from its flush to its end.";
    /// `outcome`: committed, aborted.
    COMMITS = Counter "tailburn_commits_total" ["outcome"], "Transactions, by how they ended.";
    CHECKPOINT_AGE = Gauge "tailburn_checkpoint_age_seconds" [], "The age of the oldest key group's checkpoint.";
    CHANGELOG_BYTES = Counter "tailburn_changelog_written_bytes_total" [], "Bytes of state written to the changelog.";
    TASKS = Gauge "tailburn_tasks" ["state"], "Tasks of this instance, by state (restoring, replaying, live).";
    RESTORE_REMAINING = Gauge "tailburn_restore_remaining_records" [],
        "Records that tasks of this instance still have to read before they are live: of the changelog, then of their streams.";
    /// `kind`: users, rollup.
    ROWS = Gauge "tailburn_state_rows" ["kind"], "State rows in memory, by kind of task.";
    /// `place`: memory (caches and buffers of the store), disk.
    STATE_BYTES = Gauge "tailburn_state_bytes" ["place"], "Bytes of the local stores of this instance, by place.";
    KEYS = Gauge "tailburn_keys" ["slo"], "Keys with a status, by SLO.";
    ALERTS_FIRING = Gauge "tailburn_alerts_firing" ["slo", "severity"], "Burn-rate alerts that fire, by SLO and severity.";
    /// Figures of the aggregate, so that a dashboard needs no other source. A null figure is left out.
    SLI = Gauge "tailburn_slo_sli_ratio" ["slo"], "The SLI of the aggregate over the compliance window.";
    OBJECTIVE = Gauge "tailburn_slo_objective_ratio" ["slo"], "The objective.";
    BUDGET_REMAINING = Gauge "tailburn_slo_budget_remaining_ratio" ["slo"],
        "The share of the aggregate's error budget that is left.";
    BURN_RATE = Gauge "tailburn_slo_burn_rate" ["slo", "window"], "The burn rate of the aggregate, by window.";
    USERS_BELOW_OBJECTIVE = Gauge "tailburn_slo_users_below_objective" ["slo"],
        "Users served below the objective, over the longest user window.";
    STATE = Gauge "tailburn_slo_state" ["slo", "state"],
        "1 for the state of the aggregate (ok, at_risk, breached, no_data), else 0.";
    COVERAGE = Gauge "tailburn_slo_coverage_ratio" ["slo", "window"],
        "The share of a window in which the aggregate was observed.";
    OVERFLOW = Gauge "tailburn_slo_overflow" ["slo", "limit"],
        "1 where an SLO has more groups, tenants or canary candidates than their limit, so that some have no key of their own, else 0.";
    STATUS_TIMESTAMP = Gauge "tailburn_slo_status_timestamp_seconds" ["slo"],
        "The time, in event time, of the status that these figures are from.";
    /// Of candidates: only in answers of `/api/v1/query`, because candidates come and go.
    CANARY_VERDICT = Gauge "tailburn_canary_verdict" ["slo", "candidate", "verdict"],
        "1 for the latest verdict on a candidate (pass, fail, inconclusive), else 0.";
    CANARY_BURN_RATE = Gauge "tailburn_canary_burn_rate" ["slo", "candidate"],
        "The burn rate of a candidate since its start.";
    CANARY_SLI = Gauge "tailburn_canary_sli_ratio" ["slo", "candidate"], "The SLI of a candidate since its start.";
    CANARY_REQUESTS = Gauge "tailburn_canary_requests" ["slo", "candidate"], "Events of a candidate since its start.";
    /// `outcome`: delivered, refused, failed.
    NOTIFICATIONS = Counter "tailburn_notifications_total" ["receiver", "outcome"],
        "Requests to the receivers of notifications, by how they ended.";
    NOTIFICATIONS_NOT_SENT = Counter "tailburn_notifications_not_sent_total" ["receiver", "reason"],
        "News that a receiver was not told of, or not yet, by reason: refused, given_up and too_old are losses.";
    NOTIFY_OPEN = Gauge "tailburn_notify_open_records" [], "Records that some receiver still has to hear of.";
    NOTIFY_FIRING = Gauge "tailburn_notify_firing" [], "Alerts, cohorts and canaries that fire, as notify knows them.";
    /// Keys that found no room on the HTTP board.
    BOARD_OVERFLOWED = Gauge "tailburn_http_keys_not_shown" [], "Keys with a status that the HTTP API does not hold.";
    BOARD_BEHIND = Gauge "tailburn_http_behind" [],
        "1 while the HTTP API does not have all that was published: it reads what is there, or cannot read the topics; else 0.";
    HISTORY_BYTES = Gauge "tailburn_http_history_bytes" [], "Bytes of hourly points that the HTTP API holds.";
    VIEWERS = Gauge "tailburn_http_viewers" [], "Clients that follow /api/v1/events now.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_keep_prometheus_conventions() {
        for Metric { name, kind, help, labels } in ALL {
            assert!(
                name.starts_with("tailburn_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(*kind == Kind::Histogram, name.ends_with("_duration_seconds"), "{name}");
            assert!(help.ends_with('.') && !name.contains("user_id") && !labels.contains(&"user"), "{name}");
        }
    }

    #[test]
    fn no_name_stands_twice() {
        assert_eq!(ALL.iter().map(|m| m.name).collect::<BTreeSet<_>>().len(), ALL.len());
    }
}
