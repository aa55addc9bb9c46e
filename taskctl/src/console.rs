//! Standard output and standard error.
//!
//! Standard output is for the requested output: a JSON document, a table, the bytes of a result.
//! All messages go to standard error, so that pipes stay clean.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use ::console::Term;
use serde::Serialize;

/// Whether `--quiet` was given: for the whole process, as are its output streams.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Switches messages and progress off.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether messages and progress are switched off.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

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

    /// Prints a line on standard output; false if its reader is gone.
    pub(crate) fn line(self, text: &str) -> bool {
        writeln!(std::io::stdout().lock(), "{text}").is_ok()
    }

    /// Prints an id, which is all that is printed when messages are switched off.
    pub(crate) fn id(self, id: &impl Display) {
        if is_quiet() && !self.json && !self.stdout_taken {
            to_stdout(&id.to_string());
        }
    }

    /// Prints a JSON document on standard output.
    pub(crate) fn document(self, document: &impl Serialize) {
        if let Ok(text) = serde_json::to_string_pretty(document) {
            to_stdout(&text);
        }
    }

    /// Prints what a command has done, unless JSON was requested or messages are switched off.
    pub(crate) fn say(self, text: &str) {
        match self {
            Self { json: true, .. } => {}
            _ if is_quiet() => {}
            Self { stdout_taken: true, .. } => note(text),
            _ => to_stdout(text),
        }
    }
}

/// Whether standard output shows colours.
pub(crate) fn is_colored() -> bool {
    ::console::colors_enabled()
}

/// The width of the terminal on standard output; any, if it is none.
pub(crate) fn output_width() -> usize {
    let terminal = Term::stdout();
    if terminal.is_term() { terminal.size().1.into() } else { usize::MAX }
}

/// Prints a message on standard error, unless messages are switched off.
pub(crate) fn note(text: &str) {
    if !is_quiet() {
        complain(text);
    }
}

/// Prints a failure on standard error.
pub(crate) fn complain(text: &str) {
    // Nothing can be reported when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Ignores a closed pipe (`taskctl list | head`), which is not a failure.
fn to_stdout(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
