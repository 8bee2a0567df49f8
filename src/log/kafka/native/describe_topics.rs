//! Describes topics: the id, the number of partitions, and what we may do.
//!
//! The client library's own metadata has no topic ids.
#![expect(unsafe_code, reason = "the client library does not describe topics")]

use super::request::{Owned, Request, send};
use crate::log::kafka::operations::Operations;
use crate::log::{LogError, TopicId};
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

/// A topic as the brokers know it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Described {
    There {
        id: TopicId,
        partitions: u32,
        operations: Operations,
    },
    /// The broker that was asked knows no topic of this name.
    Absent,
    /// The brokers refuse to describe it.
    Refused(RDKafkaErrorCode),
}

/// Describes topics by their names. `Err`: the brokers did not answer before `timeout`.
///
/// # Safety
/// `client` is a client of librdkafka that outlives the call.
pub unsafe fn describe(
    client: *mut sys::rd_kafka_t,
    names: &[String],
    timeout: Duration,
) -> Result<BTreeMap<String, Described>, LogError> {
    let texts = names.iter().map(|name| CString::new(name.as_str())).collect::<Result<Vec<_>, _>>();
    let texts = texts.map_err(|e| LogError::Broken(format!("a topic's name: {e}")))?;
    let mut pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
    // SAFETY: the names live in `texts`, and are copied here.
    let topics = unsafe { sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let topics = Owned::new(topics, sys::rd_kafka_TopicCollection_destroy)?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let request = Request { kind, name: "describing topics", timeout };
    // SAFETY: the client is alive by the caller's promise, the collection until this function returns. The event is
    // the result of this request, and everything in it lives as long as the event.
    unsafe {
        let describe = |options, queue| sys::rd_kafka_DescribeTopics(client, topics.raw, options, queue);
        let event = send(client, request, describe)?;
        Ok(read(sys::rd_kafka_event_DescribeTopics_result(event.raw)))
    }
}

/// # Safety
/// `result` is null, or the result of an event that outlives the call.
unsafe fn read(result: *const sys::rd_kafka_DescribeTopics_result_t) -> BTreeMap<String, Described> {
    let mut count = 0;
    if result.is_null() {
        return BTreeMap::new();
    }
    // SAFETY: the caller's promise. librdkafka returns `count` descriptions, which live as long as the result.
    let all = unsafe {
        let first = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if first.is_null() { &[] } else { std::slice::from_raw_parts(first, count) }
    };
    // SAFETY: each one is a description in the result.
    all.iter().map(|one| unsafe { read_one(*one) }).collect()
}

/// # Safety
/// `one` is a description that outlives the call.
unsafe fn read_one(one: *const sys::rd_kafka_TopicDescription_t) -> (String, Described) {
    // SAFETY: the caller's promise. Name, error and id belong to the description, which has an id if it has no error.
    unsafe {
        let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(one)).to_string_lossy().into_owned();
        let error = sys::rd_kafka_TopicDescription_error(one);
        if !error.is_null() {
            let code = sys::rd_kafka_error_code(error);
            let is_absent = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
            let described = if is_absent { Described::Absent } else { Described::Refused(code.into()) };
            return (name, described);
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(one, &mut partitions);
        let id = sys::rd_kafka_TopicDescription_topic_id(one);
        let id = if id.is_null() { TopicId::UNKNOWN } else { topic_id(id) };
        let mut count = 0;
        let operations = sys::rd_kafka_TopicDescription_authorized_operations(one, &mut count);
        let operations = super::describe_rights::read(operations, count);
        (name, Described::There { id, partitions: u32::try_from(partitions).unwrap_or(u32::MAX), operations })
    }
}

/// # Safety
/// `id` is alive.
unsafe fn topic_id(id: *const sys::rd_kafka_Uuid_t) -> TopicId {
    // SAFETY: the caller's promise.
    let (most, least) =
        unsafe { (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id)) };
    TopicId((u128::from(most.cast_unsigned()) << 64 | u128::from(least.cast_unsigned())).to_be_bytes())
}
