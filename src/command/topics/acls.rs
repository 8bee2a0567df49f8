//! The rights that `run` needs, as `kafka-acls` commands with the names in force.

use super::table::kafka_settings;
use crate::command::{Exit, Global, Outcome, Printer};
use crate::config::Settings;
use crate::log::kafka::topics::{PartitionCounts, plan};
use crate::model::record::Topic;
use std::io::Write as _;

/// What may be done with something.
#[derive(Debug, PartialEq, Eq)]
struct Right {
    /// The options that name it.
    resource: String,
    operations: Vec<&'static str>,
}

pub fn run(global: &Global, principal: &str) -> Outcome {
    let settings = global.load()?.settings;
    let servers = settings.kafka.properties.get("bootstrap.servers").map_or("localhost:9092", String::as_str);
    let mut out = Printer::stdout();
    for right in rights(&settings) {
        let operations: String = right.operations.iter().map(|name| format!(" --operation {name}")).collect();
        out.line(&format!(
            "kafka-acls.sh --bootstrap-server {} --add --allow-principal {} {}{operations}",
            quoted(servers),
            quoted(principal),
            right.resource
        ))?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn rights(settings: &Settings) -> Vec<Right> {
    let kafka = kafka_settings(settings);
    let topic = |name: &str| format!("--topic {}", quoted(name));
    let inputs =
        kafka.input_topics.iter().map(|name| Right { resource: topic(name), operations: vec!["Read", "Describe"] });
    // The partition counts name nothing.
    let counts = PartitionCounts { input: 1, users: 1, rollup: 1 };
    let ours = plan(&kafka, counts).into_iter().map(|plan| {
        let mut operations = vec!["Write", "Describe", "DescribeConfigs"];
        if plan.ours.is_some_and(|topic| Topic::INTERNAL.contains(&topic)) {
            // What was read of them is deleted.
            operations.extend(["Read", "Delete"]);
        }
        if settings.topics.create {
            operations.push("Create");
        }
        if settings.topics.create && plan.ours == Some(Topic::DeadLetters) {
            // It gets a partition for each that an input gets.
            operations.push("Alter");
        }
        Right { resource: topic(&plan.name), operations }
    });
    let group =
        Right { resource: format!("--group {}", quoted(&kafka.group_id)), operations: vec!["Read", "Describe"] };
    let transactions = Right {
        resource: format!(
            "--transactional-id {} --resource-pattern-type prefixed",
            quoted(&format!("{}-", settings.application_id))
        ),
        operations: vec!["Write", "Describe"],
    };
    inputs.chain(ours).chain([group, transactions]).collect()
}

/// For a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:,/".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_name_as_it_is() {
        assert_eq!(quoted("User:tailburn"), "User:tailburn");
        assert_eq!(quoted("User:CN=it's"), r"'User:CN=it'\''s'");
    }
}
