//! What the demo's threads share: the results so far, the progress, and whether to stop.
//!
//! No thread waits for anything while it holds a lock.

#![expect(clippy::disallowed_methods, reason = "measures how long the demo took")]

use super::ledger::Ledger;
use crate::board::{Board, Phase, Reading};
use crate::command::processor::Told;
use crate::command::signals::signalled;
use crate::model::slo::Slo;
use crate::model::time::Ms;
use console::Term;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub struct Shared {
    pub live_from_ms: Ms,
    pub history_ms: Ms,
    pub started: Instant,
    pub board: Arc<Board>,
    ledger: Mutex<Ledger>,
    told: Mutex<Told>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// No more traffic is generated.
    is_stopped: bool,
    /// Everything is processed.
    is_ended: bool,
    live_since: Option<Instant>,
}

impl Shared {
    pub fn new(slos: &[Slo], live_from_ms: Ms, history_ms: Ms) -> Shared {
        let board = Board::default();
        board.set_phase(Phase::Restoring { live: 0, assigned: 1 });
        Shared {
            live_from_ms,
            history_ms,
            started: Instant::now(),
            board: Arc::new(board),
            ledger: Mutex::new(Ledger::new(slos, live_from_ms)),
            told: Mutex::default(),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        }
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic aborts the process, so a lock is never seen poisoned.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the worker does, for the API.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// History is over.
    pub fn go_live(&self) {
        self.change(|s| s.live_since = Some(Instant::now()));
        self.board.set_phase(Phase::Live);
        self.board.set_reading(Reading::CaughtUp);
    }

    pub fn live_since(&self) -> Option<Instant> {
        self.state().live_since
    }

    /// How long the demo runs so far.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Stops the traffic; what was sent is still processed.
    pub fn stop(&self) {
        self.change(|s| s.is_stopped = true);
        self.board.set_phase(Phase::Stopping);
    }

    pub fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    /// Everything is processed; stops the remaining threads.
    pub fn end(&self) {
        self.change(|s| (s.is_stopped, s.is_ended) = (true, true));
    }

    /// Waits up to this long; `true`: the traffic shall stop.
    pub fn wait_for_stop(&self, at_most: Duration) -> bool {
        self.wait(at_most, |s| s.is_stopped)
    }

    /// Waits up to this long; `true`: everything is processed.
    pub fn wait_for_end(&self, at_most: Duration) -> bool {
        self.wait(at_most, |s| s.is_ended)
    }

    fn wait(&self, at_most: Duration, reached: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), at_most, |s| !reached(s));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        reached(&state)
    }
}

/// The first SIGINT or SIGTERM stops the traffic and lets the rest be processed; the second one ends the process at
/// once.
pub fn stop_on_signals(shared: &Arc<Shared>) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wait = move || {
        if runtime.block_on(signalled()).is_ok() {
            shared.stop();
        }
        if runtime.block_on(signalled()).is_ok() {
            // The board hides the cursor; nothing else would show it again.
            let _ = Term::stdout().show_cursor();
            std::process::exit(130);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}
