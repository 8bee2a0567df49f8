//! Sends the brokers a request that the client library has no call for, through librdkafka itself.
#![expect(unsafe_code, reason = "the client library does not offer these requests")]

use crate::log::LogError;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use std::ptr;
use std::time::Duration;

/// An object of librdkafka that we own, with the function that frees it.
pub struct Owned<T> {
    pub raw: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    pub fn new(raw: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Owned<T>, LogError> {
        if raw.is_null() {
            return Err(LogError::Broken("librdkafka could not create a request".to_owned()));
        }
        Ok(Owned { raw, free })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `raw` came from the function that belongs to `free`, and nobody else frees it.
        unsafe { (self.free)(self.raw) };
    }
}

/// A kind of request, with its name for error messages.
#[derive(Clone, Copy)]
pub struct Request {
    pub kind: sys::rd_kafka_admin_op_t,
    pub name: &'static str,
    pub timeout: Duration,
}

/// Why a request has no result.
pub enum RequestError {
    /// The brokers refused the request as a whole.
    Refused(&'static str, RDKafkaErrorCode),
    Failed(LogError),
}

impl From<LogError> for RequestError {
    fn from(error: LogError) -> RequestError {
        RequestError::Failed(error)
    }
}

impl From<RequestError> for LogError {
    fn from(error: RequestError) -> LogError {
        match error {
            RequestError::Refused(name, code) => LogError::Broken(format!("{name}: {code}")),
            RequestError::Failed(error) => error,
        }
    }
}

/// Sends a request and waits for its result. `send` gets the options for the request and the queue for its result.
/// The brokers are asked to add which operations we are allowed.
///
/// # Safety
/// `client` is a client of librdkafka that outlives the call, and `send` keeps librdkafka's rules.
pub unsafe fn send(
    client: *mut sys::rd_kafka_t,
    request: Request,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Owned<sys::rd_kafka_event_t>, RequestError> {
    let Request { kind, name, timeout } = request;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive by the caller's promise.
    let (queue, options) = unsafe {
        (
            Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy)?,
            Owned::new(sys::rd_kafka_AdminOptions_new(client, kind), sys::rd_kafka_AdminOptions_destroy)?,
        )
    };
    // SAFETY: both are alive until this function returns, and the result comes to our own queue. (Setting the second
    // option fails for kinds of requests that do not have it. That does no harm.)
    let event = unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(options.raw, timeout_ms, ptr::null_mut(), 0);
        let error = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options.raw, 1);
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
        send(options.raw, queue.raw);
        sys::rd_kafka_queue_poll(queue.raw, timeout_ms.saturating_add(1_000))
    };
    if event.is_null() {
        return Err(LogError::Broken(format!("{name}: no answer in time")).into());
    }
    let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
    // SAFETY: the event is alive.
    let error = unsafe { sys::rd_kafka_event_error(event.raw) };
    if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(RequestError::Refused(name, error.into()));
    }
    Ok(event)
}
