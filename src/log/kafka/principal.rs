//! What the principal that we are logged in as may do with the group and the cluster, as the brokers say.
#![expect(unsafe_code, reason = "the client library does not ask for it")]

use super::ask::{Question, Unanswered, ask};
use super::rights::Operations;
use crate::log::LogError;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use std::ffi::{CStr, CString};
use std::time::Duration;

/// What may be done with a consumer group, that has members or has none. The inner error: not even looked at.
///
/// # Safety
/// `client` is a client of librdkafka that outlives the call.
pub unsafe fn of_group(
    client: *mut sys::rd_kafka_t,
    group: &str,
    wait: Duration,
) -> Result<Result<Operations, RDKafkaErrorCode>, LogError> {
    let name = CString::new(group).map_err(|e| LogError::Broken(format!("group {group:?}: {e}")))?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let question = Question { kind, name: "describing the group", wait };
    let mut names = [name.as_ptr()];
    // SAFETY: the client is alive by the caller's promise, the name as long as this function; the event is the
    // answer to this question, and all that is in it lives as long.
    unsafe {
        let send = |options, queue| sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue);
        let event = match ask(client, question, send) {
            Ok(event) => event,
            // Who may not use the group is not told which broker looks after it.
            Err(Unanswered::Refused(_, code)) => return Ok(Err(code)),
            Err(Unanswered::Failed(error)) => return Err(error),
        };
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.raw);
        let mut count = 0;
        let first = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if count == 0 || first.is_null() {
            return Err(LogError::Broken("describing the group: an empty answer".to_owned()));
        }
        let error = sys::rd_kafka_ConsumerGroupDescription_error(*first);
        if !error.is_null() {
            return Ok(Err(sys::rd_kafka_error_code(error).into()));
        }
        let operations = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(*first, &mut count);
        Ok(Ok(read(operations, count)))
    }
}

/// A cluster, as it describes itself.
pub struct Cluster {
    pub brokers: usize,
    pub id: String,
    pub operations: Operations,
}

/// # Safety
/// `client` is a client of librdkafka that outlives the call.
pub unsafe fn of_cluster(client: *mut sys::rd_kafka_t, wait: Duration) -> Result<Cluster, LogError> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
    let question = Question { kind, name: "describing the cluster", wait };
    // SAFETY: the client is alive by the caller's promise; the event is the answer to this question, and all that
    // is in it lives as long.
    unsafe {
        let event = ask(client, question, |options, queue| sys::rd_kafka_DescribeCluster(client, options, queue))?;
        let result = sys::rd_kafka_event_DescribeCluster_result(event.raw);
        let (mut brokers, mut count) = (0, 0);
        sys::rd_kafka_DescribeCluster_result_nodes(result, &mut brokers);
        let id = sys::rd_kafka_DescribeCluster_result_cluster_id(result);
        let id = if id.is_null() { String::new() } else { CStr::from_ptr(id).to_string_lossy().into_owned() };
        let operations = sys::rd_kafka_DescribeCluster_result_authorized_operations(result, &mut count);
        Ok(Cluster { brokers, id, operations: read(operations, count) })
    }
}

/// # Safety
/// `first` is null, or the first of so many operations.
pub unsafe fn read(first: *const sys::rd_kafka_AclOperation_t, count: usize) -> Operations {
    if first.is_null() {
        return Operations::UNKNOWN;
    }
    // SAFETY: the caller's promise. None at all is a place that may not be looked at.
    let all = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(first, count) } };
    Operations::of(all.iter().map(|operation| *operation as u32))
}
