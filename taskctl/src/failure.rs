//! Failures of commands: their exit codes and texts.

use std::fmt;
use std::process::ExitCode;

use common::client::ClientError;
use common::clock::now;
use common::problem::Problem;
use serde_json::{Value, json};

use crate::console::{Console, complain};
use crate::problem_text::problem_text;

/// Nothing is left to do.
const DONE: u8 = 0;
/// The task failed, the server refused, or a local operation failed.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage (clap uses the same).
const USAGE: u8 = 2;
/// No server answers, or it stopped answering.
const UNREACHABLE: u8 = 3;
/// Ctrl-C, as shells report it.
const INTERRUPTED: u8 = 130;

/// Advice for a server that requires a login.
const LOGIN_HINT: &str = "\nLog in with `taskctl login NAME`; `taskctl register NAME` signs up, and \
                          `taskctl logout` removes an expired token.";

/// Why a command failed.
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

    /// The usage is wrong.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(USAGE, text)
    }

    /// A local operation failed, such as writing a file.
    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self::new(FAILED, text)
    }

    /// A server stopped answering.
    pub(crate) fn lost(text: impl Into<String>) -> Self {
        Self::new(UNREACHABLE, text)
    }

    /// The reader of the output closed it (`| head`): the command ends early without an error.
    pub(crate) fn reader_left() -> Self {
        Self::new(DONE, "")
    }

    /// The user pressed Ctrl-C.
    pub(crate) fn interrupted(text: impl Into<String>) -> Self {
        Self::new(INTERRUPTED, text)
    }

    /// The same with another sentence.
    pub(crate) fn with_advice(mut self, advice: &str) -> Self {
        self.text.push('\n');
        self.text.push_str(advice);
        self
    }

    /// The status of the server's problem document, if it is one.
    pub(crate) fn status(&self) -> Option<u16> {
        self.problem.as_ref().map(|problem| problem.status)
    }

    /// Whether the server refused, or did not answer.
    pub(crate) fn is_of_server(&self) -> bool {
        self.problem.is_some() || self.code == UNREACHABLE
    }

    /// Whether the command can succeed later, or another time.
    pub(crate) fn is_transient(&self) -> bool {
        let status = self.status();
        self.code == UNREACHABLE || status.is_some_and(|status| status >= 500 || status == 429)
    }

    /// Whether the server does not know the token.
    pub(crate) fn is_about_token(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.code == "invalid_token")
    }

    /// Whether other requests of the same command would fail in the same way.
    pub(crate) fn is_of_all(&self) -> bool {
        let is_over = matches!(self.code, DONE | UNREACHABLE | INTERRUPTED);
        is_over || matches!(self.status(), Some(401 | 429))
    }

    /// The failure as a problem document: the server's own, or one of the same shape.
    pub(crate) fn document(&self) -> Value {
        match &self.problem {
            Some(problem) => serde_json::to_value(problem).unwrap_or_default(),
            None => {
                let (code, title) = match self.code {
                    USAGE => ("usage", "Wrong usage"),
                    UNREACHABLE => ("unreachable", "The server does not answer"),
                    INTERRUPTED => ("interrupted", "Interrupted"),
                    _ => ("failed", "The command failed"),
                };
                json!({
                    "type": "about:blank", "title": title, "status": null, "detail": self.text,
                    "instance": null, "code": code, "timestamp": now(), "errors": [],
                    "error_count": 0
                })
            }
        }
    }

    /// Prints the failure: as JSON on standard output if JSON was requested, otherwise as text on
    /// standard error.
    pub(crate) fn report(self, console: Console) -> ExitCode {
        match self.text.is_empty() {
            true => {}
            false if console.is_json() => console.document(&self.document()),
            false => complain(&self.text),
        }
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable { server, reason, connected: true } => Self::new(
                UNREACHABLE,
                format!("The server at {server} did not answer.\nNetwork error: {reason}"),
            ),
            ClientError::Unreachable { server, reason, connected: false } => Self::new(
                UNREACHABLE,
                format!(
                    "No server answers at {server}. Start one with `taskctl standalone` (or \
                     `make run` in the source folder), or name another with --server URL.\n\
                     Network error: {reason}"
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
