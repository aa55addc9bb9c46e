//! How a command ends when it does not end well: the exit code and the words.

use std::process::ExitCode;

use common::client::ClientError;
use common::problem::Problem;

use crate::console::{Console, note};
use crate::problem_text::problem_text;

/// The task failed, the server refused, or this machine could not do its part.
pub(crate) const FAILED: u8 = 1;
/// The command was called wrongly (clap ends with the same).
const USAGE: u8 = 2;
/// No server answers, or not any more.
const UNREACHABLE: u8 = 3;
/// Ctrl-C, as shells report it.
const INTERRUPTED: u8 = 130;

/// What to do about a server that asks for a login.
const LOGIN_HINT: &str = "\nLog in with `taskctl login NAME`; `taskctl register NAME` signs up, and \
                          `taskctl logout` forgets an expired token.";

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
    problem: Option<Box<Problem>>,
}

impl Failure {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), problem: None }
    }

    /// The command cannot work as it was called.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(USAGE, text)
    }

    /// This machine could not do its part, for example write a file.
    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self::new(FAILED, text)
    }

    /// A server that answered before does not answer any more.
    pub(crate) fn lost(text: impl Into<String>) -> Self {
        Self::new(UNREACHABLE, text)
    }

    /// Whoever reads the output has seen enough (`| head`): the command ends early and well.
    pub(crate) fn reader_left() -> Self {
        Self::new(0, "")
    }

    /// The user pressed Ctrl-C.
    pub(crate) fn interrupted(text: impl Into<String>) -> Self {
        Self::new(INTERRUPTED, text)
    }

    /// Says what went wrong: a problem of the server as JSON on standard output where JSON was
    /// asked for, everything else in words on standard error.
    pub(crate) fn report(self, console: Console) -> ExitCode {
        match &self.problem {
            Some(problem) if console.is_json() => console.document(problem),
            _ if self.text.is_empty() => {}
            _ => note(&self.text),
        }
        ExitCode::from(self.code)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable { server, reason, connected: true } => Self::new(
                UNREACHABLE,
                format!("The server at {server} gave no answer.\nThe network said: {reason}"),
            ),
            ClientError::Unreachable { server, reason, connected: false } => Self::new(
                UNREACHABLE,
                format!(
                    "No server answers at {server}. Start one with `taskctl standalone` (or \
                     `make run` in the source folder), or name another with --server URL.\n\
                     The network said: {reason}"
                ),
            ),
            ClientError::Problem(problem) => {
                let mut text = problem_text(&problem);
                if matches!(problem.code.as_str(), "token_missing" | "invalid_token") {
                    text.push_str(LOGIN_HINT);
                }
                Self { code: FAILED, text, problem: Some(problem) }
            }
            ClientError::Unexpected { .. } => Self::new(
                FAILED,
                format!("{error}. Is it a task manager of the same version as this program?"),
            ),
        }
    }
}
