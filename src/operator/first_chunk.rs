//! Whether the first token of streams is a word: many gateways open a stream with an empty chunk at once, and record
//! its time as that of the first token.

use crate::model::outcome::Outcome;

/// The measure that is looked at.
pub const MEASURE: &str = "ttft_ms";
/// No model says a first word within this time, over a network.
pub const WORD_MIN_MS: f64 = 50.0;
/// With fewer streams there is nothing to say.
const STREAMS_MIN: u64 = 20;

/// Streams by the time of their first chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstChunks {
    pub streams: u64,
    /// Those that began before any model says a word.
    pub at_once: u64,
}

impl FirstChunks {
    /// Counts an outcome, if it is a stream that did not fail. Where nothing was streamed, gateways record the end as the
    /// first token; an answer from a cache is no stream of a model.
    pub fn add(&mut self, outcome: &Outcome<'_>) {
        let Some(first_ms) = outcome.measure(MEASURE) else { return };
        let is_whole = outcome.latency_ms.is_some_and(|latency_ms| first_ms >= latency_ms);
        let is_cached = outcome.attribute("cache_hit") == Some("true");
        if is_whole || is_cached || outcome.has_failed() {
            return;
        }
        self.streams += 1;
        self.at_once += u64::from(first_ms < WORD_MIN_MS);
    }

    /// Whether most streams begin with a chunk that cannot be a word.
    pub const fn are_empty(self) -> bool {
        self.streams >= STREAMS_MIN && self.at_once * 2 > self.streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(first_ms: f64, latency_ms: Option<f64>) -> Outcome<'static> {
        let measures = [(MEASURE.into(), first_ms)].into_iter().collect();
        Outcome { tenant: "a".into(), latency_ms, measures, ..Outcome::default() }
    }

    fn of(at_once: usize, others: usize) -> FirstChunks {
        let mut seen = FirstChunks::default();
        (0..at_once).for_each(|_| seen.add(&stream(49.9, Some(9_000.0))));
        (0..others).for_each(|_| seen.add(&stream(50.0, None)));
        seen
    }

    #[test]
    fn most_of_twenty_streams_must_begin_at_once() {
        assert_eq!(of(11, 9), FirstChunks { streams: 20, at_once: 11 });
        assert!(of(11, 9).are_empty());
        assert!(!of(10, 10).are_empty());
        assert!(!of(19, 0).are_empty());
    }

    #[test]
    fn what_is_no_stream_of_a_model_does_not_count() {
        let mut seen = FirstChunks::default();
        seen.add(&stream(8.0, Some(8.0)));
        seen.add(&Outcome { status: Some(500), ..stream(8.0, Some(900.0)) });
        seen.add(&Outcome {
            attributes: [("cache_hit".into(), "true".into())].into_iter().collect(),
            ..stream(0.5, Some(1.0))
        });
        seen.add(&Outcome { latency_ms: Some(5.0), ..Outcome::default() });
        assert_eq!(seen, FirstChunks::default());
    }
}
