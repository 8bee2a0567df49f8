//! Which of the rights that `run` needs are missing, as far as the brokers say.

use super::admin::TopicAdmin;
use crate::log::LogError;
use crate::log::kafka::error_codes::is_authorization_error;
use crate::log::kafka::native::describe_topics::Described;
use crate::log::kafka::operations::Operations;
use crate::log::kafka::rights::{self, Resource, Right};
use crate::log::kafka::settings::KafkaSettings;
use std::collections::BTreeMap;
use std::time::Duration;

/// A start does not wait long for a group's coordinator, which may just be moving.
const GROUP_TIMEOUT: Duration = Duration::from_secs(5);

impl TopicAdmin {
    /// The missing rights on the group and on the topics that exist. (Brokers do not say what is allowed on
    /// transactional ids: using one shows it.)
    pub fn missing_rights(&self, settings: &KafkaSettings) -> Result<Vec<Right>, LogError> {
        let needed = rights::needed(settings);
        let found = self.describe_all(&rights::topics(&needed))?;
        let mut missing = self.missing_on_topics(&needed, &found);
        missing.extend(self.missing_on_group(&needed, GROUP_TIMEOUT)?);
        Ok(missing)
    }

    pub(in crate::log::kafka) fn missing_on_topics(
        &self,
        needed: &[Right],
        found: &BTreeMap<String, Described>,
    ) -> Vec<Right> {
        let on_cluster = || self.cluster().map_or(Operations::UNKNOWN, |cluster| cluster.operations);
        rights::missing_on_topics(needed, found, on_cluster)
    }

    pub(in crate::log::kafka) fn missing_on_group(
        &self,
        needed: &[Right],
        timeout: Duration,
    ) -> Result<Option<Right>, LogError> {
        let is_group = |right: &&Right| matches!(right.resource, Resource::Group(_));
        let Some(Right { resource: Resource::Group(group), operations }) = needed.iter().find(is_group) else {
            return Ok(None);
        };
        let is_missing = match self.describe_group(group, timeout)? {
            Ok(found) => operations.iter().any(|operation| !found.allow(*operation)),
            Err(code) => is_authorization_error(code),
        };
        Ok(is_missing.then(|| Right { resource: Resource::Group(group.clone()), operations: operations.clone() }))
    }

    /// Fails if a right is missing, before anything is read or written.
    pub fn check_rights(&self, settings: &KafkaSettings) -> Result<(), LogError> {
        let missing = match self.missing_rights(settings) {
            Ok(missing) => missing,
            Err(error @ LogError::Refused { .. }) => return Err(error),
            // If a right is missing after all, the first use of it fails with the same message.
            Err(error) => {
                tracing::warn!(target: "tailburn::kafka", %error, "the rights cannot be checked");
                return Ok(());
            }
        };
        rights::refused(&missing).map_or(Ok(()), Err)
    }
}
