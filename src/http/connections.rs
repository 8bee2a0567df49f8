//! Connections: how many at once, for how long, and which of them are kept for probes.
//!
//! Each connection costs a descriptor, and the state store and the Kafka client need descriptors too.
//! So there is a cap. Above it, a few more connections are accepted that answer probes alone: whoever
//! watches the process still gets an answer when everything else is taken.

#![expect(clippy::disallowed_methods, reason = "a connection's life is measured by the clock; no figure comes from it")]

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// How long requests under way may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(2);
/// How long a connection that is kept for probes may hold its place when another one wants it.
const PROBE_PLACE: Duration = Duration::from_millis(100);
/// A pause after the system refused us a connection: it does so again at once.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// More than any header of ours needs; hyper answers 431 above it.
const HEADER_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that may ask for anything.
    pub open: usize,
    /// Connections above these, which may ask for probes.
    pub probes: usize,
    /// How long a request's header may take, and how long a connection may wait for the next request.
    pub header: Duration,
    /// The same, of a connection that is kept for probes.
    pub probe_header: Duration,
    /// How old a connection may grow: bounds how long a body may be sent and an answer be read.
    pub life: Duration,
}

impl Limits {
    const OPEN: usize = 512;
    const PROBES: usize = 32;

    /// For a process that may hold so many descriptors: at most a quarter of them is ours.
    pub fn of(descriptors: Option<u64>) -> Limits {
        let quarter = descriptors.map_or(usize::MAX, |all| usize::try_from(all / 4).unwrap_or(usize::MAX));
        Limits {
            open: quarter.clamp(8, Limits::OPEN),
            probes: (quarter / 2).clamp(4, Limits::PROBES),
            header: Duration::from_secs(10),
            probe_header: Duration::from_secs(2),
            life: Duration::from_secs(60),
        }
    }

    pub fn of_this_process() -> Limits {
        #[cfg(unix)]
        return Limits::of(rustix::process::getrlimit(rustix::process::Resource::Nofile).current);
        #[cfg(not(unix))]
        return Limits::of(None);
    }
}

/// What connections are answered with.
pub struct Answers {
    pub all: axum::Router,
    /// For connections above the cap.
    pub probes: axum::Router,
}

/// Accepts connections until it is told to stop; then lets requests under way end, for a while.
pub async fn accept(listener: TcpListener, answers: Answers, limits: Limits, stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(limits.open));
    let mut open = JoinSet::new();
    let mut kept = Kept { held: VecDeque::new(), limit: limits.probes };
    let mut was_refused = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = told(stopped.clone()) => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !std::mem::replace(&mut was_refused, true) {
                    tracing::warn!(%error, "HTTP: a connection could not be accepted; trying again");
                }
                sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        was_refused = false;
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let served = serve(stream, answers.all.clone(), limits.header, limits.life, stopped.clone());
                open.spawn(holding(place, served));
            }
            Err(_) => {
                kept.make_place().await;
                let served = serve(stream, answers.probes.clone(), limits.probe_header, limits.life, stopped.clone());
                kept.hold(open.spawn(served));
            }
        }
        // Connections that were accepted before get their turn, however many more are waiting.
        tokio::task::yield_now().await;
    }
    drop(listener);
    // A client that reads slowly does not keep the whole instance from leaving.
    let _ = timeout(GRACE, async { while open.join_next().await.is_some() {} }).await;
}

pub async fn told(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which says the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn holding(place: OwnedSemaphorePermit, served: impl Future<Output = ()>) {
    served.await;
    drop(place);
}

/// Serves one connection until one side closes it, time is up, or the server stops.
async fn serve(
    stream: TcpStream,
    router: axum::Router,
    header: Duration,
    life: Duration,
    stopped: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        // Errors are the client's: it went away, was too slow, or spoke no HTTP.
        _ = connection.as_mut() => return,
        () = sleep(life) => {}
        () = told(stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

/// Connections that are kept for probes, the oldest first.
struct Kept {
    held: VecDeque<(Instant, AbortHandle)>,
    limit: usize,
}

impl Kept {
    /// Waits until there is a place for one more; the oldest connection gives its own up.
    async fn make_place(&mut self) {
        self.held.retain(|(_, task)| !task.is_finished());
        if self.held.len() < self.limit {
            return;
        }
        if let Some((since, task)) = self.held.pop_front() {
            sleep(PROBE_PLACE.saturating_sub(since.elapsed())).await;
            task.abort();
        }
    }

    fn hold(&mut self, task: AbortHandle) {
        self.held.push_back((Instant::now(), task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_a_part_of_the_descriptors_only() {
        let counts = |descriptors| {
            let limits = Limits::of(descriptors);
            (limits.open, limits.probes)
        };
        assert_eq!(counts(Some(256)), (64, 32));
        assert_eq!(counts(Some(64)), (16, 8));
        assert_eq!(counts(Some(1_048_576)), (512, 32));
        assert_eq!(counts(None), (512, 32));
        assert_eq!(counts(Some(0)), (8, 4));
    }
}
