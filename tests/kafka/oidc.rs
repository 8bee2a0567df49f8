//! OAUTHBEARER with tokens from a small OpenID Connect server: the part that a client with a secret needs.

use crate::broker::Broker;
use crate::pipeline::{PARTITIONS, await_committed, preload};
use crate::rights::{CONFIGURATION, SOON, last_line, place, printed, set};
use crate::world::World;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The lifetime of a token, short enough that clients must fetch new ones.
const LIFE_S: u64 = 20;

/// Gives a token to every client that knows the secret, on its own thread for the life of the test process.
struct TokenServer {
    address: String,
    given: Arc<AtomicU32>,
}

impl TokenServer {
    fn start() -> TokenServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let given = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&given);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that closed the connection gets no answer.
                let _ = answer(stream, &count);
            }
        });
        TokenServer { address, given }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn answer(stream: TcpStream, given: &AtomicU32) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut request, mut login, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.trim().clone_into(&mut login),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let is_known = login == format!("Basic {}", STANDARD.encode("tailburn:secret"));
    let wants_token = String::from_utf8_lossy(&body).contains("grant_type=client_credentials");
    let (status, body) = match (request.contains("/away"), is_known && wants_token) {
        (true, _) => ("503 Service Unavailable", "{}".to_owned()),
        (false, true) => {
            given.fetch_add(1, Ordering::Relaxed);
            let token = token();
            let text =
                format!("{{\"access_token\": \"{token}\", \"token_type\": \"Bearer\", \"expires_in\": {LIFE_S}}}");
            ("200 OK", text)
        }
        (false, false) => ("401 Unauthorized", "{\"error\": \"invalid_client\"}".to_owned()),
    };
    let length = body.len();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The token is unsigned, because the broker of these tests accepts that.
fn token() -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let claims = format!("{{\"sub\": \"tailburn\", \"iat\": {now_s}, \"exp\": {}}}", now_s + LIFE_S);
    format!("{}.{}.", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), URL_SAFE_NO_PAD.encode(claims))
}

fn login(broker: &Broker, url: &str, secret: &str) -> String {
    let address = broker.listener("oauth");
    format!(
        "bootstrap.servers: \"{address}\", security.protocol: sasl_plaintext, sasl.mechanism: OAUTHBEARER, \
         sasl.oauthbearer.method: oidc, sasl.oauthbearer.client.id: tailburn, \
         sasl.oauthbearer.client.secret: {secret}, sasl.oauthbearer.token.endpoint.url: \"{url}\""
    )
}

#[test]
fn a_token_lets_us_in_and_its_absence_is_told() {
    let Some(broker) = Broker::start_secured() else { return };
    let world = World::new(Arc::new(broker), "tokens", PARTITIONS);
    let server = TokenServer::start();
    let url = server.url("/token");
    let works = place(&world, "works", &login(&world.broker, &url, "secret"), "");
    set(&world, &printed(&works), true);
    let (running, _) = works.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "works", 1_000, || {});
    let given = server.given.load(Ordering::Relaxed);
    assert!(given > 0);
    let cases = [
        ("secret", url.clone(), "wrong", "invalid_client"),
        ("no-server", "http://127.0.0.1:9/token".to_owned(), "secret", "127.0.0.1"),
        ("away", server.url("/away"), "secret", "/away"),
    ];
    std::thread::scope(|scope| {
        for (name, url, secret, says) in &cases {
            let world = &world;
            scope.spawn(move || {
                let place = place(world, name, &login(&world.broker, url, secret), "");
                let (code, ready) = place.spawn(&[]).end_watched(&place, SOON);
                let last = last_line(&place.log());
                assert_eq!(code, CONFIGURATION, "{name}: {}", place.log());
                let is_told = |text: &str| text.contains("no token to log in with") && text.contains(says);
                assert!(is_told(&last) && last.contains("token.endpoint.url"), "{name}: {last}");
                assert!(ready.starts_with("HTTP/1.1 503") && is_told(&ready), "{name}: {ready}");
            });
        }
    });
    // Meanwhile the first token has expired: the client fetched another one, and work continues.
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "works", 2_000, || {});
    assert!(server.given.load(Ordering::Relaxed) > given, "no token was fetched anew");
    assert_eq!(running.stop(), Some(0), "{}", works.log());
}
