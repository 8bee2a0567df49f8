//! Inputs that cannot be read as they should be.

use crate::program::{Program, Ran};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs the program from a shell, as in `diff --input <(cat past.jsonl)`.
pub fn run_in_shell(program: &Program, args: &str) -> Ran {
    let line = format!("{} {args}", env!("CARGO_BIN_EXE_tailburn"));
    let mut command = Command::new("bash");
    command.args(["-c", &line]).current_dir(program.path()).stdin(Stdio::null());
    Ran::of(command.output().expect("bash starts"))
}

/// Writes the first half of a packed file.
pub fn cut_off(program: &Program, name: &str, text: &str) {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).expect("packed");
    let packed = packed.finish().expect("packed");
    fs::write(program.path().join(name), &packed[..packed.len() / 2]).expect("a file");
}
