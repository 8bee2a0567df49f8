//! Health, metrics, the API and the page: `/livez`, `/readyz`, `/metrics`, `/api/v1/...`, `/`.
//!
//! It reads the [`Board`], which is fed from the output topics, and shows the records' own JSON, so the API and the
//! topics cannot disagree. It never waits for a worker, computes no figure and changes nothing, whatever the method of a request is.

mod access;
mod api;
mod connections;
mod endpoints;
mod events;
mod filter;
mod host;
mod page;
mod query;
mod reply;
mod rollout;
mod routes;
mod selector;
mod server;
mod tokens;

pub use crate::board::{Board, Phase, Trouble, Update};
pub use endpoints::Endpoints;
pub use server::{HttpError, Server, serve, serve_probes};
pub use tokens::Tokens;

#[cfg(test)]
mod tests;
