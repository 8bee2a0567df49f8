//! Why the brokers do not answer, in words that say which setting to change.
//!
//! librdkafka tries to connect for ever, and its calls only say that no broker answers. The reason comes outside of any
//! call, as an error or a log line of the client: it is collected here.

use crate::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The state of our connections, for probes and the status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionStatus<'a> {
    /// The brokers refuse us, or we do not trust them: waiting does not help.
    Refused(&'a str),
    /// A broker cannot be reached, or went away: waiting may help.
    Unreachable(&'a str),
    Healthy,
}

/// Called at once with each change, on the thread that noticed it.
#[derive(Clone, Default)]
pub struct Listener(Option<Arc<Callback>>);

type Callback = dyn Fn(ConnectionStatus<'_>) + Send + Sync;

impl Listener {
    pub fn new(callback: impl Fn(ConnectionStatus<'_>) + Send + Sync + 'static) -> Listener {
        Listener(Some(Arc::new(callback)))
    }

    pub fn notify(&self, status: ConnectionStatus<'_>) {
        if let Some(callback) = &self.0 {
            callback(status);
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Listener" } else { "nobody" })
    }
}

/// The errors of one client since it last worked.
#[derive(Default)]
pub struct ConnectionErrors {
    errors: Mutex<Errors>,
    listener: Listener,
}

#[derive(Default)]
struct Errors {
    /// An error that waiting does not cure, and when the first of them came.
    refused: Option<(String, Instant)>,
    /// The last error that waiting may cure.
    transient: Option<String>,
    /// The brokers answered once: if one closes a connection now, our settings are not the reason.
    was_healthy: bool,
}

impl ConnectionErrors {
    pub fn new(listener: Listener) -> ConnectionErrors {
        ConnectionErrors { errors: Mutex::default(), listener }
    }

    /// An error that the client reported.
    pub fn record(&self, error: &KafkaError, reason: &str) {
        self.add(error.rdkafka_error_code(), reason);
    }

    /// A line of the client's own log: only there does it report that a broker closed a connection.
    pub fn record_line(&self, line: &str) {
        self.add(None, line);
    }

    fn add(&self, code: Option<Code>, reason: &str) {
        let mut errors = self.lock();
        let guess = || if errors.was_healthy { None } else { wrong_protocol(reason) };
        let Some((kind, advice)) = refusal(code, reason).or_else(guess) else {
            self.listener.notify(ConnectionStatus::Unreachable(reason));
            errors.transient = Some(plain(reason).to_owned());
            return;
        };
        let text = format!("{kind}: {} ({advice})", plain(reason));
        self.listener.notify(ConnectionStatus::Refused(&text));
        let since = errors.refused.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        errors.refused = Some((text, since));
    }

    /// The client works: earlier errors no longer count.
    pub fn clear(&self) {
        *self.lock() = Errors { was_healthy: true, ..Errors::default() };
        self.listener.notify(ConnectionStatus::Healthy);
    }

    /// What refuses us, if something does.
    pub fn refusal(&self) -> Option<LogError> {
        self.refused_for(Duration::ZERO)
    }

    /// What has refused us for at least this long. A new password is set on both sides one after the other, so a short
    /// refusal is no reason to give up.
    pub fn refused_for(&self, at_least: Duration) -> Option<LogError> {
        let errors = self.lock();
        let (text, _) = errors.refused.as_ref().filter(|(_, since)| since.elapsed() >= at_least)?;
        Some(LogError::Refused { what: "kafka.properties".to_owned(), message: text.clone() })
    }

    /// Whether the brokers ever answered.
    pub fn was_healthy(&self) -> bool {
        self.lock().was_healthy
    }

    /// The last error that waiting may cure.
    pub fn transient(&self) -> Option<String> {
        self.lock().transient.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Errors> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong, and the settings to change. `None`: waiting may help.
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

/// The settings that decide whether we get a token.
const TOKEN_SETTINGS: &str = "sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id, \
                              sasl.oauthbearer.client.secret, sasl.oauthbearer.scope";

/// For the time in which librdkafka reports nothing: it tries a token server that does not answer for nearly a minute
/// before it reports an error.
pub fn no_token(url: &str) -> LogError {
    let message = format!("there is no token to log in with: {url} does not answer, or not now ({TOKEN_SETTINGS})");
    LogError::Refused { what: "kafka.properties".to_owned(), message }
}

/// A broker that closes the connection at the first contact probably speaks another protocol on that port.
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

/// The reason alone, without the thread and the counters that librdkafka adds.
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

    fn refused(code: Code, reason: &str) -> Option<String> {
        let errors = ConnectionErrors::default();
        errors.record(&KafkaError::Global(code), reason);
        errors.refusal().map(|error| error.to_string())
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
            let text = refused(code, reason).unwrap_or_default();
            assert!(text.contains(kind) && text.contains(setting) && !text.contains("(after"), "{reason}: {text}");
        }
    }

    #[test]
    fn an_error_that_may_pass_is_reported_and_refuses_nothing() {
        let errors = ConnectionErrors::default();
        errors.record(
            &KafkaError::Global(Code::BrokerTransportFailure),
            "h:1: Connection refused (after 0ms in state X)",
        );
        assert!(errors.refusal().is_none());
        assert_eq!(errors.transient().as_deref(), Some("h:1: Connection refused"));
        errors.record(&KafkaError::Global(Code::Authentication), "no");
        assert!(errors.refusal().is_some() && errors.refused_for(Duration::from_secs(1)).is_none());
        errors.clear();
        assert!(errors.refusal().is_none() && errors.transient().is_none());
        errors.record_line("[thrd:h:1]: h:1: Disconnected: receive 0");
        assert!(errors.refusal().is_none(), "they answered before: a broker that stops closes its connections too");
    }

    #[test]
    fn the_listener_is_notified_at_once() {
        let received = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&received);
        let listener = Listener::new(move |status| sink.lock().expect("a lock").push(format!("{status:?}")));
        let errors = ConnectionErrors::new(listener);
        errors.record(&KafkaError::Global(Code::BrokerTransportFailure), "gone");
        errors.record(&KafkaError::Global(Code::SSL), "certificate");
        errors.clear();
        let received = received.lock().expect("a lock");
        let expected = ["Unreachable(\"gone", "Refused(\"the brokers' certificate", "Healthy"];
        let is_expected = received.iter().zip(expected).all(|(text, start)| text.starts_with(start));
        assert!(is_expected && received.len() == 3, "{received:?}");
    }
}
