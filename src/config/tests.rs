use super::*;
use crate::model::time::{HOUR_MS, MINUTE_MS};
use serde_json::json;
use std::fs;

/// A configuration file with this text, in its own directory.
struct Case {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Case {
    fn new(text: &str) -> Case {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("tailburn.yaml");
        fs::write(&file, text).expect("a file");
        Case { dir, sources: Sources { file: Some(file), ..Sources::default() } }
    }

    fn env(mut self, name: &str, value: &str) -> Case {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn set(mut self, set: &str) -> Case {
        self.sources.sets.push(set.into());
        self
    }

    fn loaded(&self) -> Loaded {
        load(&self.sources).expect("a configuration that holds")
    }

    fn problems(&self) -> Vec<Problem> {
        load(&self.sources).expect_err("a configuration that does not hold").problems
    }

    fn entry(&self, key: &str) -> Entry {
        self.loaded().entries.into_iter().find(|e| e.key == key).expect("the key")
    }
}

#[test]
fn an_empty_file_means_the_defaults_of_the_contract() {
    let settings = Settings::default();
    assert_eq!(settings.kafka.properties.get("bootstrap.servers").map(String::as_str), Some("localhost:9092"));
    assert_eq!(settings.input.topics, ["request-outcomes"]);
    assert_eq!((settings.input.out_of_orderness_ms, settings.input.max_alignment_wait_ms), (5_000, 600_000));
    assert_eq!(settings.state.memory_limit_bytes, 512 << 20);
    assert_eq!(settings.http.listen.as_deref(), Some("127.0.0.1:8720"));
    assert_eq!((settings.partitions.users, settings.partitions.rollup, settings.workers), (8, 4, 1));
    assert_eq!(settings.privacy.user_ids, None);
    assert_eq!(settings.validate(), []);
    assert_eq!(Case::new("# nothing\nhttp:\n").loaded().settings.workers, 1);
}

#[test]
fn set_wins_over_the_environment_and_the_environment_over_the_file() {
    let case = Case::new("workers: 2\npartitions: {users: 16, rollup: 8}\nstate:\n  dir: here\n")
        .env("TAILBURN_PARTITIONS__USERS", "32")
        .env("TAILBURN_WORKERS", "3")
        .set("workers=4");
    let settings = case.loaded().settings;
    assert_eq!((settings.workers, settings.partitions.users, settings.partitions.rollup), (4, 32, 8));
    assert_eq!(settings.state.dir, case.dir.path().join("here"));
    assert_eq!(case.entry("workers").origin, Origin::Set);
    assert_eq!(case.entry("partitions.users").origin, Origin::Env { name: "TAILBURN_PARTITIONS__USERS".into() });
    assert_eq!(case.entry("state.dir").origin, Origin::File { line: 4 });
    assert_eq!(case.entry("limits.groups").origin, Origin::Default);
}

#[test]
fn an_unknown_key_is_an_error_with_its_line_and_what_was_meant() {
    let problems = Case::new("workers: 1\nstate:\n  memroy_limit: 1GiB\ndir: x\n").problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!((problems[0].key.as_str(), &problems[0].origin), ("state.memroy_limit", &Origin::File { line: 3 }));
    assert_eq!(problems[0].remedy, "Did you mean `state.memory_limit`?");
    assert_eq!(problems[1].remedy, "Did you mean `state.dir`?");
    let problems = Case::new("").env("TAILBURN_STATE__DRI", "x").set("wokers=2").problems();
    let remedies: Vec<_> = problems.iter().map(|p| p.remedy.as_str()).collect();
    assert_eq!(remedies, ["Did you mean `state.dir`?", "Did you mean `workers`?"]);
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let case = Case::new("workers: many\ninput:\n  format: xml\n  idle_timeout: 5 parsecs\n");
    let text = load(&case.sources).expect_err("three problems").to_string();
    for part in [
        "tailburn.yaml:1: workers: `many`",
        ":3: input.format: `xml` is not one of json, avro, clf",
        ":4: input.idle_timeout",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn validation_names_the_place_too() {
    let problems = Case::new("partitions:\n  users: 0\nhttp: {listen: nowhere}\n").problems();
    let found: Vec<_> = problems.iter().map(|p| (p.key.as_str(), &p.origin)).collect();
    assert_eq!(found, [("partitions.users", &Origin::File { line: 2 }), ("http.listen", &Origin::File { line: 3 })]);
}

#[test]
fn what_would_have_no_effect_is_an_error() {
    let case =
        Case::new("input: {avro_schema: a.avsc, topics: [tailburn.slo-status]}\nkafka: {properties: {group.id: x}}\n");
    let keys: Vec<_> = case.problems().into_iter().map(|p| p.key).collect();
    assert_eq!(keys, ["kafka.properties.group.id", "input.topics", "input.avro_schema"]);
}

#[test]
fn kafka_properties_keep_their_dots_in_every_layer() {
    let case =
        Case::new("kafka:\n  properties:\n    security.protocol: SASL_SSL\n    linger.ms: 5\n    check.crcs: true\n")
            .env("TAILBURN_KAFKA__PROPERTIES__BOOTSTRAP_SERVERS", "b:9092")
            .set("kafka.properties.client.id=me");
    let properties = case.loaded().settings.kafka.properties;
    let pairs: Vec<_> = properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        pairs,
        [
            ("bootstrap.servers", "b:9092"),
            ("check.crcs", "true"),
            ("client.id", "me"),
            ("linger.ms", "5"),
            ("security.protocol", "SASL_SSL")
        ]
    );
}

#[test]
fn secrets_come_from_references_and_files_and_are_not_shown() {
    let case =
        Case::new("kafka: {properties: {sasl.password: \"${PASS}\", sasl.username: me}}\n").env("PASS", "hunter2");
    assert_eq!(case.loaded().settings.kafka.properties["sasl.password"], "hunter2");
    assert_eq!(case.entry("kafka.properties.sasl.password").value, json!("${PASS}"));

    let case = Case::new("");
    let secret = case.dir.path().join("secret");
    fs::write(&secret, "hunter2\n").expect("a file");
    let case = case.env("TAILBURN_KAFKA__PROPERTIES__SSL_KEY_PASSWORD_FILE", &secret.to_string_lossy());
    assert_eq!(case.loaded().settings.kafka.properties["ssl.key.password"], "hunter2");
    assert_eq!(case.entry("kafka.properties.ssl.key.password").value, json!("[redacted]"));
    assert!(!format!("{:?}", case.loaded().entries).contains("hunter2"));
}

#[test]
fn a_missing_reference_is_an_error_that_names_it() {
    let problems = Case::new("kafka:\n  properties:\n    sasl.password: ${NOPE}\n").problems();
    assert_eq!(problems[0].key, "kafka.properties.sasl.password");
    assert!(problems[0].message.contains("NOPE"));
    assert_eq!(problems[0].origin, Origin::File { line: 3 });
}

#[test]
fn text_layers_know_lists_null_durations_and_mappings() {
    let settings = Case::new("http: {listen: \"127.0.0.1:1\"}\n")
        .set("http.listen=null")
        .set("slos=a, b")
        .set("input.topics=[x, y]")
        .set("input.dedup_horizon=1h")
        .set("input.mapping.attributes.tier=plan")
        .env("TAILBURN_INPUT__IDLE_TIMEOUT", "1m")
        .loaded()
        .settings;
    assert_eq!(settings.http.listen, None);
    assert_eq!(settings.slos.len(), 2);
    assert_eq!(settings.input.topics, ["x", "y"]);
    assert_eq!((settings.input.dedup_horizon_ms, settings.input.idle_timeout_ms), (Some(HOUR_MS), MINUTE_MS));
    assert_eq!(settings.input.mapping, json!({"attributes.tier": "plan"}));
}

#[test]
fn an_entry_of_a_mapping_has_a_place_of_its_own() {
    let text = "input:\n  mapping:\n    tenant: org.id\n    user:\n      path: who\n    status: {path: code}\n";
    let loaded = Case::new(text).set("input.mapping.attributes.tier=plan").loaded();
    let origin = |key: &str| loaded.place(Problem::new(key, "", "")).origin;
    assert_eq!(origin("input.mapping.tenant"), Origin::File { line: 3 });
    assert_eq!(origin("input.mapping.user"), Origin::File { line: 5 });
    assert_eq!(origin("input.mapping.status"), Origin::File { line: 6 });
    assert_eq!(origin("input.mapping.attributes.tier"), Origin::Set);
    assert_eq!(origin("input.mapping.unknown"), origin("input.mapping"));
}

#[test]
fn a_mapping_is_handed_on_as_it_stands() {
    let text = "input:\n  mapping:\n    tenant: org.id\n    measures: {x: a.b}\n    attributes.age: {bucket: {path: since, by: month}}\n";
    let mapping = Case::new(text).loaded().settings.input.mapping;
    assert_eq!(
        mapping,
        json!({"attributes.age": {"bucket": {"by": "month", "path": "since"}}, "measures": {"x": "a.b"}, "tenant": "org.id"})
    );
}

#[test]
fn outputs_are_avro_once_there_is_a_registry_unless_the_file_says_otherwise() {
    let format = |text: &str| Case::new(text).loaded().settings.output.format;
    assert_eq!(format(""), OutputFormat::Json);
    assert_eq!(format("schema_registry: {url: \"http://r:8081\"}"), OutputFormat::Avro);
    assert_eq!(format("schema_registry: {url: null}"), OutputFormat::Json);
    assert_eq!(format("schema_registry: {url: \"http://r:8081\"}\noutput: {format: json}"), OutputFormat::Json);
}

#[test]
fn variables_of_a_container_platform_are_no_settings() {
    let case = Case::new("")
        .env("TAILBURN_SERVICE_HOST", "10.0.0.1")
        .env("TAILBURN_PORT", "tcp://10.0.0.1:8720")
        .env("TAILBURN_PORT_8720_TCP_ADDR", "10.0.0.1")
        .env("TAILBURN_LOG", "debug")
        .env("TAILBURN_CRASH_AT", "live:2");
    assert!(case.loaded().entries.iter().all(|e| e.origin == Origin::Default));
}

#[test]
fn a_file_that_is_missing_or_broken_is_named() {
    let sources = Sources { file: Some("no-such-file.yaml".into()), ..Sources::default() };
    let text = load(&sources).expect_err("no file").to_string();
    assert!(text.starts_with("no-such-file.yaml: cannot be read"), "{text}");
    assert!(Case::new("a: [").problems()[0].message.contains("bracket"));
    assert!(Case::new("state: 5\n").problems()[0].message.contains("is a section"));
    assert!(Case::new("state.dir: 5\n").problems()[0].message.contains("unknown key"));
}

#[test]
fn broken_yaml_is_told_of_in_our_own_words() {
    for (text, line, words, remedy) in [
        ("workers: 1\nworkers: 2\n", 2, "the key `workers` appears twice", "Take one of them out."),
        ("workers: 1\n---\nworkers: 2\n", 3, "a second document begins here", "Take the line `---`"),
        ("state: a: b\n", 1, "a `:` is not allowed here", "Quote a text"),
        ("state:\n\tdir: x\n", 2, "a tab is used for indentation", "Indent with spaces."),
        ("input: {topics: .nan}\n", 1, "`.nan` is not a finite number", "Write digits."),
    ] {
        let problems = Case::new(text).problems();
        let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
        assert_eq!(problem.origin, Origin::File { line }, "{text}: {problem:?}");
        assert!(problem.message.contains(words) && problem.remedy.starts_with(remedy), "{text}: {problem:?}");
    }
}

#[test]
fn many_unknown_keys_are_told_of_once() {
    let text: String = (0..10_000).map(|i| format!("key{i}: 1\n")).collect();
    let problems = Case::new(&text).problems();
    assert_eq!(problems.len(), 51);
    assert_eq!((problems[0].key.as_str(), &problems[0].origin), ("key0", &Origin::File { line: 1 }));
    assert_eq!(problems[50].message, "9950 more keys are unknown");
}

#[test]
fn a_preset_fills_what_the_user_does_not_set() {
    let text =
        "input:\n  preset: litellm\n  mapping:\n    user: who\n    attributes.model: null\n    measures.size: bytes\n";
    let loaded = Case::new(text).loaded();
    let mapping = &loaded.settings.input.mapping;
    assert_eq!((&mapping["user"], &mapping["operation"]), (&json!("who"), &json!("call_type")));
    assert_eq!((mapping.get("attributes.model"), &mapping["measures.size"]), (None, &json!("bytes")));
    assert_eq!(loaded.settings.input.default_tenant.as_deref(), Some("default"));
    let entry = loaded.entries.iter().find(|e| e.key == "input.mapping").expect("the mapping");
    let apart = entry.told_apart();
    let origin = |name: &str| apart.iter().find(|e| e.key == format!("input.mapping.{name}")).map(|e| e.origin.clone());
    assert_eq!(origin("user"), Some(Origin::File { line: 4 }));
    assert_eq!(origin("operation"), Some(Origin::Preset { name: "litellm", version: 2 }));
    assert_eq!(origin("attributes.model"), None);
    assert_eq!(loaded.place(Problem::new("input.mapping.user", "", "")).origin, Origin::File { line: 4 });
    let alone = Case::new("input: {preset: litellm, default_tenant: null}\n");
    assert_eq!(alone.loaded().settings.input.default_tenant, None, "null is the user's own word");
    assert!(matches!(alone.entry("input.mapping").origin, Origin::Preset { .. }));
    let none = Case::new("input: {mapping: {user: who}}\n").loaded().settings.input;
    assert_eq!((none.preset, none.mapping), (None, json!({"user": "who"})));
    let unknown = &Case::new("input: {preset: lightllm}\n").problems()[0];
    assert_eq!((unknown.key.as_str(), unknown.message.as_str()), ("input.preset", "`lightllm` is not one of litellm"));
}

#[test]
fn a_list_of_the_mapping_can_be_set_on_the_command_line() {
    let case = Case::new("")
        .set("input.mapping.user=[a, b]")
        .set("input.mapping.latency_ms={from: c, to: d, unit: s}")
        .env("TAILBURN_INPUT__MAPPING__TENANT", "org.id");
    let mapping = case.loaded().settings.input.mapping;
    assert_eq!(mapping["user"], json!(["a", "b"]));
    assert_eq!(mapping["latency_ms"], json!({"from": "c", "to": "d", "unit": "s"}));
    assert_eq!(mapping["tenant"], json!("org.id"));
}
