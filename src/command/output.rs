//! Standard output for people: ticks and colour on a terminal, plain text elsewhere. Also arguments whose known values
//! show in help and completions.

use crate::telemetry::allows_colour;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use std::io::{self, IsTerminal, Write};

/// Writes lines to standard output. It passes errors on, also a closed pipe.
pub struct Printer {
    out: io::StdoutLock<'static>,
    colour: bool,
}

impl Printer {
    /// Colour on a terminal, unless `NO_COLOR` is set and not empty.
    pub fn stdout() -> Printer {
        let colour = io::stdout().is_terminal() && allows_colour();
        Printer { out: io::stdout().lock(), colour }
    }

    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// A value as indented JSON.
    pub fn json(&mut self, value: &serde_json::Value) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, value)?;
        writeln!(self.out)
    }

    pub fn tick(&mut self, text: &str) -> io::Result<()> {
        self.marked("✓", "32", text)
    }

    pub fn notice(&mut self, text: &str) -> io::Result<()> {
        self.marked("!", "33", text)
    }

    pub fn cross(&mut self, text: &str) -> io::Result<()> {
        self.marked("✗", "31", text)
    }

    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        if self.colour { writeln!(self.out, "\x1b[1m{text}\x1b[0m") } else { writeln!(self.out, "{text}") }
    }

    /// Further lines of a text are indented below its first.
    fn marked(&mut self, mark: &str, ansi: &str, text: &str) -> io::Result<()> {
        let text = text.replace('\n', "\n    ");
        if self.colour {
            writeln!(self.out, "  \x1b[{ansi}m{mark}\x1b[0m {text}")
        } else {
            writeln!(self.out, "  {mark} {text}")
        }
    }
}

impl Write for Printer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.out.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Accepts any text, but lists the known values in the help and in shell completions.
#[derive(Clone, Copy)]
pub struct Names(pub fn() -> Vec<&'static str>);

impl TypedValueParser for Names {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}
