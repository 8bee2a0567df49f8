//! SIGTERM and SIGINT ask for a stop; a second one leaves at once.

use crate::command::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a process that a signal ended.
const KILLED: i32 = 130;

pub struct Signals {
    stops: Arc<AtomicBool>,
}

impl Signals {
    /// Listens on its own thread for the life of the process.
    pub fn install() -> Result<Signals, Failure> {
        let stops = Arc::new(AtomicBool::new(false));
        let signalled_before = Arc::clone(&stops);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async move {
                loop {
                    if signalled().await.is_err() {
                        tracing::error!("cannot listen for signals; only SIGKILL stops this process");
                        return;
                    }
                    if signalled_before.swap(true, Ordering::Relaxed) {
                        std::process::exit(KILLED);
                    }
                    tracing::info!("stopping; a second signal leaves at once");
                }
            });
        })?;
        Ok(Signals { stops })
    }

    /// Asks the process to stop, as a signal does.
    #[cfg(feature = "kafka")]
    pub fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    pub fn is_told_to_stop(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }
}

/// Waits for SIGINT or SIGTERM.
pub async fn signalled() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
