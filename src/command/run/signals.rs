//! SIGTERM and SIGINT ask for a stop; a second one leaves at once.

use crate::command::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a process that a signal ended.
const KILLED: i32 = 130;

pub struct Signals {
    told: Arc<AtomicBool>,
}

impl Signals {
    /// Listens on a thread of its own, as long as the process lives.
    pub fn install() -> Result<Signals, Failure> {
        let told = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&told);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
                else {
                    tracing::error!("signals cannot be listened for; only SIGKILL stops this process");
                    return;
                };
                loop {
                    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                    if heard.swap(true, Ordering::Relaxed) {
                        std::process::exit(KILLED);
                    }
                    tracing::info!("stopping; a second signal leaves at once");
                }
            });
        })?;
        Ok(Signals { told })
    }

    /// Tells whoever asks to stop.
    pub fn stop(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    pub fn is_told_to_stop(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }
}
