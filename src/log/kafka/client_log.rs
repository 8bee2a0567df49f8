//! librdkafka's own log lines, written to ours.

use rdkafka::config::RDKafkaLogLevel;

pub fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    // Consumer and producer get the same properties, and each complains about those that only the other one knows.
    if facility == "CONFWARN" {
        tracing::debug!(target: "tailburn::kafka", facility, "{message}");
        return;
    }
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "tailburn::kafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "tailburn::kafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "tailburn::kafka", facility, "{message}"),
    }
}
