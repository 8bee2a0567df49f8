//! The server's thread: starting it binds the port first; it stops when asked to.

use super::connections::{self, Answers, Limits};
use super::endpoints::Endpoints;
use super::routes;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use tokio::sync::watch;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{key}: {listen} cannot be bound: {source}. Choose another port, 0 for any, or null for none.")]
    Bind { key: &'static str, listen: String, source: std::io::Error },
    #[error("the HTTP server cannot start: {0}")]
    Start(std::io::Error),
}

/// A running server. Dropping it stops it too.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Binds `host:port` and serves from a thread of its own.
pub fn serve(listen: &str, endpoints: Endpoints) -> Result<Server, HttpError> {
    serve_within(listen, endpoints, Limits::of_this_process())
}

/// Binds another address for probes and metrics alone.
pub fn serve_probes(listen: &str, endpoints: Endpoints) -> Result<Server, HttpError> {
    start("http.probe_listen", listen, Limits::of_this_process(), |is_local| {
        let all = routes::monitoring(endpoints.clone(), is_local);
        Answers { all, probes: routes::probes(endpoints, is_local) }
    })
}

pub(super) fn serve_within(listen: &str, endpoints: Endpoints, limits: Limits) -> Result<Server, HttpError> {
    start("http.listen", listen, limits, |is_local| {
        let all = routes::router(endpoints.clone(), is_local);
        Answers { all, probes: routes::probes(endpoints, is_local) }
    })
}

/// `answers`: the routes, if it listens on the loopback or not.
fn start(
    key: &'static str,
    listen: &str,
    limits: Limits,
    answers: impl FnOnce(bool) -> Answers,
) -> Result<Server, HttpError> {
    let bind = |source| HttpError::Bind { key, listen: listen.to_owned(), source };
    let listener = TcpListener::bind(listen).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    listener.set_nonblocking(true).map_err(HttpError::Start)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HttpError::Start)?;
    let (stop, stopped) = watch::channel(false);
    let answers = answers(address.ip().is_loopback());
    let thread = std::thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || {
            if let Err(error) = runtime.block_on(answer(listener, answers, limits, stopped)) {
                tracing::error!(%error, "the HTTP server stopped");
            }
        })
        .map_err(HttpError::Start)?;
    Ok(Server { address, stop, thread: Some(thread) })
}

async fn answer(
    listener: TcpListener,
    answers: Answers,
    limits: Limits,
    stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    connections::accept(listener, answers, limits, stopped).await;
    Ok(())
}

impl Server {
    /// The address it listens on; for port 0, with the chosen port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers running requests, then stops; bounded in time.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP server's thread panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
