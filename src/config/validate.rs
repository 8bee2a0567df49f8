//! Checks beyond the types of settings: `validate` finds errors, `advice` finds settings that work but deserve a second
//! look.

use super::error::Problem;
use super::settings::{InputFormat, Settings, UserIds};
use crate::model::duration;
use crate::model::properties;
use crate::model::record::Topic;
use crate::model::time::{DAY_MS, PANE_MS};

/// Kafka's own limit for the name of a topic.
const TOPIC_NAME_MAX: usize = 249;
const PARTITIONS_MAX: u32 = 10_000;
const WORKERS_MAX: u32 = 1_024;
const MEMORY_MIN_BYTES: u64 = 1 << 20;

impl Settings {
    /// All invalid settings, by key.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.validate_names(&mut problems);
        self.validate_kafka(&mut problems);
        self.validate_input(&mut problems);
        self.validate_durations(&mut problems);
        self.validate_numbers(&mut problems);
        self.validate_http(&mut problems);
        problems
    }

    fn validate_names(&self, problems: &mut Vec<Problem>) {
        if !is_topic_name(&self.application_id) || self.application_id.len() > 200 {
            let message = format!("`{}` is not a name for a consumer group and its topics", self.application_id);
            problems.push(Problem::new("application_id", message, "Use at most 200 letters, digits, `.`, `_`, `-`."));
        }
        let longest = Topic::OUTPUTS.iter().map(|t| t.name().len()).max().unwrap_or(0);
        let prefix = &self.output.prefix;
        if !prefix.chars().all(is_topic_char) || prefix.len() + longest > TOPIC_NAME_MAX {
            let message = format!("`{prefix}` cannot begin the name of a topic");
            problems.push(Problem::new(
                "output.prefix",
                message,
                "Use letters, digits, `.`, `_`, `-`, as in `tailburn.`.",
            ));
        }
        if self.slos.is_empty() {
            problems.push(Problem::new("slos", "names no file and no directory", "Write `slos: [slos]`."));
        }
    }

    fn validate_kafka(&self, problems: &mut Vec<Problem>) {
        for (property, message) in properties::refusals(&self.kafka.properties) {
            problems.push(Problem::new(format!("kafka.properties.{property}"), message, ""));
        }
        if !self.kafka.properties.contains_key("bootstrap.servers") {
            let remedy = "Write host:port, several with commas between them.";
            problems.push(Problem::new("kafka.properties.bootstrap.servers", "names no broker", remedy));
        }
    }

    fn validate_input(&self, problems: &mut Vec<Problem>) {
        let input = &self.input;
        if input.topics.is_empty() {
            problems.push(Problem::new("input.topics", "names no topic", "Write `topics: [request-outcomes]`."));
        }
        for (i, topic) in input.topics.iter().enumerate() {
            if !is_topic_name(topic) {
                let message = format!("`{topic}` is not the name of a topic");
                problems.push(Problem::new("input.topics", message, "Use letters, digits, `.`, `_`, `-`."));
            }
            if input.topics[..i].contains(topic) {
                problems.push(Problem::new(
                    "input.topics",
                    format!("`{topic}` is there twice"),
                    "Name each topic once.",
                ));
            }
            if Topic::OUTPUTS.iter().any(|t| format!("{}{}", self.output.prefix, t.name()) == *topic) {
                let message = format!("`{topic}` is one of tailburn's own outputs: it would read what it writes");
                problems.push(Problem::new("input.topics", message, "Change it, or `output.prefix`."));
            }
        }
        if input.avro_schema.is_some() && input.format != InputFormat::Avro {
            let message = "has no effect: `input.format` is not avro";
            problems.push(Problem::new("input.avro_schema", message, "Set `input.format: avro`, or take it out."));
        }
        if input.default_tenant.as_deref() == Some("") {
            problems.push(Problem::new("input.default_tenant", "is empty", "Name a tenant, or write null."));
        }
    }

    fn validate_durations(&self, problems: &mut Vec<Problem>) {
        let at_least = [
            ("output.status_interval", self.output.status_interval_ms, PANE_MS),
            ("output.tenant_status_interval", self.output.tenant_status_interval_ms, PANE_MS),
            ("state.commit_interval", self.state.commit_interval_ms, 1),
            ("state.checkpoint_interval", self.state.checkpoint_interval_ms, self.state.commit_interval_ms),
            ("input.idle_timeout", self.input.idle_timeout_ms, 1),
            ("input.max_alignment_wait", self.input.max_alignment_wait_ms, 1),
            ("input.dedup_horizon", self.input.dedup_horizon_ms.unwrap_or(1), 1),
        ];
        for (key, value_ms, min_ms) in at_least {
            if value_ms < min_ms {
                let message = format!("{} is too short", duration::print(value_ms));
                problems.push(Problem::new(key, message, format!("Write at least {}.", duration::print(min_ms))));
            }
        }
        // It is bounded by the allowed lateness of SLOs, which is at most 7 d.
        if let Some(horizon) = self.input.dedup_horizon_ms.filter(|h| *h > 7 * DAY_MS) {
            let message = format!("{} is longer than any allowed lateness", duration::print(horizon));
            problems.push(Problem::new("input.dedup_horizon", message, "Write at most 7d."));
        }
    }

    fn validate_numbers(&self, problems: &mut Vec<Problem>) {
        let within = [
            ("partitions.users", self.partitions.users, PARTITIONS_MAX),
            ("partitions.users_per_tenant", self.partitions.users_per_tenant, PARTITIONS_MAX),
            ("partitions.rollup", self.partitions.rollup, PARTITIONS_MAX),
            ("workers", self.workers, WORKERS_MAX),
            ("limits.groups", self.limits.groups, u32::MAX),
            ("limits.tenants", self.limits.tenants, u32::MAX),
        ];
        for (key, value, max) in within {
            if value == 0 || value > max {
                problems.push(Problem::new(key, format!("{value} is out of range"), format!("Write 1 to {max}.")));
            }
        }
        let factor = self.topics.replication_factor;
        if factor != -1 && !(1..=i32::from(i16::MAX)).contains(&factor) {
            let message = format!("{factor} is not a replication factor");
            problems.push(Problem::new(
                "topics.replication_factor",
                message,
                "Write 3, or -1 for the broker's default.",
            ));
        }
        if self.state.memory_limit_bytes < MEMORY_MIN_BYTES {
            problems.push(Problem::new("state.memory_limit", "is too little to work with", "Write at least 1MiB."));
        }
    }

    fn validate_http(&self, problems: &mut Vec<Problem>) {
        for (key, listen) in [("http.listen", &self.http.listen), ("http.probe_listen", &self.http.probe_listen)] {
            if let Some(listen) = listen
                && host_and_port(listen).is_none()
            {
                let message = format!("`{listen}` is not host:port");
                problems.push(Problem::new(key, message, "Write 127.0.0.1:8720, port 0 for any, or null for none."));
            }
        }
    }

    /// Settings that work but deserve a second look.
    pub fn advice(&self) -> Vec<Problem> {
        let mut advice = Vec::new();
        for (key, interval_ms) in [
            ("output.status_interval", self.output.status_interval_ms),
            ("output.tenant_status_interval", self.output.tenant_status_interval_ms),
        ] {
            if interval_ms % PANE_MS != 0 {
                let message = format!(
                    "{} is not a multiple of 10s, so statuses are published less often than that",
                    duration::print(interval_ms)
                );
                advice.push(Problem::new(key, message, "Use a multiple of 10s."));
            }
        }
        if let Some(listen) = &self.http.listen
            && self.http.tokens.is_none()
            && !host_and_port(listen).is_some_and(|(host, _)| is_loopback(host))
        {
            let message = "is open to other machines, and there are no tokens: the API answers this machine alone";
            advice.push(Problem::new(
                "http.listen",
                message,
                "Set http.tokens, or put a proxy with authentication on this machine in front of 127.0.0.1.",
            ));
        }
        if self.privacy.user_ids == Some(UserIds::Plain) {
            let message = "user ids are published unchanged";
            advice.push(Problem::new("privacy.user_ids", message, "`hmac` publishes pseudonyms instead."));
        }
        advice
    }
}

fn is_topic_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn is_topic_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= TOPIC_NAME_MAX && name.chars().all(is_topic_char)
}

/// `127.0.0.1:8720`, `[::1]:8720`, `localhost:0`.
fn host_and_port(listen: &str) -> Option<(&str, u16)> {
    let (host, port) = listen.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let host_is_one = !host.is_empty() && (bracketed || !host.contains(':'));
    host_is_one.then_some((host, port.parse().ok()?))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
