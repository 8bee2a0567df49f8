//! Which records `tap` prints. Conditions are joined by "and"; a record without the field of a condition does not pass
//! it.

use crate::model::key::{Scope, encode_into, key_text};
use crate::model::record::Topic;
use serde_json::Value;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Select {
    /// Only keys that begin with this, as in `checkout|tenant|acme`
    #[arg(long, value_name = "PREFIX")]
    pub key: Option<String>,
    /// Only this tenant
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only this SLO
    #[arg(long)]
    pub slo: Option<String>,
    /// Only this state, as in firing, at_risk, open (canary verdicts: pass, fail, inconclusive)
    #[arg(long)]
    pub state: Option<String>,
}

impl Select {
    /// Whether a decoded record passes. `key` is the message key.
    pub fn passes(&self, topic: Topic, key: Option<&str>, value: &Value) -> bool {
        self.key_passes(key)
            && is(&self.tenant, &value["tenant"])
            && is(&self.slo, &value["slo"])
            && is(&self.state, &value[Self::state_field(topic)])
    }

    pub fn state_field(topic: Topic) -> &'static str {
        if topic == Topic::CanaryVerdicts { "verdict" } else { "state" }
    }

    /// Refuses conditions that no record of the topic can meet.
    pub fn check(&self, topic: Topic) -> Result<(), String> {
        if topic == Topic::DeadLetters && (self.slo.is_some() || self.tenant.is_some()) {
            let why = "dead letters have no slo and no tenant: they could not become events";
            return Err(format!("{why}. Without --slo and --tenant all of them are printed"));
        }
        let Some(state) = &self.state else { return Ok(()) };
        match states(topic) {
            [] => Err(format!("records of {} have no state: leave --state out", topic.name())),
            known if known.contains(&state.as_str()) => Ok(()),
            known => Err(format!("`{state}` is not a state of {}; the states are {}", topic.name(), known.join(", "))),
        }
    }

    /// Whether a tombstone passes: it has a key and nothing else.
    pub fn passes_tombstone(&self, key: Option<&str>) -> bool {
        self.key_passes(key) && self.tenant.is_none() && self.slo.is_none() && self.state.is_none()
    }

    fn key_passes(&self, key: Option<&str>) -> bool {
        self.key.as_deref().is_none_or(|prefix| key.is_some_and(|key| key.starts_with(prefix)))
    }
}

/// The states that records of a topic can have.
const fn states(topic: Topic) -> &'static [&'static str] {
    match topic {
        Topic::SloStatus | Topic::SloHistory => &["ok", "at_risk", "breached", "no_data"],
        Topic::BurnAlerts => &["firing", "update", "resolved"],
        Topic::TailCohorts => &["open", "update", "closed"],
        Topic::CanaryVerdicts => &["pass", "fail", "inconclusive"],
        _ => &[],
    }
}

fn is(wanted: &Option<String>, found: &Value) -> bool {
    wanted.as_deref().is_none_or(|wanted| found.as_str() == Some(wanted))
}

/// The message key of a record from a file, which has no keys. A group's attributes are sorted by name here, while
/// Kafka has them in the order of `group-by`.
pub fn key_of(topic: Topic, value: &Value) -> Option<String> {
    let text = |field: &str| value[field].as_str();
    match topic {
        Topic::DeadLetters => text("key").map(str::to_owned),
        Topic::UserStatus => joined(&[text("slo")?, text("tenant")?, text("user")?]),
        Topic::CanaryVerdicts => joined(&[text("slo")?, text("tenant").unwrap_or("*"), text("candidate")?]),
        _ => scope_of(value).map(|scope| key_text(value["slo"].as_str().unwrap_or_default(), &scope)),
    }
}

fn joined(parts: &[&str]) -> Option<String> {
    let mut key = String::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            key.push('|');
        }
        encode_into(&mut key, part);
    }
    Some(key)
}

fn scope_of(value: &Value) -> Option<Scope> {
    match value["scope"].as_str()? {
        "aggregate" => Some(Scope::Aggregate),
        "tenant" => Some(Scope::Tenant(value["tenant"].as_str()?.to_owned())),
        "group" => {
            let pairs = value["group"].as_object()?.iter();
            Some(Scope::Group(pairs.map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned())).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_condition_must_hold() {
        let value = json!({"slo": "checkout", "tenant": "acme", "state": "firing"});
        let passes = |select: Select| select.passes(Topic::BurnAlerts, Some("checkout|tenant|acme"), &value);
        assert!(passes(Select::default()));
        let acme = Select { tenant: Some("acme".into()), slo: Some("checkout".into()), ..Select::default() };
        assert!(passes(acme.clone()));
        assert!(passes(Select { key: Some("checkout|tenant|".into()), state: Some("firing".into()), ..acme.clone() }));
        assert!(!passes(Select { state: Some("resolved".into()), ..acme.clone() }));
        assert!(!passes(Select { key: Some("checkout|aggregate".into()), ..acme }));
    }

    #[test]
    fn a_record_without_the_field_does_not_pass() {
        let select = Select { tenant: Some("acme".into()), ..Select::default() };
        assert!(!select.passes(Topic::SloStatus, None, &json!({"slo": "checkout", "tenant": null})));
        assert!(!select.passes_tombstone(Some("checkout|tenant|acme")));
        let key = Select { key: Some("checkout".into()), ..Select::default() };
        assert!(!key.passes(Topic::SloStatus, None, &json!({})));
        assert!(key.passes_tombstone(Some("checkout|tenant|acme")));
    }

    #[test]
    fn a_condition_that_nothing_can_meet_is_refused_with_what_there_is() {
        let state = |topic, state: &str| Select { state: Some(state.into()), ..Select::default() }.check(topic);
        assert_eq!(state(Topic::BurnAlerts, "firing"), Ok(()));
        assert_eq!(state(Topic::CanaryVerdicts, "inconclusive"), Ok(()));
        for (topic, name, told) in [
            (Topic::BurnAlerts, "open", "firing, update, resolved"),
            (Topic::SloStatus, "firing", "ok, at_risk, breached, no_data"),
            (Topic::TailCohorts, "firing", "open, update, closed"),
            (Topic::UserStatus, "ok", "have no state"),
            (Topic::DeadLetters, "ok", "have no state"),
        ] {
            let refused = state(topic, name).expect_err("refused");
            assert!(refused.contains(told), "{refused}");
        }
        let slo = Select { slo: Some("a".into()), ..Select::default() };
        assert!(slo.check(Topic::DeadLetters).is_err() && slo.check(Topic::UserStatus).is_ok());
    }

    #[test]
    fn a_canary_verdicts_state_is_its_verdict() {
        let fail = Select { state: Some("fail".into()), ..Select::default() };
        assert!(fail.passes(Topic::CanaryVerdicts, None, &json!({"verdict": "fail"})));
        assert!(!fail.passes(Topic::CanaryVerdicts, None, &json!({"verdict": "pass"})));
    }

    #[test]
    fn keys_are_told_from_the_record_where_a_file_has_none() {
        for (topic, value, key) in [
            (Topic::SloStatus, json!({"slo": "a|b", "scope": "aggregate"}), "a%7Cb|aggregate"),
            (Topic::BurnAlerts, json!({"slo": "s", "scope": "tenant", "tenant": "t"}), "s|tenant|t"),
            (
                Topic::TailCohorts,
                json!({"slo": "s", "scope": "group", "group": {"r": "eu", "t": "x"}}),
                "s|group|r=eu,t=x",
            ),
            (Topic::UserStatus, json!({"slo": "s", "tenant": "t", "user": "u=1"}), "s|t|u%3D1"),
            (Topic::CanaryVerdicts, json!({"slo": "s", "tenant": null, "candidate": "v2"}), "s|*|v2"),
            (Topic::DeadLetters, json!({"key": "k"}), "k"),
        ] {
            assert_eq!(key_of(topic, &value).as_deref(), Some(key));
        }
        assert_eq!(key_of(Topic::DeadLetters, &json!({"key": null})), None);
    }
}
