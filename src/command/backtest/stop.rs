//! Being stopped: by SIGINT (Ctrl-C) or SIGTERM at the next turn, and at once by a second one.
//!
//! A backtest that waits for standard input has no next turn. So where nobody has heard the signal after
//! a few seconds, the unfinished files are removed from here, and the process ends.

use crate::command::{Failure, Voice};
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const RUNNING: u8 = 0;
/// A signal came, and nobody has heard of it yet.
const TOLD: u8 = 1;
/// The results are being put in their places, or away: it ends by itself in a moment.
const ENDING: u8 = 2;
const GRACE: Duration = Duration::from_secs(3);
/// Exit code of a process that SIGINT ended; of others it is 128 and their number as well.
const KILLED: i32 = 130;

pub(super) struct Stop(Arc<AtomicU8>);

impl Stop {
    /// Listens on a thread of its own, as long as the process lives. `unfinished` goes where nobody hears.
    pub fn install(unfinished: Vec<PathBuf>, voice: Voice) -> Result<Stop, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut int, mut term, too_large) = {
            let _inside = runtime.enter();
            // A file over the limit of `ulimit -f` is an error to be told of, not the end of the process.
            let too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, too_large)
        };
        let state = Arc::new(AtomicU8::new(RUNNING));
        let told = Arc::clone(&state);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let _too_large = too_large;
            runtime.block_on(async move {
                tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                if told.compare_exchange(RUNNING, TOLD, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    tokio::select! {
                        () = tokio::time::sleep(GRACE) => {},
                        _ = int.recv() => {},
                        _ = term.recv() => {},
                    }
                    if told.compare_exchange(TOLD, ENDING, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                        unfinished.iter().for_each(|path| drop(std::fs::remove_file(path)));
                        voice.error(
                            "stopped by a signal; the unfinished results were removed, results of an earlier run are as \
                             they were",
                        );
                        std::process::exit(KILLED);
                    }
                }
                // It is ending; who asks once more does not want to wait.
                tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                std::process::exit(KILLED);
            });
        })?;
        Ok(Stop(state))
    }

    /// Whether a signal came. From then on whoever asked ends the process.
    pub fn is_told(&self) -> bool {
        self.0.compare_exchange(TOLD, ENDING, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// From now on a signal stops nothing, as it ends in a moment. `false`: one came before.
    pub fn end(&self) -> bool {
        self.0.swap(ENDING, Ordering::SeqCst) == RUNNING
    }

    /// The exit code of a process that was stopped.
    pub const fn exit_code() -> u8 {
        KILLED as u8
    }
}
