//! How a command ends: its exit code, and the failure's text on standard error.

use super::Voice;
use crate::config::ConfigErrors;
use std::io;
use std::process::ExitCode;

/// The exit codes of the program (contract, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// Findings of `check`, or a failure that has no code of its own.
    Findings,
    Usage,
    /// `gate` has nothing to decide by.
    NoData,
    /// `EX_CONFIG` of sysexits: service managers tell it from a crash, and do not restart.
    Configuration,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::NoData => 3,
            Exit::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Configuration(#[from] ConfigErrors),
    /// A mistake in a file that the configuration names (an SLO, a key file), in the reader's words.
    #[error("{0}")]
    Definition(String),
    /// Wrong arguments that the parser could not detect.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

pub type Outcome = Result<ExitCode, Failure>;

impl Failure {
    const fn exit(&self) -> Exit {
        match self {
            Failure::Configuration(_) | Failure::Definition(_) => Exit::Configuration,
            Failure::Usage(_) => Exit::Usage,
            Failure::Io(_) | Failure::Other(_) => Exit::Findings,
        }
    }

    /// The same where exit code 1 is a finding, which a failure is not: 78.
    pub fn without_finding(self) -> Failure {
        match self {
            Failure::Other(e) => Failure::Definition(with_causes(&e)),
            other => other,
        }
    }

    /// Whether the reader closed our output pipe: `tailburn ... | head` is not a failure.
    fn is_broken_pipe(&self) -> bool {
        let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
        match self {
            Failure::Io(e) => broken(e),
            Failure::Other(e) => e.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken)),
            _ => false,
        }
    }
}

/// The exit code of a result; prints a failure and its causes on standard error.
pub fn reported(outcome: Outcome, voice: &Voice) -> ExitCode {
    match outcome {
        Ok(exit) => exit,
        Err(failure) if failure.is_broken_pipe() => Exit::Done.into(),
        Err(failure) => {
            voice.error(&match &failure {
                Failure::Other(e) => with_causes(e),
                other => other.to_string(),
            });
            failure.exit().into()
        }
    }
}

/// An error and its causes, each once: the text of many errors contains the cause already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read {name}: {source}")]
        struct Unreadable {
            name: &'static str,
            source: io::Error,
        }
        let missing = || Unreadable { name: "in.jsonl", source: io::Error::other("no such file") };
        assert_eq!(with_causes(&missing().into()), "cannot read in.jsonl: no such file");
        let outer = anyhow::Error::from(missing()).context("the input").context("backtest");
        assert_eq!(with_causes(&outer), "backtest: the input: cannot read in.jsonl: no such file");
        let plain = anyhow::Error::from(io::Error::other("no such file")).context("slos/a.yaml");
        assert_eq!(with_causes(&plain), "slos/a.yaml: no such file");
    }

    #[test]
    fn a_closed_pipe_is_no_failure_however_deep_it_lies() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(reported(Err(Failure::Io(pipe())), &Voice::default()), Exit::Done.into());
        let deep = Err::<(), _>(pipe()).context("writing").context("tap").expect_err("an error");
        assert_eq!(reported(Err(Failure::Other(deep)), &Voice::default()), Exit::Done.into());
        assert_eq!(
            reported(Err(Failure::Io(io::Error::from(io::ErrorKind::NotFound))), &Voice::default()),
            Exit::Findings.into()
        );
    }
}
