use crate::program::{Program, Ran};
use std::process::Stdio;

#[test]
fn help_names_every_command_the_exit_codes_and_where_to_start() {
    let ran = Program::new().run(&["--help"]);
    assert_eq!(ran.code, Some(0));
    for part in [
        "init",
        "demo",
        "run",
        "backtest",
        "check",
        "topics",
        "config",
        "completions",
        "tailburn demo",
        "Exit codes:",
        "78",
        "TAILBURN_STATE__DIR",
        "--set",
        "says WHO is in the tail",
    ] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
}

#[test]
fn every_command_shows_examples() {
    let program = Program::new();
    for command in [
        "init",
        "demo",
        "run",
        "backtest",
        "generate",
        "check",
        "suggest",
        "chaos",
        "explain",
        "serve",
        "report",
        "diff",
        "notify",
        "silence",
        "tap",
        "topics",
        "schema",
        "config show",
        "completions",
    ] {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.push("--help");
        let ran = program.run(&args);
        assert_eq!(ran.code, Some(0), "{command}");
        assert!(ran.stdout.contains("Examples:") && ran.stdout.contains(&format!("tailburn {command}")), "{command}");
        assert!(ran.stdout.contains("--config"), "{command}");
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_was_meant() {
    let program = Program::new();
    let ran = program.run(&["chekc"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("check") && ran.stdout.is_empty(), "{}", ran.stderr);
    assert_eq!(program.run(&[]).code, Some(2));
    assert_eq!(program.run(&["backtest", "--slos", "x"]).code, Some(2));
    assert_eq!(program.run(&["run", "--from", "yesterday"]).code, Some(2));
    assert_eq!(program.run(&["check", "-v", "-q"]).code, Some(2));
}

#[test]
fn prints_its_version() {
    let ran = Program::new().run(&["--version"]);
    let start = format!("tailburn {} (time zones 20", env!("CARGO_PKG_VERSION"));
    assert!(ran.code == Some(0) && ran.stdout.starts_with(&start), "{}", ran.stdout);
}

#[test]
fn completions_know_the_commands() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = program.run(&["completions", shell]);
        assert_eq!(ran.code, Some(0), "{shell}");
        assert!(ran.stdout.contains("backtest") && ran.stdout.contains("log-format"), "{shell}");
        for name in ["slo-status", "burn-alerts", "dead-letters", "request-outcome"] {
            assert!(ran.stdout.contains(name), "{shell} completes no {name}");
        }
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let program = Program::new();
    for args in [&["config", "show"][..], &["completions", "bash"], &["--help"]] {
        let mut child =
            program.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        // Output may be closed before or while the program writes; both must be fine.
        drop(child.stdout.take());
        let ran = Ran::of(child.wait_with_output().expect("it ends"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn no_escape_sequence_leaves_where_colour_is_not_wanted_or_not_seen() {
    let program = Program::new().with_file("tailburn.yaml", "wokers: 1\n");
    for args in [&["--help"][..], &["check"], &["chekc"]] {
        let ran = Ran::of(program.command(args).env("NO_COLOR", "1").output().expect("the program starts"));
        assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'), "{args:?}");
    }
}
