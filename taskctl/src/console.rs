//! Standard output and standard error.
//!
//! Standard output is for the requested output: a JSON document, a table, the bytes of a result.
//! All messages go to standard error, so that pipes stay clean.

use std::io::Write;

use serde::Serialize;

/// The outputs of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    json: bool,
    stdout_taken: bool,
}

impl Console {
    /// With `json`, standard output takes JSON documents only.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, stdout_taken: false }
    }

    /// Reserves standard output for the bytes of a result.
    pub(crate) fn with_stdout_reserved(self) -> Self {
        Self { stdout_taken: true, ..self }
    }

    /// Whether JSON was requested.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints the output of a command: `document` if JSON was requested, otherwise `text`.
    pub(crate) fn answer(self, document: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json { self.document(document) } else { to_stdout(&text()) }
    }

    /// Prints a JSON document on standard output.
    pub(crate) fn document(self, document: &impl Serialize) {
        if let Ok(text) = serde_json::to_string_pretty(document) {
            to_stdout(&text);
        }
    }

    /// Prints what a command has done, unless JSON was requested.
    pub(crate) fn say(self, text: &str) {
        match self {
            Self { json: true, .. } => {}
            Self { stdout_taken: true, .. } => note(text),
            _ => to_stdout(text),
        }
    }
}

/// Prints a message or failure on standard error.
pub(crate) fn note(text: &str) {
    // Nothing can be reported when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Ignores a closed pipe (`taskctl list | head`), which is not a failure.
fn to_stdout(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
