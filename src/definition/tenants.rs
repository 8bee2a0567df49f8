//! The file of tenants: JSON lines, or CSV with a heading. Its objectives and agreements win over the annotations.
//!
//! Fields: `tenant`, `display_name`, `owner`, and the maps `labels`, `attributes`, `objectives`, `slas`. In CSV a map is a
//! JSON object in its column, or has a column for each name, as in `objectives.checkout`.

use super::agreement::of_tenants_alone;
use super::hash;
use crate::model::ratio::Ratio;
use crate::model::slo::Slo;
use crate::model::suggest::{closest, one_of};
use crate::model::tenants::{Tenant, Tenants};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MAPS: [&str; 4] = ["labels", "attributes", "objectives", "slas"];
const FIELDS: [&str; 7] = ["tenant", "display_name", "owner", "labels", "attributes", "objectives", "slas"];

/// Why the file of tenants cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TenantsError {
    #[error("tenants: {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("tenants: {}:{line}: {message}", file.display())]
    Entry { file: PathBuf, line: u64, message: String },
    #[error("tenants: `{tenant}`: there is no SLO `{slo}`{remedy}")]
    NoSlo { tenant: String, slo: String, remedy: String },
}

/// Reads the file.
pub fn read(file: &Path) -> Result<Tenants, TenantsError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| TenantsError::Unreadable { file: file.to_owned(), error })?;
    parse(file, &text)
}

pub fn parse(file: &Path, text: &str) -> Result<Tenants, TenantsError> {
    let at = |line: u64, message: String| TenantsError::Entry { file: file.to_owned(), line, message };
    let is_json = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
    let mut tenants = BTreeMap::new();
    for (line, entry) in if is_json { json_lines(text) } else { csv_rows(text) } {
        let fields = entry.map_err(|message| at(line, message))?;
        let (name, tenant) = tenant_of(&fields).map_err(|message| at(line, message))?;
        if tenants.insert(name.clone(), tenant).is_some() {
            return Err(at(line, format!("`{name}` is there twice: keep one of its lines")));
        }
    }
    Ok(Tenants(tenants))
}

type Entry = (u64, Result<Map<String, Value>, String>);

fn json_lines(text: &str) -> Vec<Entry> {
    let lines = (1..).zip(text.trim_start_matches('\u{feff}').lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| (number, serde_json::from_str(line).map_err(|e| format!("no JSON object: {e}"))))
        .collect()
}

fn csv_rows(text: &str) -> Vec<Entry> {
    let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let heading = match rows.headers() {
        Ok(heading) => heading.clone(),
        Err(e) => return vec![(1, Err(e.to_string()))],
    };
    let of_row = |row: Result<csv::StringRecord, csv::Error>| match row {
        Ok(row) => (row.position().map_or(0, csv::Position::line), fields_of_row(&heading, &row)),
        Err(e) => (e.position().map_or(0, csv::Position::line), Err(e.to_string())),
    };
    rows.records().map(of_row).collect()
}

/// Empty cells say nothing.
fn fields_of_row(heading: &csv::StringRecord, row: &csv::StringRecord) -> Result<Map<String, Value>, String> {
    let mut fields = Map::new();
    for (column, cell) in heading.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
        match column.split_once('.') {
            Some((map, name)) => {
                let values = fields.entry(map).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(values) = values else {
                    return Err(format!("`{map}` has two columns that exclude each other"));
                };
                values.insert(name.to_owned(), Value::String(cell.to_owned()));
            }
            None if MAPS.contains(&column) => {
                let value = serde_json::from_str(cell).map_err(|e| format!("`{column}` is no JSON object: {e}"))?;
                fields.insert(column.to_owned(), value);
            }
            None => drop(fields.insert(column.to_owned(), Value::String(cell.to_owned()))),
        }
    }
    Ok(fields)
}

fn tenant_of(fields: &Map<String, Value>) -> Result<(String, Tenant), String> {
    if let Some(unknown) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let near = closest(unknown, FIELDS).map_or_else(|| one_of(FIELDS), |near| format!("`{near}`"));
        return Err(format!("there is no field `{unknown}`: write {near}"));
    }
    let name = text(fields, "tenant")?.filter(|name| !name.is_empty()).ok_or("`tenant` is missing")?;
    let tenant = Tenant {
        display_name: text(fields, "display_name")?,
        owner: text(fields, "owner")?,
        labels: map(fields, "labels", text_of)?,
        attributes: map(fields, "attributes", text_of)?,
        objectives: map(fields, "objectives", objective_of)?,
        slas: map(fields, "slas", objective_of)?,
    };
    Ok((name, tenant))
}

fn text(fields: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("`{key}` is {other}: write a text")),
    }
}

/// A map of names to values; null is an empty one.
fn map<T>(
    fields: &Map<String, Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<BTreeMap<String, T>, String> {
    let entries = match fields.get(key) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(entries)) => entries,
        Some(other) => return Err(format!("`{key}` is {other}: write an object")),
    };
    let of = |(name, value): (&String, &Value)| match read(value) {
        Some(read) => Ok((name.clone(), read)),
        None => Err(format!("`{key}.{name}` cannot be {value}")),
    };
    entries.iter().map(of).collect()
}

/// As attributes of events: numbers and booleans become text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// From 0 to below 1, exactly as written.
fn objective_of(value: &Value) -> Option<Ratio> {
    text_of(value).and_then(|text| Ratio::parse(&text)).filter(|objective| objective.num < objective.den)
}

/// Puts objectives and agreements into the SLOs. They win over the annotations, and are part of the definitions.
pub fn apply(tenants: &Tenants, slos: &mut [Slo]) -> Result<(), TenantsError> {
    for (name, tenant) in &tenants.0 {
        for (slo, objective) in &tenant.objectives {
            each_named(slos, name, slo, |of| {
                of.tenant_objectives.insert(name.clone(), *objective);
            })?;
        }
        for (slo, objective) in &tenant.slas {
            let add = |of: &mut Slo| {
                let sla = of.sla.get_or_insert_with(of_tenants_alone);
                sla.tenants.insert(name.clone(), *objective);
            };
            each_named(slos, name, slo, add)?;
        }
    }
    slos.iter_mut().for_each(|slo| slo.definition_hash = hash::definition_hash(slo));
    Ok(())
}

/// An SLO by its name, or all SLOs of a document by the document's.
fn each_named(slos: &mut [Slo], tenant: &str, name: &str, change: impl Fn(&mut Slo)) -> Result<(), TenantsError> {
    let is_named =
        |slo: &Slo| slo.name == name || slo.name.split_once(':').is_some_and(|(document, _)| document == name);
    if !slos.iter().any(is_named) {
        let near = closest(name, slos.iter().map(|slo| slo.name.as_str()));
        let remedy = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
        return Err(TenantsError::NoSlo { tenant: tenant.to_owned(), slo: name.to_owned(), remedy });
    }
    slos.iter_mut().filter(|slo| is_named(slo)).for_each(change);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Tenants, String> {
        parse(Path::new("tenants"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn lines_and_rows_say_the_same() {
        let lines = r#"{"tenant": "acme", "display_name": "Acme, Inc.", "attributes": {"plan": "gold", "seats": 12}, "objectives": {"checkout": 0.9995}, "slas": {"checkout": "0.999"}}
{"tenant": "beta", "owner": "b@example.com", "labels": {"region": "eu"}}
"#;
        let rows = "tenant,display_name,owner,attributes.plan,attributes.seats,objectives.checkout,slas,labels\n\
                    acme,\"Acme, Inc.\",,gold,12,0.9995,\"{\"\"checkout\"\": 0.999}\",\n\
                    beta,,b@example.com,,,,,\"{\"\"region\"\": \"\"eu\"\"}\"\n";
        let tenants = parsed(lines).expect("lines");
        assert_eq!(parsed(rows), Ok(tenants.clone()));
        assert_eq!(tenants.0["acme"].objectives["checkout"], Ratio { num: 1999, den: 2000 });
        assert_eq!(
            tenants.attributes().of("acme"),
            [("plan".to_owned(), "gold".to_owned()), ("seats".to_owned(), "12".to_owned())]
        );
        assert!(tenants.attributes().of("beta").is_empty());
    }

    #[test]
    fn a_mistake_names_line_and_remedy() {
        for (text, words) in [
            ("{\"tenant\": \"a\"}\n{\"tenant\": \"a\"}", "tenants:2: `a` is there twice"),
            ("{\"tenant\": \"a\"}\n\n{\"name\": \"b\"}", "tenants:3: there is no field `name`"),
            ("{\"tenant\": \"\"}", "tenants:1: `tenant` is missing"),
            ("{\"tenant\": \"a\", \"slas\": {\"x\": 1}}", "tenants:1: `slas.x` cannot be 1"),
            ("tenant,ower\na,b\n", "tenants:2: there is no field `ower`: write `owner`"),
            ("tenant,owner\na\n", "tenants: tenants:2: "),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
