//! Which topic a name stands for now: its id and how many partitions it has.
//!
//! The client library's own metadata has no ids, so this asks librdkafka itself.
#![expect(unsafe_code, reason = "the client library does not describe topics")]

use crate::log::{LogError, TopicId};
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

/// A topic as the brokers know it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Described {
    There {
        id: TopicId,
        partitions: u32,
    },
    /// There is none of this name, as far as the broker that was asked knows.
    Absent,
    /// It cannot be looked at.
    Refused(RDKafkaErrorCode),
}

/// What librdkafka gave us, and how it is given back.
struct Owned<T> {
    raw: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(raw: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Owned<T>, LogError> {
        if raw.is_null() {
            return Err(LogError::Broken("librdkafka gave nothing to describe topics with".to_owned()));
        }
        Ok(Owned { raw, free })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it came from the function that belongs to `free`, and nobody else gives it back.
        unsafe { (self.free)(self.raw) };
    }
}

/// Describes topics by their names. `Err`: the brokers did not answer within `wait`.
///
/// # Safety
/// `client` is a client of librdkafka that outlives the call.
pub unsafe fn describe(
    client: *mut sys::rd_kafka_t,
    names: &[String],
    wait: Duration,
) -> Result<BTreeMap<String, Described>, LogError> {
    let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let texts = names.iter().map(|name| CString::new(name.as_str())).collect::<Result<Vec<_>, _>>();
    let texts = texts.map_err(|e| LogError::Broken(format!("a topic's name: {e}")))?;
    let mut pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
    // SAFETY: the client is alive by the caller's promise; the names live in `texts`, and are copied here.
    let (queue, options, topics) = unsafe {
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        (
            Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy)?,
            Owned::new(sys::rd_kafka_AdminOptions_new(client, kind), sys::rd_kafka_AdminOptions_destroy)?,
            Owned::new(topics, sys::rd_kafka_TopicCollection_destroy)?,
        )
    };
    // SAFETY: all of them are alive until this function returns; the answer comes to our own queue.
    let event = unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(options.raw, wait_ms, ptr::null_mut(), 0);
        sys::rd_kafka_DescribeTopics(client, topics.raw, options.raw, queue.raw);
        sys::rd_kafka_queue_poll(queue.raw, wait_ms.saturating_add(1_000))
    };
    if event.is_null() {
        return Err(LogError::Broken("describing topics: no answer in time".to_owned()));
    }
    let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
    // SAFETY: the event is alive; the result and all that is in it live as long as the event.
    unsafe {
        let error = sys::rd_kafka_event_error(event.raw);
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(LogError::Broken(format!("describing topics: {}", RDKafkaErrorCode::from(error))));
        }
        Ok(read(sys::rd_kafka_event_DescribeTopics_result(event.raw)))
    }
}

/// What a client that nobody polls was told outside of any call, since this was asked last.
///
/// # Safety
/// `client` is a client of librdkafka that outlives the call, and nobody else serves its main queue.
pub unsafe fn errors(client: *mut sys::rd_kafka_t) -> Result<Vec<(RDKafkaErrorCode, String)>, LogError> {
    // SAFETY: the caller's promise; the queue is given back, which leaves the client's own untouched.
    let queue = unsafe { Owned::new(sys::rd_kafka_queue_get_main(client), sys::rd_kafka_queue_destroy)? };
    let mut all = Vec::new();
    loop {
        // SAFETY: the queue is alive.
        let event = unsafe { sys::rd_kafka_queue_poll(queue.raw, 0) };
        if event.is_null() {
            return Ok(all);
        }
        let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
        // SAFETY: the event is alive; its text is a C string that lives as long.
        unsafe {
            let code = sys::rd_kafka_event_error(event.raw);
            let text = sys::rd_kafka_event_error_string(event.raw);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !text.is_null() {
                all.push((code.into(), CStr::from_ptr(text).to_string_lossy().into_owned()));
            }
        }
    }
}

/// # Safety
/// `result` is null, or the result of an event that outlives the call.
unsafe fn read(result: *const sys::rd_kafka_DescribeTopics_result_t) -> BTreeMap<String, Described> {
    let mut count = 0;
    if result.is_null() {
        return BTreeMap::new();
    }
    // SAFETY: the caller's promise; librdkafka returns so many descriptions, which live as long as the result.
    let all = unsafe {
        let first = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if first.is_null() { &[] } else { std::slice::from_raw_parts(first, count) }
    };
    // SAFETY: each is a description of the result.
    all.iter().map(|one| unsafe { read_one(*one) }).collect()
}

/// # Safety
/// `one` is a description that outlives the call.
unsafe fn read_one(one: *const sys::rd_kafka_TopicDescription_t) -> (String, Described) {
    // SAFETY: the caller's promise; name, error and id belong to the description, and the id is there where
    // there is no error.
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
        (name, Described::There { id, partitions: u32::try_from(partitions).unwrap_or(u32::MAX) })
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
