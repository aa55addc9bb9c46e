//! Commands on several files or tasks: the outcome of each, and one JSON document for all.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::console::{Console, complain};
use crate::failure::{FAILED, Failure};

/// The outcomes of a command on one or several things. A failure of one of several does not keep
/// the others from being tried.
#[derive(Debug)]
pub(crate) struct Several {
    console: Console,
    is_one: bool,
    items: Vec<Value>,
    errors: Vec<Value>,
    has_failed: bool,
}

impl Several {
    /// For a command on `count` things.
    pub(crate) fn new(console: Console, count: usize) -> Self {
        Self {
            console,
            is_one: count == 1,
            items: Vec::new(),
            errors: Vec::new(),
            has_failed: false,
        }
    }

    /// Whether there are several, which need names.
    pub(crate) fn is_many(&self) -> bool {
        !self.is_one
    }

    /// The value of a success. A failure of one of several is reported, with its name.
    ///
    /// # Errors
    /// The failure of the only one, or one that would be that of all others too.
    pub(crate) fn tried<T>(
        &mut self,
        name: &str,
        result: Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(failure) if self.is_one || failure.is_of_all() => Err(failure),
            Err(failure) => {
                self.has_failed = true;
                let mut document = failure.document();
                if let Some(document) = document.as_object_mut() {
                    document.insert("subject".to_owned(), json!(name));
                }
                self.errors.push(document);
                if !self.console.is_json() {
                    complain(&format!("{name}: {failure}"));
                }
                Ok(None)
            }
        }
    }

    /// Adds the document of a success, and whether what it is about has succeeded.
    pub(crate) fn add(&mut self, document: &impl Serialize, code: ExitCode) {
        self.items.extend(serde_json::to_value(document).ok());
        self.has_failed |= code != ExitCode::SUCCESS;
    }

    /// Prints the document, if JSON was requested: that of the only thing, or a list of all.
    pub(crate) fn finish(mut self) -> ExitCode {
        if self.console.is_json() {
            match self.items.pop() {
                Some(only) if self.is_one => self.console.document(&only),
                last => {
                    self.items.extend(last);
                    let (items, errors) = (&self.items, &self.errors);
                    self.console.document(&json!({"items": items, "errors": errors}));
                }
            }
        }
        if self.has_failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
    }
}
