//! Standard output and standard error: which words go where.
//!
//! Standard output takes what was asked for: a JSON document, a table, the bytes of a result.
//! Everything said along the way goes to standard error, so that pipes stay clean.

use std::io::Write;

use serde::Serialize;

/// Where words go.
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

    /// Leaves standard output to the bytes of a result.
    pub(crate) fn with_stdout_taken(self) -> Self {
        Self { stdout_taken: true, ..self }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// The answer of a command: `document` where JSON was asked for, else `text`.
    pub(crate) fn answer(self, document: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json { self.document(document) } else { to_stdout(&text()) }
    }

    /// A JSON document on standard output.
    pub(crate) fn document(self, document: &impl Serialize) {
        if let Ok(text) = serde_json::to_string_pretty(document) {
            to_stdout(&text);
        }
    }

    /// What a command has done, in words, where no JSON was asked for.
    pub(crate) fn say(self, text: &str) {
        match self {
            Self { json: true, .. } => {}
            Self { stdout_taken: true, .. } => self.note(text),
            _ => to_stdout(text),
        }
    }

    /// Words on the way and of failures, on standard error.
    pub(crate) fn note(self, text: &str) {
        // There is nobody left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// A reader that has seen enough closes the pipe (`taskctl list | head`): that is no failure.
fn to_stdout(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
