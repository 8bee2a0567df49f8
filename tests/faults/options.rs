//! The options from `ops/faults`.

use std::time::Duration;

/// Options come as environment variables, because a test has no arguments.
#[derive(Clone, Debug)]
pub struct Options {
    /// `None`: all of them.
    pub scenario: Option<String>,
    pub seed: u64,
    /// The number of kills in scenarios that count them.
    pub kills: u64,
    /// The length of scenarios that run for a time.
    pub minutes: Option<u64>,
    pub instances: usize,
}

impl Options {
    pub fn from_env() -> Options {
        Options {
            scenario: text("TAILBURN_FAULTS_SCENARIO"),
            seed: number("TAILBURN_FAULTS_SEED").unwrap_or(1),
            kills: number("TAILBURN_FAULTS_KILLS").unwrap_or(20),
            minutes: number("TAILBURN_FAULTS_MINUTES"),
            instances: number("TAILBURN_FAULTS_INSTANCES").unwrap_or(1).max(1) as usize,
        }
    }

    /// The given minutes, else `or`.
    pub fn lasting(&self, or: Duration) -> Duration {
        self.minutes.map_or(or, |minutes| Duration::from_secs(60 * minutes))
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str) -> Option<u64> {
    text(name).map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}
