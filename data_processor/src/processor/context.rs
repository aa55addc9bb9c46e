//! The context of an attempt, through which its processor uses the worker.

use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use common::client::ClientError;
use common::problem::Problem;
use common::report::{Attempt, InputFile, RowBatch, RowsAnswer, StepAnswer};
use common::storage::{ObjectKey, ObjectReader, ObjectWriter, OutputPart, Storage};
use common::task::TaskId;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Span;

use super::ProcessError;
use crate::budget::Budget;
use crate::config::WorkerConfig;
use crate::task_manager::TaskManager;

/// Why an attempt is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The user stopped the task: everything that it wrote is rolled back.
    Stop,
    /// The user killed the task: everything up to its last checkpoint is kept.
    Kill,
    /// The attempt no longer belongs to this worker, as the task manager said.
    LeaseLost,
    /// The task manager has not answered for the length of the lease, so the task may belong to
    /// another worker.
    LeaseExpired,
    /// The worker shuts down.
    Drain,
}

/// The attempt was interrupted; a processor passes this on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the attempt was interrupted")]
pub struct Interrupted;

/// The context of an attempt. Clones refer to the same attempt and may be used on any thread.
#[derive(Debug, Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    task_id: TaskId,
    attempt: u32,
    input: Option<InputFile>,
    checkpoint: Option<Value>,
    budget: Arc<Budget>,
    unpacked_limit: u64,
    storage: Storage,
    task_manager: TaskManager,
    span: Span,
    done: AtomicU64,
    rejected_rows: AtomicU64,
    interruption: OnceLock<Interruption>,
    interrupted: CancellationToken,
    /// The threads of the attempt.
    threads: TaskTracker,
}

impl Context {
    pub(crate) fn new(
        attempt: &Attempt,
        storage: Storage,
        task_manager: TaskManager,
        config: &WorkerConfig,
        budget: Arc<Budget>,
    ) -> Self {
        let Attempt { task_id, attempt: number, ref input, ref checkpoint, .. } = *attempt;
        Self {
            shared: Arc::new(Shared {
                task_id,
                attempt: number,
                input: input.clone(),
                checkpoint: checkpoint.clone(),
                budget,
                unpacked_limit: config.unpacked_limit,
                storage,
                task_manager,
                span: tracing::info_span!("task", %task_id, attempt = number),
                done: AtomicU64::new(0),
                rejected_rows: AtomicU64::new(0),
                interruption: OnceLock::new(),
                interrupted: CancellationToken::new(),
                threads: TaskTracker::new(),
            }),
        }
    }

    /// The task.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.shared.task_id
    }

    /// The number of the attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.shared.attempt
    }

    /// The input file.
    ///
    /// # Errors
    /// The task has no input file; it fails.
    pub fn input(&self) -> Result<&InputFile, ProcessError> {
        self.shared.input.as_ref().ok_or_else(|| {
            let detail = "this kind of task needs an input file, and the task has none";
            ProcessError::fail(Problem::new(422, "input_missing", "No input file", detail))
        })
    }

    /// The checkpoint of an earlier attempt.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Value> {
        self.shared.checkpoint.as_ref()
    }

    /// The threads and the memory of the worker. A processor that uses several threads or much
    /// memory takes a share.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.shared.budget
    }

    /// The maximum decompressed size of a compressed input, in bytes.
    #[must_use]
    pub fn unpacked_limit(&self) -> u64 {
        self.shared.unpacked_limit
    }

    /// Opens the input file.
    ///
    /// # Errors
    /// The task has no input file, or the storage failed.
    pub async fn open_input(&self) -> Result<ObjectReader, ProcessError> {
        self.input()?;
        Ok(self.shared.storage.open(ObjectKey::Input(self.task_id()), None).await?)
    }

    /// Opens the input file from the byte `offset` on, which must be before its end.
    ///
    /// # Errors
    /// As [`open_input`](Self::open_input).
    pub async fn open_input_from(&self, offset: u64) -> Result<ObjectReader, ProcessError> {
        let range = Some(offset..self.input()?.size);
        Ok(self.shared.storage.open(ObjectKey::Input(self.task_id()), range).await?)
    }

    /// Sends a batch of the task's rows to the task manager, once.
    ///
    /// # Errors
    /// The task manager did not answer, or refused the batch.
    pub async fn load(&self, batch: &RowBatch) -> Result<RowsAnswer, ClientError> {
        self.shared.task_manager.load(self.task_id(), batch).await
    }

    /// Asks the task manager for a step of the bulk action, once.
    ///
    /// # Errors
    /// The task manager did not answer, or refused the step.
    pub async fn step(&self) -> Result<StepAnswer, ClientError> {
        self.shared.task_manager.step(self.task_id(), self.attempt()).await
    }

    /// Starts writing one of the attempt's output files.
    #[must_use]
    pub fn create_output(&self, part: OutputPart) -> ObjectWriter {
        let (task_id, attempt) = (self.task_id(), self.attempt());
        self.shared.storage.create(ObjectKey::Output { task_id, attempt, part })
    }

    /// Notes that `done` bytes of the input are processed. This is cheap: call it often.
    ///
    /// # Errors
    /// The attempt was interrupted.
    pub fn progress(&self, done: u64) -> Result<(), Interrupted> {
        // Relaxed: the number is only displayed, and orders no other memory access.
        self.shared.done.store(done, Ordering::Relaxed);
        if self.shared.interruption.get().is_some() { Err(Interrupted) } else { Ok(()) }
    }

    /// Notes that `rows` rows of the input were rejected so far, by this attempt and by earlier ones
    /// whose work it continues.
    pub fn rejected(&self, rows: u64) {
        self.shared.rejected_rows.store(rows, Ordering::Relaxed);
    }

    /// Runs blocking work on a thread of its own. The work should call [`progress`](Self::progress)
    /// often: it cannot be cancelled, and occupies the attempt's slot until it returns. Its panic
    /// is propagated to the caller.
    ///
    /// # Errors
    /// The process shut down before the work started.
    pub async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let (ctx, running) = (self.clone(), self.shared.threads.token());
        let thread = tokio::task::spawn_blocking(move || {
            // Dropped after everything that the work owns.
            let _running = running;
            ctx.span().in_scope(|| work(&ctx))
        });
        thread.await.map_err(|error| match error.try_into_panic() {
            Ok(payload) => panic::resume_unwind(payload),
            Err(_) => Interrupted,
        })
    }

    /// Waits until the attempt is interrupted, for processors that wait for something else.
    pub async fn interrupted(&self) {
        self.shared.interrupted.cancelled().await;
    }

    /// Whether threads of the attempt still run.
    pub(crate) fn has_threads(&self) -> bool {
        !self.shared.threads.is_empty()
    }

    /// Waits until all threads of the attempt have ended. It must not start any more.
    pub(crate) async fn threads_ended(&self) {
        self.shared.threads.close();
        self.shared.threads.wait().await;
    }

    /// The span of the attempt's log lines.
    pub(crate) fn span(&self) -> &Span {
        &self.shared.span
    }

    /// Interrupts the attempt. If it was interrupted before, the first reason is kept.
    pub(crate) fn interrupt(&self, why: Interruption) {
        self.shared.interruption.get_or_init(|| why);
        self.shared.interrupted.cancel();
    }

    /// Why the attempt was interrupted, if it was.
    pub(crate) fn interruption(&self) -> Option<Interruption> {
        self.shared.interruption.get().copied()
    }

    /// The number of bytes processed, and the size of the input if there is one.
    pub(crate) fn done(&self) -> (u64, Option<u64>) {
        let total = self.shared.input.as_ref().map(|input| input.size);
        (self.shared.done.load(Ordering::Relaxed), total)
    }

    /// The number of rows rejected so far; none if it is zero.
    pub(crate) fn rejected_rows(&self) -> Option<u64> {
        Some(self.shared.rejected_rows.load(Ordering::Relaxed)).filter(|rows| *rows > 0)
    }
}
