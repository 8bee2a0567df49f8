//! Reads the settings of topics from the brokers.

use super::admin::{REQUEST_TIMEOUT, TopicAdmin};
use super::plan::TopicPlan;
use super::state::{TopicState, compare};
use crate::log::LogError;
use crate::log::kafka::error_codes::is_authorization_error;
use crate::log::kafka::rights;
use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use std::collections::BTreeMap;

impl TopicAdmin {
    /// Compares topics with their plans.
    pub fn inspect(&self, plans: &[TopicPlan]) -> Result<Vec<TopicState>, LogError> {
        plans.iter().map(|plan| self.inspect_one(plan)).collect()
    }

    fn inspect_one(&self, plan: &TopicPlan) -> Result<TopicState, LogError> {
        let Some(partitions) = self.partitions(&plan.name)? else { return Ok(TopicState::Missing) };
        Ok(compare(plan, partitions, &self.configured(&plan.name)?))
    }

    /// All settings of a topic.
    pub fn configured(&self, topic: &str) -> Result<BTreeMap<String, String>, LogError> {
        let refused = |why: String| LogError::Refused {
            what: topic.to_owned(),
            message: format!("its settings cannot be read: {why}"),
        };
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let described = self.block_on(self.client().describe_configs([&ResourceSpecifier::Topic(topic)], &options));
        let resource = described.map_err(|e| refused(e.to_string()))?.into_iter().next();
        let resource = resource.ok_or_else(|| refused("no answer".to_owned()))?;
        let resource = resource.map_err(|code| match is_authorization_error(code) {
            true => rights::cannot_describe_configs(topic),
            false => refused(code.to_string()),
        })?;
        // The client library returns no error when the brokers refuse this, only an empty list.
        if resource.entries.is_empty() {
            return Err(rights::cannot_describe_configs(topic));
        }
        Ok(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }
}
