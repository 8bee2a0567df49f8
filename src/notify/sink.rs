//! From a message to one HTTP request of a receiver's kind. Nothing is sent here.

mod alertmanager;
mod pagerduty;
mod slack;
mod webhook;

use super::message::{Content, Message};
use super::receiver::{Channel, Receiver};
use serde_json::Value as Json;

/// A POST with a body of JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub url: String,
    pub content_type: &'static str,
    pub authorization: Option<String>,
    pub body: Json,
}

/// The request that tells a receiver. `source` names who sends: the application.
pub fn request(receiver: &Receiver, content: &Content, source: &str) -> Request {
    let (content_type, body) = match (content, &receiver.channel) {
        (Content::Standing(standing), _) => ("application/json", alertmanager::body(standing)),
        (Content::Message(message), Channel::PagerDuty) => {
            ("application/json", pagerduty::body(receiver, message, source))
        }
        (Content::Message(message), Channel::Webhook) => {
            ("application/cloudevents+json", webhook::body(receiver, message, source))
        }
        (Content::Message(message), _) => ("application/json", slack::body(receiver, message)),
    };
    let secrets = &receiver.secrets;
    Request { url: secrets.url.clone(), content_type, authorization: secrets.authorization.clone(), body }
}

/// At most this many characters; what is cut ends in `…`.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let end = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..end])
        }
    }
}

/// The first address of a kind among what a message tells of.
fn first_url<'a>(message: &'a Message, of: impl Fn(&'a super::news::News) -> Option<&'a String>) -> Option<&'a str> {
    message.changes.iter().find_map(|change| of(&change.news)).map(String::as_str)
}
