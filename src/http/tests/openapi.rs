//! The document and the program say the same: its paths, its parameters, and the form of real answers.

use super::api::board;
use super::*;
use crate::http::api::PATHS;

fn document() -> Value {
    serde_json::from_str(include_str!("../openapi.json")).expect("JSON")
}

/// A part that `$ref` names.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => document.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path} is nowhere")),
        None => schema,
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no such type: {other}"),
    }
}

/// What of a value does not fit a schema; the parts of JSON Schema that the document uses.
fn misfits(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolved(document, schema);
    let mut found = Vec::new();
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_of(value, kind)) {
        found.push(format!("{at}: {value} is not {kinds:?}"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{at}: {value} is not one of {allowed:?}"));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(misfits(document, part, value, at));
    }
    if let Some(choices) = schema["anyOf"].as_array()
        && !choices.iter().any(|choice| misfits(document, choice, value, at).is_empty())
    {
        found.push(format!("{at}: {value} fits nothing of {choices:?}"));
    }
    if let Some(fields) = value.as_object() {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        found.extend(required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{at}: no `{name}`")));
        for (name, value) in fields {
            let of_field = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
            found.extend(
                of_field.into_iter().flat_map(|of_field| misfits(document, of_field, value, &format!("{at}.{name}"))),
            );
        }
    }
    if let (Some(items), Some(of_items)) = (value.as_array(), schema.get("items")) {
        for (i, item) in items.iter().enumerate() {
            found.extend(misfits(document, of_items, item, &format!("{at}[{i}]")));
        }
    }
    found
}

#[test]
fn the_document_has_the_paths_that_there_are() {
    let document = document();
    let described: Vec<&str> = document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    let mut there = PATHS.to_vec();
    there.sort_unstable();
    let mut sorted = described.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, there);
    let (status, body) = Running::new(1).get("/api/v1/openapi.json");
    assert_eq!((status, serde_json::from_str::<Value>(&body).expect("JSON")), (200, document));
}

/// A value that a parameter may have.
fn example(parameter: &Value) -> String {
    let schema = &parameter["schema"];
    match (parameter["name"].as_str().expect("a name"), schema["enum"][0].as_str(), schema["type"].as_str()) {
        (_, Some(first), _) => first.to_owned(),
        ("label", ..) => "team:payments".to_owned(),
        ("kind", ..) => "alert".to_owned(),
        ("from" | "to" | "time", ..) => "2026-06-01T00:00:00Z".to_owned(),
        (_, _, Some("integer")) => "5".to_owned(),
        _ => "a".to_owned(),
    }
}

#[test]
fn each_parameter_of_the_document_is_understood_and_no_other_one() {
    let (document, running) = (document(), board());
    for (path, item) in document["paths"].as_object().expect("paths") {
        let Some(parameters) = item["get"]["parameters"].as_array() else { continue };
        let of_place = |place: &'static str| parameters.iter().filter(move |p| p["in"] == place);
        let mut real = path.clone();
        for parameter in of_place("path") {
            real = real.replace(&format!("{{{}}}", parameter["name"].as_str().expect("a name")), "a");
        }
        let pair = |p: &Value| format!("{}={}", p["name"].as_str().expect("a name"), example(p));
        let required: Vec<String> = of_place("query").filter(|p| p["required"] == true).map(pair).collect();
        // `after` is what an answer says, so any other text may be refused.
        for parameter in of_place("query").filter(|p| p["name"] != "after" && path != "/api/v1/events") {
            let mut query = required.clone();
            if !query.contains(&pair(parameter)) {
                query.push(pair(parameter));
            }
            let (status, body) = running.get(&format!("{real}?{}", query.join("&")));
            assert!(matches!(status, 200 | 404), "{real}?{}: {status} {body}", query.join("&"));
        }
        if !path.ends_with("openapi.json") {
            let mut query = required.clone();
            query.push("unheard_of=1".to_owned());
            let (status, body) = running.get(&format!("{real}?{}", query.join("&")));
            assert_eq!(status, 400, "{real}: {body}");
            let of_error = serde_json::json!({"$ref": "#/components/schemas/Error"});
            let error = serde_json::from_str(&body).expect("JSON");
            assert_eq!(misfits(&document, &of_error, &error, "error"), [] as [String; 0]);
        }
    }
}

/// Checks an answer against the document.
fn check(document: &Value, path: &str, answer: &Value) {
    let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{path} has no schema");
    assert_eq!(misfits(document, schema, answer, path), [] as [String; 0]);
}

#[test]
fn answers_have_the_form_that_the_document_says() {
    let (document, running) = (document(), board());
    for (path, asked) in [
        ("/api/v1/overview", "/api/v1/overview?scope=all"),
        ("/api/v1/history", "/api/v1/history?key=a"),
        ("/api/v1/user", "/api/v1/user?slo=a&tenant=b&user=c"),
        ("/api/v1/users", "/api/v1/users"),
        ("/api/v1/tenants", "/api/v1/tenants"),
        ("/api/v1/canary/{slo}", "/api/v1/canary/a?candidate=v2"),
        ("/api/v1/query", "/api/v1/query?query=tailburn_slo_burn_rate"),
        ("/api/v1/query", "/api/v1/query?query=1%2B1"),
    ] {
        check(&document, path, &running.page(asked));
    }
    let change = serde_json::json!({
        "slo": "a", "since": "2026-06-01T00:00:00.000Z", "by": "ann", "reason": "why", "change": "changed",
        "definition_hash": "1", "previous_hash": null,
        "fields": [{"field": "objective", "before": "0.99", "after": null}],
    });
    running.board.note_changes([("a".to_owned(), change.to_string().into_bytes())]);
    let changes = running.page("/api/v1/slo/a")["changes"].clone();
    assert_eq!(changes, serde_json::json!([change]));
    let schema = &document["components"]["schemas"]["SloView"]["properties"]["changes"];
    assert_eq!(misfits(&document, schema, &changes, "changes"), [] as [String; 0]);
    let row = &serde_json::json!({"items": [{"key": 7}], "next": null, "total": 1, "not_shown": 0});
    let schema =
        &document["paths"]["/api/v1/overview"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert!(misfits(&document, schema, row, "row").len() > 10, "the check sees what is wrong");
}
