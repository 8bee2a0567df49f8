//! Questions to the brokers that the client library has no call for, asked through librdkafka itself.
#![expect(unsafe_code, reason = "the client library does not ask them")]

use crate::log::LogError;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use std::ptr;
use std::time::Duration;

/// What librdkafka gave us, and how it is given back.
pub struct Owned<T> {
    pub raw: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    pub fn new(raw: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Owned<T>, LogError> {
        if raw.is_null() {
            return Err(LogError::Broken("librdkafka gave nothing to ask with".to_owned()));
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

/// Which question, and its name in errors.
#[derive(Clone, Copy)]
pub struct Question {
    pub kind: sys::rd_kafka_admin_op_t,
    pub name: &'static str,
    pub wait: Duration,
}

/// Why there is no answer.
pub enum Unanswered {
    /// The brokers refuse the question as such.
    Refused(&'static str, RDKafkaErrorCode),
    Failed(LogError),
}

impl From<LogError> for Unanswered {
    fn from(error: LogError) -> Unanswered {
        Unanswered::Failed(error)
    }
}

impl From<Unanswered> for LogError {
    fn from(unanswered: Unanswered) -> LogError {
        match unanswered {
            Unanswered::Refused(name, code) => LogError::Broken(format!("{name}: {code}")),
            Unanswered::Failed(error) => error,
        }
    }
}

/// Asks, and waits for the answer. `ask` sends the question with these options, its answer to this queue. What one
/// may do with what is asked about is part of the answer.
///
/// # Safety
/// `client` is a client of librdkafka that outlives the call, and `ask` keeps to what librdkafka wants.
pub unsafe fn ask(
    client: *mut sys::rd_kafka_t,
    question: Question,
    ask: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Owned<sys::rd_kafka_event_t>, Unanswered> {
    let Question { kind, name, wait } = question;
    let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive by the caller's promise.
    let (queue, options) = unsafe {
        (
            Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy)?,
            Owned::new(sys::rd_kafka_AdminOptions_new(client, kind), sys::rd_kafka_AdminOptions_destroy)?,
        )
    };
    // SAFETY: both are alive until this function returns; the answer comes to our own queue. (The client library
    // gives an error where it has no such option for this kind of question: nothing to be done about it here.)
    let event = unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(options.raw, wait_ms, ptr::null_mut(), 0);
        let error = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options.raw, 1);
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
        ask(options.raw, queue.raw);
        sys::rd_kafka_queue_poll(queue.raw, wait_ms.saturating_add(1_000))
    };
    if event.is_null() {
        return Err(LogError::Broken(format!("{name}: no answer in time")).into());
    }
    let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
    // SAFETY: the event is alive.
    let error = unsafe { sys::rd_kafka_event_error(event.raw) };
    if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(Unanswered::Refused(name, error.into()));
    }
    Ok(event)
}
