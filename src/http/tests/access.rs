//! Tokens on real requests: operators, tenants, and who has none.

use super::api::status;
use super::*;
use crate::http::tokens::tests::line;
use base64::Engine as _;

pub fn guarded() -> Running {
    let board = Arc::new(Board::new(100));
    let tokens = format!("{}{}", line("all", "operator on-call"), line("mine", "tenant acme"));
    let endpoints = Endpoints::new(Arc::clone(&board), || "tailburn_tasks 1\n".to_owned());
    let endpoints = endpoints.with_tokens(Some(Tokens::parse(&tokens).expect("tokens")));
    let server = serve_within("127.0.0.1:0", endpoints, Limits::of_this_process()).expect("a free port");
    let tenants = ["acme", "zeta"].map(|name| (name.to_owned(), crate::model::tenants::Tenant::default()));
    board.name_tenants(crate::model::tenants::Tenants(tenants.into()));
    board.publish([
        status("a", None, Some(0.5)),
        status("a", Some("acme"), Some(0.1)),
        status("a", Some("zeta"), None),
    ]);
    Running { board, server }
}

impl Running {
    pub fn with(&self, token: &str, path: &str) -> (u16, String) {
        self.authorized(&format!("Bearer {token}"), path)
    }

    fn authorized(&self, authorization: &str, path: &str) -> (u16, String) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n");
        let text = self.answer(&format!("{head}Connection: close\r\n\r\n"));
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }
}

#[test]
fn an_operator_sees_all_a_tenant_itself_and_nobody_else_anything() {
    let running = guarded();
    let total = |token: &str, path: &str| {
        let (status, body) = running.with(token, path);
        (status, serde_json::from_str::<Value>(&body).expect("JSON")["total"].as_u64())
    };
    assert_eq!(total("all", "/api/v1/status"), (200, Some(3)));
    assert_eq!(total("mine", "/api/v1/status"), (200, Some(1)));
    assert_eq!(total("mine", "/api/v1/overview?scope=all"), (200, Some(1)));
    assert_eq!(running.with("mine", "/api/v1/tenant/acme").0, 200);
    assert_eq!((total("all", "/api/v1/tenants"), total("mine", "/api/v1/tenants")), ((200, Some(2)), (200, Some(1))));
    for hidden in [
        "/api/v1/tenant/zeta",
        "/api/v1/status?tenant=zeta",
        "/api/v1/tenants?tenant=zeta",
        "/api/v1/history?key=a%7Caggregate",
        "/api/v1/slo/a",
        "/api/v1/processor",
        "/api/v1/gate/a-service",
    ] {
        assert_eq!(running.with("mine", hidden).0, 404, "{hidden}");
        assert_eq!(running.with("wrong", hidden).0, 401, "{hidden}");
        assert_eq!(running.get(hidden).0, 401, "{hidden}");
        assert!(!running.with("mine", hidden).1.contains("zeta works"), "{hidden}");
    }
    assert_eq!(running.get("/livez").0, 200);
    assert_eq!((running.get("/metrics").0, running.with("mine", "/metrics").0), (401, 401));
    assert_eq!(running.with("all", "/metrics").0, 200);
}

/// Flagger sends user and password.
#[test]
fn a_token_may_be_a_password() {
    let running = guarded();
    let status = |pair: &str| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        running.authorized(&format!("Basic {encoded}"), "/api/v1/query?query=vector(1)").0
    };
    assert_eq!((status("flagger:all"), status(":all")), (200, 200));
    assert_eq!((status("all:"), status("all"), status("flagger:wrong"), status("flagger:mine")), (401, 401, 401, 404));
    assert_eq!(running.authorized("Basic ???", "/api/v1/status").0, 401);
}

#[test]
fn probes_and_metrics_have_a_listener_of_their_own() {
    let board = Arc::new(Board::new(1));
    let tokens = Tokens::parse(&line("all", "operator x")).expect("tokens");
    let endpoints = Endpoints::new(Arc::clone(&board), || "tailburn_tasks 1\n".to_owned()).with_tokens(Some(tokens));
    let running = Running { board, server: serve_probes("127.0.0.1:0", endpoints).expect("a free port") };
    assert_eq!((running.get("/livez").0, running.get("/metrics").0, running.get("/readyz").0), (200, 200, 503));
    assert_eq!(running.get("/api/v1/status").0, 404);
}
