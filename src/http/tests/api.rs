//! The API on records as they are published: lists, filters, orders, pages, and what is in one answer.

use super::*;
use serde_json::json;

/// A status as it is published, as far as the API reads it.
pub fn status(slo: &str, tenant: Option<&str>, budget: Option<f64>) -> Update {
    let (scope, key) = match tenant {
        Some(tenant) => ("tenant", format!("{slo}|tenant|{tenant}")),
        None => ("aggregate", format!("{slo}|aggregate")),
    };
    let state = if budget.is_some_and(|budget| budget < 0.25) { "at_risk" } else { "ok" };
    let window = |name: &str, burn: f64| json!({"window": name, "sli": 1.0 - burn / 1e3, "burn": burn});
    let json = json!({
        "slo": slo, "service": format!("{slo}-service"), "display_name": format!("{slo} works"),
        "labels": {"team": if slo == "a" { "payments" } else { "web" }}, "scope": scope, "tenant": tenant, "group": {},
        "at": "2026-06-01T12:00:00.000Z", "state": state, "objective": 0.999, "compliance_window": "28d",
        "budget_remaining": budget, "windows": [window("5m", 0.5), window("1h", 2.0), window("2h", 3.0), window("28d", 0.25)],
    });
    Update::Status { key, json: json.to_string().into_bytes() }
}

pub fn board() -> Running {
    let running = Running::new(100);
    running.board.publish([status("a", None, Some(0.5)), status("b", None, Some(-0.25)), status("c", None, None)]);
    running.board.publish([status("a", Some("acme"), Some(0.1)), status("a", Some("zeta"), Some(0.9))]);
    running
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["key"].as_str().expect("a key")).collect()
}

#[test]
fn the_overview_has_the_aggregates_with_the_least_budget_first() {
    let running = board();
    let rows = running.items("/api/v1/overview");
    assert_eq!(names(&rows), ["b|aggregate", "a|aggregate", "c|aggregate"]);
    let burn = json!({"5m": 0.5, "1h": 2.0, "6h": null, "1d": null, "3d": null, "period": 0.25});
    assert_eq!((&rows[0]["burn"], &rows[0]["sli"]), (&burn, &json!(0.99975)));
    assert_eq!(rows[0]["spark"].as_array().map(Vec::len), Some(24));
    assert_eq!(names(&running.items("/api/v1/overview?scope=tenant")), ["a|tenant|acme", "a|tenant|zeta"]);
    assert_eq!(names(&running.items("/api/v1/overview?tenant=zeta")), ["a|tenant|zeta"]);
    assert_eq!(running.page("/api/v1/overview?scope=all")["total"], 5);
}

#[test]
fn pages_by_budget_go_on_where_the_last_one_ended() {
    let running = board();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = running.page(&format!("/api/v1/overview?scope=all&limit=2{after}"));
        seen.extend(names(page["items"].as_array().expect("items")).into_iter().map(str::to_owned));
        assert_eq!(page["total"], 5);
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", next.replace('|', "%7C").replace('~', "%7E"));
    }
    assert_eq!(seen, ["b|aggregate", "a|tenant|acme", "a|aggregate", "a|tenant|zeta", "c|aggregate"]);
    assert_eq!(running.get("/api/v1/overview?after=nonsense").0, 400);
}

#[test]
fn lists_are_filtered_by_what_records_say() {
    let running = board();
    for (query, keys) in [
        ("service=b-service", vec!["b|aggregate"]),
        ("label=team:web", vec!["b|aggregate", "c|aggregate"]),
        ("label=team:web&label=team:payments", vec![]),
        ("state=at_risk", vec!["b|aggregate"]),
        ("q=C%20WORKS", vec!["c|aggregate"]),
        ("q=payments&scope=tenant", vec!["a|tenant|acme", "a|tenant|zeta"]),
        ("sort=key", vec!["a|aggregate", "b|aggregate", "c|aggregate"]),
    ] {
        assert_eq!(names(&running.items(&format!("/api/v1/overview?{query}"))), keys, "{query}");
    }
    for wrong in ["state=bad", "label=team", "sort=age", "scope=some"] {
        assert_eq!(running.get(&format!("/api/v1/status?{wrong}")).0, 400, "{wrong}");
    }
    // A cohort has no labels of its own: those of its SLO count.
    let cohort = json!({"id": "c1", "slo": "a", "state": "open"}).to_string();
    running.board.publish([Update::Cohort {
        key: "a|aggregate".into(),
        id: "c1".into(),
        open: true,
        json: cohort.into(),
    }]);
    assert_eq!(running.items("/api/v1/cohorts?label=team:payments&service=a-service").len(), 1);
    assert_eq!(running.items("/api/v1/cohorts?label=team:web").len(), 0);
}

fn episode(kind: &str, id: &str, more: &Value) -> Vec<u8> {
    let mut record = json!({"id": id, "state": kind});
    record.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    record.to_string().into_bytes()
}

#[test]
fn a_row_says_what_fires_and_who_is_in_the_tail() {
    let running = board();
    let key = || "a|aggregate".to_owned();
    let cohort = |id: &str, open, more: Value| Update::Cohort {
        key: key(),
        id: id.into(),
        open,
        json: episode("open", id, &more),
    };
    let combination =
        |value: &str| json!([{"attribute": "region", "value": value}, {"attribute": "tier", "value": "pro"}]);
    let alert = |id: &str, firing, severity: &str| Update::Alert {
        key: key(),
        id: id.into(),
        firing,
        json: episode("firing", id, &json!({"severity": severity})),
    };
    running.board.publish([
        cohort("1", true, json!({"rank": 2, "cohort": combination("us"), "kind": "users"})),
        cohort("2", true, json!({"rank": 1, "cohort": combination("eu"), "kind": "users"})),
        cohort("3", false, json!({"rank": 0, "cohort": combination("ap"), "kind": "users"})),
        cohort("4", true, json!({"rank": null, "cohort": [], "kind": "tail_degraded"})),
        alert("5", true, "page"),
        alert("6", true, "ticket"),
        alert("7", false, "page"),
    ]);
    let row = &running.items("/api/v1/overview?slo=a")[0];
    assert_eq!((&row["cohort"], &row["tail"]), (&json!("region=eu, tier=pro"), &json!(true)));
    assert_eq!(row["alerts"], json!({"page": 1, "ticket": 1, "info": 0}));
    let slo = running.page("/api/v1/slo/a");
    assert_eq!(slo["alerts"].as_array().map(Vec::len), Some(2));
    assert_eq!(slo["ended_alerts"][0]["id"], "7");
    assert_eq!(slo["cohorts"].as_array().map(Vec::len), Some(3));
    assert_eq!((&slo["status"]["slo"], &slo["keys"]["tenant"]), (&json!("a"), &json!(2)));
    assert_eq!(running.get("/api/v1/slo/nobody").0, 404);
}

fn point(key: &str, hour: u32, good: f64, bad: f64) -> Update {
    let json = json!({
        "slo": "a", "definition_hash": "", "scope": "aggregate", "tenant": null, "group": {},
        "at": format!("2026-06-01T{hour:02}:00:00.000Z"), "state": "ok", "good": good, "bad": bad, "sli": 0.1 + 0.2,
        "budget_remaining": null, "budget_spent_of_period": null, "users": 7, "users_below": 0,
        "worst_1pct_error_mean_estimate": null,
    });
    Update::History { key: key.into(), json: json.to_string().into_bytes() }
}

#[test]
fn history_is_by_time_and_its_numbers_are_those_of_the_topic() {
    let running = board();
    running.board.publish((0..13).map(|hour| point("a|aggregate", hour, 3.0, f64::from(hour % 2))));
    let newest = running.page("/api/v1/history?key=a%7Caggregate&limit=2");
    let times = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|p| p["at"].as_str().expect("at")[11..13].to_owned())
            .collect()
    };
    assert_eq!(
        (times(&newest), &newest["next"], &newest["total"]),
        (vec!["11".into(), "12".into()], &Value::Null, &json!(13))
    );
    assert_eq!((&newest["items"][0]["sli"], &newest["items"][0]["users"]), (&json!(0.1 + 0.2), &json!(7)));
    let from = "from=2026-06-01T02:00:00Z&to=2026-06-01T05:00:00Z&limit=2";
    let first = running.page(&format!("/api/v1/history?key=a%7Caggregate&{from}"));
    assert_eq!(times(&first), ["02", "03"]);
    let next = first["next"].as_str().expect("more");
    let rest = running.page(&format!("/api/v1/history?key=a%7Caggregate&{from}&after={next}"));
    assert_eq!((times(&rest), &rest["next"]), (vec!["04".to_owned()], &Value::Null));
    assert_eq!(running.page("/api/v1/history?key=other")["total"], 0);
    assert_eq!(running.get("/api/v1/history").0, 400);
    let spark = running.items("/api/v1/overview?slo=a")[0]["spark"].as_array().expect("a spark").clone();
    assert_eq!(spark[21..], [json!(1.0), json!(0.75), json!(1.0)]);
    assert_eq!(spark[10], Value::Null);
}

#[test]
fn a_user_is_found_by_its_own_id() {
    let board = Arc::new(Board::new(10));
    let endpoints = Endpoints::new(Arc::clone(&board), String::new)
        .with_user_ids(|tenant, user| format!("{tenant}:{}", user.len()));
    let running = Running { board, server: serve_within("127.0.0.1:0", endpoints, Limits::of(None)).expect("a port") };
    let user = |rank: u64, user: &str| Update::User {
        key: format!("a|acme|{user}"),
        json: json!({"user": user, "rank": rank, "at": "1", "sli": 0.5}).to_string().into(),
    };
    running.board.publish([user(2, "acme:7"), user(1, "acme:3")]);
    let found = running.page("/api/v1/user?slo=a&tenant=acme&user=bob");
    assert_eq!(
        (&found["found"], &found["user"], &found["status"]["rank"]),
        (&json!(true), &json!("acme:3"), &json!(1))
    );
    let other = running.page("/api/v1/user?slo=a&tenant=acme&user=somebody");
    assert_eq!((&other["found"], &other["status"]), (&json!(false), &Value::Null));
    assert_eq!(running.get("/api/v1/user?slo=a&tenant=acme").0, 400);
    let ranks: Vec<_> = running.items("/api/v1/users?slo=a&tenant=acme").iter().map(|u| u["rank"].clone()).collect();
    assert_eq!(ranks, [1, 2]);
    let tenant = running.page("/api/v1/tenant/acme");
    assert_eq!(tenant["users"].as_array().map(Vec::len), Some(2));
    assert_eq!(running.get("/api/v1/tenant/other").0, 404);
}

#[test]
fn a_tenant_has_the_name_and_the_owner_of_the_file_of_tenants() {
    use crate::model::tenants::{Tenant, Tenants};
    let running = Running::new(10);
    running.board.publish([status("a", Some("acme"), Some(0.5)), status("a", Some("beta"), Some(0.5))]);
    let named = Tenant {
        display_name: Some("Acme, Inc.".to_owned()),
        owner: Some("ann@example.com".to_owned()),
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        ..Tenant::default()
    };
    let all = [("acme".to_owned(), named), ("zeta".to_owned(), Tenant::default())];
    running.board.name_tenants(Tenants(all.into()));
    let acme =
        json!({"tenant": "acme", "display_name": "Acme, Inc.", "owner": "ann@example.com", "labels": {"tier": "gold"}});
    let view = running.page("/api/v1/tenant/acme");
    for field in ["display_name", "owner", "labels"] {
        assert_eq!(view[field], acme[field], "{field}");
    }
    let unnamed = running.page("/api/v1/tenant/beta");
    assert_eq!((&unnamed["display_name"], &unnamed["labels"]), (&Value::Null, &json!({})));
    let first = running.page("/api/v1/tenants?limit=1");
    assert_eq!((&first["items"], &first["next"], &first["total"]), (&json!([acme]), &json!("acme"), &json!(2)));
    let rest = running.page("/api/v1/tenants?limit=1&after=acme");
    assert_eq!((&rest["items"][0]["tenant"], &rest["next"]), (&json!("zeta"), &Value::Null));
    assert_eq!(running.items("/api/v1/tenants?tenant=acme"), [acme]);
}

#[test]
fn a_controller_gets_a_verdict_before_there_is_one() {
    let running = Running::new(10);
    let asked = "/api/v1/canary/a?candidate=v2";
    assert_eq!(running.page(asked)["verdict"], "inconclusive");
    running.board.publish([Update::Canary { key: "a|*|v2".into(), json: r#"{"verdict":"fail"}"#.into() }]);
    assert_eq!(running.page(asked)["verdict"], "fail");
    assert_eq!(running.get("/api/v1/canary/a").0, 400);
}

#[test]
fn an_answer_that_the_client_has_is_not_sent_again() {
    let running = board();
    let ask = |more: &str| {
        running.answer(&format!("GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n{more}Connection: close\r\n\r\n"))
    };
    let first = ask("");
    let tag = first
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("etag: ").map(str::to_owned))
        .expect("a tag");
    assert_eq!(ask("").lines().count(), first.lines().count());
    let again = ask(&format!("If-None-Match: \"other\", W/{tag}\r\n"));
    assert!(again.starts_with("HTTP/1.1 304") && again.ends_with("\r\n\r\n"), "{again}");
    running.board.publish([status("a", None, Some(0.4))]);
    assert!(ask(&format!("If-None-Match: {tag}\r\n")).starts_with("HTTP/1.1 200"));
}

#[test]
fn the_processor_shows_the_board_and_examples_of_dead_letters() {
    let running = board();
    let letter = |n: u32| Update::DeadLetter { reason: "no_tenant".into(), json: format!("{{\"offset\":{n}}}").into() };
    running.board.publish((0..9).map(letter));
    let processor = running.page("/api/v1/processor");
    assert_eq!(
        (&processor["board"]["keys"], &processor["board"]["reading"]["state"]),
        (&json!(5), &json!("catching_up"))
    );
    let offsets: Vec<_> = processor["dead_letter_examples"]["no_tenant"].as_array().expect("examples").clone();
    assert_eq!(offsets, [8, 7, 6, 5, 4].map(|n| json!({"offset": n})));
}

/// 10,000 tenants with five SLOs each; what is asserted is the answer, its time is for people who run this.
#[test]
#[expect(clippy::disallowed_methods, reason = "the time is told, and not asserted")]
fn fifty_thousand_keys_are_one_page_away() {
    let running = Running::new(60_000);
    for slo in ["a", "b", "c", "d", "e"] {
        let budget = |n: u32| Some(f64::from(n.wrapping_mul(2_654_435_761) % 10_000) / 1e4);
        running.board.publish((0..10_000).map(|n| status(slo, Some(&format!("t{n}")), budget(n))));
    }
    let began = Instant::now();
    let page = running.page("/api/v1/overview?scope=all&limit=50");
    println!("first page of 50,000 keys: {:?}", began.elapsed());
    assert_eq!((page["items"].as_array().map(Vec::len), &page["total"]), (Some(50), &json!(50_000)));
    let budgets: Vec<f64> =
        page["items"].as_array().expect("items").iter().filter_map(|r| r["budget_remaining"].as_f64()).collect();
    assert!(budgets.is_sorted() && budgets[49] < 0.01, "{budgets:?}");
    assert_eq!(running.page("/api/v1/overview?scope=all&q=t9999&limit=9")["total"], 5);
}
