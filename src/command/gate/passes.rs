//! The passes that the gate keeps for later comparisons: one a service, in a file of JSON.

use crate::command::Failure;
use crate::model::time::Moment;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// The form of the file.
const VERSION: u32 = 1;

/// How the SLOs of a service stood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pass {
    /// The boundary of the newest status.
    pub at: Option<Moment>,
    pub release: Option<String>,
    pub slos: BTreeMap<String, Facts>,
}

/// One SLO of it, for the aggregate; alerts and causes in all scopes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    pub definition_hash: String,
    pub state: String,
    pub budget_remaining: Option<f64>,
    /// By window.
    pub burns: BTreeMap<String, f64>,
    /// By user window.
    pub below: BTreeMap<String, Below>,
    /// What fired, in words, by id.
    pub alerts: BTreeMap<String, String>,
    /// Tail cohorts that were open, in words, by id.
    pub causes: BTreeMap<String, String>,
}

/// Users below the objective.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Below {
    pub users: u64,
    pub below: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Passes {
    version: u32,
    passes: BTreeMap<String, Pass>,
}

impl Passes {
    /// What the file holds; nothing if there is no file yet.
    pub fn read(file: &Path) -> Result<Passes, Failure> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Passes { version: VERSION, passes: BTreeMap::new() });
            }
            Err(error) => return Err(anyhow::Error::from(error).context(file.display().to_string()).into()),
        };
        let wrong = |why: String| {
            let file = file.display();
            Failure::Usage(format!(
                "{file} holds no passes of a gate ({why}): name another file with --passes, or remove it"
            ))
        };
        let passes: Passes = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if passes.version != VERSION {
            return Err(wrong(format!("version {}, and this build reads {VERSION}", passes.version)));
        }
        Ok(passes)
    }

    pub fn of(&self, service: &str) -> Option<&Pass> {
        self.passes.get(service)
    }

    /// Writes the file whole beside its place, and moves it there: who stops in between leaves the old one.
    pub fn keep(&mut self, service: &str, pass: Pass, file: &Path) -> Result<(), Failure> {
        self.passes.insert(service.to_owned(), pass);
        let text = serde_json::to_string_pretty(self).map_err(anyhow::Error::from)? + "\n";
        let mut new = file.as_os_str().to_owned();
        new.push(".new");
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, file));
        Ok(written.with_context(|| format!("the pass cannot be kept in {}", file.display()))?)
    }
}
