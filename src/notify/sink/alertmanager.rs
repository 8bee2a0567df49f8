//! Alertmanager's API v2: `POST /api/v2/alerts`.
//!
//! Labels say which alert it is, so they never change within an episode; everything else is annotations. The episode's
//! `id` is a label: an alert that ended while it was silenced there counts as firing for hours, and its next episode
//! would not be heard. `start` and `end` are always there: without them Alertmanager makes up its own.

use crate::model::time::Moment;
use crate::notify::message::{Standing, StandingAlert};
use crate::notify::news::{Kind, News};
use serde_json::{Map, Value as Json, json};

pub fn body(standing: &Standing) -> Json {
    standing.alerts.iter().map(alert).collect()
}

fn alert(StandingAlert { news, starts_ms, ends_ms }: &StandingAlert) -> Json {
    let mut alert = json!({
        "labels": labels(news),
        "annotations": annotations(news),
        "startsAt": Moment(*starts_ms),
        "endsAt": Moment(*ends_ms),
    });
    // Another value than an address would refuse the whole request.
    if let Some(url) = news.dashboard_url.as_ref().filter(|url| url.starts_with("http")) {
        alert["generatorURL"] = json!(url);
    }
    alert
}

fn labels(news: &News) -> Map<String, Json> {
    // One name an SLO: Alertmanager may limit how many alerts a name has.
    let name = match news.kind {
        Kind::Alert => news.slo.clone(),
        Kind::Cohort => format!("{}-cohort", news.slo),
        Kind::Canary => format!("{}-canary", news.slo),
    };
    let own = [
        ("alertname", name.as_str()),
        ("kind", news.kind.name()),
        ("severity", news.severity.name()),
        ("slo", &news.slo),
        ("service", &news.service),
        ("scope", &news.scope),
        ("tenant", news.tenant.as_deref().unwrap_or_default()),
        ("key", &news.key),
        ("dedup_key", &news.item),
        ("id", &news.id),
    ];
    let mut labels = Map::new();
    let below = news.labels.iter().map(|(name, value)| (legal("label_", name), value.as_str()));
    let group = news.group.iter().map(|(name, value)| (legal("group_", name), value.as_str()));
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    // An empty label is none.
    for (name, value) in own.chain(below).chain(group).filter(|(_, value)| !value.is_empty()) {
        labels.insert(name, json!(value));
    }
    labels
}

/// Label names have letters, digits and underscores.
fn legal(prefix: &str, name: &str) -> String {
    let legal = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("{prefix}{}", legal.collect::<String>())
}

/// All of them with every post: those of the last one win.
fn annotations(news: &News) -> Map<String, Json> {
    let started_at = news.started_at.to_string();
    let ended_at = news.ended_at.map(|at| at.to_string());
    let affected = news.record["affected_users"].as_u64().map(|users| users.to_string());
    let all = [
        ("title", Some(news.title.as_str())),
        ("summary", Some(news.summary.as_str())),
        ("started_at", Some(started_at.as_str())),
        ("ended_at", ended_at.as_deref()),
        ("affected_users", affected.as_deref()),
        ("owner", news.owner.as_deref()),
        ("runbook_url", news.runbook_url.as_deref()),
        ("dashboard_url", news.dashboard_url.as_deref()),
    ];
    let there = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    there.filter(|(_, value)| value != "").collect()
}
