//! Checks the layers: which module may use which, and which files may use a foreign library.
//!
//! It reads the sources as tokens (without comments and texts), resolves `crate::` and `super::` paths, and checks them
//! against the tables below. Test code follows the same rules. `clippy.toml` forbids what clippy can check (clocks,
//! default hashers, the platform's mathematics).
#![allow(clippy::unwrap_used, reason = "a tidy check that cannot read the sources has to fail")]

#[path = "tidy/paths.rs"]
mod paths;

use paths::{Reference, references};
use std::path::{Path, PathBuf};

/// A module, the modules it may import, and the reason.
struct Layer {
    module: &'static str,
    may_import: &'static [&'static str],
    why: &'static str,
}

const CORE: &str = "the functional core does no IO and knows no log, no store on disk and no configuration, so that \
                    one oracle, one simulator and one backtest run the code that runs in production";
const SHELL: [&str; 15] = [
    "model",
    "definition",
    "codec",
    "operator",
    "state",
    "pipeline",
    "log",
    "board",
    "http",
    "notify",
    "telemetry",
    "config",
    "traffic",
    "worker",
    "fault",
];
const EVERYTHING: [&str; 16] = [
    "model",
    "definition",
    "codec",
    "operator",
    "state",
    "pipeline",
    "log",
    "board",
    "http",
    "notify",
    "telemetry",
    "config",
    "traffic",
    "worker",
    "command",
    "fault",
];
const LAYERS: &[Layer] = &[
    Layer { module: "model", may_import: &[], why: "the vocabulary is what all others share" },
    Layer {
        module: "definition",
        may_import: &["model"],
        why: "definitions become model values; who uses them is not their business",
    },
    Layer { module: "codec", may_import: &["model"], why: "bytes become model values and back, nothing else" },
    Layer { module: "operator", may_import: &["model"], why: CORE },
    Layer {
        module: "state",
        may_import: &["model", "operator"],
        why: "a store holds bytes; what flows through it is the pipeline's business",
    },
    Layer { module: "pipeline", may_import: &["model", "definition", "codec", "operator", "state"], why: CORE },
    Layer { module: "log", may_import: &["model"], why: "the log moves records; it never looks into them" },
    Layer { module: "config", may_import: &["model"], why: "settings are plain values that others are built from" },
    Layer { module: "telemetry", may_import: &["model", "config"], why: "metrics are told figures, they fetch none" },
    Layer {
        module: "board",
        may_import: &["model", "state"],
        why: "the board shows records as they were published, wherever they were read, and computes no figure; a store \
              holds bytes for it",
    },
    Layer {
        module: "http",
        may_import: &["model", "config", "board", "telemetry"],
        why: "HTTP reads what was published and never reaches into a running task",
    },
    Layer {
        module: "notify",
        may_import: &["model"],
        why: "who is told is decided from what was published, and from nothing else",
    },
    Layer { module: "fault", may_import: &[], why: "a place to die at knows nothing of what dies" },
    Layer { module: "traffic", may_import: &["model"], why: "generated traffic must not depend on what judges it" },
    Layer {
        module: "worker",
        may_import: &[
            "model",
            "definition",
            "codec",
            "operator",
            "state",
            "pipeline",
            "log",
            "http",
            "telemetry",
            "config",
            "fault",
        ],
        why: "the shell runs the pipeline; commands start the shell",
    },
    Layer { module: "command", may_import: &SHELL, why: "commands stand on top of everything but the program" },
    Layer { module: "main", may_import: &EVERYTHING, why: "the program stands on top" },
];

/// A part of a module that fewer modules may import.
struct Inner {
    path: &'static [&'static str],
    importers: &'static [&'static str],
    why: &'static str,
}

const INNER: &[Inner] = &[Inner {
    path: &["state", "rocksdb"],
    importers: &["state", "worker", "command", "main"],
    why: "the core works on the `Store` trait, so that it runs without a disk",
}];

/// A library that only some files may use.
struct Foreign {
    library: &'static str,
    files: &'static [&'static str],
    why: &'static str,
}

const FOREIGN: &[Foreign] = &[
    Foreign {
        library: "rocksdb",
        files: &["src/state/rocksdb.rs", "src/state/rocksdb/"],
        why: "RocksDB is one implementation of `state::Store`, behind a cargo feature",
    },
    Foreign {
        library: "rdkafka",
        files: &["src/log/kafka.rs", "src/log/kafka/", "src/command/tap.rs", "src/command/tap/"],
        why: "Kafka is one implementation of `log::Log`, behind a cargo feature",
    },
    Foreign {
        library: "rdkafka_sys",
        files: &["src/log/kafka.rs", "src/log/kafka/"],
        why: "Kafka is one implementation of `log::Log`, behind a cargo feature",
    },
];

/// The rule that `reference` in `file` (of module `from`) breaks, in words.
fn broken_rule(file: &str, from: &str, reference: &Reference) -> Option<String> {
    let at = format!("{file}:{}", reference.line);
    if !reference.in_crate {
        let library = FOREIGN.iter().find(|f| reference.path[0] == f.library)?;
        let allowed = library.files.iter().any(|f| file == *f || (f.ends_with('/') && file.starts_with(f)));
        let (name, files, why) = (library.library, library.files.join(", "), library.why);
        return (!allowed).then(|| format!("{at}: names `{name}`; only {files} may: {why}"));
    }
    let to = reference.path[0].as_str();
    if to == from || LAYERS.iter().all(|l| l.module != to) {
        return inner_rule(&at, from, reference);
    }
    let layer = LAYERS.iter().find(|l| l.module == from)?;
    if layer.may_import.contains(&to) {
        return inner_rule(&at, from, reference);
    }
    let allowed = if layer.may_import.is_empty() { "nothing".to_owned() } else { layer.may_import.join(", ") };
    Some(format!("{at}: `{from}` names `{}`; it may import {allowed}: {}", reference.path.join("::"), layer.why))
}

fn inner_rule(at: &str, from: &str, reference: &Reference) -> Option<String> {
    let inner =
        INNER.iter().find(|i| reference.path.iter().zip(i.path).filter(|(a, b)| a == b).count() == i.path.len())?;
    let (path, importers) = (inner.path.join("::"), inner.importers.join(", "));
    (!inner.importers.contains(&from))
        .then(|| format!("{at}: `{from}` names `{path}`; only {importers} may: {}", inner.why))
}

/// The module path of a source file: `src/log/kafka/mod.rs` is `log::kafka`; the two roots have none.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path: Vec<String> = inside.split('/').map(str::to_owned).collect();
    match path.last().map(String::as_str) {
        Some("mod") => path[..path.len() - 1].to_vec(),
        Some("lib" | "main") if path.len() == 1 => Vec::new(),
        _ => path,
    }
}

fn check(file: &str, source: &str) -> Vec<String> {
    let module = module_of(file);
    let from = if file == "src/main.rs" { "main" } else { module.first().map_or("lib", String::as_str) };
    let mut broken: Vec<_> = references(source, &module).iter().filter_map(|r| broken_rule(file, from, r)).collect();
    broken.dedup();
    broken
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// File names (from the root of the repository, with slashes) and contents, in order.
fn all_sources() -> Vec<(String, String)> {
    // Tests run in the root; a path from the build could be of another checkout that shares the target directory.
    let mut paths = Vec::new();
    sources(Path::new("src"), &mut paths);
    paths.sort();
    let name = |path: &Path| path.to_string_lossy().replace('\\', "/");
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// An alert on a metric that is never set never fires, and nobody notices. (That alerts and dashboards ask for metrics that
/// are declared is for tests/operations.)
#[test]
fn every_metric_that_is_declared_is_set() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let setters = [
        "command/notify/courier.rs",
        "command/notify/live.rs",
        "command/observe.rs",
        "command/run/thread.rs",
        "telemetry/figures.rs",
        "telemetry/inputs.rs",
    ]
    .map(|file| read(&format!("src/{file}")))
    .concat();
    let names = read("src/telemetry/names.rs");
    let declared: Vec<&str> = names
        .lines()
        .filter_map(|line| line.trim().split_once(" = "))
        .filter(|(_, kind)| ["Counter \"", "Gauge \"", "Histogram \""].iter().any(|start| kind.starts_with(start)))
        .map(|(constant, _)| constant)
        .collect();
    assert!(declared.len() > 30, "{declared:?}");
    for constant in declared {
        assert!(setters.contains(&format!("names::{constant}")), "{constant} is declared, and nobody sets it");
    }
}

#[test]
fn modules_import_only_what_their_layer_may() {
    let broken: Vec<_> = all_sources().iter().flat_map(|(file, source)| check(file, source)).collect();
    assert!(broken.is_empty(), "{} broken import rules:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_top_level_module_has_a_layer() {
    for (file, _) in all_sources() {
        let Some(module) = module_of(&file).first().cloned() else { continue };
        assert!(LAYERS.iter().any(|l| l.module == module), "{file}: `{module}` is in no layer of tests/tidy.rs");
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    let files = all_sources();
    let modules = files.iter().filter(|(file, _)| !file.ends_with("/tests.rs") && file != "src/main.rs");
    let missing: Vec<_> = modules.filter(|(_, source)| !source.starts_with("//!")).map(|(file, _)| file).collect();
    assert!(missing.is_empty(), "these files do not open with a `//!` description: {missing:?}");
}

#[test]
fn layers_form_no_cycle() {
    // Each layer may import only layers that can be put below it.
    let mut below: Vec<&str> = Vec::new();
    while let Some(next) =
        LAYERS.iter().find(|l| !below.contains(&l.module) && l.may_import.iter().all(|to| below.contains(to)))
    {
        below.push(next.module);
    }
    assert_eq!(below.len(), LAYERS.len(), "only {below:?} can be ordered");
}

mod the_check_itself {
    use super::check;

    fn lines(file: &str, source: &str) -> Vec<usize> {
        let line = |message: &String| message.split(':').nth(1).unwrap().parse().unwrap();
        check(file, source).iter().map(line).collect()
    }

    #[test]
    fn finds_every_spelling_of_a_forbidden_import() {
        let source = "
            use crate::worker::Task;
            use crate::{model::key, log::{self, Log}};
            use super::super::codec;
            fn f() { crate::http::serve(); let _: super::super::config::Config; }
            mod tests {
                use super::super::super::command;
            }
            pub(in crate::telemetry) fn g() {}";
        assert_eq!(lines("src/operator/window.rs", source), [2, 3, 3, 4, 5, 5, 7, 9]);
    }

    #[test]
    fn lets_allowed_imports_comments_and_texts_pass() {
        let source = r##"
            //! [`crate::worker`] is only mentioned.
            use crate::model::{key::Scope, time::Ms};
            use super::super::model;
            use super::window;
            /* crate::log /* nested crate::log */ crate::log */
            const TEXT: &str = "crate::worker \" crate::log";
            const RAW: &str = r#"crate::http" "#;
            fn f<'a>(c: char) -> bool { c == '"' || c == '\'' || crate::operator::pane::g(c) }
            mod tests { use super::super::window; use super::*; }"##;
        assert_eq!(lines("src/operator/window.rs", source), []);
    }

    #[test]
    fn rocksdb_is_named_by_its_store_alone() {
        let source = "use rocksdb::DB;\nfn f() -> ::rocksdb::Error {}\nuse {rocksdb::Cache};\nextern crate rocksdb;";
        assert_eq!(lines("src/state/memory.rs", source), [1, 2, 3, 4]);
        assert_eq!(lines("src/state/rocksdb/options.rs", source), []);
        let module = "pub mod rocksdb;\nuse crate::state::rocksdb::RocksStore;";
        assert_eq!(lines("src/worker/mod.rs", module), []);
        assert_eq!(lines("src/pipeline/users.rs", module), [2]);
    }

    #[test]
    fn rdkafka_is_named_by_the_kafka_log_and_tap_alone() {
        let source = "use rdkafka::consumer::BaseConsumer;";
        assert_eq!(lines("src/log/kafka/consumer.rs", source), []);
        assert_eq!(lines("src/command/tap.rs", source), []);
        assert_eq!(lines("src/worker/task.rs", source), [1]);
    }

    #[test]
    fn the_program_may_name_the_library_and_the_library_never_the_program() {
        assert_eq!(lines("src/main.rs", "fn main() { tailburn::command::run(); }"), []);
        assert_eq!(lines("src/worker/mod.rs", "use tailburn::command::run;"), [1]);
    }

    #[test]
    fn a_message_says_where_what_and_why() {
        let found = check("src/model/key.rs", "\nuse crate::state::Store;");
        assert_eq!(
            found,
            ["src/model/key.rs:2: `model` names `state::Store`; it may import nothing: \
              the vocabulary is what all others share"]
        );
    }
}
