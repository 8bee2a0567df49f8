//! Errors and log lines of an admin client, which the client library never polls for.
#![expect(unsafe_code, reason = "the client library does not poll an admin client")]

use super::request::Owned;
use crate::log::LogError;
use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, c_char};
use std::ptr;

pub enum ClientEvent {
    Error(RDKafkaErrorCode, String),
    LogLine { level: RDKafkaLogLevel, facility: String, text: String },
}

/// The events since the last call.
///
/// # Safety
/// `client` is a client of librdkafka that outlives the call, and nobody else serves its main queue.
pub unsafe fn take(client: *mut sys::rd_kafka_t) -> Result<Vec<ClientEvent>, LogError> {
    // SAFETY: the caller's promise. This is a reference to the client's queue: dropping it leaves the queue itself alone.
    let queue = unsafe { Owned::new(sys::rd_kafka_queue_get_main(client), sys::rd_kafka_queue_destroy)? };
    let mut all = Vec::new();
    loop {
        // SAFETY: the queue is alive.
        let event = unsafe { sys::rd_kafka_queue_poll(queue.raw, 0) };
        if event.is_null() {
            return Ok(all);
        }
        let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
        // SAFETY: the event is alive.
        all.extend(unsafe { read(event.raw) });
    }
}

/// # Safety
/// `event` outlives the call.
unsafe fn read(event: *mut sys::rd_kafka_event_t) -> Option<ClientEvent> {
    // SAFETY: the caller's promise. Texts are C strings that live as long as the event.
    unsafe {
        if sys::rd_kafka_event_type(event) == sys::RD_KAFKA_EVENT_LOG {
            let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
            if sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) != 0 {
                return None;
            }
            let (facility, text) = (owned(facility)?, owned(text)?);
            return Some(ClientEvent::LogLine { level: of_syslog(level), facility, text });
        }
        let code = sys::rd_kafka_event_error(event);
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        Some(ClientEvent::Error(code.into(), owned(sys::rd_kafka_event_error_string(event))?))
    }
}

const fn of_syslog(level: i32) -> RDKafkaLogLevel {
    match level {
        ..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// # Safety
/// `text` is null or a C string.
unsafe fn owned(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
