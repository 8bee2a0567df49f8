//! Templates of service managers: their configurations are read, their commands are understood.

use crate::program::Program;
use crate::{read, yaml};
use serde_json::Value;

/// The documents of a file.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let documents = text.split("\n---\n").map(serde_saphyr::from_str);
    documents.map(|document| document.unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}

fn shown(program: &Program) -> Value {
    let ran = program.run(&["config", "show", "--config", "tailburn.yaml", "--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.json()
}

/// 2 is wrong usage: everything else means that the arguments are understood.
fn assert_understood(program: &Program, args: &[&str]) {
    let ran = program.run(args);
    assert_ne!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
    assert!(!ran.stderr.contains("unexpected argument"), "{}", ran.stderr);
}

fn stateful_set() -> Value {
    let all = documents("ops/kubernetes/tailburn.yaml");
    all.into_iter().find(|document| document["kind"] == "StatefulSet").expect("a StatefulSet")
}

#[test]
fn kubernetes_has_a_configuration_and_slos_that_are_read() {
    let config = yaml("ops/kubernetes/config.yaml")["data"]["tailburn.yaml"].as_str().expect("a file").to_owned();
    let slos = yaml("ops/kubernetes/slos.yaml")["data"].as_object().expect("files").clone();
    let mut program = Program::new().with_file("tailburn.yaml", &config);
    for (name, text) in &slos {
        program = program.with_file(&format!("slos/{name}"), text.as_str().expect("a text"));
    }
    shown(&program);
    let ran = program.run(&["check", "--slos", "slos"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn kubernetes_asks_where_the_program_answers() {
    let config = yaml("ops/kubernetes/config.yaml")["data"]["tailburn.yaml"].as_str().expect("a file").to_owned();
    let config: Value = serde_saphyr::from_str(&config).expect("YAML");
    let port = |key: &str| {
        config["http"][key].as_str().and_then(|l| l.rsplit(':').next()?.parse::<i64>().ok()).expect("a port")
    };
    let set = stateful_set();
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    let ports = container["ports"].as_array().expect("ports");
    let named =
        |name: &Value| ports.iter().find(|port| port["name"] == *name).and_then(|p| p["containerPort"].as_i64());
    assert_eq!(named(&"http".into()), Some(port("listen")));
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(
            (asked["path"].as_str(), named(&asked["port"])),
            (Some(path), Some(port("probe_listen"))),
            "{probe}"
        );
    }
    let scraped = &set["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"];
    assert_eq!(scraped.as_str(), Some(port("probe_listen").to_string().as_str()));
    let args: Vec<&str> = container["args"].as_array().expect("args").iter().filter_map(Value::as_str).collect();
    assert_understood(&Program::new(), &args);
}

#[test]
fn systemd_starts_what_there_is_and_leaves_a_wrong_configuration_alone() {
    let unit = read("ops/systemd/tailburn.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
    let args: Vec<&str> = value("ExecStart=").split(' ').skip(1).collect();
    assert_understood(&Program::new(), &args);
    assert_eq!(value("RestartPreventExitStatus="), "2 78");
    let (setting, dir) = value("Environment=").split_once('=').expect("a setting");
    let program = Program::new().with_file("tailburn.yaml", "slos: [slos]\n");
    let mut command = program.command(&["config", "show", "--json"]);
    let output = command.env(setting, dir).output().expect("it starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains(dir), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn compose_has_a_configuration_that_is_read_and_a_token_for_the_published_port() {
    let program = Program::new().with_file("tailburn.yaml", &read("ops/docker/tailburn.yaml"));
    let all = shown(&program).to_string();
    assert!(all.contains("tokens"), "{all}");
    // Whoever comes through a published port is not this machine to the program, so it needs a token.
    let tokens = tailburn::http::Tokens::parse(&read("ops/docker/tokens")).expect("tokens");
    assert!(tokens.holder("demo").is_some(), "the token that the file names");
    let commands = yaml("docker-compose.yml")["services"]["tailburn"]["command"].as_array().expect("a command").clone();
    let args: Vec<&str> = commands.iter().filter_map(Value::as_str).collect();
    assert_understood(&Program::new(), &args);
}

/// What the crate needs at least is what the image has.
#[test]
fn the_image_has_a_rust_that_is_new_enough() {
    let (cargo, docker) = (read("Cargo.toml"), read("ops/docker/Dockerfile"));
    let needed =
        cargo.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("a version").trim_matches('"');
    let image = docker.lines().find_map(|line| line.strip_prefix("FROM rust:")).and_then(|rest| rest.split('-').next());
    let numbers = |version: &str| version.split('.').filter_map(|n| n.parse::<u32>().ok()).collect::<Vec<_>>();
    assert!(image.is_some_and(|image| numbers(image) >= numbers(needed)), "{image:?} and {needed}");
}
