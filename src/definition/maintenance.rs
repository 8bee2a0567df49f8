//! The entries of the configuration's `maintenance`: windows with a start and an end, or rules (RFC 5545) that repeat them.
//!
//! A rule is followed in civil time: the `rrule` crate gets it as if it were UTC, because it has time zones of its own, of
//! another year, and loses days whose midnight a zone left out. Each civil result becomes an instant by the time zones of
//! this build: in a gap the later one, in a fold the earlier one.

use crate::model::calendar::{instant_ms, parse_civil, zone};
use crate::model::duration;
use crate::model::maintenance::Maintenance;
use crate::model::slo::Slo;
use crate::model::suggest::{closest, one_of};
use crate::model::time::Ms;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rrule::RRuleSet;
use serde_json::{Map, Value};
use std::sync::Arc;

const FIELDS: [&str; 9] = ["name", "slos", "tenants", "start", "end", "dtstart", "duration", "rrule", "time_zone"];
/// Rules are followed up to 2100-01-01.
const UNTIL_MS: Ms = 4_102_444_800_000;
/// Windows of one rule: every hour of a lifetime has room.
const WINDOWS_MAX: usize = 1_000_000;

/// Why an entry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}; {remedy}")]
pub struct MaintenanceError {
    /// Dotted, as in the configuration: `maintenance.0.rrule`.
    pub key: String,
    pub message: String,
    pub remedy: String,
}

/// What is wrong with one field of an entry.
struct Fault {
    field: &'static str,
    message: String,
    remedy: String,
}

fn fault<T>(field: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { field, message: message.into(), remedy: remedy.into() })
}

/// Puts each entry into the SLOs that it is for, in order.
pub fn apply(entries: &Value, slos: &mut [Slo]) -> Result<(), MaintenanceError> {
    for (index, entry) in entries.as_array().into_iter().flatten().enumerate() {
        let placed = |Fault { field, message, remedy }: Fault| {
            let key = ["maintenance", &index.to_string(), field].join(".");
            MaintenanceError { key: key.trim_end_matches('.').to_owned(), message, remedy }
        };
        let read = Entry::read(entry).map_err(placed)?;
        let maintenance = Arc::new(read.maintenance);
        for slo in slos_of(&read.slos, slos).map_err(placed)? {
            slo.maintenance.0.push(Arc::clone(&maintenance));
        }
    }
    Ok(())
}

/// The SLOs with these names; without names all. The name of a document is that of all its SLOs.
fn slos_of<'a>(names: &[String], slos: &'a mut [Slo]) -> Result<Vec<&'a mut Slo>, Fault> {
    let is_named =
        |slo: &Slo, name: &str| slo.name == name || slo.name.split_once(':').is_some_and(|(own, _)| own == name);
    if let Some(unknown) = names.iter().find(|name| !slos.iter().any(|slo| is_named(slo, name))) {
        let near = closest(unknown, slos.iter().map(|slo| slo.name.as_str()));
        let remedy = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", one_of(slos.iter().map(|slo| slo.name.as_str()))),
        };
        return fault("slos", format!("there is no SLO `{unknown}`"), remedy);
    }
    let is_wanted = |slo: &&mut Slo| names.is_empty() || names.iter().any(|name| is_named(slo, name));
    Ok(slos.iter_mut().filter(is_wanted).collect())
}

struct Entry {
    slos: Vec<String>,
    maintenance: Maintenance,
}

impl Entry {
    fn read(entry: &Value) -> Result<Entry, Fault> {
        let Some(fields) = entry.as_object() else {
            return fault("", format!("{entry} is no mapping"), "write its name, start and end");
        };
        if let Some(unknown) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
            let near = closest(unknown, FIELDS).map_or_else(|| one_of(FIELDS), |near| format!("`{near}`"));
            return fault("", format!("there is no field `{unknown}`"), format!("write {near}"));
        }
        let name = text(fields, "name")?.filter(|name| !name.is_empty());
        let Some(name) = name else { return fault("name", "is missing", "say what is done, as in `database upgrade`") };
        let is_once = ["start", "end"].iter().any(|field| fields.contains_key(*field));
        let is_rule = ["dtstart", "duration", "rrule"].iter().any(|field| fields.contains_key(*field));
        let windows_ms = match (is_once, is_rule) {
            (true, false) => vec![once(fields)?],
            (false, true) => repeated(fields)?,
            _ => {
                let remedy = "write either `start` and `end`, or `dtstart`, `duration`, `rrule` and `time_zone`";
                return fault("", format!("it is not clear when `{name}` is"), remedy);
            }
        };
        let (slos, tenants) = (texts(fields, "slos")?, texts(fields, "tenants")?);
        Ok(Entry { slos, maintenance: Maintenance { name, tenants, windows_ms } })
    }
}

fn text(fields: &Map<String, Value>, field: &'static str) -> Result<Option<String>, Fault> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => fault(field, format!("{other} is no text"), "write a text"),
    }
}

fn needed(fields: &Map<String, Value>, field: &'static str, example: &str) -> Result<String, Fault> {
    match text(fields, field)? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => fault(field, "is missing", format!("write one, as in `{example}`")),
    }
}

fn texts(fields: &Map<String, Value>, field: &'static str) -> Result<Vec<String>, Fault> {
    let of = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match fields.get(field) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => match values.iter().map(of).collect() {
            Some(texts) => Ok(texts),
            None => fault(field, "holds something that is no text", "write a list of names"),
        },
        Some(other) => fault(field, format!("{other} is no list"), format!("write `{field}: [..]`")),
    }
}

fn zone_of(fields: &Map<String, Value>) -> Result<TimeZone, Fault> {
    let Some(name) = text(fields, "time_zone")? else { return Ok(TimeZone::UTC) };
    let Some(zone) = zone(&name) else {
        let remedy = "write an IANA name, as in `Europe/Berlin`; `tailburn --version` says of which year they are";
        return fault("time_zone", format!("there is no time zone `{name}`"), remedy);
    };
    Ok(zone)
}

/// A window with a start and an end.
fn once(fields: &Map<String, Value>) -> Result<(Ms, Ms), Fault> {
    let zone = zone_of(fields)?;
    let example = "2026-12-01T02:00:00Z";
    let instant = |field: &'static str| match instant_of(&needed(fields, field, example)?, &zone) {
        Some(ms) => Ok(ms),
        None => fault(field, "is no time", format!("write one with its offset, as in `{example}`")),
    };
    let (start_ms, end_ms) = (instant("start")?, instant("end")?);
    if end_ms <= start_ms {
        return fault("end", "is not after `start`", "write the first instant that counts again");
    }
    Ok((start_ms, end_ms))
}

/// A time with its offset; one without is of the zone.
fn instant_of(text: &str, zone: &TimeZone) -> Option<Ms> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    instant_ms(civil_of(parse_civil(text)?)?, zone).ok()
}

/// A civil time from its milliseconds.
fn civil_of(civil_ms: Ms) -> Option<jiff::civil::DateTime> {
    Some(Timestamp::from_millisecond(civil_ms).ok()?.to_zoned(TimeZone::UTC).datetime())
}

/// The windows of a rule, up to 2100.
fn repeated(fields: &Map<String, Value>) -> Result<Vec<(Ms, Ms)>, Fault> {
    let zone = zone_of(fields)?;
    let dtstart = needed(fields, "dtstart", "2026-01-04 02:00:00")?;
    let Some(dtstart) = parse_civil(&dtstart).and_then(civil_of) else {
        let remedy = "write a civil time in `time_zone`, as in `2026-01-04 02:00:00`";
        return fault("dtstart", format!("`{dtstart}` is no time"), remedy);
    };
    let length = needed(fields, "duration", "2h")?;
    let length_ms = match duration::parse(&length) {
        Ok(length_ms) if length_ms > 0 => length_ms,
        _ => return fault("duration", format!("`{length}` is no length of time"), "write one, as in `90m` or `2h`"),
    };
    let rule = Rule::parse(&needed(fields, "rrule", "FREQ=WEEKLY;BYDAY=SU")?)?;
    let set = rule.set(dtstart)?;
    let mut windows_ms = Vec::new();
    for civil in &set {
        let civil = civil_of(civil.timestamp_millis()).filter(|civil| !rule.is_over(*civil));
        let Some(start_ms) = civil.and_then(|civil| instant_ms(civil, &zone).ok()) else { break };
        if start_ms >= UNTIL_MS || rule.until_ms.is_some_and(|until_ms| start_ms > until_ms) {
            break;
        }
        windows_ms.push((start_ms, start_ms + length_ms));
        if windows_ms.len() > WINDOWS_MAX {
            let message = format!("`{}` has more than {WINDOWS_MAX} windows until 2100", rule.text);
            return fault("rrule", message, "end it with UNTIL or COUNT, or let it be rarer");
        }
    }
    if windows_ms.is_empty() {
        let message = format!("`{}` never happens from {dtstart} on", rule.text);
        return fault("rrule", message, "correct the rule, or `dtstart`");
    }
    windows_ms.sort_unstable();
    windows_ms.dedup();
    Ok(windows_ms)
}

/// A rule, with its end apart: a civil time, or an instant where it has a `Z`.
struct Rule {
    text: String,
    /// Without UNTIL.
    endless: String,
    until_civil: Option<jiff::civil::DateTime>,
    until_ms: Option<Ms>,
}

impl Rule {
    fn parse(text: &str) -> Result<Rule, Fault> {
        let remedy = "write the rule alone, as in `FREQ=WEEKLY;BYDAY=SU`";
        let parts = text.strip_prefix("RRULE:").unwrap_or(text);
        if parts.contains(|c: char| c == ':' || c.is_whitespace()) {
            return fault("rrule", format!("`{text}` is more than a rule"), remedy);
        }
        let (ends, others): (Vec<&str>, Vec<&str>) = parts
            .split(';')
            .filter(|part| !part.is_empty())
            .partition(|part| part.get(..6).is_some_and(|name| name.eq_ignore_ascii_case("UNTIL=")));
        let mut rule = Rule { text: text.to_owned(), endless: others.join(";"), until_civil: None, until_ms: None };
        let Some(end) = ends.first().map(|end| &end[6..]) else { return Ok(rule) };
        if ends.len() > 1 || others.iter().any(|part| part.to_ascii_uppercase().starts_with("COUNT=")) {
            return fault("rrule", format!("`{text}` ends twice"), "write UNTIL or COUNT, once");
        }
        match end_of(end) {
            Some(civil) if end.ends_with(['Z', 'z']) => rule.until_ms = instant_ms(civil, &TimeZone::UTC).ok(),
            Some(civil) => rule.until_civil = Some(civil),
            None => return fault("rrule", format!("`{end}` is no time"), "write UNTIL as `20261231T235959`"),
        }
        Ok(rule)
    }

    /// Of the crate, from a civil start as if it were UTC.
    fn set(&self, dtstart: jiff::civil::DateTime) -> Result<RRuleSet, Fault> {
        let start = dtstart.strftime("%Y%m%dT%H%M%SZ");
        let parsed: Result<RRuleSet, _> = format!("DTSTART:{start}\nRRULE:{}", self.endless).parse();
        parsed.or_else(|error| {
            let message = format!("`{}` is no rule: {error}", self.text);
            fault("rrule", message, "write it as RFC 5545 has it, as in `FREQ=MONTHLY;BYDAY=1SU`")
        })
    }

    fn is_over(&self, civil: jiff::civil::DateTime) -> bool {
        self.until_civil.is_some_and(|until| civil > until)
    }
}

/// `20261231T235959`, also with a final Z; a day alone is there to its end.
fn end_of(text: &str) -> Option<jiff::civil::DateTime> {
    let text = text.trim_end_matches(['Z', 'z']);
    match text.len() {
        8 => Some(jiff::civil::Date::strptime("%Y%m%d", text).ok()?.at(23, 59, 59, 0)),
        _ => jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", text).ok(),
    }
}

#[cfg(test)]
mod tests;
