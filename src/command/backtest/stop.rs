//! Stops a backtest: the first SIGINT (Ctrl-C) or SIGTERM takes effect at the next turn, a second one at once.
//!
//! A backtest that waits for standard input has no next turn. So if the signal is not handled within a few seconds,
//! this module removes the unfinished files and ends the process.

use crate::command::{Failure, Voice};
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const RUNNING: u8 = 0;
/// A signal arrived and is not handled yet.
const TOLD: u8 = 1;
/// The results are being renamed or removed: the process is about to end by itself.
const ENDING: u8 = 2;
const GRACE: Duration = Duration::from_secs(3);
/// Exit code after SIGINT; for every signal it is 128 plus its number.
const KILLED: i32 = 130;

pub(super) struct Stop(Arc<AtomicU8>);

impl Stop {
    /// Listens on its own thread for the life of the process. Removes `unfinished` if nobody handles the signal.
    pub fn install(unfinished: Vec<PathBuf>, voice: Voice) -> Result<Stop, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut int, mut term, too_large) = {
            let _inside = runtime.enter();
            // A file over `ulimit -f` shall be a reported error, not the end of the process.
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
                            "stopped by a signal; the unfinished results were removed, results of an earlier run are \
                             unchanged",
                        );
                        std::process::exit(KILLED);
                    }
                }
                // It is already ending; a second signal means: do not wait.
                tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                std::process::exit(KILLED);
            });
        })?;
        Ok(Stop(state))
    }

    /// Whether a signal arrived. If so, the caller must end the process.
    pub fn is_told(&self) -> bool {
        self.0.compare_exchange(TOLD, ENDING, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// From now on signals are ignored, because the process is about to end. `false`: a signal came before.
    pub fn end(&self) -> bool {
        self.0.swap(ENDING, Ordering::SeqCst) == RUNNING
    }

    /// The exit code after a signal.
    pub const fn exit_code() -> u8 {
        KILLED as u8
    }
}
