//! Brokers with TLS and logins: connections that work, and the messages of those that do not.

use crate::broker::Broker;
use crate::pipeline::{PARTITIONS, await_committed, preload};
use crate::rights::{CONFIGURATION, SOON, last_line, place, printed, set, tailburn};
use crate::world::World;
use std::sync::Arc;

/// Everything that can be wrong with a connection: what `run` says, `/readyz` while it still tries, and
/// `check --connect`.
#[test]
fn trouble_with_tls_and_logins_is_told_with_its_cause_and_the_setting() {
    let Some(broker) = Broker::start_secured() else { return };
    let world = World::new(Arc::new(broker), "trouble", PARTITIONS);
    let broker = &world.broker;
    let over_tls = |more: &str| format!("bootstrap.servers: \"{}\", {more}", broker.listener("sasl_ssl"));
    let login = "security.protocol: sasl_ssl, sasl.mechanism: PLAIN, sasl.username: tailburn, sasl.password";
    let ca = format!("ssl.ca.location: {}", broker.tls("ca.pem"));
    let no_ca = "ssl.ca.location: ";
    let cases = [
        ("no-ca", over_tls(&format!("{login}: tailburn")), ["certificate is not trusted", "ssl.ca.location"]),
        (
            "other-ca",
            over_tls(&format!("{login}: tailburn, {no_ca}{}", broker.tls("other-ca.pem"))),
            ["certificate is not trusted", "ssl.ca.location"],
        ),
        (
            "ca-not-there",
            over_tls(&format!("{login}: tailburn, {no_ca}/no/such/ca.pem")),
            ["/no/such/ca.pem cannot be opened", "ssl.ca.location"],
        ),
        ("password", over_tls(&format!("{login}: wrong, {ca}")), ["password or user is refused", "sasl.password"]),
        (
            "mechanism",
            over_tls(&format!("{}: tailburn, {ca}", login.replace("PLAIN", "SCRAM-SHA-512"))),
            ["do not take this way to log in", "sasl.mechanism"],
        ),
        (
            "no-certificate",
            format!("bootstrap.servers: \"{}\", security.protocol: ssl, {ca}", broker.listener("ssl")),
            ["refuse our certificate", "ssl.certificate.location"],
        ),
        ("no-tls", over_tls("security.protocol: plaintext"), ["hang up", "security.protocol"]),
        (
            "no-login",
            format!("bootstrap.servers: \"{}\", security.protocol: plaintext", broker.listener("sasl")),
            ["hang up", "security.protocol"],
        ),
        (
            "tls-to-plain",
            format!("bootstrap.servers: \"{}\", security.protocol: ssl, {ca}", broker.bootstrap()),
            ["do not speak TLS", "security.protocol"],
        ),
    ];
    // All in parallel, because each of them mostly waits.
    std::thread::scope(|scope| {
        for (name, login, says) in &cases {
            let world = &world;
            scope.spawn(move || {
                let place = place(world, name, login, "");
                let (code, ready) = place.spawn(&[]).end_watched(&place, SOON);
                let last = last_line(&place.log());
                assert_eq!(code, CONFIGURATION, "{name}: {}", place.log());
                assert!(says.iter().all(|text| last.contains(text)), "{name}: {last}");
                let is_told = ready.starts_with("HTTP/1.1 503") && ready.contains(says[0]);
                assert!(is_told, "{name}: /readyz said last: {ready}");
                let (code, said) = tailburn(&place, &["check", "--connect"]);
                assert_eq!(code, CONFIGURATION, "{name}: {said}");
                assert!(says.iter().all(|text| said.contains(text)), "{name}: {said}");
            });
        }
    });
}

#[test]
fn a_password_over_tls_and_a_certificate_of_our_own_let_us_in() {
    let Some(broker) = Broker::start_secured() else { return };
    let world = World::new(Arc::new(broker), "let-in", PARTITIONS);
    let broker = &world.broker;
    let ca = broker.tls("ca.pem");
    let by_password = format!(
        "bootstrap.servers: \"{}\", security.protocol: sasl_ssl, sasl.mechanism: PLAIN, sasl.username: tailburn, \
         sasl.password: tailburn, ssl.ca.location: {ca}",
        broker.listener("sasl_ssl")
    );
    let by_certificate = format!(
        "bootstrap.servers: \"{}\", security.protocol: ssl, ssl.ca.location: {ca}, ssl.certificate.location: {}, \
         ssl.key.location: {}",
        broker.listener("ssl"),
        broker.tls("client.pem"),
        broker.tls("client.key")
    );
    preload(&world.client(), &world.input, 1_000, 50);
    for (id, login) in [("by-password", by_password), ("by-certificate", by_certificate)] {
        let place = place(&world, id, &login, "");
        set(&world, &printed(&place), true);
        let running = place.spawn(&[]);
        await_committed(&world, id, 1_000, || {});
        assert_eq!(running.stop(), Some(0), "{id}: {}", place.log());
        let (code, said) = tailburn(&place, &["check", "--connect"]);
        assert_eq!(code, Some(0), "{id}: {said}");
    }
}

/// Without a connection, `check` refuses the same settings as `run`.
#[test]
fn check_refuses_what_run_refuses() {
    let Some(broker) = Broker::shared() else { return };
    let world = World::new(broker, "one-rule", PARTITIONS);
    let servers = format!("bootstrap.servers: \"{}\"", world.broker.bootstrap());
    for (property, says) in [
        ("group.protocol: consumer", "kafka.properties.group.protocol"),
        ("group.instance.id: one", "kafka.properties.group.instance.id"),
        ("sasl.mechanism: NTLM", "kafka.properties.sasl.mechanism"),
        ("sasl.mechanism: OAUTHBEARER", "kafka.properties.sasl.oauthbearer.method"),
        ("sasl.passwort: x", "sasl.passwort"),
        ("security.protocol: tls", "security.protocol"),
        ("security.protocol: ssl, ssl.ca.location: /no/such/file", "kafka.properties.ssl.ca.location"),
    ] {
        let place = place(&world, "one-rule", &format!("{servers}, {property}"), "");
        let (code, said) = tailburn(&place, &["check"]);
        assert_eq!(code, CONFIGURATION, "{property}: {said}");
        assert!(said.contains(says), "{property}: {said}");
        assert_eq!(place.spawn(&[]).end(SOON), CONFIGURATION, "{property}: {}", place.log());
        assert!(place.log().contains(says), "{property}: {}", place.log());
    }
}
