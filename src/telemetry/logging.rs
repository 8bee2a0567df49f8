//! Log lines on standard error: text for people, JSON for machines.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Lines that a machine counts: how late each minute was evaluated.
pub const PUNCTUAL: &str = "tailburn::punctual";

/// Overrides what `-v` and `-q` choose, in the syntax of `tracing-subscriber`'s filters.
pub const FILTER_VARIABLE: &str = "TAILBURN_LOG";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    pub format: LogFormat,
    /// The number of `-v` minus the number of `-q`.
    pub verbosity: i8,
}

impl LogOptions {
    /// The client library logs an error when a consumer is closed before it is dropped, which is normal for us.
    const fn default_filter(self) -> &'static str {
        match self.verbosity {
            i8::MIN..=-2 => "off",
            -1 => "error,rdkafka::consumer=off",
            0 => "warn,tailburn=info,rdkafka::consumer=off",
            1 => "info,tailburn=debug,rdkafka::consumer=off",
            _ => "debug,tailburn=trace",
        }
    }

    /// People need no line a minute.
    fn filter_text(self) -> String {
        match self.format {
            LogFormat::Text => format!("{},{PUNCTUAL}=off", self.default_filter()),
            LogFormat::Json => self.default_filter().to_owned(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the log is there before the configuration is read")]
    fn filter(self) -> EnvFilter {
        std::env::var(FILTER_VARIABLE)
            .ok()
            .and_then(|text| EnvFilter::try_new(text).ok())
            .unwrap_or_else(|| EnvFilter::new(self.filter_text()))
    }
}

/// Installs the log for the whole process; a second call changes nothing.
pub fn init_logging(options: LogOptions) {
    let subscriber = tracing_subscriber::fmt().with_env_filter(options.filter()).with_writer(std::io::stderr);
    let installed = match options.format {
        LogFormat::Text => subscriber.with_ansi(stderr_has_colour()).with_target(false).try_init(),
        LogFormat::Json => subscriber.with_ansi(false).json().flatten_event(true).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("the log was installed before");
    }
}

/// A line in the form of the JSON log, for messages outside the log.
#[expect(clippy::disallowed_methods, reason = "a log line has the time at which it was written")]
pub fn stderr_line(level: &str, message: &str) -> String {
    let timestamp = jiff::Timestamp::now();
    let fields = serde_json::json!({"timestamp": timestamp.to_string(), "level": level, "message": message});
    format!("{fields}\n")
}

fn stderr_has_colour() -> bool {
    std::io::stderr().is_terminal() && allows_colour()
}

/// Whether colour is allowed on terminals: `NO_COLOR` is not set, or is empty (<https://no-color.org>).
#[expect(clippy::disallowed_methods, reason = "a convention of terminals, and none of our settings")]
pub fn allows_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// After a panic nothing may continue with half a transaction: report it, and stop the whole process.
pub fn abort_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        told(info);
        eprintln!(
            "tailburn {}: this is a bug, and tailburn stops here so that it does no harm. Nothing uncommitted was \
             published; the next start goes on from the last commit. Please report the lines above.",
            env!("CARGO_PKG_VERSION")
        );
        std::process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANICS: &str = "TAILBURN_TEST_PANICS";

    /// Runs itself again as the process that panics.
    #[cfg(unix)]
    #[test]
    #[expect(clippy::disallowed_methods, reason = "how the parent tells its child that it is one")]
    fn a_bug_says_what_happened_and_stops_the_process() {
        use std::os::unix::process::ExitStatusExt as _;
        if std::env::var_os(PANICS).is_some() {
            abort_on_panic();
            // In a thread: without the hook, the other threads would continue.
            let _ = std::thread::spawn(|| panic!("two and two are five")).join();
            return;
        }
        let this = std::env::current_exe().expect("a test binary");
        let name = "telemetry::logging::tests::a_bug_says_what_happened_and_stops_the_process";
        let mut command = std::process::Command::new(this);
        let ran = command.args(["--exact", name, "--nocapture"]).env(PANICS, "1").output().expect("it starts");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.signal(), Some(6), "{said}");
        assert!(said.contains("two and two are five") && said.contains("this is a bug"), "{said}");
    }

    #[test]
    fn more_v_says_more_and_q_says_less() {
        let filter = |verbosity| LogOptions { verbosity, ..LogOptions::default() }.default_filter();
        assert_eq!(
            [-3, -1, 0, 1, 5].map(filter),
            [
                "off",
                "error,rdkafka::consumer=off",
                "warn,tailburn=info,rdkafka::consumer=off",
                "info,tailburn=debug,rdkafka::consumer=off",
                "debug,tailburn=trace"
            ]
        );
    }

    #[test]
    fn what_machines_count_is_in_their_log_alone() {
        let has_it = |format| !LogOptions { format, verbosity: 0 }.filter_text().contains("punctual=off");
        assert_eq!((has_it(LogFormat::Text), has_it(LogFormat::Json)), (false, true));
    }
}
