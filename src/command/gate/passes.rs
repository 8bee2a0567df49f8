//! The passes that the gate keeps for later comparisons: one a service, in a file of JSON.

use crate::command::applied::file::wait_for;
use crate::command::notify::now_ms;
use crate::model::time::Moment;
use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

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
    pub fn read(file: &Path) -> anyhow::Result<Passes> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Passes { version: VERSION, passes: BTreeMap::new() });
            }
            Err(error) => return Err(anyhow::Error::from(error).context(file.display().to_string())),
        };
        let advice = "name another file with --passes, or remove it";
        let passes: Passes = serde_json::from_str(&text)
            .map_err(|error| anyhow!("{} holds no passes of a gate ({error}): {advice}", file.display()))?;
        if passes.version != VERSION {
            let (file, version) = (file.display(), passes.version);
            bail!("{file} has passes of version {version}, and this build reads {VERSION}: {advice}");
        }
        Ok(passes)
    }

    pub fn of(&self, service: &str) -> Option<&Pass> {
        self.passes.get(service)
    }
}

/// Adds the pass to what the file holds now, or puts it in the place of the one before. Who does that at the same time
/// waits, by a lock on a file beside it: the file itself is replaced, whole, so that who stops in between leaves the
/// old one.
pub fn keep(service: &str, pass: Pass, file: &Path) -> anyhow::Result<()> {
    let lock_file = beside(file, ".lock");
    let lock = OpenOptions::new().create(true).append(true).open(&lock_file);
    let lock = lock.and_then(|lock| wait_for(&lock).map(|()| lock));
    let lock = lock.with_context(|| lock_file.display().to_string())?;
    let mut passes = Passes::read(file)?;
    passes.passes.insert(service.to_owned(), pass);
    let text = serde_json::to_string_pretty(&passes)? + "\n";
    replace(file, text.as_bytes()).with_context(|| file.display().to_string())?;
    drop(lock);
    Ok(())
}

fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(file, &format!(".{}-{}.new", std::process::id(), now_ms()));
    let mut written = OpenOptions::new().create_new(true).write(true).open(&new)?;
    let moved = written.write_all(bytes).and_then(|()| written.sync_all()).and_then(|()| fs::rename(&new, file));
    if moved.is_err() {
        // If that fails, too, a file is left that nobody reads.
        let _ = fs::remove_file(&new);
    }
    moved
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_pass_at_the_same_time_are_all_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("passes.json");
        let pass = |release: String| Pass { at: None, release: Some(release), slos: BTreeMap::new() };
        std::thread::scope(|scope| {
            for service in 0..8 {
                let (file, pass) = (&file, &pass);
                scope.spawn(move || {
                    for n in 0..10 {
                        keep(&format!("s{service}"), pass(format!("v{n}")), file).expect("kept");
                    }
                });
            }
        });
        let passes = Passes::read(&file).expect("readable");
        let releases: Vec<_> = passes.passes.values().map(|pass| pass.release.as_deref()).collect();
        assert_eq!(releases, [Some("v9"); 8]);
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).expect("files").map(|f| f.expect("a file").file_name()).collect();
        left.sort();
        assert_eq!(left, ["passes.json", "passes.json.lock"]);
    }
}
