//! The query of a request: `?slo=&tenant=&scope=&service=&label=&state=&q=&sort=&limit=&after=`.

use crate::board::{Place, Query, Shelf, Sort};
use std::collections::BTreeMap;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
const STATES: [&str; 4] = ["ok", "at_risk", "breached", "no_data"];
/// Asks for every scope where one is the default.
pub const ALL: &str = "all";
const KNOWN: &str = "slo, tenant, scope, service, label, state, q, sort, limit, after";

/// The parameters of a request, each taken once. What is left at the end is unknown, and an error: nothing is ignored.
pub struct Parameters {
    single: BTreeMap<String, String>,
    labels: Vec<String>,
}

impl Parameters {
    pub fn of(parameters: Vec<(String, String)>) -> Result<Parameters, String> {
        let (mut single, mut labels) = (BTreeMap::new(), Vec::new());
        for (name, value) in parameters {
            if name == "label" {
                labels.push(value);
                continue;
            }
            if single.contains_key(&name) {
                return Err(format!("`{name}` is there twice: ask for one value"));
            }
            single.insert(name, value);
        }
        Ok(Parameters { single, labels })
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.single.remove(name)
    }

    pub fn required(&mut self, name: &str) -> Result<String, String> {
        let value = self.take(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("`{name}` is missing: say which, as in ?{name}=..."))
    }

    pub fn limit(&mut self, default: usize, max: usize) -> Result<usize, String> {
        let Some(text) = self.take("limit") else { return Ok(default) };
        match text.parse() {
            Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
            _ => Err(format!("`{text}` is not a limit: 1 to {max}")),
        }
    }

    /// `known`: the parameters of this path.
    pub fn end(mut self, known: &str) -> Result<(), String> {
        if !self.labels.is_empty() {
            self.single.insert("label".to_owned(), String::new());
        }
        match self.single.pop_first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("unknown parameter `{name}`: use {known}")),
        }
    }

    fn labels(&mut self) -> Result<Vec<(String, String)>, String> {
        let pair = |text: String| match text.split_once(':') {
            Some((label, value)) if !label.is_empty() => Ok((label.to_owned(), value.to_owned())),
            _ => Err(format!("`{text}` is not a label: write label=NAME:VALUE, as in label=team:payments")),
        };
        std::mem::take(&mut self.labels).into_iter().map(pair).collect()
    }
}

/// The order of a path's list, where the request names none.
pub fn query(shelf: Shelf, sort: Sort, parameters: Vec<(String, String)>) -> Result<Query, String> {
    let mut parameters = Parameters::of(parameters)?;
    let state = parameters.take("state");
    let query = Query {
        slo: parameters.take("slo"),
        tenant: parameters.take("tenant"),
        scope: parameters.take("scope").map(scope).transpose()?,
        service: parameters.take("service"),
        labels: parameters.labels()?,
        state: if shelf == Shelf::Status { state.clone().map(status_state).transpose()? } else { None },
        live: live(shelf, state.as_deref())?,
        text: parameters.take("q").map(|text| text.to_lowercase()),
        sort: parameters.take("sort").map_or(Ok(sort), |text| sort_of(shelf, &text))?,
        limit: parameters.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
        after: parameters.take("after"),
    };
    parameters.end(KNOWN)?;
    if query.sort == Sort::Budget && query.after.as_deref().is_some_and(|after| Place::parse(after).is_none()) {
        return Err("`after` is not the `next` of a page in this order: begin again without it".to_owned());
    }
    Ok(query)
}

fn scope(text: String) -> Result<String, String> {
    match text.as_str() {
        "aggregate" | "tenant" | "group" | ALL => Ok(text),
        _ => Err(format!("`{text}` is not a scope: aggregate, tenant or group (or all)")),
    }
}

fn status_state(text: String) -> Result<String, String> {
    match STATES.contains(&text.as_str()) {
        true => Ok(text),
        false => Err(format!("`{text}` is not a state: {}", STATES.join(", "))),
    }
}

fn sort_of(shelf: Shelf, text: &str) -> Result<Sort, String> {
    match (shelf, text) {
        (_, "key") => Ok(Sort::Key),
        (Shelf::Status | Shelf::Alerts, "budget") => Ok(Sort::Budget),
        (Shelf::Status | Shelf::Alerts, _) => Err(format!("`{text}` is not an order: key or budget")),
        _ => Err(format!("`{text}` is not an order: key")),
    }
}

/// Firing alerts and open cohorts, unless another state is given.
fn live(shelf: Shelf, state: Option<&str>) -> Result<Option<bool>, String> {
    match (shelf, state) {
        (Shelf::Status, _) | (Shelf::Canaries, None) | (_, Some("all")) => Ok(None),
        (Shelf::Alerts, None | Some("firing")) | (Shelf::Cohorts, None | Some("open")) => Ok(Some(true)),
        (Shelf::Alerts, Some("resolved")) | (Shelf::Cohorts, Some("closed")) => Ok(Some(false)),
        (Shelf::Canaries, Some(_)) => {
            Err("of each candidate the latest verdict is shown: leave `state` out".to_owned())
        }
        (Shelf::Alerts, Some(other)) => Err(format!("`{other}` is not a state: firing, resolved or all")),
        (Shelf::Cohorts, Some(other)) => Err(format!("`{other}` is not a state: open, closed or all")),
    }
}
