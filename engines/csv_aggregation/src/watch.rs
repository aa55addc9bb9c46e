//! Progress, interrupts and limits of an aggregation, shared by its threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::control::{Control, Interrupted};

/// How often a waiting thread checks whether it may work.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The caller's [`Control`]. Progress is reported by one thread at a time, and not any more once
/// the work was interrupted.
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

    /// Reports that `bytes` more bytes were read.
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

    /// Checks for an interrupt.
    pub(crate) fn checkpoint(&self) -> Result<(), Interrupted> {
        self.read(0)
    }

    /// Reports that `rows` rows have been rejected so far.
    pub(crate) fn rejected(&self, rows: u64) {
        self.control.rejected(rows);
    }

    /// How many threads may work now; at least one.
    pub(crate) fn threads(&self) -> usize {
        self.control.threads().max(1)
    }

    /// How much memory in bytes groups may take now.
    pub(crate) fn memory(&self) -> u64 {
        self.control.memory()
    }

    /// Reports that groups were written to temporary files.
    pub(crate) fn spilled(&self, bytes: u64) {
        self.control.spilled(bytes);
    }

    /// Waits until the thread with this number, from 0, may work, or all work is done.
    pub(crate) fn wait_for_turn(
        &self,
        number: usize,
        is_done: impl Fn() -> bool,
    ) -> Result<(), Interrupted> {
        while number >= self.threads() && !is_done() {
            drop(self.changed.wait_timeout(self.lock(), POLL_INTERVAL));
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Wakes the threads that wait for their turn, when all work is done or taken.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A guard that interrupts all threads if this one panics, because they may wait for its work.
    pub(crate) fn end_on_panic(&self) -> EndOnPanic<'_> {
        EndOnPanic(self)
    }

    /// Interrupts all threads.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.wake();
    }
}
