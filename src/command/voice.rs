//! Messages on standard error: how many, and in which form.
//!
//! `-q` leaves only errors, `-qq` nothing. With `--log-format json` every line is an object, like the log lines, so
//! that a machine can read all of standard error. Standard output, the command's result, is not affected.

use super::Global;
use crate::telemetry::{LogFormat, stderr_line};
use std::io::{self, IsTerminal as _, Write as _};

#[derive(Clone, Copy, Debug, Default)]
pub struct Voice {
    quiet: u8,
    format: LogFormat,
}

impl Voice {
    pub const fn new(quiet: u8, format: LogFormat) -> Voice {
        Voice { quiet, format }
    }

    /// The voice for arguments that the parser refused.
    pub fn of_arguments(arguments: impl IntoIterator<Item = String>) -> Voice {
        let mut voice = Voice::default();
        let mut arguments = arguments.into_iter().skip(1).peekable();
        while let Some(argument) = arguments.next() {
            let is_json = |text: Option<&String>| text.is_some_and(|t| t == "json");
            match argument.as_str() {
                "--log-format=json" => voice.format = LogFormat::Json,
                "--log-format" if is_json(arguments.peek()) => voice.format = LogFormat::Json,
                "--quiet" => voice.quiet += 1,
                short if short.starts_with("-q") && short[1..].bytes().all(|b| b == b'q') => {
                    voice.quiet = voice.quiet.saturating_add(u8::try_from(short.len() - 1).unwrap_or(u8::MAX));
                }
                _ => {}
            }
        }
        voice
    }

    /// Text, and all of it.
    pub fn speaks_plainly(&self) -> bool {
        self.format == LogFormat::Text && self.quiet < 2
    }

    /// A note, of one or more lines.
    pub fn say(&self, text: &str) {
        if self.quiet == 0 {
            self.write("INFO", text);
        }
    }

    /// Why the command failed.
    pub fn error(&self, text: &str) {
        if self.quiet < 2 {
            match self.format {
                LogFormat::Text => self.write("ERROR", &format!("error: {text}")),
                LogFormat::Json => self.write("ERROR", text),
            }
        }
    }

    /// Whether to show progress: on a terminal, and not with `-q`.
    pub fn shows_progress(&self) -> bool {
        self.quiet == 0 && self.format == LogFormat::Text && io::stderr().is_terminal()
    }

    /// In JSON an error is one object even over several lines; other texts are one object a line.
    fn write(&self, level: &str, text: &str) {
        let text = text.trim_end();
        let out = match self.format {
            LogFormat::Text => format!("{text}\n"),
            LogFormat::Json if level == "ERROR" => stderr_line(level, text),
            LogFormat::Json => text.lines().filter(|l| !l.is_empty()).map(|line| stderr_line(level, line)).collect(),
        };
        // If standard error is closed, too, only the exit code is left.
        let _ = io::stderr().write_all(out.as_bytes());
    }
}

impl Global {
    pub const fn voice(&self) -> Voice {
        Voice::new(self.quiet, self.log_format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_were_refused_still_say_how_to_be_told() {
        let voice = |line: &str| Voice::of_arguments(line.split(' ').map(str::to_owned));
        let seen = |line: &str| (voice(line).quiet, voice(line).format);
        assert_eq!(seen("tailburn chekc"), (0, LogFormat::Text));
        assert_eq!(seen("tailburn -qq chekc"), (2, LogFormat::Text));
        assert_eq!(seen("tailburn chekc -q --quiet"), (2, LogFormat::Text));
        assert_eq!(seen("tailburn --log-format json chekc"), (0, LogFormat::Json));
        assert_eq!(seen("tailburn chekc --log-format=json -q"), (1, LogFormat::Json));
        assert_eq!(seen("tailburn --quick"), (0, LogFormat::Text));
    }
}
