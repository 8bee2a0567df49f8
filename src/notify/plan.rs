//! The routes and receivers of a configuration: who hears of which news, grouped how.

use super::field;
use super::matcher::Matcher;
use super::news::News;
use super::receiver::{Mistake, Receiver, Resolve, span};
use crate::model::suggest::closest;
use crate::model::time::{MINUTE_MS, Ms, SECOND_MS};
use serde::Deserialize;
use serde_json::Value as Json;

const GROUP_BY: [&str; 2] = ["slo", "severity"];
const GROUP_WAIT_MS: Ms = 10 * SECOND_MS;
const GROUP_INTERVAL_MS: Ms = MINUTE_MS;

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct Plan {
    pub receivers: Vec<Receiver>,
    pub routes: Vec<Route>,
    pub max_age_ms: Ms,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub matchers: Vec<Matcher>,
    /// Its place among the receivers.
    pub receiver: usize,
    pub group_by: Vec<String>,
    /// How long the first message of a group waits for others of it.
    pub group_wait_ms: Ms,
    /// Between two messages of a group.
    pub group_interval_ms: Ms,
    /// Whether the routes below are looked at, too.
    pub goes_on: bool,
}

/// A mistake in the section `notify`: the key, the message, the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct PlanError {
    pub key: String,
    pub message: String,
    pub remedy: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    r#match: Option<OneOrMore>,
    receiver: String,
    group_by: Option<OneOrMore>,
    group_wait: Option<String>,
    group_interval: Option<String>,
    r#continue: Option<bool>,
}

impl Plan {
    /// All mistakes, not only the first. `resolve` replaces `${ENV}`.
    pub fn of(receivers: &Json, routes: &Json, max_age_ms: Ms, resolve: Resolve<'_>) -> Result<Plan, Vec<PlanError>> {
        let mut plan = Plan { receivers: Vec::new(), routes: Vec::new(), max_age_ms };
        let mut errors = Vec::new();
        for (name, json) in receivers.as_object().into_iter().flatten() {
            match Receiver::of(name, json, resolve) {
                Ok(receiver) => plan.receivers.push(receiver),
                Err(mistake) => errors.push(error(&format!("notify.receivers.{name}"), mistake)),
            }
        }
        let names: Vec<&str> = receivers.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        for (number, json) in routes.as_array().into_iter().flatten().enumerate() {
            match Route::of(json, &names) {
                // While a receiver is wrong, the places are, too; but then nobody sees the plan.
                Ok(route) => plan.routes.push(route),
                Err(mistake) => errors.push(error(&format!("notify.routes.{number}"), mistake)),
            }
        }
        if !plan.receivers.is_empty() && plan.routes.is_empty() && errors.is_empty() {
            let mistake = ("", "leads to no receiver".to_owned(), "Write `routes: [{receiver: NAME}]`.");
            errors.push(error("notify.routes", mistake));
        }
        if errors.is_empty() { Ok(plan) } else { Err(errors) }
    }

    /// The places of the routes that this news takes.
    pub fn routes_of(&self, news: &News) -> Vec<usize> {
        let mut taken = Vec::new();
        for (place, route) in self.routes.iter().enumerate() {
            if route.matchers.iter().all(|matcher| matcher.matches(news)) {
                taken.push(place);
                if !route.goes_on {
                    break;
                }
            }
        }
        taken
    }
}

fn error(key: &str, (below, message, remedy): Mistake) -> PlanError {
    let key = if below.is_empty() { key.to_owned() } else { format!("{key}.{below}") };
    PlanError { key, message, remedy: remedy.to_owned() }
}

impl Route {
    fn of(json: &Json, receivers: &[&str]) -> Result<Route, Mistake> {
        let form = Form::deserialize(json).map_err(|e| ("", e.to_string(), "`receiver` is always needed."))?;
        let matchers = form.r#match.map_or_else(Vec::new, OneOrMore::all);
        let matchers = matchers.iter().map(|text| Matcher::parse(text)).collect::<Result<Vec<_>, _>>();
        let receiver = receivers.iter().position(|name| *name == form.receiver).ok_or_else(|| {
            let meant = closest(&form.receiver, receivers.iter().copied());
            let meant = meant.map(|meant| format!(" (`{meant}`?)")).unwrap_or_default();
            ("receiver", format!("there is no receiver `{}`{meant}", form.receiver), "Name one of notify.receivers.")
        })?;
        let group_by = form.group_by.map_or_else(|| GROUP_BY.map(str::to_owned).to_vec(), OneOrMore::all);
        group_by.iter().try_for_each(|name| field::check(name)).map_err(|why| ("group_by", why, ""))?;
        Ok(Route {
            matchers: matchers.map_err(|e| ("match", e.to_string(), ""))?,
            receiver,
            group_by,
            group_wait_ms: span("group_wait", form.group_wait.as_deref(), GROUP_WAIT_MS)?,
            group_interval_ms: span("group_interval", form.group_interval.as_deref(), GROUP_INTERVAL_MS)?,
            goes_on: form.r#continue.unwrap_or(false),
        })
    }

    /// In words, for who asks why.
    pub fn describe(&self, place: usize) -> String {
        let matchers: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        let what = if matchers.is_empty() { "everything".to_owned() } else { matchers.join(", ") };
        format!("route {place} ({what})")
    }
}

impl OneOrMore {
    fn all(self) -> Vec<String> {
        match self {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(all) => all,
        }
    }
}
