//! `field=value`, `field!=value`, `field=~regex`, `field!~regex`: whom a route or a silence means.
//!
//! A regular expression has to match the whole value. What has no such field is matched by none of them: a silence of
//! `tenant!=acme` is about other tenants, and not about figures that are of no tenant.

use super::field;
use super::news::News;
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

#[derive(Clone, Debug)]
pub struct Matcher {
    field: String,
    is_negated: bool,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    /// As it was written, and compiled.
    Regex(String, Regex),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    #[error("`{0}` is no matcher: write field=value, field!=value, field=~regex or field!~regex, as in severity=page")]
    Form(String),
    #[error("{0}")]
    Field(String),
    #[error("`{regex}` is no regular expression: {why}")]
    Regex { regex: String, why: String },
}

impl Matcher {
    pub fn parse(text: &str) -> Result<Matcher, MatcherError> {
        let form = || MatcherError::Form(text.to_owned());
        let (name, rest) = text.split_at(text.find(['=', '!']).ok_or_else(form)?);
        let operators = [("!=", true, false), ("!~", true, true), ("=~", false, true), ("=", false, false)];
        let found = operators
            .into_iter()
            .find_map(|(operator, is_negated, is_regex)| Some((rest.strip_prefix(operator)?, is_negated, is_regex)));
        let (value, is_negated, is_regex) = found.ok_or_else(form)?;
        let name = name.trim();
        if name.is_empty() {
            return Err(form());
        }
        field::check(name).map_err(MatcherError::Field)?;
        let value = value.trim().trim_matches('"');
        Ok(Matcher { field: name.to_owned(), is_negated, value: Value::of(value, is_regex)? })
    }

    pub fn matches(&self, news: &News) -> bool {
        let Some(found) = field::of(news, &self.field) else { return false };
        let is_equal = match &self.value {
            Value::Text(text) => text == found,
            Value::Regex(_, regex) => regex.is_match(found),
        };
        is_equal != self.is_negated
    }
}

impl Value {
    fn of(value: &str, is_regex: bool) -> Result<Value, MatcherError> {
        if !is_regex {
            return Ok(Value::Text(value.to_owned()));
        }
        let why = |error: regex::Error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            MatcherError::Regex { regex: value.to_owned(), why: last }
        };
        Ok(Value::Regex(value.to_owned(), Regex::new(&format!("^(?:{value})$")).map_err(why)?))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operator, value) = match (&self.value, self.is_negated) {
            (Value::Text(text), false) => ("=", text),
            (Value::Text(text), true) => ("!=", text),
            (Value::Regex(text, _), false) => ("=~", text),
            (Value::Regex(text, _), true) => ("!~", text),
        };
        write!(f, "{}{operator}{value}", self.field)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Matcher, D::Error> {
        Matcher::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_prints_as_it_is_written() {
        for text in ["severity=page", "tenant!=acme", "service=~check.*", "labels.team!~a|b", "slo=a=b", "key=~a!~b"] {
            let matcher = Matcher::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(matcher.to_string(), text);
        }
        assert_eq!(Matcher::parse("severity = \"page\"").map(|m| m.to_string()), Ok("severity=page".to_owned()));
    }

    #[test]
    fn what_is_no_matcher_is_refused_with_a_remedy() {
        for (text, said) in [
            ("page", "write field=value"),
            ("=page", "write field=value"),
            ("sevrity=page", "`severity`?"),
            ("labels.=x", "labels.NAME"),
            ("slo=~(", "no regular expression"),
        ] {
            let error = Matcher::parse(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
