//! Connections: how many at once, for how long, and which are reserved for probes.
//!
//! Each connection costs a descriptor, and the state store and the Kafka client need descriptors too. So their number
//! is limited. Above the limit a few more are accepted that only answer probes, so that monitoring still works when all
//! others are taken.

#![expect(clippy::disallowed_methods, reason = "a connection's life is measured by the clock; no figure comes from it")]

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// How long running requests may take after the server is asked to stop.
const GRACE: Duration = Duration::from_secs(2);
/// How long a probe connection may keep its place when another one needs it.
const PROBE_PLACE: Duration = Duration::from_millis(100);
/// A pause after the system refused a connection, because it would refuse again at once.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// More than a client's headers need; hyper answers 431 above it.
const HEADER_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections for all requests.
    pub open: usize,
    /// Additional connections, only for probes.
    pub probes: usize,
    /// How long a request's header may take, and how long a connection may wait for the next request.
    pub header: Duration,
    /// The same, for a probe connection.
    pub probe_header: Duration,
    /// The maximum age of a connection: bounds the time to send a body and to read an answer.
    pub life: Duration,
}

impl Limits {
    const OPEN: usize = 1_024;
    const PROBES: usize = 32;

    /// For a process with this many descriptors: connections use at most a quarter of them.
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
        return Limits::of(descriptors(4 * Limits::OPEN as u64));
        #[cfg(not(unix))]
        return Limits::of(None);
    }
}

/// The descriptors of this process, after it asked for as many as it may have. (Systems give 1,024 at first, for the sake
/// of `select`, which nothing here uses.)
#[cfg(unix)]
fn descriptors(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let found = getrlimit(Resource::Nofile);
    let current = found.current?;
    let raised = found.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if current >= raised {
        return Some(current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: found.maximum }) {
        Ok(()) => Some(raised),
        Err(_) => Some(current),
    }
}

/// Tells a connection that carries a stream of events from one that lasts too long: it may live as long as the client
/// goes on reading.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// When the stream was asked for more, which happens only once the client has read.
    asked: Arc<Mutex<Option<Instant>>>,
    /// How many viewers there may be, on all connections.
    pub viewers_max: usize,
    /// Who is at the other end.
    pub peer: Option<IpAddr>,
}

impl Default for Streamed {
    fn default() -> Streamed {
        Streamed::new(Limits::OPEN / 2, None)
    }
}

impl Streamed {
    fn new(viewers_max: usize, peer: Option<IpAddr>) -> Streamed {
        Streamed { asked: Arc::default(), viewers_max, peer }
    }

    pub fn is_asked_for_more(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn was_asked_within(&self, time: Duration) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|asked| asked.elapsed() < time)
    }
}

/// The routes of connections.
pub struct Answers {
    pub all: axum::Router,
    /// For connections above the limit.
    pub probes: axum::Router,
}

/// Accepts connections until asked to stop; then gives running requests some time to end.
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
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, Some(peer.ip())),
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
                let streamed = Streamed::new(limits.open / 2, peer);
                let times = (limits.header, limits.life);
                let served = serve(stream, answers.all.clone(), streamed, times, stopped.clone());
                open.spawn(holding(place, served));
            }
            Err(_) => {
                kept.make_place().await;
                let times = (limits.probe_header, limits.life);
                let served = serve(stream, answers.probes.clone(), Streamed::new(0, peer), times, stopped.clone());
                kept.hold(open.spawn(served));
            }
        }
        // Accepted connections get their turn even if many more are waiting.
        tokio::task::yield_now().await;
    }
    drop(listener);
    // A slow client must not keep the instance from leaving.
    let _ = timeout(GRACE, async { while open.join_next().await.is_some() {} }).await;
}

pub async fn told(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which also means stop.
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
    streamed: Streamed,
    (header, life): (Duration, Duration),
    stopped: watch::Receiver<bool>,
) {
    let routes = TowerToHyperService::new(router);
    let of_connection = streamed.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(of_connection.clone());
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stop = pin!(told(stopped));
    loop {
        tokio::select! {
            // Errors are caused by clients: they left, were too slow, or did not speak HTTP.
            _ = connection.as_mut() => return,
            () = sleep(life) => {}
            () = stop.as_mut() => break,
        }
        if !streamed.was_asked_within(life) {
            break;
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

/// Probe connections, the oldest first.
struct Kept {
    held: VecDeque<(Instant, AbortHandle)>,
    limit: usize,
}

impl Kept {
    /// Waits for a free place; the oldest connection gives up its own.
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
        assert_eq!(counts(Some(1_048_576)), (1_024, 32));
        assert_eq!(counts(None), (1_024, 32));
        assert_eq!(counts(Some(0)), (8, 4));
    }
}
