//! Mistakes in a configuration, and the origin of each value.

use std::fmt;
use std::path::{Path, PathBuf};

/// The origin of a value. Its text form passes through the `config` crate as the value's origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Default,
    /// A line of the configuration file, counted from 1.
    File {
        line: u64,
    },
    Env {
        name: String,
    },
    Set,
    /// The preset of the input, by its name and version.
    Preset {
        name: &'static str,
        version: i64,
    },
}

impl Origin {
    pub(super) fn encode(&self) -> String {
        match self {
            // A preset joins after the layers, so its origin is never encoded.
            Origin::Default | Origin::Preset { .. } => String::new(),
            Origin::File { line } => format!("file:{line}"),
            Origin::Env { name } => format!("env:{name}"),
            Origin::Set => "set".to_owned(),
        }
    }

    pub(super) fn decode(text: Option<&str>) -> Origin {
        let text = text.unwrap_or_default();
        if let Some(line) = text.strip_prefix("file:") {
            Origin::File { line: line.parse().unwrap_or(0) }
        } else if let Some(name) = text.strip_prefix("env:") {
            Origin::Env { name: name.to_owned() }
        } else if text == "set" {
            Origin::Set
        } else {
            Origin::Default
        }
    }

    /// In words: `tailburn.yaml:12`, `environment variable TAILBURN_WORKERS`, `--set`; nothing for a default.
    pub fn describe(&self, file: Option<&Path>) -> String {
        let file = || file.map_or_else(|| "the file".to_owned(), |f| f.display().to_string());
        match self {
            Origin::Default => String::new(),
            Origin::File { line: 0 } => file(),
            Origin::File { line } => format!("{}:{line}", file()),
            Origin::Env { name } => format!("environment variable {name}"),
            Origin::Set => "--set".to_owned(),
            Origin::Preset { name, version } => format!("preset {name}, version {version}"),
        }
    }

    /// The layer's name in `config show --json`.
    pub const fn layer(&self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::File { .. } => "file",
            Origin::Env { .. } => "env",
            Origin::Set => "set",
            Origin::Preset { .. } => "preset",
        }
    }
}

/// One mistake: the key, where it was set, the reason, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted, as in `--set`; empty if it concerns no key (a file that cannot be read).
    pub key: String,
    pub origin: Origin,
    pub message: String,
    pub remedy: String,
}

impl Problem {
    pub fn new(key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { key: key.into(), origin: Origin::Default, message: message.into(), remedy: remedy.into() }
    }

    pub fn at(mut self, origin: Origin) -> Problem {
        self.origin = origin;
        self
    }
}

/// All mistakes of a configuration. The program exits with 78.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    pub file: Option<PathBuf>,
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    fn place(&self, origin: &Origin) -> String {
        origin.describe(self.file.as_deref())
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            let place = self.place(&problem.origin);
            match (place.is_empty(), problem.key.is_empty()) {
                (false, false) => write!(f, "{place}: {}: {}", problem.key, problem.message)?,
                (false, true) => write!(f, "{place}: {}", problem.message)?,
                (true, false) => write!(f, "{}: {}", problem.key, problem.message)?,
                (true, true) => f.write_str(&problem.message)?,
            }
            if !problem.remedy.is_empty() {
                write!(f, "\n  {}", problem.remedy)?;
            }
        }
        Ok(())
    }
}
