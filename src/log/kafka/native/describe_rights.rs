//! Asks the brokers what our principal may do with the group and the cluster.
#![expect(unsafe_code, reason = "the client library does not ask for the allowed operations")]

use super::request::{Request, RequestError, send};
use crate::log::LogError;
use crate::log::kafka::operations::Operations;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use std::ffi::{CStr, CString};
use std::time::Duration;

/// The operations allowed on a consumer group, which may be empty. The inner error: the brokers refuse to describe it.
///
/// # Safety
/// `client` is a client of librdkafka that outlives the call.
pub unsafe fn of_group(
    client: *mut sys::rd_kafka_t,
    group: &str,
    timeout: Duration,
) -> Result<Result<Operations, RDKafkaErrorCode>, LogError> {
    let name = CString::new(group).map_err(|e| LogError::Broken(format!("group {group:?}: {e}")))?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let request = Request { kind, name: "describing the group", timeout };
    let mut names = [name.as_ptr()];
    // SAFETY: the client is alive by the caller's promise, the name until this function returns. The event is the
    // result of this request, and everything in it lives as long as the event.
    unsafe {
        let describe =
            |options, queue| sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue);
        let event = match send(client, request, describe) {
            Ok(event) => event,
            // Without a right on the group, finding its coordinator already fails.
            Err(RequestError::Refused(_, code)) => return Ok(Err(code)),
            Err(RequestError::Failed(error)) => return Err(error),
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

/// What a cluster says about itself.
pub struct Cluster {
    pub brokers: usize,
    pub id: String,
    pub operations: Operations,
}

/// # Safety
/// `client` is a client of librdkafka that outlives the call.
pub unsafe fn of_cluster(client: *mut sys::rd_kafka_t, timeout: Duration) -> Result<Cluster, LogError> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
    let request = Request { kind, name: "describing the cluster", timeout };
    // SAFETY: the client is alive by the caller's promise. The event is the result of this request, and everything in
    // it lives as long as the event.
    unsafe {
        let event = send(client, request, |options, queue| sys::rd_kafka_DescribeCluster(client, options, queue))?;
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
/// `first` is null, or the first of `count` operations.
pub unsafe fn read(first: *const sys::rd_kafka_AclOperation_t, count: usize) -> Operations {
    if first.is_null() {
        return Operations::UNKNOWN;
    }
    // SAFETY: the caller's promise. With a count of zero the pointer must not be read.
    let all = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(first, count) } };
    Operations::of(all.iter().map(|operation| *operation as u32))
}
