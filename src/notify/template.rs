//! The title and the text of a message: Jinja's templates over what it tells.

use super::message::{Change, Message, What};
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Value as Json, json};
use std::sync::Arc;

const TITLE: &str = "{{ status | upper }}{% if firing > 1 %} ({{ firing }}){% endif %}: {{ alerts[0].title }}\
                     {% if count > 1 %}, and {{ count - 1 }} more{% endif %}";
const TEXT: &str = "\
{% if is_overflow %}Too much at once for a message each: {{ because }}. All of it in one:
{% endif %}{% for alert in alerts %}\
[{{ alert.severity }}, {{ alert.what }}] {{ alert.summary or alert.title }}\
{% if alert.runbook_url %} {{ alert.runbook_url }}{% endif %}{% if not loop.last %}
{% endif %}{% endfor %}{% if more > 0 %}
and {{ more }} more{% endif %}";

/// So many are told one by one.
pub const TOLD: usize = 20;

/// A receiver's own templates, or ours.
#[derive(Clone)]
pub struct Templates(Arc<Environment<'static>>);

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Templates")
    }
}

impl Templates {
    /// The error has the key, and why: a template that does not fit is known before somebody has to be woken.
    pub fn new(title: Option<&str>, text: Option<&str>) -> Result<Templates, (&'static str, String)> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        for (key, own, or) in [("title", title, TITLE), ("text", text, TEXT)] {
            let source = own.unwrap_or(or).to_owned();
            environment.add_template_owned(key, source).map_err(|error| (key, words(&error)))?;
        }
        let templates = Templates(Arc::new(environment));
        for key in ["title", "text"] {
            templates.render(key, &sample()).map_err(|error| (key, words(&error)))?;
        }
        Ok(templates)
    }

    pub fn title(&self, message: &Message) -> String {
        self.of(message, "title")
    }

    pub fn text(&self, message: &Message) -> String {
        self.of(message, "text")
    }

    /// A template that fails must not cost a page: the plain titles are told.
    fn of(&self, message: &Message, name: &str) -> String {
        self.render(name, &context(message)).unwrap_or_else(|_| {
            let titles = message.changes.iter().take(TOLD).map(|change| change.news.title.as_str());
            titles.collect::<Vec<_>>().join("\n")
        })
    }

    fn render(&self, name: &str, context: &Json) -> Result<String, minijinja::Error> {
        Ok(self.0.get_template(name)?.render(context)?.trim().to_owned())
    }
}

fn words(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{line}{error}")
}

/// What a template may use.
fn context(message: &Message) -> Json {
    let told: Vec<Json> = message.changes.iter().take(TOLD).map(alert).collect();
    json!({
        "status": if message.is_over() { "resolved" } else { "firing" },
        "severity": message.severity().name(),
        "group": message.group,
        "firing": message.firing,
        "fired": message.count(What::Fired),
        "updated": message.count(What::Updated),
        "ended": message.count(What::Ended),
        "count": message.changes.len(),
        "more": message.changes.len().saturating_sub(TOLD),
        "is_overflow": message.is_overflow,
        "because": message.because,
        "dedup_key": message.dedup_key,
        "alerts": told,
    })
}

fn alert(Change { what, news }: &Change) -> Json {
    json!({
        "what": what.name(),
        "kind": news.kind.name(),
        "severity": news.severity.name(),
        "title": news.title,
        "summary": news.summary,
        "slo": news.slo,
        "service": news.service,
        "scope": news.scope,
        "tenant": news.tenant,
        "key": news.key,
        "labels": news.labels,
        "group": news.group,
        "owner": news.owner,
        "runbook_url": news.runbook_url,
        "dashboard_url": news.dashboard_url,
        "at": news.at.to_string(),
        "started_at": news.started_at.to_string(),
        "ended_at": news.ended_at.map(|at| at.to_string()),
        "dedup_key": news.item,
        "record": news.record,
    })
}

/// Each name that is there has some value here, so that a template with another one fails.
fn sample() -> Json {
    json!({
        "status": "firing", "severity": "page", "group": {}, "firing": 1, "fired": 1, "updated": 0, "ended": 0,
        "count": 1, "more": 0, "is_overflow": false, "because": "", "dedup_key": "",
        "alerts": [{
            "what": "fired", "kind": "alert", "severity": "page", "title": "", "summary": "", "slo": "", "service": "",
            "scope": "aggregate", "tenant": null, "key": "", "labels": {}, "group": {}, "owner": null,
            "runbook_url": null, "dashboard_url": null, "at": "", "started_at": "", "ended_at": null, "dedup_key": "",
            "record": {},
        }],
    })
}
