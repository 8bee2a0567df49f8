//! `check --connect`: tests the configuration against the brokers. It joins no group and publishes nothing, so it does
//! not disturb a running instance.

use super::report::{BrokersReport, Finding, Level};
use crate::config::Settings;

/// Without the feature `kafka` there is no client.
#[cfg(not(feature = "kafka"))]
pub fn ask(_settings: &Settings) -> BrokersReport {
    BrokersReport {
        findings: vec![error("kafka", "this build has no Kafka (cargo feature `kafka`)")],
        ..BrokersReport::default()
    }
}

#[cfg(feature = "kafka")]
pub fn ask(settings: &Settings) -> BrokersReport {
    let mut report = BrokersReport::default();
    if let Err(error) = kafka::ask(settings, &mut report) {
        report.findings.push(kafka::finding(error));
    }
    report
}

fn error(key: &str, message: &str) -> Finding {
    Finding {
        level: Level::Error,
        place: String::new(),
        key: key.to_owned(),
        message: message.to_owned(),
        remedy: None,
    }
}

#[cfg(feature = "kafka")]
mod kafka {
    use super::{BrokersReport, Finding, Level, Settings, error};
    use crate::command::topics::kafka_settings;
    use crate::log::LogError;
    use crate::log::kafka::topics::{PartitionCounts, TopicAdmin, TopicPlan, TopicState, plan};
    use crate::log::kafka::{KafkaSettings, rights, try_transactions};

    pub fn finding(refused: LogError) -> Finding {
        match refused {
            LogError::Refused { what, message } => error(&what, &message),
            other => error("kafka", &other.to_string()),
        }
    }

    /// An error if the brokers cannot be reached at all.
    pub fn ask(settings: &Settings, report: &mut BrokersReport) -> Result<(), LogError> {
        let kafka = kafka_settings(settings);
        let admin = TopicAdmin::open(&kafka)?;
        let cluster = admin.cluster()?;
        let servers = kafka.properties.get("bootstrap.servers").map_or("", String::as_str);
        let brokers = if cluster.brokers == 1 { "broker" } else { "brokers" };
        report.fine.push(format!("{servers}: {} {brokers}, logged in {}", cluster.brokers, way_in(&kafka)));
        let inputs = inputs(&admin, &kafka, report);
        topics(&admin, settings, &kafka, inputs, report);
        rights(&admin, &kafka, report);
        transactions(&kafka, report);
        Ok(())
    }

    fn way_in(kafka: &KafkaSettings) -> String {
        let of = |name: &str| kafka.properties.get(name).map(|value| value.to_ascii_lowercase());
        let protocol = of("security.protocol").unwrap_or_else(|| "plaintext".to_owned());
        let mechanism = kafka.properties.get("sasl.mechanism").or_else(|| kafka.properties.get("sasl.mechanisms"));
        match mechanism.filter(|_| protocol.starts_with("sasl")) {
            Some(mechanism) => format!("by {protocol}, {mechanism}"),
            None => format!("by {protocol}"),
        }
    }

    /// Their partitions together, if all of them exist.
    fn inputs(admin: &TopicAdmin, kafka: &KafkaSettings, report: &mut BrokersReport) -> Option<u32> {
        let mut all = Some(0);
        for topic in &kafka.input_topics {
            let found = admin.partitions(topic);
            all = all.zip(found.as_ref().ok().copied().flatten()).map(|(all, more)| all + more);
            match found {
                Ok(Some(partitions)) => report.fine.push(format!("{topic}: {partitions} partitions")),
                Ok(None) => {
                    report.findings.push(error(topic, "there is no such topic: create it, or correct its name"))
                }
                // A missing right is reported later, together with all others.
                Err(LogError::Refused { .. }) => {}
                Err(error) => report.findings.push(finding(error)),
            }
        }
        all
    }

    fn topics(
        admin: &TopicAdmin,
        settings: &Settings,
        kafka: &KafkaSettings,
        inputs: Option<u32>,
        report: &mut BrokersReport,
    ) {
        let partitions = &settings.partitions;
        let input = inputs.unwrap_or(1);
        let counts = PartitionCounts { input, users: partitions.users, rollup: partitions.rollup };
        for plan in plan(kafka, counts) {
            match admin.inspect(std::slice::from_ref(&plan)).map(|states| states.into_iter().next()) {
                Ok(Some(TopicState::Missing)) => missing(admin, settings, &plan, report),
                Ok(Some(TopicState::Differs(differences))) => {
                    // The expected number of partitions depends on the input.
                    let known = differences.iter().filter(|d| inputs.is_some() || !d.what.contains("partitions"));
                    report.findings.extend(known.map(|difference| {
                        let level = if difference.breaks_promise { Level::Error } else { Level::Warning };
                        Finding { level, ..error(&plan.name, &difference.what) }
                    }));
                }
                Ok(_) => report.fine.push(format!("{}: as planned", plan.name)),
                Err(LogError::Refused { .. }) => {}
                Err(error) => report.findings.push(finding(error)),
            }
        }
    }

    fn missing(admin: &TopicAdmin, settings: &Settings, plan: &TopicPlan, report: &mut BrokersReport) {
        if !settings.topics.create {
            let message = "is missing, and topics.create is false: `tailburn topics --create` creates it";
            report.findings.push(error(&plan.name, message));
            return;
        }
        match admin.could_create(plan, settings.topics.replication_factor) {
            Ok(()) => report.fine.push(format!("{}: is missing, `run` creates it", plan.name)),
            Err(error) => report.findings.push(finding(error)),
        }
    }

    fn rights(admin: &TopicAdmin, kafka: &KafkaSettings, report: &mut BrokersReport) {
        match admin.missing_rights(kafka) {
            Ok(missing) if missing.is_empty() => {
                report
                    .fine
                    .push(format!("group {} and all existing topics: every right that `run` needs", kafka.group_id));
            }
            Ok(missing) => report.findings.extend(missing.iter().map(|right| {
                let (what, message) = rights::in_words(right);
                error(&what, &message)
            })),
            Err(error) => report.findings.push(finding(error)),
        }
    }

    fn transactions(kafka: &KafkaSettings, report: &mut BrokersReport) {
        match try_transactions(kafka) {
            Ok(()) => report.fine.push(format!("transactional ids {}...: may be used", kafka.transactional_prefix())),
            Err(error) => report.findings.push(finding(error)),
        }
    }
}
