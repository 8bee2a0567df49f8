//! Wall clocks that are wrong.

use crate::play::Play;
use std::path::PathBuf;
use std::time::Duration;

/// Where Debian's package has it.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
];

fn library() -> Option<PathBuf> {
    LIBRARIES.into_iter().map(PathBuf::from).find(|path| path.exists())
}

pub fn can_be_faked() -> Result<(), String> {
    library().map(|_| ()).ok_or_else(|| "libfaketime is missing (Debian: apt-get install faketime)".to_owned())
}

/// Each start of an instance has another clock; timers go on as ever.
pub fn off_by_an_hour(play: &mut Play<'_>) {
    let Some(library) = library() else { return };
    play.pace.end_in(Duration::from_secs(36));
    for (round, offset) in ["+1h", "-1h", "+0", "-1h", "+1h", "+0"].into_iter().enumerate() {
        let n = round % play.fleet.len();
        play.stop(n);
        play.fleet[n].env = vec![
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            ("FAKETIME".to_owned(), offset.to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ];
        play.fleet[n].start();
        play.count(&format!("clock {offset}"));
        let after = play.dice.millis(3_000, 6_000);
        for other in 0..play.fleet.len() {
            if !play.fleet[other].is_running() {
                play.fleet[other].start();
            }
        }
        play.wait(after);
        if play.dice.one_in(2) {
            play.kill_one(n, Duration::from_millis(200));
        }
    }
}
