//! Debian's `promtool`, which is installed where it is missing.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Installs it once. `false`: it must not be installed, and this is no gate.
#[expect(clippy::disallowed_methods, reason = "the gate says by a variable that nothing may be left out")]
fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let install = ". ops/lib.sh; need_packages prometheus";
        let ran = Command::new("bash").args(["-c", install]).output().expect("bash");
        let has_it = ran.status.success() && Command::new("promtool").arg("--version").output().is_ok();
        let is_needed = std::env::var("TAILBURN_REQUIRE_BROKER").is_ok_and(|value| value == "1");
        assert!(has_it || !is_needed, "promtool is missing: {}", String::from_utf8_lossy(&ran.stderr));
        if !has_it {
            eprintln!("SKIPPED: promtool (Debian's package prometheus) is missing");
        }
        has_it
    })
}

/// Runs it with this text on standard input, and returns what it says, which must be that all is well. `None`: it was left
/// out.
pub fn promtool(args: &[&str], input: &str) -> Option<String> {
    if !is_there() {
        return None;
    }
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {args:?}: {said}\n{input}");
    Some(said)
}
