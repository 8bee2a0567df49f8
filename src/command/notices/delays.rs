//! Detects failures that arrive long after their time while all else arrives at once: their time is the start of the
//! request.

use super::late::about;
use super::{Facts, percent};
use crate::config::{InputFormat, TimestampIs};
use crate::pipeline::delays::{Came, Delays, LONG_MS};

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    let delays = facts.users.delays;
    let input = &facts.settings.input;
    if !delays.are_of_the_bad() {
        return Vec::new();
    }
    vec![format!("{} {}", seen(&delays), remedy(facts.format, input.timestamp_is))]
}

fn seen(delays: &Delays) -> String {
    let share = |came: Came| percent(came.long_after, came.events);
    let Delays { bad, other } = *delays;
    format!(
        "Failures come late: {} of {} bad events ({}) came {} or more after their time, the last one {}; of the others \
         {}.",
        bad.long_after,
        bad.events,
        share(bad),
        about(LONG_MS),
        about(bad.longest_ms),
        share(other)
    )
}

fn remedy(format: InputFormat, timestamp_is: TimestampIs) -> &'static str {
    match (timestamp_is, format) {
        (TimestampIs::Start, _) => {
            "Although `input.timestamp_is` is `start`: those without `latency_ms` keep their time. Have their server \
             write how long each request took."
        }
        (TimestampIs::End, InputFormat::Clf) => {
            "The server seems to log the time of a request's start (Apache, HAProxy, Varnish and Jetty do), and writes \
             the line at its end: failures that time out after more than a rule's short window never make that rule page. Have \
             it log how long a request took, as the last field (Apache and Varnish: `%Dus`), and set \
             `input.timestamp_is: start`; or shorten its time-out."
        }
        (TimestampIs::End, InputFormat::Json | InputFormat::Avro) => {
            "Their `timestamp` seems to be that of a request's start: failures that time out after more than a rule's \
             short window never make that rule page. Set `input.timestamp_is: start` where the records have `latency_ms`, or \
             write the time of the end."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delays_of_failures_are_held_against_those_of_the_others() {
        let mut delays = Delays::default();
        (0..20).for_each(|_| delays.note(300_000, true));
        (0..199).for_each(|_| delays.note(0, false));
        delays.note(20_000, false);
        let told = seen(&delays);
        assert_eq!(
            told,
            "Failures come late: 20 of 20 bad events (100.0 %) came 16 s or more after their time, the last one 5 min 0 s; \
             of the others 0.5 %."
        );
    }

    #[test]
    fn the_remedy_fits_the_format() {
        assert!(remedy(InputFormat::Clf, TimestampIs::End).contains("`%Dus`"));
        assert!(remedy(InputFormat::Json, TimestampIs::End).contains("`latency_ms`"));
        assert!(
            remedy(InputFormat::Clf, TimestampIs::Start).contains("although")
                || remedy(InputFormat::Clf, TimestampIs::Start).starts_with("Although")
        );
    }
}
