//! Traces of tasks, sent to a collector of OpenTelemetry if `otlp_endpoint` is set.
//!
//! # Invariants
//! - A task has one trace, whose id is the id of the task. The id of its root span follows from it
//!   too, so that all programs agree on both without sending them to each other.
//! - Nothing waits for the collector: spans wait in a bounded queue, and those that do not fit are
//!   dropped and counted.
//! - Without an endpoint, a span costs one comparison.
//!
//! # Not here
//! Which spans a task has: each program records its own, after the fact. The spans of the log
//! (`tracing`), which exist without a collector too.

mod config;
mod exporter;
mod losses;
mod span;

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanProcessor as _,
};
use uuid::Uuid;

pub use self::config::TracesConfig;
use self::exporter::OtlpExporter;
use self::losses::Losses;
pub use self::span::{Caller, SpanKind, TaskSpan};
use crate::task::TaskId;
use crate::tls::Trust;

/// The most spans that wait to be sent.
const MAX_WAITING: usize = 16_384;
/// The most spans of a request.
const BATCH: usize = 1_024;
/// How long a span waits for others to be sent with it.
const DELAY: Duration = Duration::from_secs(1);
/// How long a program that ends may wait for its last spans to be sent.
pub const FLUSH: Duration = Duration::from_secs(3);

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Sends the spans of this process.
#[derive(Debug)]
struct Tracer {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    losses: Arc<Losses>,
    /// Tasks are traced if the last 32 bits of their id, which are random, are below this.
    sampled_below: u64,
}

/// Starts to send the spans of this process, if the settings name a collector. `service` is the
/// name of the program.
///
/// # Errors
/// The client cannot be made, or this is the second call.
pub fn start(config: &TracesConfig, service: &'static str, trust: &Trust) -> anyhow::Result<()> {
    let Some(endpoint) = &config.endpoint else { return Ok(()) };
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ])
        .build();
    let losses = Arc::new(Losses::default());
    let exporter = OtlpExporter::new(endpoint, config, trust, &resource, Arc::clone(&losses))
        .context("cannot make a client of the collector of traces (`otlp_endpoint`)")?;
    // The builder begins with variables of the environment; each of them is replaced.
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_WAITING)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let tracer = Tracer {
        processor: BatchSpanProcessor::new(exporter, batches),
        scope: InstrumentationScope::builder("task_platform")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
        losses,
        sampled_below: (config.sample_ratio * 2_f64.powi(32)) as u64,
    };
    TRACER.set(tracer).map_err(|_| anyhow::anyhow!("traces were started already"))?;
    tracing::info!("traces are sent to {endpoint}");
    Ok(())
}

/// Whether spans are sent.
#[must_use]
pub fn are_on() -> bool {
    TRACER.get().is_some()
}

/// A span of the trace of a task, below its root; none if the task is not traced.
pub fn span(task: TaskId, name: impl Into<TaskName>, times: Range<SystemTime>) -> Option<TaskSpan> {
    let tracer = TRACER.get().filter(|tracer| tracer.samples(task))?;
    Some(TaskSpan::below_root(task, name.into(), times, tracer.scope.clone()))
}

/// The root of the trace of a task; none if the task is not traced.
pub fn root(task: TaskId, name: impl Into<TaskName>, times: Range<SystemTime>) -> Option<TaskSpan> {
    let tracer = TRACER.get().filter(|tracer| tracer.samples(task))?;
    Some(TaskSpan::root(task, name.into(), times, tracer.scope.clone()))
}

/// The name of a span.
type TaskName = std::borrow::Cow<'static, str>;

impl Tracer {
    fn samples(&self, task: TaskId) -> bool {
        (task.0.as_u128() & u128::from(u32::MAX)) < u128::from(self.sampled_below)
    }

    fn record(&self, span: SpanData) {
        if self.losses.admit(MAX_WAITING) {
            self.processor.on_end(span);
        }
    }
}

/// Sends the spans that wait, for at most [`FLUSH`], when the process ends.
pub async fn stop() {
    let Some(tracer) = TRACER.get() else { return };
    // It blocks, and the requests are sent by the runtime of the caller.
    let flushing = tokio::task::spawn_blocking(|| tracer.processor.shutdown_with_timeout(FLUSH));
    if !matches!(flushing.await, Ok(Ok(()))) {
        tracing::warn!("the last spans could not be sent within {FLUSH:?}");
    }
    tracer.losses.log_total();
}
