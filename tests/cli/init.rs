use crate::program::Program;
use std::fs;

#[test]
fn what_init_writes_loads_and_is_at_its_defaults() {
    let program = Program::new();
    let ran = program.run(&["init"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("tailburn check") && ran.stdout.contains("tailburn run"), "{}", ran.stdout);
    assert!(program.path().join("slos/example.yaml").is_file());
    let shown = program.run(&["config", "show", "--json"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert_eq!(shown.json()["file"], "tailburn.yaml");
}

#[cfg(unix)]
#[test]
fn the_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let program = Program::new();
    program.run(&["init"]);
    let key = program.path().join("tailburn.key");
    assert_eq!(fs::metadata(&key).expect("a key").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&key).expect("a key").trim_end().len(), 64);
}

#[test]
fn nothing_is_overwritten_without_force_and_a_key_never() {
    let program = Program::new().with_file("tailburn.yaml", "workers: 2\n");
    let ran = program.run(&["init"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("tailburn.yaml is there already"), "{}", ran.stderr);
    assert!(!program.path().join("tailburn.key").exists(), "nothing was written");

    assert_eq!(program.run(&["init", "--force"]).code, Some(0));
    let read = |name: &str| fs::read_to_string(program.path().join(name)).expect(name);
    let key = read("tailburn.key");
    assert!(read("tailburn.yaml").contains("application_id: tailburn"));
    let again = program.run(&["init", "--force"]);
    assert!(again.stdout.contains("stays"), "{}", again.stdout);
    assert_eq!(read("tailburn.key"), key);
}

#[test]
fn init_writes_elsewhere_too_and_says_how_to_use_it() {
    let program = Program::new();
    let ran = program.run(&["init", "deep/down"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("tailburn check --config deep/down/tailburn.yaml"), "{}", ran.stdout);
    assert_eq!(program.run(&["config", "show", "--config", "deep/down/tailburn.yaml"]).code, Some(0));
}
