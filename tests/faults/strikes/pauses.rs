//! Paused processes, completely or one thread.

use crate::play::Play;
use std::process::{Command, Stdio};
use std::time::Duration;

const ROUNDS: usize = 3;
/// `session.timeout.ms` of these scenarios is 6 s.
const BEYOND_SESSION: (u64, u64) = (7_000, 9_000);
/// A transaction may be open for 15 s, and the broker checks once a second.
const BEYOND_TRANSACTION: (u64, u64) = (17_500, 19_000);
/// `max.poll.interval.ms` of this scenario is 8 s.
const BEYOND_POLL_INTERVAL_S: u64 = 11;

pub fn beyond_the_session(play: &mut Play<'_>) {
    again_and_again(play, BEYOND_SESSION);
}

pub fn beyond_the_transaction(play: &mut Play<'_>) {
    again_and_again(play, BEYOND_TRANSACTION);
}

fn again_and_again(play: &mut Play<'_>, (from_ms, to_ms): (u64, u64)) {
    play.pace.end_in(Duration::from_millis((to_ms + 8_000) * ROUNDS as u64));
    for _ in 0..ROUNDS {
        works(play);
        let (n, time) = (play.dice.index(play.fleet.len()), play.dice.millis(from_ms, to_ms));
        pause(play, n, time);
    }
    works(play);
}

/// An instance that does not resume work is a separate failure.
fn works(play: &mut Play<'_>) {
    if !play.until_it_works(Duration::from_secs(40)) {
        play.complain("nothing was published for 40 s".to_owned());
    }
    let on = play.dice.millis(0, 1_500);
    play.wait(on);
}

pub fn pause(play: &mut Play<'_>, n: usize, time: Duration) {
    play.fleet[n].pause();
    play.count("SIGSTOP");
    play.say(&format!("{} stands still for {} ms", play.fleet[n].name, time.as_millis()));
    play.wait(time);
    play.fleet[n].go_on();
}

pub fn can_hold_a_thread() -> Result<(), String> {
    let found = Command::new("strace").arg("--version").stdin(Stdio::null()).output();
    found.map(|_| ()).map_err(|e| format!("strace is needed to hold one thread of a process: {e}"))
}

/// The polling thread is held inside a system call. The other threads continue to send heartbeats, so the group sees a
/// member that makes no progress, like one with a slow handler. A stopped process (`pause-session`) sends nothing.
pub fn beyond_the_poll_interval(play: &mut Play<'_>) {
    play.pace.end_in(Duration::from_secs((BEYOND_POLL_INTERVAL_S + 8) * ROUNDS as u64));
    for _ in 0..ROUNDS {
        works(play);
        let n = play.dice.index(play.fleet.len());
        let Some(pid) = play.fleet[n].pid() else { continue };
        if let Err(why) = hold(play, pid) {
            play.complain(format!("the thread could not be held: {why}"));
        }
    }
    works(play);
    let heard = play.fleet.iter().map(|instance| instance.log().matches("partitions away").count()).sum::<usize>();
    play.note(format!("the group took partitions away {heard} times"));
}

fn hold(play: &mut Play<'_>, pid: u32) -> std::io::Result<()> {
    // Without -f it traces only the main thread, which polls. That thread opens files at checkpoints, between two
    // polls. (If it were held inside a poll, it would count as polling.)
    let delay = format!("--inject=openat,fdatasync,fsync:delay_enter={BEYOND_POLL_INTERVAL_S}000000:when=1");
    let mut tracer = Command::new("strace");
    tracer.args(["-q", "-o", "/dev/null", "-p", &pid.to_string(), &delay]);
    let mut tracer = tracer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    play.count("worker's thread held");
    play.say(&format!("the worker's thread of process {pid} stands still for {BEYOND_POLL_INTERVAL_S} s"));
    play.wait(Duration::from_secs(BEYOND_POLL_INTERVAL_S + 1));
    // When the tracer ends, the thread is free again.
    let _ = tracer.kill();
    tracer.wait().map(|_| ())
}
