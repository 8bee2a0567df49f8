//! The data that the routes read.

use super::tokens::Tokens;
use crate::board::Board;
use serde_json::{Value, json};
use std::sync::Arc;

/// The published form of a user id: (tenant, raw id).
type Publish = dyn Fn(&str, &str) -> String + Send + Sync;

#[derive(Clone)]
pub struct Endpoints {
    pub board: Arc<Board>,
    /// Renders the metrics as text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What the process does, for operators: an object.
    pub processor: Arc<dyn Fn() -> Value + Send + Sync>,
    pub user_ids: Arc<Publish>,
    /// `None`: only this machine may ask.
    pub tokens: Option<Arc<Tokens>>,
}

impl Endpoints {
    /// Of a process that publishes plain user ids and processes nothing.
    pub fn new(board: Arc<Board>, metrics: impl Fn() -> String + Send + Sync + 'static) -> Endpoints {
        let plain = |_: &str, user: &str| user.to_owned();
        Endpoints {
            board,
            metrics: Arc::new(metrics),
            processor: Arc::new(|| json!({})),
            user_ids: Arc::new(plain),
            tokens: None,
        }
    }

    pub fn with_processor(self, processor: impl Fn() -> Value + Send + Sync + 'static) -> Endpoints {
        Endpoints { processor: Arc::new(processor), ..self }
    }

    pub fn with_tokens(self, tokens: Option<Tokens>) -> Endpoints {
        Endpoints { tokens: tokens.map(Arc::new), ..self }
    }

    pub fn with_user_ids(self, publish: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Endpoints {
        Endpoints { user_ids: Arc::new(publish), ..self }
    }
}
