//! Sends requests. What the answer means is decided here, and nowhere else: taken, refused for good, or worth another
//! try.

use super::core::Outcome;
use super::receiver::{Receiver, origin_of};
use super::sink::Request;
use crate::model::time::{Ms, SECOND_MS};
use std::time::Duration;

/// Of what a receiver says to a refusal, for the log.
const SAID_MOST_BYTES: u64 = 500;

/// The connections to one receiver.
pub struct Client {
    agent: ureq::Agent,
    host: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("notify.receivers.{receiver}.ca_file: {path}: {why}")]
    CaFile { receiver: String, path: String, why: String },
    #[error(
        "notify.receivers.{0}: its address is https, and this build has no TLS: build it with the feature `tls`, or try \
         --dry-run"
    )]
    NoTls(String),
}

impl Client {
    pub fn new(receiver: &Receiver) -> Result<Client, ClientError> {
        if cfg!(not(feature = "tls")) && receiver.secrets.url.starts_with("https://") {
            return Err(ClientError::NoTls(receiver.name.clone()));
        }
        let timeout = Duration::from_millis(receiver.timeout_ms.unsigned_abs());
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            // What an answer means is decided below; whoever moved has to be told so by a person.
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("tailburn/", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "tls")]
        let config = config.tls_config(tls(receiver)?);
        Ok(Client { agent: config.build().into(), host: origin_of(&receiver.secrets.url).to_owned() })
    }

    /// Sends one request, and waits for its answer.
    pub fn send(&self, request: &Request) -> Outcome {
        let mut post = self.agent.post(&request.url).header("content-type", request.content_type);
        if let Some(authorization) = &request.authorization {
            post = post.header("authorization", authorization);
        }
        let answer = post.send(request.body.to_string());
        let mut response = match answer {
            Ok(response) => response,
            // The address may hold a secret; the host says enough.
            Err(error) => return Outcome::TryAgain { why: format!("{}: {error}", self.host), after_ms: None },
        };
        let after_ms = after_ms(&response);
        let status = response.status().as_u16();
        let said = response.body_mut().with_config().limit(SAID_MOST_BYTES).read_to_string();
        outcome(status, after_ms, said.unwrap_or_default().trim())
    }
}

#[cfg(feature = "tls")]
fn tls(receiver: &Receiver) -> Result<ureq::tls::TlsConfig, ClientError> {
    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
    let Some(path) = &receiver.ca_file else {
        return Ok(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build());
    };
    let failed =
        |why: String| ClientError::CaFile { receiver: receiver.name.clone(), path: path.display().to_string(), why };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(failed("has no certificate: it is PEM, as in -----BEGIN CERTIFICATE-----".to_owned()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
}

/// How long the receiver asks us to wait: in seconds, or as a time, counted from the answer's own.
fn after_ms(response: &ureq::http::Response<ureq::Body>) -> Option<Ms> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    retry_after_ms(header("retry-after")?, header("date"))
}

fn retry_after_ms(asked: &str, date: Option<&str>) -> Option<Ms> {
    if let Ok(seconds) = asked.trim().parse::<Ms>() {
        return Some(seconds.max(0).saturating_mul(SECOND_MS));
    }
    let time = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_millisecond());
    Some((time(asked)? - time(date?)?).max(0))
}

/// Alertmanager, PagerDuty and Slack alike: 429 and 5xx may pass, other refusals do not.
pub fn outcome(status: u16, after_ms: Option<Ms>, said: &str) -> Outcome {
    let why = if said.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {said}") };
    match status {
        200..=299 => Outcome::Delivered,
        408 | 425 | 429 | 500..=599 => Outcome::TryAgain { why, after_ms },
        _ => Outcome::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_refused() {
        for (status, expected) in [(200, "taken"), (202, "taken"), (301, "refused"), (400, "refused"), (401, "refused")]
        {
            let is = match outcome(status, None, "") {
                Outcome::Delivered => "taken",
                Outcome::Refused(_) => "refused",
                Outcome::TryAgain { .. } => "again",
            };
            assert_eq!(is, expected, "{status}");
        }
        for status in [408, 429, 500, 503] {
            let expected = Outcome::TryAgain { why: format!("HTTP {status}: busy"), after_ms: Some(5) };
            assert_eq!(outcome(status, Some(5), "busy"), expected);
        }
    }

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date() {
        assert_eq!(retry_after_ms("30", None), Some(30_000));
        let at = |text| format!("Sun, 06 Nov 1994 08:{text} GMT");
        assert_eq!(retry_after_ms(&at("50:07"), Some(&at("49:37"))), Some(30_000));
        assert_eq!(retry_after_ms(&at("50:07"), None), None);
        assert_eq!(retry_after_ms("soon", None), None);
    }
}
