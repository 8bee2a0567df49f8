//! A fault as it is written on the command line: which events it hits, when, how many of them, and how they fail.

use crate::model::duration;
use crate::model::outcome::Outcome;
use crate::model::suggest::{closest, one_of};
use crate::model::time::{Moment, Ms};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// How an event is made bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Error,
    Slow,
    /// What the fault's own `set.` says, and nothing else.
    Set,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Error => "error",
            Kind::Slow => "slow",
            Kind::Set => "set",
        }
    }

    /// In words.
    pub const fn told(self) -> &'static str {
        match self {
            Kind::Error => "status 500 and error_type `fault`",
            Kind::Slow => "latency_ms and measures in ms ten times as long, and at least a minute",
            Kind::Set => "what the fault sets",
        }
    }
}

/// When a fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    At(Ms),
    /// After the first event of the recording.
    After(Ms),
}

/// A value that is written into a faulty event.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Status(i64),
    Latency(f64),
    ErrorType(String),
    Measure(String, f64),
    Attribute(String, String),
}

/// A fault before its times are known.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultSpec {
    pub name: Option<String>,
    /// Names as in filters (`tenant`, `attributes.region`) and values; all of them must hold.
    pub selector: Vec<(String, String)>,
    pub share: f64,
    pub from: Begin,
    pub length_ms: Ms,
    pub kind: Option<Kind>,
    pub changes: Vec<Change>,
}

const KEYS: [&str; 6] = ["share", "from", "for", "kind", "name", "set.status"];
const FIELDS: [&str; 9] =
    ["tenant", "user", "operation", "dependency", "error_type", "journey", "step", "status", "attributes.NAME"];
const EXAMPLE: &str = "tenant=acme; attributes.region=eu; share=0.3; from=+2h; for=15m";

impl FaultSpec {
    /// Reads `tenant=acme; share=0.3; from=+2h; for=15m`; an error says what to write instead.
    pub fn parse(text: &str) -> Result<FaultSpec, String> {
        let told = |why: String| format!("--fault `{text}`: {why}");
        let mut fault = FaultSpec {
            name: None,
            selector: Vec::new(),
            share: 1.0,
            from: Begin::After(0),
            length_ms: 0,
            kind: None,
            changes: Vec::new(),
        };
        let (mut has_from, mut seen) = (false, Vec::new());
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .ok_or_else(|| told(format!("`{part}` has no `=`; write it as in \"{EXAMPLE}\"")))?;
            if seen.contains(&key) {
                return Err(told(format!("`{key}` stands there twice; write several --fault for several faults")));
            }
            seen.push(key);
            has_from |= key == "from";
            fault.take(key, value).map_err(told)?;
        }
        match (has_from, fault.length_ms > 0) {
            (false, _) => Err(told("it has no `from`: write from=+2h (after the first event) or a time".to_owned())),
            (_, false) => Err(told("it has no `for`: write how long it lasts, as in for=15m".to_owned())),
            _ if fault.kind == Some(Kind::Set) && fault.changes.is_empty() => {
                Err(told("kind=set needs what to set, as in set.measures.quality=0.1".to_owned()))
            }
            _ => Ok(fault),
        }
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "name" => self.name = Some(value.to_owned()),
            "share" => self.share = parse_share(value)?,
            "from" => self.from = parse_from(value)?,
            "for" => self.length_ms = parse_length(value)?,
            "kind" => self.kind = Some(parse_kind(value)?),
            _ => match key.strip_prefix("set.") {
                Some(name) => self.changes.push(Change::parse(name, value)?),
                None => self.selector.push((selected(key)?, value.to_owned())),
            },
        }
        Ok(())
    }

    /// The fault in a recording that begins at this time.
    pub fn at(&self, first_ms: Ms) -> Fault {
        let from_ms = match self.from {
            Begin::At(ms) => ms,
            Begin::After(ms) => first_ms.saturating_add(ms),
        };
        Fault { spec: self.clone(), from_ms, to_ms: from_ms.saturating_add(self.length_ms) }
    }
}

pub fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err(format!("share `{text}`: write a number above 0 and up to 1, as in 0.3")),
    }
}

pub fn parse_length(text: &str) -> Result<Ms, String> {
    match duration::parse(text) {
        Ok(0) => Err("for `0s`: a fault lasts longer, as in 15m".to_owned()),
        Ok(length_ms) => Ok(length_ms),
        Err(why) => Err(format!("for: {why}")),
    }
}

fn parse_from(text: &str) -> Result<Begin, String> {
    if let Some(after) = text.strip_prefix('+') {
        return duration::parse(after).map(Begin::After).map_err(|why| format!("from: {why}"));
    }
    let time: Result<jiff::Timestamp, _> = text.parse();
    let remedy = "write +2h (after the first event), or a time as in 2026-05-29T17:00:00Z";
    time.map(|time| Begin::At(time.as_millisecond())).map_err(|_| format!("from `{text}` is not a time: {remedy}"))
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let kinds = [Kind::Error, Kind::Slow, Kind::Set];
    kinds
        .into_iter()
        .find(|kind| kind.name() == text)
        .ok_or_else(|| format!("kind `{text}`: choose error, slow or set, or leave it out"))
}

/// The name of a field that a fault may select by.
fn selected(key: &str) -> Result<String, String> {
    let is_attribute = key.strip_prefix("attributes.").is_some_and(|name| !name.is_empty());
    if is_attribute || FIELDS[..FIELDS.len() - 1].contains(&key) {
        return Ok(key.to_owned());
    }
    let remedy = match closest(key, FIELDS.into_iter().chain(KEYS)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("did you mean `attributes.{key}`? Fields are {}", one_of(FIELDS)),
    };
    Err(format!("`{key}` is not a field to select by; {remedy}"))
}

impl Change {
    fn parse(name: &str, value: &str) -> Result<Change, String> {
        let number = || value.parse::<f64>().ok().filter(|n| n.is_finite());
        let wanted = |what: &str| format!("set.{name}={value}: {what}");
        match (name, name.split_once('.')) {
            ("status", _) => value.parse().map(Change::Status).map_err(|_| wanted("a status is a whole number")),
            ("error_type", _) => Ok(Change::ErrorType(value.to_owned())),
            ("latency_ms", _) => number().map(Change::Latency).ok_or_else(|| wanted("write a number")),
            (_, Some(("measures", measure))) => {
                number().map(|n| Change::Measure(measure.to_owned(), n)).ok_or_else(|| wanted("write a number"))
            }
            (_, Some(("attributes", attribute))) => Ok(Change::Attribute(attribute.to_owned(), value.to_owned())),
            _ => Err(wanted("set status, error_type, latency_ms, measures.NAME or attributes.NAME")),
        }
    }
}

/// A fault with its times: from `from_ms` on, up to before `to_ms`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub spec: FaultSpec,
    pub from_ms: Ms,
    pub to_ms: Ms,
}

impl Fault {
    pub fn with(&self, share: f64, length_ms: Ms) -> Fault {
        let spec = FaultSpec { share, length_ms, ..self.spec.clone() };
        Fault { spec, to_ms: self.from_ms.saturating_add(length_ms), ..*self }
    }

    /// Whether the event is one that may become faulty, whatever the share.
    pub fn selects(&self, outcome: &Outcome<'_>) -> bool {
        (self.from_ms..self.to_ms).contains(&outcome.timestamp_ms)
            && self.spec.selector.iter().all(|(name, value)| is_of(outcome, name, value))
    }

    /// The selector in words.
    pub fn who(&self) -> String {
        let pairs: Vec<String> = self.spec.selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { "every event".to_owned() } else { pairs.join(", ") }
    }

    pub fn json(&self) -> Value {
        let selector: Map<String, Value> = self.spec.selector.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
        json!({
            "name": self.spec.name,
            "selector": selector,
            "share": self.spec.share,
            "from": Moment(self.from_ms).to_string(),
            "to": Moment(self.to_ms).to_string(),
            "length": duration::print(self.spec.length_ms),
        })
    }
}

fn is_of(outcome: &Outcome<'_>, name: &str, value: &str) -> bool {
    value_of(outcome, name).as_deref() == Some(value)
}

/// What an event has in a field of a selector.
pub fn value_of<'a>(outcome: &'a Outcome<'_>, name: &str) -> Option<Cow<'a, str>> {
    let text = match name {
        "tenant" => Some(outcome.tenant.as_ref()),
        "user" => outcome.user.as_deref(),
        "journey" => outcome.journey.as_deref(),
        "step" => outcome.step.as_deref(),
        "status" => return outcome.status.map(|status| Cow::Owned(status.to_string())),
        field => match field.strip_prefix("attributes.") {
            Some(attribute) => outcome.attribute(attribute),
            None => outcome.group_value(field),
        },
    };
    text.map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_it_is_written() {
        let fault =
            FaultSpec::parse("tenant=acme; attributes.region=eu; share=0.3; from=+2h; for=15m").expect("a fault");
        assert_eq!(
            fault.selector,
            [("tenant", "acme"), ("attributes.region", "eu")].map(|(n, v)| (n.into(), v.into()))
        );
        assert_eq!((fault.share, fault.from, fault.length_ms), (0.3, Begin::After(7_200_000), 900_000));
        let at = FaultSpec::parse("from=1970-01-01T00:00:10Z;for=1m;set.measures.quality=0.1").expect("a fault").at(5);
        assert_eq!((at.from_ms, at.to_ms), (10_000, 70_000));
        assert_eq!(at.spec.changes, [Change::Measure("quality".to_owned(), 0.1)]);
    }

    #[test]
    fn a_mistake_is_told_with_its_remedy() {
        for (text, told) in [
            ("tennant=a; from=+1h; for=5m", "did you mean `tenant`"),
            ("region=eu; from=+1h; for=5m", "did you mean `attributes.region`"),
            ("tenant=a; for=5m", "no `from`"),
            ("tenant=a; from=+1h", "no `for`"),
            ("share=2; from=+1h; for=5m", "above 0 and up to 1"),
            ("from=noon; for=5m", "is not a time"),
            ("from=+1h; for=5m; kind=bad", "choose error, slow or set"),
            ("from=+1h; for=5m; kind=set", "needs what to set"),
            ("from=+1h; for=5m; set.tenant=a", "set status"),
            ("tenant; from=+1h", "has no `=`"),
            ("tenant=a; tenant=b; from=+1h; for=5m", "twice"),
        ] {
            let why = FaultSpec::parse(text).expect_err(text);
            assert!(why.contains(told), "{text}: {why}");
        }
    }
}
