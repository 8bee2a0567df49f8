//! The demo's producer: generates traffic and sends it as JSON to the partitions of the embedded log.
//!
//! History is sent as fast as it is consumed, live records when they are due. The clock decides when a record is sent,
//! never what it contains.

#![expect(clippy::disallowed_methods, reason = "live traffic is paced by the clock")]

use super::shared::Shared;
use crate::log::embedded::{Producer, QueueSource, queue};
use crate::model::time::{HOUR_MS, Ms, PANE_MS};
use crate::traffic::{Event, Traffic, Truth};
use std::time::{Duration, Instant};

/// How many unread records a partition may hold before the producer waits.
const CAPACITY: usize = 2_048;
/// How often the clock is read.
const TICK: Duration = Duration::from_millis(40);

pub struct Feed {
    traffic: Traffic,
    producers: Vec<Producer>,
    live_from_ms: Ms,
    until_ms: Option<Ms>,
    /// `None`: as fast as it is consumed.
    speed: Option<f64>,
    events: Vec<Event>,
}

/// The producer and its partitions; live for `for_ms` of event time, or endless.
pub fn new(traffic: Traffic, live_from_ms: Ms, for_ms: Option<Ms>, speed: Option<f64>) -> (Feed, Vec<QueueSource>) {
    let (producers, sources) = (0..traffic.settings().partitions).map(|p| queue(p, CAPACITY)).unzip();
    let until_ms = for_ms.map(|ms| live_from_ms.saturating_add(ms));
    (Feed { traffic, producers, live_from_ms, until_ms, speed, events: Vec::new() }, sources)
}

impl Feed {
    /// Sends until the end, until it is stopped, or until nobody reads any more; returns the planted incident.
    pub fn run(mut self, shared: &Shared) -> Truth {
        if self.send_history(shared) {
            shared.go_live();
            match self.speed {
                Some(speed) => self.send_paced(shared, speed),
                None => self.send_unpaced(shared),
            }
        }
        self.producers.iter().for_each(Producer::close);
        self.traffic.truth()
    }

    /// `false`: stop here.
    fn send_history(&mut self, shared: &Shared) -> bool {
        let mut t_ms = self.traffic.settings().from_ms;
        while t_ms < self.live_from_ms {
            t_ms = (t_ms + HOUR_MS).min(self.live_from_ms);
            if shared.is_stopped() || !self.send_until(t_ms) {
                return false;
            }
        }
        true
    }

    fn send_unpaced(&mut self, shared: &Shared) {
        let mut t_ms = self.live_from_ms;
        while self.until_ms.is_none_or(|until_ms| t_ms < until_ms) {
            t_ms = self.until_ms.map_or(t_ms + PANE_MS, |until_ms| until_ms.min(t_ms + PANE_MS));
            if shared.is_stopped() || !self.send_until(t_ms) {
                return;
            }
        }
    }

    fn send_paced(&mut self, shared: &Shared, speed: f64) {
        let start = Instant::now();
        while !shared.wait_for_stop(TICK) {
            let passed_ms = (start.elapsed().as_secs_f64() * speed * 1_000.0) as Ms;
            let now_ms = self.live_from_ms.saturating_add(passed_ms);
            let t_ms = self.until_ms.map_or(now_ms, |until_ms| until_ms.min(now_ms));
            if !self.send_until(t_ms) || Some(t_ms) == self.until_ms {
                return;
            }
        }
    }

    /// Sends every record before `t_ms`; `false`: nobody reads any more.
    fn send_until(&mut self, t_ms: Ms) -> bool {
        self.events.clear();
        self.traffic.next_until(t_ms, &mut self.events);
        self.events.iter().all(|event| {
            let mut json = Vec::with_capacity(320);
            event.write_json(self.traffic.population(), &mut json);
            // Records carry no log timestamp: event time runs ahead of the clock, and they would count as from the
            // future.
            self.producers.get(event.partition as usize).is_some_and(|p| p.send(json, None))
        })
    }
}
