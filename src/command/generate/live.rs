//! Sends generated traffic to a Kafka topic in real time.
#![expect(clippy::disallowed_methods, reason = "live traffic follows the wall clock")]

use super::{GenerateArgs, settings};
use crate::command::{Exit, Failure};
use crate::log::kafka::Feed;
use crate::model::time::Ms;
use crate::traffic::Traffic;
use std::time::Duration;

/// How often due records are sent.
const BEAT: Duration = Duration::from_millis(100);

/// Sends until the traffic ends.
pub fn produce(args: &GenerateArgs, servers: &str, topic: &str) -> Result<Exit, Failure> {
    let args = GenerateArgs { from: now_ms(), ..args.clone() };
    let mut traffic = settings(&args).and_then(Traffic::new).map_err(|e| Failure::Usage(e.to_string()))?;
    let feed = Feed::open(servers, topic).map_err(anyhow::Error::from)?;
    let (mut due, mut key, mut value) = (Vec::new(), Vec::new(), Vec::new());
    while traffic.next_ms().is_some() {
        due.clear();
        traffic.next_until(now_ms(), &mut due);
        for event in &due {
            key.clear();
            value.clear();
            event.write_key(traffic.population(), &mut key);
            event.write_json(traffic.population(), &mut value);
            feed.send(&key, &value, event.arrival_ms).map_err(anyhow::Error::from)?;
        }
        std::thread::sleep(BEAT);
    }
    feed.finish().map_err(anyhow::Error::from)?;
    Ok(Exit::Done)
}

fn now_ms() -> Ms {
    jiff::Timestamp::now().as_millisecond()
}
