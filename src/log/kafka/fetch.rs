//! Records, borrowed where librdkafka put them, handed over many at a call.
//!
//! The client library returns one event a record; librdkafka serves a whole queue at a fraction of
//! that cost, but on the consumer's own queue this would swallow rebalances. So every partition's
//! queue is forwarded to one queue of ours, and the consumer's queue keeps the group's events.
//! (Not through `rd_kafka_consume_batch_queue`: it takes the end of a partition for a record, and a
//! partition that pauses there goes on one offset too far.) This is the only file with `unsafe`
//! calls for records; it knows nothing of streams or transactions.
//!
//! Serving a queue as such takes all of it away first, and then librdkafka, which limits what it
//! fetches by the length of that queue, finds it empty and fetches without a limit: memory grew with
//! the backlog. Serving it in the name of one of its partitions takes away a batch at a time
//! (`consume.callback.max.messages`), and the limits of `queued.*` hold.
#![expect(unsafe_code, reason = "the client library has no call that serves a whole queue")]

use super::group::GroupContext;
use crate::log::LogError;
use crate::model::record::Headers;
use crate::model::time::Ms;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;
use std::any::Any;
use std::ffi::{CStr, CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

/// Records per call, taken off the queue at once: enough that the call's fixed costs vanish, few enough
/// that the caller is asked often whether it is time to commit. (A property of librdkafka's topics.)
pub const BATCH_PROPERTY: (&str, &str) = ("consume.callback.max.messages", "1024");
/// How long a consumer may take to leave its group before it is abandoned.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer and the one queue that all its partitions are forwarded to.
pub struct Fetcher {
    /// `None` only once closed.
    consumer: Option<BaseConsumer<GroupContext>>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// The partitions that are forwarded now. The queue is served in the name of the last one.
    forwarded: Vec<Forwarded>,
}

/// A partition whose records arrive in the queue, with a handle of our own to its topic.
struct Forwarded {
    name: CString,
    topic: NonNull<sys::rd_kafka_topic_t>,
    partition: i32,
}

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl Send for Fetcher {}

impl Fetcher {
    pub fn new(consumer: BaseConsumer<GroupContext>) -> Result<Fetcher, LogError> {
        // SAFETY: the client is alive, and `Drop` releases the queue before the client.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or_else(|| LogError::Broken("librdkafka gave no queue".to_owned()))?;
        Ok(Fetcher { consumer: Some(consumer), queue, forwarded: Vec::new() })
    }

    pub fn consumer(&self) -> Result<&BaseConsumer<GroupContext>, LogError> {
        self.consumer.as_ref().ok_or_else(|| LogError::Broken("the consumer is closed".to_owned()))
    }

    /// Makes a partition's records arrive here. To be called before each assignment of the
    /// partition: librdkafka undoes it when a partition is given up.
    pub fn forward(&mut self, topic: &str, partition: i32) -> Result<(), LogError> {
        self.forget(topic, partition);
        let client = self.consumer()?.client().native_ptr();
        let name = CString::new(topic).map_err(|e| LogError::Broken(format!("topic {topic:?}: {e}")))?;
        // SAFETY: the client and both queues are alive; the partition's handle is released again,
        // which leaves the partition itself and its forwarding untouched.
        unsafe {
            let from = sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition);
            if from.is_null() {
                return Err(LogError::Broken(format!("librdkafka has no queue for {topic} [{partition}]")));
            }
            sys::rd_kafka_queue_forward(from, self.queue.as_ptr());
            sys::rd_kafka_queue_destroy(from);
        }
        // SAFETY: the client is alive; `release` gives the handle back before it ends.
        let handle = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        let handle =
            NonNull::new(handle).ok_or_else(|| LogError::Broken(format!("librdkafka has no topic {topic}")))?;
        self.forwarded.push(Forwarded { name, topic: handle, partition });
        Ok(())
    }

    /// A partition is about to be given up: its queue is no longer ours.
    pub fn forget(&mut self, topic: &str, partition: i32) {
        let is_it = |f: &Forwarded| f.partition == partition && f.name.as_bytes() == topic.as_bytes();
        if let Some(at) = self.forwarded.iter().position(is_it) {
            release(&self.forwarded.swap_remove(at));
        }
    }

    /// Hands over what is queued, up to a batch, and waits up to `wait` where there is nothing.
    pub fn take<F: FnMut(&Message<'_>)>(&mut self, wait: Duration, each: F) -> Result<usize, LogError> {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut handing = Handing { each, client: self.consumer()?.client().native_ptr(), count: 0, panic: None };
        let opaque = (&raw mut handing).cast::<c_void>();
        let each = Some(hand_over::<F> as unsafe extern "C" fn(*mut _, *mut _));
        let served = match self.forwarded.last() {
            // SAFETY: the topic's handle is ours until `release`, and `opaque` is what `hand_over::<F>`
            // takes it for; librdkafka calls back on this thread, before it returns.
            Some(of) => unsafe {
                sys::rd_kafka_consume_callback(of.topic.as_ptr(), of.partition, wait_ms, each, opaque)
            },
            // SAFETY: as above, with a queue that is alive. Nothing arrives here: it only waits.
            None => unsafe { sys::rd_kafka_consume_callback_queue(self.queue.as_ptr(), wait_ms, each, opaque) },
        };
        match handing.panic {
            Some(panic) => resume_unwind(panic),
            None if served < 0 => Err(LogError::Broken("librdkafka no longer knows a partition of ours".to_owned())),
            None => Ok(handing.count),
        }
    }

    /// Leaves the group. `answer` is given every report of the group until it has let go.
    pub fn close(&mut self, mut answer: impl FnMut(&BaseConsumer<GroupContext>)) {
        let Some(consumer) = self.consumer.take() else { return };
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        let closing = consumer.close_queue().is_ok();
        while closing && !consumer.closed() && Instant::now() < deadline {
            drop(consumer.poll(Duration::from_millis(10)));
            answer(&consumer);
        }
        let closed = consumer.closed();
        self.forwarded.drain(..).for_each(|forwarded| release(&forwarded));
        // SAFETY: nothing of the queue is borrowed any more. It goes before the client.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) };
        if !closed {
            // Dropping it would wait without an end for a coordinator that does not answer.
            tracing::warn!(target: "tailburn::kafka", "the group did not let go in time; leaving without it");
            #[expect(clippy::mem_forget, reason = "leaving at once: the coordinator will time this member out")]
            std::mem::forget(consumer);
        }
    }
}

/// Gives a topic's handle back; the topic itself lives as long as the client needs it.
fn release(forwarded: &Forwarded) {
    // SAFETY: it came from `rd_kafka_topic_new`, whoever is called here took it off the list, and the
    // client is alive.
    unsafe { sys::rd_kafka_topic_destroy(forwarded.topic.as_ptr()) };
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.close(super::answer_while_closing);
    }
}

/// One call on its way through librdkafka.
struct Handing<F> {
    each: F,
    client: *mut sys::rd_kafka_t,
    count: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// # Safety
/// `raw` is a message that lives until the return, `opaque` a `Handing<F>` that nobody else uses.
unsafe extern "C" fn hand_over<F: FnMut(&Message<'_>)>(raw: *mut sys::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: the caller's promise.
    let (message, handing) = unsafe { (Message { raw: &*raw }, &mut *opaque.cast::<Handing<F>>()) };
    // A panic must not unwind through librdkafka's frames; it goes on behind them.
    handing.panic = catch_unwind(AssertUnwindSafe(|| (handing.each)(&message))).err();
    handing.count += 1;
    if handing.panic.is_some() {
        // SAFETY: the client is alive. What is left stays queued, in order.
        unsafe { sys::rd_kafka_yield(handing.client) };
    }
}

/// What arrived: a record, the end of a partition, or an error about one.
pub struct Message<'a> {
    raw: &'a sys::rd_kafka_message_t,
}

impl Message<'_> {
    /// Tells topics apart without reading their names; means nothing after the batch.
    pub fn topic_id(&self) -> usize {
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

    /// Empty for a tombstone: an input has none that means something.
    pub fn value(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { bytes(self.raw.payload, self.raw.len) }.unwrap_or(&[])
    }

    pub fn timestamp_ms(&self) -> Option<Ms> {
        // SAFETY: the message is alive; the kind of timestamp is not asked for.
        let timestamp_ms = unsafe { sys::rd_kafka_message_timestamp(self.raw, ptr::null_mut()) };
        (timestamp_ms >= 0).then_some(timestamp_ms)
    }

    pub fn error(&self) -> Option<RDKafkaRespErr> {
        (self.raw.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(self.raw.err)
    }

    pub fn error_text(&self) -> String {
        // SAFETY: the message is alive; librdkafka returns a C string that lives as long, or null.
        let text = unsafe { sys::rd_kafka_message_errstr(self.raw) };
        if text.is_null() {
            return "no reason given".to_owned();
        }
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

impl Headers for Message<'_> {
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and keeps its headers; `headers` is written on success only.
        let found = unsafe { sys::rd_kafka_message_headers(self.raw, &mut headers) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list is alive; past its end librdkafka returns an error and writes nothing.
            let got = unsafe { sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size) };
            if got != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: name is a C string that lives as long as the list.
            let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
            // SAFETY: a header's own pointer and length, which live as long as the list.
            each(&name, unsafe { bytes(value, size) }.unwrap_or(&[]));
        }
    }
}

/// The bytes at a place; `None` where there are none (not the same as zero of them).
///
/// # Safety
/// Start and length belong together, and the bytes live as long as the caller borrows them.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}
