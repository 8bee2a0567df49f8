//! Wall clocks that are wrong.

use crate::play::Play;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const HOUR_S: i64 = 3_600;

/// The preloaded library, and its directory.
fn library() -> Result<(TempDir, PathBuf), String> {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let path = dir.path().join("clock.so");
    let source = "tests/faults/clock.c";
    let mut compiler = Command::new("cc");
    let compiled = compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).arg("-ldl").output();
    let output = compiled.map_err(|e| format!("no C compiler for the wrong clock: {e}"))?;
    if !output.status.success() {
        return Err(format!("the wrong clock cannot be compiled: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok((dir, path))
}

pub fn can_be_faked() -> Result<(), String> {
    library().map(|_| ())
}

/// Each start of an instance has another wall clock; timers are unaffected.
pub fn off_by_an_hour(play: &mut Play<'_>) {
    let (_dir, library) = match library() {
        Ok(library) => library,
        Err(why) => return play.complain(why),
    };
    play.pace.end_in(Duration::from_secs(40));
    for (round, offset_s) in [HOUR_S, -HOUR_S, 0, -HOUR_S, HOUR_S, 0].into_iter().enumerate() {
        let n = round % play.fleet.len();
        play.stop(n);
        play.fleet[n].env = vec![
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            ("CLOCK_OFFSET_S".to_owned(), offset_s.to_string()),
        ];
        play.count(&format!("clock off by {offset_s} s"));
        // New instances start with a correct clock.
        play.fleet.iter_mut().filter(|instance| !instance.is_running()).for_each(crate::fleet::Instance::start);
        play.until_it_works(Duration::from_secs(40));
        let after = play.dice.millis(500, 2_000);
        play.wait(after);
        if play.dice.one_in(2) {
            play.kill_one(n, Duration::from_millis(200));
        }
    }
    // Removes the library when dropped.
    for n in 0..play.fleet.len() {
        play.stop(n);
        play.fleet[n].env.clear();
        play.fleet[n].start();
    }
}
