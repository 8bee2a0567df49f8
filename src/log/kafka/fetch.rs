//! Fetches records in batches and passes them on without copying them.
//!
//! The client library returns one event per record. librdkafka can serve a whole queue for a fraction of that cost, but
//! on the consumer's own queue this would swallow rebalances. So every partition's queue is forwarded to one queue of
//! ours, and the consumer's queue keeps the group's events. (`rd_kafka_consume_batch_queue` does not work here: it
//! takes the end of a partition for a record, and a partition that is paused there continues one offset too far.) This
//! file knows nothing of streams or transactions.
//!
//! Serving the queue itself empties it first. librdkafka limits its fetches by the length of that queue, finds it
//! empty, and fetches without a limit: memory grew with the backlog. Serving the queue through one of its partitions
//! takes one batch at a time (`consume.callback.max.messages`), and the limits in `queued.*` hold.
#![expect(unsafe_code, reason = "the client library has no call that serves a whole queue")]

use super::group::{GroupContext, unassign_while_closing};
use super::message::Message;
use crate::log::LogError;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::any::Any;
use std::ffi::{CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

/// How long a consumer may take to leave its group before it is abandoned.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer and the queue to which all its partitions are forwarded.
pub struct Fetcher {
    /// `None` after closing.
    consumer: Option<BaseConsumer<GroupContext>>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// The partitions that are forwarded now. The queue is served through the last one.
    forwarded: Vec<Forwarded>,
}

/// A partition whose records arrive in the queue, with our own handle to its topic.
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

    /// Forwards a partition to our queue. This has to be repeated before each assignment of the partition, because
    /// librdkafka undoes it when the partition is unassigned.
    pub fn forward(&mut self, topic: &str, partition: i32) -> Result<(), LogError> {
        self.forget(topic, partition);
        let client = self.consumer()?.client().native_ptr();
        let name = CString::new(topic).map_err(|e| LogError::Broken(format!("topic {topic:?}: {e}")))?;
        // SAFETY: the client and both queues are alive. Releasing the partition's handle leaves the partition and its
        // forwarding alone.
        unsafe {
            let from = sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition);
            if from.is_null() {
                return Err(LogError::Broken(format!("librdkafka has no queue for {topic} [{partition}]")));
            }
            sys::rd_kafka_queue_forward(from, self.queue.as_ptr());
            sys::rd_kafka_queue_destroy(from);
        }
        // SAFETY: the client is alive, and `release` destroys the handle before the client ends.
        let handle = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        let handle =
            NonNull::new(handle).ok_or_else(|| LogError::Broken(format!("librdkafka has no topic {topic}")))?;
        self.forwarded.push(Forwarded { name, topic: handle, partition });
        Ok(())
    }

    /// Releases a partition that is about to be unassigned.
    pub fn forget(&mut self, topic: &str, partition: i32) {
        let is_it = |f: &Forwarded| f.partition == partition && f.name.as_bytes() == topic.as_bytes();
        if let Some(at) = self.forwarded.iter().position(is_it) {
            release(&self.forwarded.swap_remove(at));
        }
    }

    /// Passes on what is queued, up to a batch. If there is nothing, waits up to `wait`. Returns the number of messages.
    pub fn take<F: FnMut(&Message<'_>)>(&mut self, wait: Duration, each: F) -> Result<usize, LogError> {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut call = Call { each, client: self.consumer()?.client().native_ptr(), count: 0, panic: None };
        let opaque = (&raw mut call).cast::<c_void>();
        let each = Some(receive::<F> as unsafe extern "C" fn(*mut _, *mut _));
        let served = match self.forwarded.last() {
            // SAFETY: the topic's handle is ours until `release`, and `opaque` points to what `receive::<F>`
            // expects. librdkafka calls back on this thread, before it returns.
            Some(of) => unsafe {
                sys::rd_kafka_consume_callback(of.topic.as_ptr(), of.partition, wait_ms, each, opaque)
            },
            // SAFETY: as above, with a queue that is alive. Without a partition nothing arrives: this only waits.
            None => unsafe { sys::rd_kafka_consume_callback_queue(self.queue.as_ptr(), wait_ms, each, opaque) },
        };
        match call.panic {
            Some(panic) => resume_unwind(panic),
            None if served < 0 => Err(LogError::Broken("librdkafka no longer knows a partition of ours".to_owned())),
            None => Ok(call.count),
        }
    }

    /// Leaves the group, and gives up all partitions that it asks for on the way.
    pub fn close(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        let closing = consumer.close_queue().is_ok();
        while closing && !consumer.closed() && Instant::now() < deadline {
            drop(consumer.poll(Duration::from_millis(10)));
            unassign_while_closing(&consumer);
        }
        let closed = consumer.closed();
        self.forwarded.drain(..).for_each(|forwarded| release(&forwarded));
        // SAFETY: nothing borrows from the queue any more. It has to be destroyed before the client.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) };
        if !closed {
            // Dropping it would wait for ever for a coordinator that does not answer.
            tracing::warn!(target: "tailburn::kafka", "the group's coordinator did not answer in time; leaving anyway");
            #[expect(clippy::mem_forget, reason = "the coordinator will remove this member after its session timeout")]
            std::mem::forget(consumer);
        }
    }
}

/// Releases our handle to a topic. The topic itself lives as long as the client needs it.
fn release(forwarded: &Forwarded) {
    // SAFETY: the handle came from `rd_kafka_topic_new`, callers have removed it from the list, and the client is
    // alive.
    unsafe { sys::rd_kafka_topic_destroy(forwarded.topic.as_ptr()) };
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.close();
    }
}

/// The state of one call through librdkafka.
struct Call<F> {
    each: F,
    client: *mut sys::rd_kafka_t,
    count: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// # Safety
/// `raw` is a message that lives until the return, `opaque` a `Call<F>` that nobody else uses.
unsafe extern "C" fn receive<F: FnMut(&Message<'_>)>(raw: *mut sys::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: the caller's promise.
    let (message, call) = unsafe { (Message::of(&*raw), &mut *opaque.cast::<Call<F>>()) };
    // A panic must not unwind through librdkafka's frames: it is caught here and resumed after them.
    call.panic = catch_unwind(AssertUnwindSafe(|| (call.each)(&message))).err();
    call.count += 1;
    if call.panic.is_some() {
        // SAFETY: the client is alive. The other messages stay queued, in order.
        unsafe { sys::rd_kafka_yield(call.client) };
    }
}
