//! The recorder behind the metrics, and the text that Prometheus reads.

use super::names::{self, Kind};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

/// Buckets for durations, in seconds: from one quick commit to a restore that takes minutes.
const DURATION_BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("the buckets of the histograms are not accepted: {0}")]
    Buckets(String),
    #[error("the thread that keeps histograms small cannot start: {0}")]
    Upkeep(std::io::Error),
    #[error("another recorder of metrics is installed already")]
    Installed,
}

/// A handle to the counters. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// The text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Installs the recorder for the whole process and describes every metric.
pub fn install_metrics() -> Result<Metrics, MetricsError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &DURATION_BUCKETS)
        .map_err(|e| MetricsError::Buckets(e.to_string()))?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Installed)?;
    for metric in names::ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
    keep_up(handle.clone()).map_err(MetricsError::Upkeep)?;
    Ok(Metrics(handle))
}

/// Histograms keep every observation until they are read, so without scrapes we read them ourselves.
fn keep_up(handle: PrometheusHandle) -> std::io::Result<()> {
    let upkeep = move || {
        loop {
            #[expect(clippy::disallowed_methods, reason = "a thread of its own, with nothing to poll")]
            std::thread::sleep(UPKEEP_INTERVAL);
            handle.run_upkeep();
        }
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(upkeep).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A single test, because a process can install only one recorder.
    #[test]
    fn what_is_counted_is_rendered_with_its_help() {
        let metrics = install_metrics().expect("the first recorder");
        metrics::counter!(names::EVENTS, "verdict" => "late").increment(3);
        metrics::histogram!(names::COMMIT_DURATION).record(0.003);
        let text = metrics.render();
        assert!(text.contains("# HELP tailburn_events_total Events by verdict: "), "{text}");
        assert!(text.contains("tailburn_events_total{verdict=\"late\"} 3"), "{text}");
        assert!(text.contains("tailburn_commit_duration_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(matches!(install_metrics(), Err(MetricsError::Installed)));
    }
}
