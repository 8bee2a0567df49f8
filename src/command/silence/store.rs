//! Where silences are kept: their topic, or a file to which each change is added.

use crate::command::Failure;
use crate::command::notify::{SILENCES, silences_of_dir};
use crate::config::Settings;
use crate::notify::Silence;
use anyhow::Context as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

pub enum Store<'a> {
    Topic(&'a Settings),
    Dir(&'a Path),
}

impl<'a> Store<'a> {
    pub fn new(settings: &'a Settings, dir: Option<&'a Path>) -> Store<'a> {
        dir.map_or(Store::Topic(settings), Store::Dir)
    }

    /// The latest of each.
    pub fn all(&self) -> Result<Vec<Silence>, Failure> {
        match self {
            Store::Dir(dir) => silences_of_dir(dir),
            Store::Topic(settings) => topic::all(settings),
        }
    }

    pub fn put(&self, silence: &Silence) -> Result<(), Failure> {
        let json = serde_json::to_vec(silence).map_err(anyhow::Error::from)?;
        match self {
            Store::Dir(dir) => add_line(&dir.join(SILENCES), json),
            Store::Topic(settings) => topic::put(settings, &silence.id, json),
        }
    }
}

fn add_line(path: &Path, mut json: Vec<u8>) -> Result<(), Failure> {
    json.push(b'\n');
    let opened = OpenOptions::new().create(true).append(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(&json));
    Ok(written.with_context(|| path.display().to_string())?)
}

#[cfg(feature = "kafka")]
mod topic {
    use super::{Failure, Settings, Silence};
    use crate::command::notify::silences_topic;

    pub fn all(settings: &Settings) -> Result<Vec<Silence>, Failure> {
        silences_topic::read(settings)
    }

    pub fn put(settings: &Settings, id: &str, json: Vec<u8>) -> Result<(), Failure> {
        silences_topic::write(settings, id, json)
    }
}

#[cfg(not(feature = "kafka"))]
mod topic {
    use super::{Failure, Settings, Silence};

    const NO_KAFKA: &str = "this build has no Kafka (feature `kafka`): keep silences in files with --from DIR";

    pub fn all(_: &Settings) -> Result<Vec<Silence>, Failure> {
        Err(Failure::Usage(NO_KAFKA.to_owned()))
    }

    pub fn put(_: &Settings, _: &str, _: Vec<u8>) -> Result<(), Failure> {
        Err(Failure::Usage(NO_KAFKA.to_owned()))
    }
}
