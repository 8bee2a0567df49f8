//! `tailburn schema`: lists the schemas of the records tailburn reads and writes, or prints one.
//!
//! It prints what the codecs of this build use; it reads no file and asks no registry.

mod json_schema;

use super::output::Names;
use super::{Exit, Failure, Outcome};
use crate::codec::avro::SCHEMA_OF_RECORD;
use crate::codec::output::OutputSchema;
use crate::model::record::Topic;
use anyhow::Context as _;
use json_schema::Required;
use std::io::Write as _;

#[derive(Clone, Debug, clap::Args)]
pub struct SchemaArgs {
    /// A topic or a file of schemas/, as in slo-status; without it, lists all
    #[arg(value_parser = Names(names))]
    pub name: Option<String>,
    /// Print JSON Schema (draft 2020-12) of the JSON form instead of Avro
    #[arg(long, requires = "name")]
    pub json_schema: bool,
}

/// A schema: its usual name, the file, and its text.
#[derive(Clone, Copy, Debug)]
struct Document {
    name: &'static str,
    file: &'static str,
    text: &'static str,
    required: Required,
}

pub fn run(args: &SchemaArgs) -> Outcome {
    let text = match &args.name {
        None => list()?,
        Some(name) => match find(name) {
            Some(document) if args.json_schema => json_schema::print(document.text, document.required)?,
            Some(document) => document.text.to_owned(),
            None => {
                let text = format!("there is no schema `{name}`; there are {}", names().join(", "));
                return Err(Failure::Usage(text));
            }
        },
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output")?;
    Ok(Exit::Done.into())
}

fn names() -> Vec<&'static str> {
    documents().map(|document| document.name).collect()
}

/// tailburn's own input schema.
const INPUT: Document = Document {
    name: "request-outcome",
    file: "request-outcome",
    text: SCHEMA_OF_RECORD,
    required: Required::WithoutDefault,
};

fn documents() -> impl Iterator<Item = Document> {
    let outputs = Topic::OUTPUTS.into_iter().chain([Topic::Definitions]).filter_map(|topic| {
        let schema = OutputSchema::of(topic)?;
        Some(Document { name: topic.name(), file: schema.name(), text: schema.text(), required: Required::All })
    });
    std::iter::once(INPUT).chain(outputs)
}

fn find(name: &str) -> Option<Document> {
    let name = name.strip_suffix(".avsc").unwrap_or(name);
    documents().find(|document| document.name == name)
}

fn list() -> anyhow::Result<String> {
    let mut text = String::new();
    for document in documents() {
        let record = json_schema::parse(document.text)?;
        let doc = record["doc"].as_str().unwrap_or_default();
        let sentence = doc.split_inclusive(". ").next().unwrap_or(doc).trim_end();
        text.push_str(&format!("{:16} schemas/{}.avsc\n    {sentence}\n", document.name, document.file));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_schemas_by_topic_and_by_file() {
        assert_eq!(find("slo-history").map(|d| d.file), Some("slo-history"));
        assert_eq!(find("burn-alerts.avsc").map(|d| d.file), Some("burn-alerts"));
        assert_eq!(find("request-outcome").map(|d| d.text), Some(SCHEMA_OF_RECORD));
        assert!(find("internal.partials").is_none());
    }

    #[test]
    fn lists_the_input_and_every_topic_with_one_sentence() {
        let text = list().expect("embedded schemas are valid");
        assert_eq!(text.lines().count(), 2 * (2 + Topic::OUTPUTS.len()));
        assert!(text.contains("slo-history      schemas/slo-history.avsc\n    What is kept of a key"), "{text}");
    }
}
