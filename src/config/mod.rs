//! Typed settings of the configuration, and the origin of each value.
//!
//! Three layers, a later one wins: the YAML file, environment variables (`TAILBURN_STATE__DIR=...`), `--set
//! state.dir=...`. The `config` crate merges them; [`reader`] turns the merged tree into [`Settings`] in one pass that
//! fills in defaults, records origins and collects all problems. Nothing is guessed: an unknown key, a property that
//! belongs to tailburn, or a setting without effect is an error with key, place and remedy. This module connects to
//! nothing and reads no key file; it only reads secrets named in `*_FILE` variables.

mod convert;
mod error;
mod layers;
mod preset;
mod preset_reader;
mod read;
mod reader;
mod secret;
mod settings;
mod size;
mod structure;
mod validate;
mod yaml;

pub use error::{ConfigErrors, Origin, Problem};
pub use preset::{Preset, PresetContent};
pub use reader::Entry;
pub use secret::{UnknownVariable, expand, redact};
pub use settings::{
    ClfShape, Definitions, Http, Input, InputFormat, Kafka, Limits, Notify, Output, OutputFormat, Partitions, Privacy,
    SchemaRegistry, Settings, State, TimestampIs, Topics, UserIds,
};

use layers::{EnvLayer, FileLayer, SetLayer};
use reader::Reader;
use std::path::{Path, PathBuf};

/// The file that is read without `--config`.
pub const DEFAULT_FILE: &str = "tailburn.yaml";

/// The sources of a configuration. The environment is passed in, so that nothing depends on the process.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `None`: no file; relative paths are then relative to the working directory.
    pub file: Option<PathBuf>,
    pub environment: Vec<(String, String)>,
    /// `key=value`, in the order given; a later one wins.
    pub sets: Vec<String>,
}

impl Sources {
    /// The named file, else `tailburn.yaml` if it exists, with this process's environment.
    pub fn of_process(file: Option<PathBuf>, sets: Vec<String>) -> Sources {
        let default = PathBuf::from(DEFAULT_FILE);
        let file = file.or_else(|| default.is_file().then_some(default));
        // A variable that is not UTF-8 cannot be one of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Sources { file, environment, sets }
    }
}

/// A valid configuration, with the origin of every value.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Every key in the order of the reference, with secrets redacted.
    pub entries: Vec<Entry>,
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// Adds the place where the key was set to a problem without one.
    pub fn place(&self, mut problem: Problem) -> Problem {
        let origin = self.entries.iter().find_map(|entry| entry.origin_of(&problem.key));
        if let (Origin::Default, Some(origin)) = (&problem.origin, origin) {
            problem.origin = origin.clone();
        }
        problem
    }
}

/// Reads, merges and validates; the error has all problems, not only the first.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut problems = Vec::new();
    let base = base_directory(sources.file.as_deref());
    let tree = layers::merge(
        FileLayer::read(sources.file.as_deref(), &mut problems),
        EnvLayer::read(&sources.environment, &mut problems),
        SetLayer::read(&sources.sets, &mut problems),
    );
    let mut reader = Reader::new(tree, base, &sources.environment, problems);
    let settings = read::settings(&mut reader);
    let (entries, mut problems) = reader.finish();
    // Unreadable values have been replaced by defaults, and validating those would only confuse.
    if problems.is_empty() {
        problems = settings.validate();
    }
    let loaded = Loaded { settings, entries, file: sources.file.clone() };
    if problems.is_empty() {
        return Ok(loaded);
    }
    let problems = problems.into_iter().map(|p| loaded.place(p)).collect();
    Err(ConfigErrors { file: loaded.file, problems })
}

fn base_directory(file: Option<&Path>) -> PathBuf {
    file.and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default()
}

#[cfg(test)]
mod tests;
