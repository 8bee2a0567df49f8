//! `completions`: a script that teaches a shell our command line.

use super::{Exit, Outcome, Printer, definition};
use clap::Args;
use clap_complete::Shell;
use std::io::Write as _;

/// Print a script that completes tailburn's command line in a shell
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn completions bash > /etc/bash_completion.d/tailburn
  tailburn completions zsh > \"${fpath[1]}/_tailburn\"
  tailburn completions fish > ~/.config/fish/completions/tailburn.fish")]
pub struct CompletionsArgs {
    pub shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> Outcome {
    // The generator panics on a write that fails: so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), "tailburn", &mut script);
    let mut out = Printer::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Done.into())
}
