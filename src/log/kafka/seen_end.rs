//! Where a partition ended when records of it were fetched last, as the client library remembers it. Brokers are not asked.

use crate::log::NextOffset;
use rdkafka::bindings as sys;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::CString;

/// `None`: nothing of the partition was fetched yet.
#[expect(unsafe_code, reason = "the client library's wrapper asks the brokers each time")]
pub fn last_seen_end<C: ClientContext + ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<NextOffset> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, the name ends with a zero, and both numbers are ours.
    let result = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(NextOffset(high))
}
