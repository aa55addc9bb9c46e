//! A worker with a fake task manager, the real in-process queue and a real storage.

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::queue::{MemoryQueue, Message, Queue};
use common::report::{Attempt, InputFile};
use common::storage::{ObjectKey, OutputPart, Storage};
use common::task::spec::{
    CsvAggregationSpec, DataUploadSpec, MessageValidationSpec, OnBadRow, TaskSpec,
};
use common::task::{TaskId, TaskKind, UserId};
use futures_util::FutureExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fake_task_manager::FakeTaskManager;
use crate::config::WorkerConfig;
use crate::mail::Mailer;
use crate::processor::{Completed, Interrupted};
use crate::processors;
use crate::worker::{Process, run_with};

/// How long a test waits for a condition.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `holds` returns `true`.
pub(super) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "it did not happen: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

pub(super) struct Harness {
    pub(super) api: FakeTaskManager,
    pub(super) queue: Queue,
    pub(super) storage: Storage,
    pub(super) folder: TempDir,
    shutdown: CancellationToken,
    worker: Option<JoinHandle<()>>,
}

impl Harness {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            api: FakeTaskManager::start().await,
            queue: Queue::Memory(MemoryQueue::default()),
            storage: Storage::local(folder.path()).unwrap(),
            folder,
            shutdown: CancellationToken::new(),
            worker: None,
        }
    }

    /// Starts a worker with a processor of the test.
    pub(super) fn start(&mut self, slots: u16, drain_timeout: Duration, process: Process) {
        let config = WorkerConfig {
            name: "test".to_owned(),
            slots: NonZeroU16::new(slots).unwrap(),
            drain_timeout,
            ..WorkerConfig::default()
        };
        let (client, queue, storage) =
            (self.api.client(), self.queue.clone(), self.storage.clone());
        let shutdown = self.shutdown.clone();
        self.worker = Some(tokio::spawn(async move {
            run_with(config, client, &queue, storage, shutdown, process).await;
        }));
    }

    /// Starts a worker with the real processors.
    pub(super) fn start_real(&mut self) {
        self.start_with_mail(Mailer::default());
    }

    /// Starts a worker with the real processors, which send mail with `mailer`.
    pub(super) fn start_with_mail(&mut self, mailer: Mailer) {
        let process = move |spec, ctx| processors::start(spec, ctx, mailer.clone());
        self.start(2, Duration::ZERO, Arc::new(process));
    }

    /// Starts the shutdown of the worker.
    pub(super) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Shuts down the worker and waits for its end.
    pub(super) async fn end(&mut self) {
        self.shut_down();
        let worker = self.worker.take().unwrap();
        timeout(DEADLINE, worker).await.expect("the worker does not end").unwrap();
    }

    /// Adds a task, changed by `change`, to the task manager, but not to the queue.
    pub(super) fn task(&self, change: impl FnOnce(&mut Attempt)) -> TaskId {
        let task_id = TaskId::new();
        let mut attempt = Attempt {
            task_id,
            attempt: 1,
            lease: 30,
            spec: TaskSpec::CsvAggregation(CsvAggregationSpec::default()),
            input: None,
            checkpoint: None,
            exclusive: false,
        };
        change(&mut attempt);
        self.api.script().attempts.insert(task_id, attempt);
        task_id
    }

    /// A small task.
    pub(super) fn small_task(&self) -> TaskId {
        self.small_task_with(|_| ())
    }

    /// A small task, changed by `change`.
    pub(super) fn small_task_with(&self, change: impl FnOnce(&mut Attempt)) -> TaskId {
        let user_id = UserId(uuid::Uuid::nil());
        let (message, number, request_count) = ("Hello".to_owned(), 7, 1);
        let spec = MessageValidationSpec { user_id, message, number, request_count };
        self.task(|attempt| {
            attempt.spec = TaskSpec::MessageValidation(spec);
            change(attempt);
        })
    }

    /// A `csv_aggregation` task with an input file.
    pub(super) async fn csv_task(&self, content: &str, spec: CsvAggregationSpec) -> TaskId {
        self.file_task(content, TaskSpec::CsvAggregation(spec)).await
    }

    /// A task that loads the rows of a file.
    pub(super) async fn load_task(&self, content: &str, on_bad_row: OnBadRow) -> TaskId {
        self.file_task(
            content,
            TaskSpec::DataUpload(DataUploadSpec { on_bad_row, ..Default::default() }),
        )
        .await
    }

    async fn file_task(&self, content: &str, spec: TaskSpec) -> TaskId {
        let task_id = self.task(|attempt| {
            attempt.spec = spec;
            let (file_name, size) = ("songs.csv".to_owned(), content.len() as u64);
            attempt.input = Some(InputFile { file_name, size, sha256: "of it".to_owned() });
        });
        let mut writer = self.storage.create(ObjectKey::Input(task_id));
        writer.write(content.to_owned().into()).await.unwrap();
        writer.finish().await.unwrap();
        task_id
    }

    pub(super) async fn publish(&self, tasks: &[TaskId]) {
        let message = |task_id: &TaskId| {
            let script = self.api.script();
            let attempt = script.attempts.get(task_id);
            let kind = attempt.map_or(TaskKind::CsvAggregation, |attempt| attempt.spec.kind());
            // Each attempt has a message of its own, as the task manager sends it.
            let dispatch = attempt.map_or(1, |attempt| attempt.attempt);
            (kind, Message { task_id: *task_id, dispatch })
        };
        let messages: Vec<_> = tasks.iter().map(message).collect();
        self.queue.publisher().publish(&messages).await;
    }

    /// The number of messages in the queue.
    pub(super) async fn depth(&self) -> u64 {
        let mut depth = 0;
        for kind in TaskKind::ALL {
            depth += self.queue.publisher().depth(kind).await.unwrap();
        }
        depth
    }

    /// The output of the task's first attempt.
    pub(super) fn output(&self, task_id: TaskId, part: OutputPart) -> Option<String> {
        let key = ObjectKey::Output { task_id, attempt: 1, part };
        std::fs::read_to_string(self.folder.path().join(key.to_string())).ok()
    }

    /// The number of output files, including unfinished ones.
    pub(super) fn output_files(&self) -> usize {
        files(&self.folder.path().join("processed_data"))
    }

    pub(super) async fn ended(&self, task_id: TaskId) -> common::report::Event {
        eventually("a final report", || !self.api.script().final_events(task_id).is_empty()).await;
        self.api.script().final_events(task_id).remove(0)
    }
}

pub(super) fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// A processor that runs until the test lets it end, and records its steps.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) open: Arc<Semaphore>,
    log: Arc<Mutex<Vec<(TaskId, Step)>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Started,
    Completed,
    Interrupted,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { open: Arc::new(Semaphore::new(0)), log: Arc::default() }
    }

    pub(super) fn process(&self) -> Process {
        let gate = self.clone();
        Arc::new(move |_, ctx| {
            let gate = gate.clone();
            async move {
                gate.note(ctx.task_id(), Step::Started);
                tokio::select! {
                    permit = gate.open.acquire() => permit.unwrap().forget(),
                    () = ctx.interrupted() => {
                        gate.note(ctx.task_id(), Step::Interrupted);
                        return Err(Interrupted.into());
                    }
                }
                gate.note(ctx.task_id(), Step::Completed);
                Ok(Completed { result: Value::Null, output: None })
            }
            .boxed()
        })
    }

    fn note(&self, task_id: TaskId, step: Step) {
        self.log.lock().unwrap().push((task_id, step));
    }

    /// Lets `count` tasks end.
    pub(super) fn let_end(&self, count: usize) {
        self.open.add_permits(count);
    }

    pub(super) fn has(&self, task_id: TaskId, step: Step) -> bool {
        self.log.lock().unwrap().contains(&(task_id, step))
    }

    pub(super) async fn until(&self, task_id: TaskId, step: Step) {
        eventually(&format!("{task_id} {step:?}"), || self.has(task_id, step)).await;
    }
}
