//! How far the work is, told from any thread, the end of it when it is to end, and what it may use.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::control::{Control, Interrupted};

/// A thread that waits looks so often whether it may work.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The caller's [`Control`], asked by one thread at a time and never again once it has ended the
/// work.
pub(crate) struct Watch<'a> {
    control: &'a dyn Control,
    state: Mutex<State>,
    changed: Condvar,
}

/// See [`Watch::end_on_panic`].
pub(crate) struct EndOnPanic<'a>(&'a Watch<'a>);

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
    pub(crate) fn new(control: &'a dyn Control) -> Self {
        Self { control, state: Mutex::default(), changed: Condvar::new() }
    }

    /// `bytes` more are read.
    pub(crate) fn read(&self, bytes: u64) -> Result<(), Interrupted> {
        let mut state = self.lock();
        if state.ended {
            return Err(Interrupted);
        }
        state.bytes_read += bytes;
        let answer = self.control.progress(state.bytes_read);
        state.ended = answer.is_err();
        answer
    }

    /// Looks for an interrupt.
    pub(crate) fn checkpoint(&self) -> Result<(), Interrupted> {
        self.read(0)
    }

    /// How many threads may work now.
    pub(crate) fn threads(&self) -> usize {
        self.control.threads().max(1)
    }

    /// How much memory in bytes groups may take now.
    pub(crate) fn memory(&self) -> u64 {
        self.control.memory()
    }

    /// Waits while fewer threads may work than up to the one of this number, from 0, and there is
    /// work.
    pub(crate) fn wait_for_turn(
        &self,
        number: usize,
        is_done: impl Fn() -> bool,
    ) -> Result<(), Interrupted> {
        while number >= self.threads() && !is_done() {
            drop(self.changed.wait_timeout(self.lock(), LOOK_EVERY));
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Wakes the threads that wait for their turn: all work is done, or taken by others.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the work of all threads where it is dropped by a panic of this one: others may wait for
    /// what it was to do.
    pub(crate) fn end_on_panic(&self) -> EndOnPanic<'_> {
        EndOnPanic(self)
    }

    /// Ends the work of all threads.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.wake();
    }
}
