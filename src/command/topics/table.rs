//! Compares the topics, creates missing ones, and prints the result.

use super::TopicsArgs;
use crate::command::applied::control;
use crate::command::{Exit, Failure, Global, Outcome, Printer};
use crate::config::Settings;
use crate::log::LogError;
use crate::log::kafka::topics::{Cleanup, PartitionCounts, TopicAdmin, TopicPlan, TopicState, plan, silences};
use crate::log::kafka::{KafkaSettings, Listener, StartFrom};
use crate::model::duration;
use serde::Serialize;
use std::io::{self, Write as _};

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    topic: String,
    /// `input`, or `output` if tailburn writes it.
    role: &'static str,
    exists: bool,
    created: bool,
    /// The partitions it has, or will have if it does not exist yet.
    partitions: Option<u32>,
    cleanup: Option<String>,
    differences: Vec<String>,
}

impl Row {
    fn is_right(&self) -> bool {
        self.exists && self.differences.is_empty()
    }
}

pub fn run(global: &Global, args: &TopicsArgs) -> Outcome {
    let settings = global.load()?.settings;
    let kafka = kafka_settings(&settings);
    let rows = rows(&settings, &kafka, args.create).map_err(failure)?;
    let mut out = Printer::stdout();
    if args.json {
        out.json(&serde_json::to_value(&rows).map_err(anyhow::Error::from)?)?;
    } else {
        print(&mut out, &rows, args.create)?;
    }
    out.flush()?;
    let is_right = rows.iter().all(Row::is_right);
    Ok(if is_right { Exit::Done } else { Exit::Findings }.into())
}

fn failure(error: LogError) -> Failure {
    match error {
        LogError::Refused { what, message } => Failure::Definition(format!("{what}: {message}")),
        other => anyhow::Error::from(other).into(),
    }
}

/// The ids are not used: the admin client joins no group and opens no transaction.
pub fn kafka_settings(settings: &Settings) -> KafkaSettings {
    KafkaSettings {
        properties: settings.kafka.properties.clone(),
        group_id: settings.application_id.clone(),
        transactional_id: settings.application_id.clone(),
        input_topics: settings.input.topics.clone(),
        prefix: settings.output.prefix.clone(),
        start_from: StartFrom::Earliest,
        keyed_by_user: settings.input.keyed_by_user,
        makes_topics: settings.topics.create,
        controls_definitions: control::reads_topic(settings),
        listener: Listener::default(),
    }
}

/// As `notify` reads: in a group of its own.
pub fn notify_settings(settings: &Settings) -> KafkaSettings {
    let of_run = kafka_settings(settings);
    KafkaSettings { group_id: format!("{}-notify", of_run.group_id), ..of_run }
}

fn rows(settings: &Settings, kafka: &KafkaSettings, create: bool) -> Result<Vec<Row>, LogError> {
    let admin = TopicAdmin::open(kafka)?;
    let mut rows = Vec::new();
    for topic in &kafka.input_topics {
        rows.push(input_row(topic, admin.partitions(topic)?));
    }
    let inputs = rows.iter().map(|row| row.partitions).sum::<Option<u32>>();
    // Dead letters have as many partitions as the inputs, so the inputs must exist first.
    let counts = PartitionCounts {
        input: inputs.unwrap_or(1),
        users: settings.partitions.users,
        rollup: settings.partitions.rollup,
    };
    let mut plans = plan(kafka, counts);
    plans.push(silences(kafka));
    let created = match (create, inputs) {
        (true, Some(_)) => admin.create_missing(&plans, settings.topics.replication_factor)?,
        _ => Vec::new(),
    };
    for (plan, state) in plans.iter().zip(admin.inspect(&plans)?) {
        let found = admin.partitions(&plan.name)?;
        rows.push(output_row(plan, state, found, created.contains(&plan.name)));
    }
    Ok(rows)
}

fn input_row(topic: &str, partitions: Option<u32>) -> Row {
    Row {
        topic: topic.to_owned(),
        role: "input",
        exists: partitions.is_some(),
        created: false,
        partitions,
        cleanup: None,
        differences: Vec::new(),
    }
}

fn output_row(plan: &TopicPlan, state: TopicState, found: Option<u32>, created: bool) -> Row {
    let differences = match state {
        TopicState::Differs(differences) => differences.iter().map(ToString::to_string).collect(),
        TopicState::Missing | TopicState::AsPlanned => Vec::new(),
    };
    Row {
        topic: plan.name.clone(),
        role: "output",
        exists: found.is_some(),
        created,
        partitions: Some(found.unwrap_or(plan.partitions)),
        cleanup: Some(words(plan.cleanup)),
        differences,
    }
}

fn words(cleanup: Cleanup) -> String {
    match cleanup {
        Cleanup::Compact => "compact".to_owned(),
        Cleanup::Delete { retention_ms: None } => "delete".to_owned(),
        Cleanup::Delete { retention_ms: Some(ms) } => format!("delete after {}", duration::print(ms)),
    }
}

fn print(out: &mut Printer, rows: &[Row], create: bool) -> io::Result<()> {
    let width = rows.iter().map(|row| row.topic.len()).max().unwrap_or(0);
    for row in rows {
        let partitions = row.partitions.map_or_else(String::new, |count| format!("{count} partitions"));
        let about = [row.role, &partitions, row.cleanup.as_deref().unwrap_or("")];
        let about: Vec<&str> = about.into_iter().filter(|text| !text.is_empty()).collect();
        let line = format!("{:<width$}  {}", row.topic, about.join(", "));
        match (row.exists, row.created) {
            (false, _) if row.role == "input" => {
                out.cross(&format!("{line}: is missing; create it, tailburn does not create input topics"))?
            }
            (false, _) => out.cross(&format!("{line}: is missing"))?,
            (true, true) => out.tick(&format!("{line}: created"))?,
            (true, false) if row.differences.is_empty() => out.tick(&line)?,
            (true, false) => out.notice(&format!("{line}: {}", row.differences.join("; ")))?,
        }
    }
    let is_missing = |role: &str| rows.iter().any(|row| !row.exists && row.role == role);
    if create && is_missing("input") {
        out.line("Nothing was created: `dead-letters` gets as many partitions as the input has.")?;
    } else if is_missing("output") && !create {
        out.line("`tailburn topics --create` creates what is missing; `run` does so too where topics.create is true.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::kafka::topics::Difference;

    #[test]
    fn a_missing_topic_and_a_different_one_are_findings() {
        let plan = TopicPlan { name: "t".to_owned(), partitions: 4, cleanup: Cleanup::Compact, ours: None };
        assert!(output_row(&plan, TopicState::AsPlanned, Some(4), false).is_right());
        let missing = output_row(&plan, TopicState::Missing, None, false);
        assert_eq!((missing.is_right(), missing.partitions), (false, Some(4)));
        let difference = Difference { what: "has 2 partitions, not 4".to_owned(), breaks_promise: true };
        let differs = output_row(&plan, TopicState::Differs(vec![difference]), Some(2), false);
        assert_eq!((differs.is_right(), differs.partitions), (false, Some(2)));
        assert!(!input_row("orders", None).is_right());
    }
}
