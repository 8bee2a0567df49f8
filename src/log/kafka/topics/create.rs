//! Creates topics and adds partitions. It never changes or deletes what is there.

use super::admin::{REQUEST_TIMEOUT, TopicAdmin};
use super::plan::{TopicPlan, configuration};
use super::state::TopicState;
use crate::log::LogError;
use crate::log::kafka::error_codes::is_authorization_error;
use crate::log::kafka::rights;
use rdkafka::admin::{AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// A broker learns of new topics and partitions a moment after the controller created them: how often to ask it.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

impl TopicAdmin {
    /// Creates the topics that are missing, and returns their names. `replication_factor` -1 is the brokers' default.
    pub fn create_missing(&self, plans: &[TopicPlan], replication_factor: i32) -> Result<Vec<String>, LogError> {
        let states = self.inspect(plans)?;
        let missing = plans.iter().zip(&states).filter(|(_, state)| **state == TopicState::Missing);
        let missing: Vec<&TopicPlan> = missing.map(|(plan, _)| plan).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        self.create(&missing, replication_factor, &options.request_timeout(Some(REQUEST_TIMEOUT)))?;
        let names: Vec<String> = missing.into_iter().map(|plan| plan.name.clone()).collect();
        self.await_visible(&names)?;
        Ok(names)
    }

    /// Asks the brokers whether a topic could be created, without creating it.
    pub fn could_create(&self, plan: &TopicPlan, replication_factor: i32) -> Result<(), LogError> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).validate_only(true);
        self.create(&[plan], replication_factor, &options)
    }

    fn create(&self, plans: &[&TopicPlan], replication_factor: i32, options: &AdminOptions) -> Result<(), LogError> {
        let settings: Vec<_> = plans.iter().map(|plan| configuration(plan)).collect();
        let topics = plans.iter().zip(&settings).map(|(plan, settings)| new_topic(plan, settings, replication_factor));
        let topics = topics.collect::<Result<Vec<_>, LogError>>()?;
        let created = self.block_on(self.client().create_topics(&topics, options));
        created.map_err(|e| self.failed("create topics", &e))?.into_iter().try_for_each(|outcome| match outcome {
            // Another instance may have been faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Err((name, code)) => Err(not_created(&name, code)),
        })
    }

    fn await_visible(&self, names: &[String]) -> Result<(), LogError> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        for name in names {
            while self.partitions(name)?.is_none() {
                if Instant::now() >= deadline {
                    let brokers = self.brokers();
                    return Err(LogError::Broken(format!("{name} was created, but {brokers} does not know it")));
                }
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
        Ok(())
    }

    /// Gives a topic of ours the partitions that it lacks.
    pub fn add_partitions(&self, plan: &TopicPlan) -> Result<(), LogError> {
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let options = options.request_timeout(Some(REQUEST_TIMEOUT));
        let wanted = NewPartitions::new(&plan.name, plan.partitions as usize);
        let refused = |why: String| LogError::Refused {
            what: plan.name.clone(),
            message: format!("has fewer partitions than {}, and cannot be given more: {why}", plan.partitions),
        };
        let added = self.block_on(self.client().create_partitions([&wanted], &options));
        for outcome in added.map_err(|e| refused(e.to_string()))? {
            match outcome {
                // `InvalidPartitions`: it has them already, because another instance was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::InvalidPartitions)) => {}
                Err((name, code)) if is_authorization_error(code) => return Err(rights::cannot_alter(&name)),
                Err((_, code)) => return Err(refused(code.to_string())),
            }
        }
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        while self.partitions(&plan.name)? < Some(plan.partitions) {
            if Instant::now() >= deadline {
                return Err(refused(format!("they were added, but {} does not know them", self.brokers())));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }
}

fn not_created(name: &str, code: RDKafkaErrorCode) -> LogError {
    if is_authorization_error(code) {
        return rights::cannot_create(name);
    }
    LogError::Refused { what: name.to_owned(), message: format!("cannot be created: {code}") }
}

fn new_topic<'a>(
    plan: &'a TopicPlan,
    settings: &'a [(&'static str, String)],
    replication_factor: i32,
) -> Result<NewTopic<'a>, LogError> {
    let partitions = i32::try_from(plan.partitions).map_err(|e| LogError::Refused {
        what: plan.name.clone(),
        message: format!("{} partitions: {e}", plan.partitions),
    })?;
    let topic = NewTopic::new(&plan.name, partitions, TopicReplication::Fixed(replication_factor));
    Ok(settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value)))
}
