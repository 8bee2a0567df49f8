//! What a fetch returns: a record, the end of a partition, or an error about a partition.
#![expect(unsafe_code, reason = "records are read where librdkafka put them, without a copy")]

use super::rights;
use crate::log::{LogError, START_OVER};
use crate::model::record::{Headers, RecordIn};
use crate::model::time::Ms;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, c_void};
use std::ptr;

/// What arrived: a record, the end of a partition, or an error about one.
pub struct Message<'a> {
    raw: &'a sys::rd_kafka_message_t,
}

impl<'a> Message<'a> {
    pub fn of(raw: &'a sys::rd_kafka_message_t) -> Message<'a> {
        Message { raw }
    }

    /// Tells topics apart without comparing their names. Only valid within a batch.
    pub fn topic_handle(&self) -> usize {
        self.raw.rkt as usize
    }

    pub fn topic(&self) -> &str {
        if self.raw.rkt.is_null() {
            return "";
        }
        // SAFETY: the message holds a reference to its topic, whose name is a C string.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.raw.rkt)) }.to_str().unwrap_or("")
    }

    pub fn partition(&self) -> i32 {
        self.raw.partition
    }

    pub fn offset(&self) -> i64 {
        self.raw.offset
    }

    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: a message's own pointer and length, borrowed as long as the message.
        unsafe { bytes(self.raw.key, self.raw.key_len) }
    }

    /// Empty for a tombstone: the records that we read have no tombstones that mean something.
    pub fn value(&self) -> &[u8] {
        // SAFETY: a message's own pointer and length, borrowed as long as the message.
        unsafe { bytes(self.raw.payload, self.raw.len) }.unwrap_or(&[])
    }

    pub fn timestamp_ms(&self) -> Option<Ms> {
        // SAFETY: the message is alive. A null pointer means that the kind of timestamp is not wanted.
        let timestamp_ms = unsafe { sys::rd_kafka_message_timestamp(self.raw, ptr::null_mut()) };
        (timestamp_ms >= 0).then_some(timestamp_ms)
    }

    pub fn error(&self) -> Option<RDKafkaRespErr> {
        (self.raw.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(self.raw.err)
    }

    pub fn error_text(&self) -> String {
        // SAFETY: the message is alive. librdkafka returns null or a C string that lives as long as the message.
        let text = unsafe { sys::rd_kafka_message_errstr(self.raw) };
        if text.is_null() {
            return "no reason given".to_owned();
        }
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// As the log passes records on.
    pub fn record(&self) -> RecordIn<'_> {
        RecordIn {
            partition: u32::try_from(self.partition()).unwrap_or(0),
            offset: self.offset(),
            key: self.key(),
            value: self.value(),
            timestamp_ms: self.timestamp_ms(),
            headers: self,
        }
    }
}

impl Headers for Message<'_> {
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and owns its headers. `headers` is written only on success.
        let found = unsafe { sys::rd_kafka_message_headers(self.raw, &mut headers) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list is alive. Past its end librdkafka returns an error and writes nothing.
            let got = unsafe { sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size) };
            if got != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: the name is a C string that lives as long as the list.
            let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
            // SAFETY: a header's own pointer and length, which live as long as the list.
            each(&name, unsafe { bytes(value, size) }.unwrap_or(&[]));
        }
    }
}

/// The bytes at `start`. `None`: a null pointer, which is not the same as zero bytes.
///
/// # Safety
/// `start` and `len` belong together, and the bytes live as long as the caller borrows them.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}

/// The error of a partition. `None`: librdkafka will recover. `remedy` says what to do if the log no longer has the
/// offset at which to continue.
pub fn partition_error(code: RDKafkaRespErr, message: &Message<'_>, remedy: &str) -> Option<LogError> {
    let what = format!("{} [{}]", message.topic(), message.partition());
    let why = message.error_text();
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => Some(LogError::Refused {
            what,
            message: format!(
                "the topic no longer has the records at the offset to continue from (offset {}: {why}). {remedy}",
                message.offset()
            ),
        }),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        | RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID => Some(LogError::Refused {
            what,
            message: format!("{why}: the topic was deleted. If you create it again: {START_OVER}"),
        }),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => Some(rights::cannot_read(message.topic())),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => {
            Some(LogError::Refused { what, message: why })
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG | RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_COMPRESSION => {
            Some(LogError::Broken(format!("{what}: an unreadable record at offset {}: {why}", message.offset())))
        }
        _ => {
            tracing::warn!(target: "tailburn::kafka", partition = what, reason = why, "reading is disturbed");
            None
        }
    }
}
