//! Who is told, by which way, and how often at most.

use super::template::Templates;
use crate::model::duration;
use crate::model::time::{MINUTE_MS, Ms, SECOND_MS};
use serde::Deserialize;
use serde_json::Value as Json;
use std::fmt;
use std::path::PathBuf;

/// At most this many messages in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub messages: usize,
    pub per_ms: Ms,
}

/// A receiver's way, with what it needs.
#[derive(Clone, Debug)]
pub enum Channel {
    /// It groups by itself, and wants to hear again and again of what fires.
    Alertmanager {
        resend_ms: Ms,
    },
    PagerDuty,
    Slack,
    /// CloudEvents.
    Webhook,
}

#[derive(Clone, Debug)]
pub struct Receiver {
    pub name: String,
    pub channel: Channel,
    pub cap: Cap,
    /// Whether it hears of the end.
    pub sends_resolved: bool,
    pub templates: Templates,
    pub secrets: Secrets,
    pub timeout_ms: Ms,
    /// The file of the CAs to trust; `None`: those of this machine.
    pub ca_file: Option<PathBuf>,
}

/// What must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    pub url: String,
    pub routing_key: Option<String>,
    /// The value of the header `Authorization`.
    pub authorization: Option<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A receiver as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    r#type: String,
    url: Option<String>,
    webhook_url: Option<String>,
    webhook_url_file: Option<PathBuf>,
    routing_key: Option<String>,
    routing_key_file: Option<PathBuf>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    username: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    at_most: Option<String>,
    resend: Option<String>,
    timeout: Option<String>,
    send_resolved: Option<bool>,
    title: Option<String>,
    text: Option<String>,
    ca_file: Option<PathBuf>,
}

const TYPES: &str = "alertmanager, pagerduty, slack, webhook";
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
const CAP: Cap = Cap { messages: 20, per_ms: MINUTE_MS };
/// How a secret is found: by its name, as written, or in a file.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Why a receiver cannot be used: its key, the message, the remedy.
pub(super) type Mistake = (&'static str, String, &'static str);

impl Receiver {
    /// `resolve` replaces `${ENV}` in what is written.
    pub(super) fn of(name: &str, json: &Json, resolve: Resolve<'_>) -> Result<Receiver, Mistake> {
        let form = Form::deserialize(json).map_err(|error| ("", error.to_string(), "`type` is always needed."))?;
        form.receiver(name, resolve)
    }

    pub const fn type_name(&self) -> &'static str {
        match self.channel {
            Channel::Alertmanager { .. } => "alertmanager",
            Channel::PagerDuty => "pagerduty",
            Channel::Slack => "slack",
            Channel::Webhook => "webhook",
        }
    }

    /// The same without its secrets, to be shown.
    pub fn redacted(&self) -> Receiver {
        let hidden = || "[redacted]".to_owned();
        let url = match self.channel {
            // The path of a chat's webhook is its password.
            Channel::Slack => format!("{}/[redacted]", origin_of(&self.secrets.url)),
            _ => self.secrets.url.clone(),
        };
        let secrets = Secrets {
            url,
            routing_key: self.secrets.routing_key.as_ref().map(|_| hidden()),
            authorization: self.secrets.authorization.as_ref().map(|_| hidden()),
        };
        Receiver { secrets, ..self.clone() }
    }
}

/// Scheme and host of a URL.
pub fn origin_of(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at + 3);
    url[begin..].find('/').map_or(url, |at| &url[..begin + at])
}

impl Form {
    fn receiver(&self, name: &str, resolve: Resolve<'_>) -> Result<Receiver, Mistake> {
        let channel = match self.r#type.as_str() {
            "alertmanager" => Channel::Alertmanager { resend_ms: span("resend", self.resend.as_deref(), MINUTE_MS)? },
            "pagerduty" => Channel::PagerDuty,
            "slack" => Channel::Slack,
            "webhook" => Channel::Webhook,
            other => return Err(("type", format!("`{other}` is none of {TYPES}"), "")),
        };
        self.refuse_foreign()?;
        let url = self.url(&channel, resolve)?;
        let routing_key =
            secret("routing_key", self.routing_key.as_deref(), self.routing_key_file.as_deref(), resolve)?;
        if matches!(channel, Channel::PagerDuty) && routing_key.is_none() {
            let remedy = "Write routing_key: ${PAGERDUTY_KEY}, or routing_key_file.";
            return Err(("routing_key", "is missing: it names the service at PagerDuty".to_owned(), remedy));
        }
        let templates = Templates::new(self.title.as_deref(), self.text.as_deref())
            .map_err(|(key, why)| (key, why, "Templates are Jinja's, as in {{ alerts[0].title }}."))?;
        Ok(Receiver {
            name: name.to_owned(),
            channel,
            cap: self.at_most.as_deref().map_or(Ok(CAP), cap)?,
            sends_resolved: self.send_resolved.unwrap_or(true),
            templates,
            secrets: Secrets { url, routing_key, authorization: self.authorization(resolve)? },
            timeout_ms: span("timeout", self.timeout.as_deref(), 10 * SECOND_MS)?,
            ca_file: self.ca_file.clone(),
        })
    }

    /// A key that another type of receiver reads would have no effect.
    fn refuse_foreign(&self) -> Result<(), Mistake> {
        let kind = self.r#type.as_str();
        let is_http = matches!(kind, "alertmanager" | "webhook");
        for (key, is_set, is_right) in [
            ("routing_key", self.routing_key.is_some() || self.routing_key_file.is_some(), kind == "pagerduty"),
            ("webhook_url", self.webhook_url.is_some() || self.webhook_url_file.is_some(), kind == "slack"),
            ("url", self.url.is_some(), kind != "slack"),
            ("token", self.token.is_some() || self.token_file.is_some(), is_http),
            ("username", self.username.is_some(), is_http),
            ("password", self.password.is_some() || self.password_file.is_some(), is_http),
            ("resend", self.resend.is_some(), kind == "alertmanager"),
            ("at_most", self.at_most.is_some(), kind != "alertmanager"),
            ("title", self.title.is_some(), kind != "alertmanager"),
            ("text", self.text.is_some(), kind != "alertmanager"),
        ] {
            if is_set && !is_right {
                let remedy = if key == "url" { "Write webhook_url." } else { "Take it out." };
                return Err((key, format!("has no effect on a receiver of the type {kind}"), remedy));
            }
        }
        Ok(())
    }

    fn url(&self, channel: &Channel, resolve: Resolve<'_>) -> Result<String, Mistake> {
        let (key, url) = match channel {
            Channel::Slack => (
                "webhook_url",
                secret("webhook_url", self.webhook_url.as_deref(), self.webhook_url_file.as_deref(), resolve)?,
            ),
            Channel::PagerDuty => ("url", Some(self.url.clone().unwrap_or_else(|| PAGERDUTY_URL.to_owned()))),
            _ => ("url", secret("url", self.url.as_deref(), None, resolve)?),
        };
        let url =
            url.ok_or((key, "is missing".to_owned(), "Write where to send to, as in https://hooks.example.com/x."))?;
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err((key, "is no address".to_owned(), "It begins with https:// or http://."));
        }
        let url = url.trim_end_matches('/');
        Ok(match channel {
            Channel::Alertmanager { .. } if !url.ends_with("/api/v2/alerts") => format!("{url}/api/v2/alerts"),
            _ => url.to_owned(),
        })
    }

    fn authorization(&self, resolve: Resolve<'_>) -> Result<Option<String>, Mistake> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let token = secret("token", self.token.as_deref(), self.token_file.as_deref(), resolve)?;
        let password = secret("password", self.password.as_deref(), self.password_file.as_deref(), resolve)?;
        match (token, &self.username, password) {
            (None, None, None) => Ok(None),
            (Some(token), None, None) => Ok(Some(format!("Bearer {token}"))),
            (None, Some(user), Some(password)) => {
                Ok(Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
            }
            (Some(_), ..) => Err(("token", "stands beside a user or password".to_owned(), "Leave one of both.")),
            _ => Err(("username", "needs a password, and a password a user".to_owned(), "Write both.")),
        }
    }
}

/// A secret that stands in the configuration, or in a file of its own.
fn secret(
    key: &'static str,
    written: Option<&str>,
    file: Option<&std::path::Path>,
    resolve: Resolve<'_>,
) -> Result<Option<String>, Mistake> {
    match (written, file) {
        (Some(_), Some(_)) => Err((key, "stands here and in a file".to_owned(), "Leave one of both.")),
        (Some(text), None) => resolve(text).map(Some).map_err(|why| (key, why, "")),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => Err((key, format!("{} cannot be read: {error}", path.display()), "")),
        },
        (None, None) => Ok(None),
    }
}

/// `20 per 1m`.
fn cap(text: &str) -> Result<Cap, Mistake> {
    let form = || ("at_most", format!("`{text}` is not a number of messages per time"), "Write 20 per 1m.");
    let (messages, per) = text.split_once(" per ").ok_or_else(form)?;
    let messages = messages.trim().parse().map_err(|_| form())?;
    let per_ms = duration::parse(per).map_err(|_| form())?;
    // One place is kept for what tells of all the rest.
    if messages < 2 || per_ms < SECOND_MS {
        return Err(("at_most", format!("`{text}` is too little"), "Write at least 2 messages, in at least 1s."));
    }
    Ok(Cap { messages, per_ms })
}

pub(super) fn span(key: &'static str, written: Option<&str>, or_ms: Ms) -> Result<Ms, Mistake> {
    let Some(text) = written else { return Ok(or_ms) };
    let parsed = duration::parse(text).map_err(|error| (key, error.to_string(), ""))?;
    if parsed == 0 { Err((key, "0 is too short".to_owned(), "Write at least 1s.")) } else { Ok(parsed) }
}
