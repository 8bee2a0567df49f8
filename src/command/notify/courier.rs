//! Carries out what the core decided: sends, or says what it would send.

use crate::command::{Failure, Printer};
use crate::notify::deliver::Client;
use crate::notify::sink::{self, Request};
use crate::notify::{Content, Notice, Outcome, Plan, Receiver};
use crate::telemetry::names;
use serde_json::json;

pub struct Courier {
    source: String,
    /// One a receiver; a dry run has no clients.
    ways: Vec<(Receiver, Option<Client>)>,
}

impl Courier {
    pub fn new(plan: &Plan, source: String, is_dry: bool) -> Result<Courier, Failure> {
        let way = |receiver: &Receiver| {
            let client = (!is_dry).then(|| Client::new(receiver)).transpose();
            Ok((receiver.clone(), client.map_err(|error| Failure::Definition(error.to_string()))?))
        };
        let ways = plan.receivers.iter().map(way).collect::<Result<_, Failure>>()?;
        Ok(Courier { source, ways })
    }

    pub fn is_dry(&self) -> bool {
        self.ways.iter().all(|(_, client)| client.is_none())
    }

    pub fn name(&self, receiver: usize) -> &str {
        &self.ways[receiver].0.name
    }

    /// Sends, and waits for the answer.
    pub fn send(&self, receiver: usize, content: &Content) -> Result<Outcome, Failure> {
        let (receiver, client) = &self.ways[receiver];
        let Some(client) = client else {
            let shown = receiver.redacted();
            let request = sink::request(&shown, content, &self.source);
            print(&shown, content, &request)?;
            return Ok(Outcome::Delivered);
        };
        let outcome = client.send(&sink::request(receiver, content, &self.source));
        count(&receiver.name, &outcome);
        Ok(outcome)
    }

    /// Tells the operator.
    pub fn say(&self, notice: &Notice) -> Result<(), Failure> {
        let (kind, receiver) = (notice.kind(), notice.receiver());
        metrics::counter!(names::NOTIFICATIONS_NOT_SENT, "receiver" => receiver.to_owned(), "reason" => kind)
            .increment(1);
        if self.is_dry() {
            let line = json!({"receiver": receiver, "not_sent": kind, "why": notice.to_string()});
            return Ok(Printer::stdout().line(&line.to_string())?);
        }
        match notice {
            loss if loss.is_loss() => tracing::error!(receiver, reason = kind, "{loss}"),
            Notice::Waits { .. } | Notice::Capped { .. } => tracing::warn!(receiver, reason = kind, "{notice}"),
            other => tracing::info!(receiver, reason = kind, "{other}"),
        }
        Ok(())
    }
}

fn print(receiver: &Receiver, content: &Content, request: &Request) -> Result<(), Failure> {
    let because = match content {
        Content::Message(message) => format!("{}: {}", message.because, content.title()),
        Content::Standing(_) => content.title(),
    };
    let line = json!({
        "receiver": receiver.name,
        "type": receiver.type_name(),
        "because": because,
        "post": request.url,
        "content_type": request.content_type,
        "body": request.body,
    });
    Ok(Printer::stdout().line(&line.to_string())?)
}

fn count(receiver: &str, outcome: &Outcome) {
    let outcome = match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Refused(_) => "refused",
        Outcome::TryAgain { .. } => "failed",
    };
    metrics::counter!(names::NOTIFICATIONS, "receiver" => receiver.to_owned(), "outcome" => outcome).increment(1);
}
