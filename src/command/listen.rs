//! The listeners of a process: the API with its tokens, and probes and metrics beside it.

use super::Failure;
use crate::config::Http;
use crate::http::{Endpoints, Server, Tokens, serve, serve_probes};
use std::path::Path;

/// Running servers.
pub struct Listeners {
    pub api: Server,
    probes: Option<Server>,
}

impl Listeners {
    /// `listen`: where the API answers.
    pub fn start(http: &Http, listen: &str, endpoints: Endpoints) -> Result<Listeners, Failure> {
        let endpoints = endpoints.with_tokens(http.tokens.as_deref().map(tokens).transpose()?);
        let probes = http.probe_listen.as_ref().map(|listen| serve_probes(listen, endpoints.clone()));
        let probes = probes.transpose().map_err(anyhow::Error::from)?;
        let api = serve(listen, endpoints).map_err(anyhow::Error::from)?;
        Ok(Listeners { api, probes })
    }

    pub fn shutdown(self) {
        self.api.shutdown();
        self.probes.into_iter().for_each(Server::shutdown);
    }
}

/// The tokens of a file.
pub fn tokens(path: &Path) -> Result<Tokens, Failure> {
    let named = |what: String| Failure::Definition(format!("http.tokens {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    Tokens::parse(&text).map_err(named)
}
