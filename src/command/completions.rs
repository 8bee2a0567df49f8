//! `completions`: prints a completion script for a shell.

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
    // The generator panics if a write fails, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), "tailburn", &mut script);
    if args.shell == Shell::Fish {
        script.extend(names_for_fish().into_bytes());
    }
    let mut out = Printer::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Done.into())
}

/// For fish the generator leaves out the values of positional arguments, so we add ours.
fn names_for_fish() -> String {
    let names_of = |command: &clap::Command| -> Vec<String> {
        let positionals = command.get_positionals().flat_map(clap::Arg::get_possible_values);
        positionals.map(|value| value.get_name().to_owned()).collect()
    };
    let line = |command: &clap::Command| {
        let (name, names) = (command.get_name().to_owned(), names_of(command).join(" "));
        (!names.is_empty())
            .then(|| format!("complete -c tailburn -n \"__fish_tailburn_using_subcommand {name}\" -f -a \"{names}\"\n"))
    };
    definition().get_subcommands().filter_map(line).collect()
}
