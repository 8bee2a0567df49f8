//! The command as a person uses it: options in, files out.

use super::*;
use clap::{CommandFactory as _, Parser};
use std::io::Read as _;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    generate: GenerateArgs,
}

/// The message of a refusal, by the parser or by the command.
fn generate(options: &[&str]) -> Result<Exit, String> {
    let cli = Cli::try_parse_from([&["generate"], options].concat()).map_err(|e| e.to_string())?;
    super::generate(&cli.generate, crate::command::Voice::new(1, crate::telemetry::LogFormat::Text))
        .map_err(|e| e.to_string())
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}

fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("the file was written");
    let mut plain = Vec::new();
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).map(|_| ()),
        Some("zst") => zstd::stream::copy_decode(&bytes[..], &mut plain),
        _ => {
            plain = bytes;
            Ok(())
        }
    }
    .expect("the file is whole");
    plain
}

#[test]
fn the_options_are_sound_and_the_help_has_examples() {
    Cli::command().debug_assert();
    let help = Cli::command().render_long_help().to_string();
    assert!(help.contains("--incident auto") && help.contains("[dirty 0.01]"), "{help}");
}

#[test]
fn every_compression_writes_the_same_lines_and_the_truth_counts_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut written: Vec<Vec<Vec<u8>>> = Vec::new();
    for (compression, suffix) in [("none", ""), ("gz", ".gz"), ("zst", ".zst")] {
        let out = dir.path().join(compression);
        let truth = out.join("truth.json");
        let options = ["--events", "3000", "--users", "200", "--partitions", "3", "--duration", "6h"];
        let places = ["--out", path_text(&out), "--truth", path_text(&truth), "--compress", compression];
        let plan = ["--profile", "dirty", "--retries", "0", "--incident", "auto"];
        generate(&[&options[..], &places[..], &plan[..]].concat()).expect("sound options");
        let truth: serde_json::Value = serde_json::from_slice(&unpacked(&truth)).expect("the truth is JSON");
        assert_eq!(truth["totals"]["records"], 3_000);
        assert_eq!(truth["incidents"].as_array().map(Vec::len), Some(5));
        written.push((0..3).map(|p| unpacked(&out.join(format!("p{p}.jsonl{suffix}")))).collect());
    }
    let lines = |files: &[Vec<u8>]| files.iter().flatten().filter(|b| **b == b'\n').count();
    assert_eq!(lines(&written[0]), 3_000);
    assert!(written[0].iter().all(|file| lines(std::slice::from_ref(file)) == 1_000));
    assert_eq!(written[0], written[1]);
    assert_eq!(written[0], written[2]);
}

#[test]
fn the_slo_is_written_beside_the_traffic() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let slo = dir.path().join("new/slo.yaml");
    generate(&["--events", "10", "--users", "10", "--out", path_text(dir.path()), "--slo", path_text(&slo)])
        .expect("sound options");
    assert_eq!(unpacked(&slo), traffic::EXAMPLE_SLO.as_bytes());
}

#[test]
fn wrong_options_are_refused_with_the_remedy() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (options, remedy) in [
        (vec!["--rate", "0"], "above 0"),
        (vec!["--rate", "1", "--events", "5"], "--events"),
        (vec!["--duration", "600w"], "ten years"),
        (vec!["--duration", "5"], "unit"),
        (vec!["--from", "yesterday"], "2026-01-05T00:00:00.000Z"),
        (vec!["--late", "2"], "from 0 to 1"),
        (vec!["--users", "2"], "a user for each tenant"),
        (vec!["--incident", "auto+"], "KIND@START+DURATION"),
    ] {
        let out = ["--out", path_text(dir.path())];
        let refusal = generate(&[&out[..], &options[..]].concat()).expect_err("refused");
        assert!(refusal.contains(remedy), "{options:?}: {refusal}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).map(Iterator::count).ok(), Some(0), "a refusal writes nothing");
}
