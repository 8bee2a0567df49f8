//! Notes the skipped records as long as nothing is printed, to explain why and what there is instead.

use super::select::Select;
use crate::model::record::Topic;
use crate::model::suggest;
use serde_json::Value;
use std::collections::BTreeSet;

/// How many names of each kind are kept.
const KEPT: usize = 20;

/// One condition of the command line, and the values that the records have.
struct Condition {
    name: &'static str,
    wanted: String,
    found: BTreeSet<String>,
    is_cut: bool,
    is_met: bool,
}

#[derive(Default)]
pub struct Seen {
    pub records: u64,
    conditions: Vec<Condition>,
}

impl Seen {
    pub fn of(select: &Select) -> Seen {
        let condition = |name, wanted: &Option<String>| {
            let wanted = wanted.clone()?;
            Some(Condition { name, wanted, found: BTreeSet::new(), is_cut: false, is_met: false })
        };
        let all = [
            condition("key", &select.key),
            condition("slo", &select.slo),
            condition("tenant", &select.tenant),
            condition("state", &select.state),
        ];
        Seen { records: 0, conditions: all.into_iter().flatten().collect() }
    }

    /// Notes a record that was not printed.
    pub fn note(&mut self, topic: Topic, key: Option<&str>, value: &Value) {
        for condition in &mut self.conditions {
            let found = match condition.name {
                "key" => key,
                "state" => value[Select::state_field(topic)].as_str(),
                name => value[name].as_str(),
            };
            if let Some(found) = found {
                condition.note(found);
            }
        }
    }

    /// Why nothing was printed although there were records.
    pub fn explanation(&self) -> Option<String> {
        if self.records == 0 || self.conditions.is_empty() {
            return None;
        }
        let unmet: Vec<String> = self.conditions.iter().filter(|c| !c.is_met).map(Condition::told).collect();
        let records =
            if self.records == 1 { "the one record".to_owned() } else { format!("the {} records", self.records) };
        Some(match unmet.is_empty() {
            true => format!("none of {records} meets all conditions at once"),
            false => format!("none of {records} passes: {}", unmet.join("; ")),
        })
    }
}

impl Condition {
    fn note(&mut self, found: &str) {
        self.is_met |= if self.name == "key" { found.starts_with(&self.wanted) } else { found == self.wanted };
        if !self.found.contains(found) {
            if self.found.len() < KEPT {
                self.found.insert(found.to_owned());
            } else {
                self.is_cut = true;
            }
        }
    }

    fn told(&self) -> String {
        let Condition { name, wanted, found, .. } = self;
        if found.is_empty() {
            return format!("no {name} `{wanted}`: no record names one");
        }
        let names: Vec<&str> = found.iter().map(String::as_str).collect();
        let more = if self.is_cut { ", and more" } else { "" };
        let near = suggest::closest(wanted, names.iter().copied()).map(|near| format!(" Did you mean `{near}`?"));
        format!("no {name} `{wanted}`: there are {}{more}.{}", names.join(", "), near.unwrap_or_default())
    }
}
