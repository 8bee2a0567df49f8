//! Why nobody answers: what the client library says of its connections outside of any call, in words that say what to
//! change.
//!
//! librdkafka goes on trying for ever, and its calls only say that no broker answers.

use super::settings::KafkaSettings;
use crate::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What becomes of a connection, for whoever is asked how we fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// The brokers refuse us, or we them: nobody can work like that.
    Refused(&'a str),
    /// A broker cannot be reached, or went away: that may pass.
    Unreachable(&'a str),
    Well,
}

/// Hears of it at once, on the thread of whoever met it.
#[derive(Clone, Default)]
pub struct Listener(Option<Arc<Hear>>);

type Hear = dyn Fn(Told<'_>) + Send + Sync;

impl Listener {
    pub fn new(hear: impl Fn(Told<'_>) + Send + Sync + 'static) -> Listener {
        Listener(Some(Arc::new(hear)))
    }

    pub fn tell(&self, told: Told<'_>) {
        if let Some(hear) = &self.0 {
            hear(told);
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Listener" } else { "nobody" })
    }
}

/// What one client heard since all was well.
#[derive(Default)]
pub struct Trouble {
    heard: Mutex<Heard>,
    listener: Listener,
}

#[derive(Default)]
struct Heard {
    /// No waiting cures it, and since when.
    refused: Option<(String, Instant)>,
    /// The last of what may pass.
    passing: Option<String>,
    /// The brokers answered once: whoever hangs up has another reason than our settings.
    was_well: bool,
}

impl Trouble {
    pub fn new(settings: &KafkaSettings) -> Trouble {
        Trouble { heard: Mutex::default(), listener: settings.listener.clone() }
    }

    /// An error that the client was told.
    pub fn note(&self, error: &KafkaError, reason: &str) {
        self.hear(error.rdkafka_error_code(), reason);
    }

    /// A line of the client's own log: that a broker hung up is told there alone.
    pub fn note_line(&self, line: &str) {
        self.hear(None, line);
    }

    fn hear(&self, code: Option<Code>, reason: &str) {
        let mut heard = self.lock();
        let weak = || if heard.was_well { None } else { wrong_protocol(reason) };
        let Some((kind, advice)) = refusal(code, reason).or_else(weak) else {
            self.listener.tell(Told::Unreachable(reason));
            heard.passing = Some(plain(reason).to_owned());
            return;
        };
        let text = format!("{kind}: {} ({advice})", plain(reason));
        self.listener.tell(Told::Refused(&text));
        let since = heard.refused.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        heard.refused = Some((text, since));
    }

    /// It went well since.
    pub fn clear(&self) {
        *self.lock() = Heard { was_well: true, ..Heard::default() };
        self.listener.tell(Told::Well);
    }

    pub fn cause(&self) -> Option<LogError> {
        self.lasting(Duration::ZERO)
    }

    /// The cause, where it has lasted for so long: credentials may be changed on both sides, one after the other.
    pub fn lasting(&self, at_least: Duration) -> Option<LogError> {
        let heard = self.lock();
        let (text, _) = heard.refused.as_ref().filter(|(_, since)| since.elapsed() >= at_least)?;
        Some(LogError::Refused { what: "kafka.properties".to_owned(), message: text.clone() })
    }

    /// The brokers answered once.
    pub fn was_well(&self) -> bool {
        self.lock().was_well
    }

    /// What else was heard.
    pub fn passing(&self) -> Option<String> {
        self.lock().passing.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a person has to change, and the settings for it; `None`: it may pass.
fn refusal(code: Option<Code>, reason: &str) -> Option<(&'static str, &'static str)> {
    let says = |text: &str| reason.contains(text);
    if says("SSL alert") && (says("certificate") || says("unknown ca") || says("handshake failure")) {
        return Some(("the brokers refuse our certificate", "ssl.certificate.location and ssl.key.location name it"));
    }
    if says("OIDC token") || says("OAUTHBEARER token") {
        return Some(("there is no token to log in with", TOKEN_SETTINGS));
    }
    match code? {
        Code::SSL if says("certificate") => Some((
            "the brokers' certificate is not trusted",
            "ssl.ca.location names the file of the CA that signed it; the host in bootstrap.servers has to stand in it",
        )),
        Code::SSL => Some(("the TLS connection fails", "security.protocol and the settings that begin with ssl.")),
        Code::Authentication | Code::SaslAuthenticationFailed if says("mechanism handshake") => {
            Some(("the brokers do not take this way to log in", "sasl.mechanism"))
        }
        Code::Authentication | Code::SaslAuthenticationFailed if says("OAUTHBEARER") => {
            Some(("the brokers refuse our token", TOKEN_SETTINGS))
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            Some(("the password or user is refused", "sasl.username, sasl.password, sasl.mechanism"))
        }
        _ => None,
    }
}

/// What a token depends on.
const TOKEN_SETTINGS: &str = "sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id, \
                              sasl.oauthbearer.client.secret, sasl.oauthbearer.scope";

/// Nobody answers, and nobody says why: librdkafka tries a server of tokens that cannot answer now for nearly a minute
/// before it says so.
pub fn no_token(url: &str) -> LogError {
    let message = format!("there is no token to log in with: {url} does not answer, or not now ({TOKEN_SETTINGS})");
    LogError::Refused { what: "kafka.properties".to_owned(), message }
}

/// Who hangs up on the first contact speaks another protocol there.
fn wrong_protocol(reason: &str) -> Option<(&'static str, &'static str)> {
    let says = |text: &str| reason.contains(text);
    if says("connecting to a PLAINTEXT broker listener") || says("wrong version number") {
        Some(("the brokers do not speak TLS at this port", "security.protocol, or the port in bootstrap.servers"))
    } else if says("SSL connection closed by peer") {
        let what = "the brokers hang up on TLS, as those do that do not speak TLS at this port";
        Some((what, "security.protocol, or the port in bootstrap.servers"))
    } else if says("Disconnected") {
        Some(("the brokers hang up", "security.protocol: at this port they may want TLS, or a login"))
    } else {
        None
    }
}

/// Without what librdkafka counts beside its reason, and the thread it was in.
fn plain(reason: &str) -> &str {
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    match reason.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, text)) => text,
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(code: Code, reason: &str) -> Option<String> {
        let trouble = Trouble::default();
        trouble.note(&KafkaError::Global(code), reason);
        trouble.cause().map(|error| error.to_string())
    }

    #[test]
    fn what_a_person_has_to_change_is_named_with_its_setting() {
        let not_verified =
            "ssl://h:1/bootstrap: SSL handshake failed: certificate verify failed (after 3ms in state X)";
        for (code, reason, kind, setting) in [
            (Code::Authentication, "SASL PLAIN authentication failed", "password or user is refused", "sasl.password"),
            (Code::Authentication, "SASL X mechanism handshake failed: PLAIN", "way to log in", "sasl.mechanism"),
            (Code::Authentication, "Failed to acquire SASL OAUTHBEARER token", "no token", "token.endpoint.url"),
            (Code::Authentication, "SASL OAUTHBEARER authentication failed", "our token", "client.secret"),
            (Code::SSL, not_verified, "certificate is not trusted", "ssl.ca.location"),
            (
                Code::BrokerTransportFailure,
                "SSL alert bad certificate: SSL alert number 42",
                "our certificate",
                "ssl.key",
            ),
            (Code::BrokerTransportFailure, "h:1: Disconnected: receive 0", "hang up", "security.protocol"),
            (Code::BrokerTransportFailure, "Disconnected: SSL connection closed by peer", "not speak TLS", "the port"),
        ] {
            let text = cause(code, reason).unwrap_or_default();
            assert!(text.contains(kind) && text.contains(setting) && !text.contains("(after"), "{reason}: {text}");
        }
    }

    #[test]
    fn what_may_pass_is_told_and_refuses_nobody() {
        let trouble = Trouble::default();
        trouble
            .note(&KafkaError::Global(Code::BrokerTransportFailure), "h:1: Connection refused (after 0ms in state X)");
        assert!(trouble.cause().is_none());
        assert_eq!(trouble.passing().as_deref(), Some("h:1: Connection refused"));
        trouble.note(&KafkaError::Global(Code::Authentication), "no");
        assert!(trouble.cause().is_some() && trouble.lasting(Duration::from_secs(1)).is_none());
        trouble.clear();
        assert!(trouble.cause().is_none() && trouble.passing().is_none());
        trouble.note_line("[thrd:h:1]: h:1: Disconnected: receive 0");
        assert!(trouble.cause().is_none(), "they answered before: a broker that ends hangs up too");
    }

    #[test]
    fn whoever_listens_hears_at_once() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&said);
        let listener = Listener::new(move |told| ear.lock().expect("a lock").push(format!("{told:?}")));
        let trouble = Trouble { listener, ..Trouble::default() };
        trouble.note(&KafkaError::Global(Code::BrokerTransportFailure), "gone");
        trouble.note(&KafkaError::Global(Code::SSL), "certificate");
        trouble.clear();
        let said = said.lock().expect("a lock");
        let begins = ["Unreachable(\"gone", "Refused(\"the brokers' certificate", "Well"];
        assert!(said.iter().zip(begins).all(|(text, begin)| text.starts_with(begin)) && said.len() == 3, "{said:?}");
    }
}
