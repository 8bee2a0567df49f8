//! Finds the values that an expression compares fields with, for advice if no event has them.

use super::{Comparison, Condition, Field, Filter, Text};
use std::collections::BTreeMap;

impl Filter {
    /// By field, as named in an expression: the texts that it is compared with by `==` or `in`. Other tests
    /// (`contains`, `matches`, `!=`) are left out.
    pub fn wanted_texts(&self) -> BTreeMap<String, Vec<String>> {
        let mut wanted = BTreeMap::new();
        gather(&self.condition, &mut wanted);
        wanted
    }
}

fn gather(condition: &Condition, wanted: &mut BTreeMap<String, Vec<String>>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| gather(part, wanted)),
        Condition::If(c) => [&c.0, &c.1, &c.2].into_iter().for_each(|part| gather(part, wanted)),
        Condition::CompareText(Comparison::Eq, a, b) => {
            for (field, text) in [(a, b), (b, a)] {
                if let (Some(field), Text::Literal(text)) = (name_of(field), text) {
                    wanted.entry(field).or_default().push(text.to_string());
                }
            }
        }
        Condition::TextIn(a, items) => {
            if let Some(field) = name_of(a) {
                wanted.entry(field).or_default().extend(items.iter().map(ToString::to_string));
            }
        }
        _ => {}
    }
}

fn name_of(text: &Text) -> Option<String> {
    match text {
        Text::Field(Field::User) => None,
        Text::Field(field) => Some(field.as_str().to_owned()),
        Text::Attribute(name) => Some(format!("attributes.{}", name.0)),
        _ => None,
    }
}
