//! Health, metrics, the API and the page: `/livez`, `/readyz`, `/metrics`, `/api/v1/...`, `/`.
//!
//! It reads the [`Board`], which workers update after a commit, and shows the records' own JSON, so the API and the
//! topics cannot disagree. It never waits for a worker, computes no figure and changes nothing: every request is a GET.

mod board;
mod connections;
mod filter;
mod host;
mod page;
mod reply;
mod routes;
mod server;

pub use board::{Board, Phase, Trouble, Update};
pub use routes::Endpoints;
pub use server::{HttpError, Server, serve};

#[cfg(test)]
mod tests;
