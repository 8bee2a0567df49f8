//! Repeats requests to brokers for a limited time.

use super::errors::broken;
use super::refusal;
use super::settings::KafkaSettings;
use crate::log::LogError;
use rdkafka::error::KafkaError;
use std::time::{Duration, Instant};

/// One request for offsets.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests are repeated for this long: a coordinator may be moving, and a transaction of the former owner may have to
/// time out before its offsets are known.
pub const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
pub const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Why a request has no result.
pub enum RequestError {
    /// Our own mistake: it is not repeated.
    Ours(LogError),
    Theirs(KafkaError),
}

impl From<LogError> for RequestError {
    fn from(error: LogError) -> RequestError {
        RequestError::Ours(error)
    }
}

impl From<KafkaError> for RequestError {
    fn from(error: KafkaError) -> RequestError {
        RequestError::Theirs(error)
    }
}

/// Repeats a request while its error may pass.
pub fn retry<T>(
    settings: &KafkaSettings,
    what: &str,
    request: impl Fn() -> Result<T, RequestError>,
) -> Result<T, LogError> {
    let deadline = Instant::now() + RETRY_TIMEOUT;
    loop {
        match request() {
            Ok(result) => return Ok(result),
            Err(RequestError::Ours(error)) => return Err(error),
            Err(RequestError::Theirs(error)) => {
                // A missing right does not come by waiting.
                if let Some(refused) = refusal::of_code(settings, error.rdkafka_error_code()) {
                    return Err(refused);
                }
                if Instant::now() >= deadline {
                    return Err(broken(what, &error));
                }
                tracing::warn!(target: "tailburn::kafka", %error, what, "asking again");
                std::thread::sleep(RETRY_PAUSE);
            }
        }
    }
}
