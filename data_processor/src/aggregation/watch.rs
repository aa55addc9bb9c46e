//! How far the work is, told from any thread, and the end of it when it is to end.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Control, Interrupted};

/// The caller's [`Control`], asked by one thread at a time and never again once it has ended the
/// work.
pub(super) struct Watch<'a> {
    control: &'a dyn Control,
    state: Mutex<State>,
}

/// See [`Watch::end_on_panic`].
pub(super) struct EndOnPanic<'a>(&'a Watch<'a>);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

#[derive(Default)]
struct State {
    bytes_read: u64,
    ended: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(control: &'a dyn Control) -> Self {
        Self { control, state: Mutex::default() }
    }

    /// `bytes` more are read.
    pub(super) fn read(&self, bytes: u64) -> Result<(), Interrupted> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return Err(Interrupted);
        }
        state.bytes_read += bytes;
        let answer = self.control.progress(state.bytes_read);
        state.ended = answer.is_err();
        answer
    }

    /// Looks for an interrupt.
    pub(super) fn checkpoint(&self) -> Result<(), Interrupted> {
        self.read(0)
    }

    /// Ends the work of all threads where it is dropped by a panic of this one: others may wait for
    /// what it was to do.
    pub(super) fn end_on_panic(&self) -> EndOnPanic<'_> {
        EndOnPanic(self)
    }

    /// Ends the work of all threads.
    pub(super) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    }
}
