//! Connects `check` to the modules that read SLOs and records.

use super::records;
use super::report::{Finding, Level, RecordsReport};
use crate::config::Settings;
use crate::definition::{self, DefinitionError, Notice, NoticeLevel};
use crate::model::slo::Slo;
use std::path::{Path, PathBuf};

/// Valid SLOs, and the warnings about them.
#[derive(Debug, Default)]
pub struct SloStage {
    pub slos: Vec<Slo>,
    pub notices: Vec<Finding>,
}

/// Some records of a file or a topic and what they become.
pub type Records = fn(&Settings, &[Slo], &Path, limit: u64) -> anyhow::Result<RecordsReport>;

pub struct Seams {
    /// SLOs of files and directories, or every error in them.
    pub slos: fn(&[PathBuf]) -> Result<SloStage, Vec<Finding>>,
    pub records: Records,
}

impl Seams {
    pub fn of_this_build() -> Seams {
        Seams { slos: load_slos, records: records::of }
    }
}

fn load_slos(paths: &[PathBuf]) -> Result<SloStage, Vec<Finding>> {
    match definition::load(paths) {
        Ok(loaded) if loaded.slos.is_empty() => Err(vec![none(paths)]),
        Ok(loaded) => Ok(SloStage { slos: loaded.slos, notices: loaded.notices.iter().map(notice).collect() }),
        Err(errors) => Err(errors.0.iter().map(error).collect()),
    }
}

/// Files without an SLO evaluate nothing, and no other command accepts them.
fn none(paths: &[PathBuf]) -> Finding {
    let places: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    Finding {
        level: Level::Error,
        place: places.join(", "),
        key: String::new(),
        message: "there is no SLO in here".to_owned(),
        remedy: Some("`tailburn init` writes one to start from.".to_owned()),
    }
}

fn error(error: &DefinitionError) -> Finding {
    let position = [error.line, error.column].into_iter().flatten().map(|n| format!(":{n}")).collect::<String>();
    Finding {
        level: Level::Error,
        place: format!("{}{position}", error.file),
        key: error.key.clone(),
        message: error.message.clone(),
        remedy: error.remedy.clone(),
    }
}

fn notice(notice: &Notice) -> Finding {
    Finding {
        level: match notice.level {
            NoticeLevel::Warning => Level::Warning,
            NoticeLevel::Advice => Level::Advice,
        },
        place: format!("{}:{}", notice.file, notice.line),
        key: notice.key.clone(),
        message: notice.message.clone(),
        remedy: None,
    }
}
