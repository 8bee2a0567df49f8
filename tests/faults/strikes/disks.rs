//! State that is deleted, truncated, or on a full disk.

use crate::play::Play;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const ROUNDS: usize = 4;

pub fn emptied(play: &mut Play<'_>) {
    play.pace.end_in(Duration::from_secs(8 * ROUNDS as u64));
    for _ in 0..ROUNDS {
        let before = play.dice.millis(1_500, 5_000);
        play.wait(before);
        let n = play.dice.index(play.fleet.len());
        play.fleet[n].kill();
        play.fleet[n].forget_state();
        play.count("state directory removed");
        play.fleet[n].start();
    }
}

/// The files to truncate, in turns. (A build without WAL has only empty `.log` files.)
const KINDS: [&str; 3] = [".log", ".sst", "MANIFEST"];

pub fn cut(play: &mut Play<'_>) {
    play.may_exit = true;
    play.pace.end_in(Duration::from_secs(12 * KINDS.len() as u64 * 2));
    for kind in KINDS.into_iter().cycle().take(2 * KINDS.len()) {
        play.until_it_works(Duration::from_secs(40));
        play.wait(Duration::from_secs(3));
        let n = play.dice.index(play.fleet.len());
        play.fleet[n].kill();
        let Some(path) = newest(&play.fleet[n].state, kind) else {
            play.note(format!("there was no {kind} file to cut"));
            play.fleet[n].start();
            continue;
        };
        let bytes = cut_tail(play, &path);
        play.count(&format!("tail of {kind} cut"));
        play.say(&format!("{bytes} bytes cut from {}", path.display()));
        restart_or_wipe(play, n, kind);
    }
}

/// An instance that refuses its damaged state says so; then the state is deleted, which is a person's job and therefore
/// noted.
fn restart_or_wipe(play: &mut Play<'_>, n: usize, kind: &str) {
    play.fleet[n].start();
    let Some(end) = play.fleet[n].await_end(Duration::from_secs(6)) else { return };
    let words = play.fleet[n].last_words();
    play.complain(format!("with a cut {kind} it ended ({end:?}) instead of rebuilding its state\n      {words}"));
    play.fleet[n].forget_state();
    play.fleet[n].start();
}

/// Half of the file at most.
fn cut_tail(play: &mut Play<'_>, path: &Path) -> u64 {
    let file = fs::File::options().write(true).open(path).expect("a file of the state");
    let length = file.metadata().expect("its length").len();
    let bytes = play.dice.between(1, (length / 2).max(1));
    file.set_len(length - bytes).expect("it is cut");
    bytes
}

fn newest(dir: &Path, kind: &str) -> Option<PathBuf> {
    let mut files = Vec::new();
    collect(dir, kind, &mut files);
    files.sort();
    files.pop().map(|(_, path)| path)
}

fn collect(dir: &Path, kind: &str, found: &mut Vec<(std::time::SystemTime, PathBuf)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            collect(&path, kind, found);
        } else if about.len() > 1 && (name.ends_with(kind) || name.starts_with(kind)) {
            found.push((about.modified().expect("a time"), path));
        }
    }
}

const SIZE: &str = "size=24m";

pub fn can_mount() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    Mount::new(dir.path()).map(|_| ())
}

/// A small file system in memory; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(path: &Path) -> Result<Mount, String> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(path).output();
        let output = mount.map_err(|e| format!("mount: {e}"))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(format!("a small file system cannot be mounted (that needs root): {why}"));
        }
        Ok(Mount(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Files may still be open: a lazy unmount removes the mount point at once, the rest later.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub fn full(play: &mut Play<'_>) {
    play.may_exit = true;
    let state = play.fleet[0].state.clone();
    fs::create_dir_all(&state).expect("a state directory");
    let mount = match Mount::new(&state) {
        Ok(mount) => mount,
        Err(why) => return play.complain(why),
    };
    play.fleet.iter_mut().for_each(crate::fleet::Instance::start);
    play.pace.end_in(Duration::from_secs(50));
    let filler = state.join("filler");
    for _ in 0..2 {
        play.until_it_works(Duration::from_secs(40));
        let bytes = fill(&filler);
        play.count("file system filled");
        play.say(&format!("{bytes} bytes took what room there was"));
        play.wait(Duration::from_secs(8));
        fs::remove_file(&filler).expect("there is room again");
        play.say("there is room again");
    }
    play.until_it_works(Duration::from_secs(40));
    // Continues on the normal disk, because everything committed is in the log.
    play.stop(0);
    drop(mount);
    play.fleet[0].start();
}

fn fill(path: &Path) -> u64 {
    use std::io::Write as _;
    let mut file = fs::File::create(path).expect("a file");
    let (block, mut bytes) = ([0_u8; 4_096], 0);
    while let Ok(written) = file.write(&block) {
        bytes += written as u64;
    }
    bytes
}
