use crate::program::{Program, Ran};
use serde_json::{Value, json};

#[test]
fn an_unknown_key_is_78_with_its_line_and_what_was_meant() {
    let program = Program::new().with_file("tailburn.yaml", "workers: 1\nstate:\n  memroy_limit: 1GiB\n");
    for args in [&["config", "show"][..], &["run"], &["topics"]] {
        let ran = program.run(args);
        assert_eq!(ran.code, Some(78), "{args:?}");
        assert!(
            ran.stderr.contains("tailburn.yaml:3: state.memroy_limit: unknown key")
                && ran.stderr.contains("Did you mean `state.memory_limit`?"),
            "{}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let ran = Program::new().run(&["config", "show", "--config", "nowhere.yaml"]);
    assert_eq!(ran.code, Some(78));
    assert!(ran.stderr.contains("nowhere.yaml: cannot be read"), "{}", ran.stderr);
}

#[test]
fn config_show_says_where_each_value_came_from_and_no_secret() {
    let text = "workers: 2\nkafka:\n  properties:\n    sasl.password: hunter2\n";
    let program = Program::new().with_file("conf/tailburn.yaml", text);
    let mut command = program.command(&["config", "show", "--json", "--set", "limits.groups=7"]);
    command.env("TAILBURN_CONFIG", "conf/tailburn.yaml").env("TAILBURN_STATE__COMMIT_INTERVAL", "1s");
    let ran = Ran::of(command.output().expect("the program starts"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stdout.contains("hunter2"));
    let shown = ran.json();
    let of = |key: &str| {
        let keys = shown["keys"].as_array().expect("keys");
        let found = keys.iter().find(|k| k["key"] == key).expect("the key");
        (found["value"].clone(), found["origin"]["layer"].clone(), found["origin"]["line"].clone())
    };
    assert_eq!(of("workers"), (json!(2), json!("file"), json!(1)));
    assert_eq!(of("state.commit_interval"), (json!("1s"), json!("env"), Value::Null));
    assert_eq!(of("limits.groups"), (json!(7), json!("set"), Value::Null));
    assert_eq!(of("state.memory_limit"), (json!("512MiB"), json!("default"), Value::Null));
    assert_eq!(of("kafka.properties.sasl.password").0, json!("[redacted]"));
}

#[test]
fn config_show_is_for_people_too() {
    let ran = Program::new().with_file("tailburn.yaml", "workers: 2\n").run(&["config", "show"]);
    let line = ran.stdout.lines().find(|l| l.starts_with("workers:")).expect("the key");
    assert!(line.starts_with("workers: 2 ") && line.ends_with("# tailburn.yaml:1"), "{line}");
    let changed = Program::new().with_file("tailburn.yaml", "workers: 2\n").run(&["config", "show", "--changed"]);
    assert_eq!(changed.stdout.lines().count(), 2, "{}", changed.stdout);
}
