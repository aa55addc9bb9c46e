//! The processors, and the size of the tasks of each kind.

mod bulk_action;
mod csv_aggregation;
mod csv_preview;
mod data_upload;
mod file_statistics;
mod message_validation;
mod report_email;
mod user_event;

use common::problem::Problem;
use common::task::TaskKind;
use common::task::spec::TaskSpec;
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;

use self::bulk_action::ActOnTasks;
use self::csv_aggregation::CsvAggregation;
use self::csv_preview::PreviewCsv;
use self::data_upload::DataUpload;
use self::file_statistics::ExamineFile;
use self::message_validation::ValidateMessage;
use self::report_email::SendReport;
use self::user_event::RecordEvent;
use crate::mail::Mailer;
use crate::processor::{Completed, Context, ProcessError, Processor};

/// How much work a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Size {
    /// It takes almost no time: its cost is its claim and its report. Or it must not wait behind
    /// large ones, and only calls the task manager. Many run concurrently.
    Small,
    /// It keeps a core busy, or waits for other services.
    Large,
}

impl Size {
    pub(crate) const ALL: [Self; 2] = [Self::Small, Self::Large];
}

/// How much work a task of the kind is.
pub(crate) fn size_of(kind: TaskKind) -> Size {
    match kind {
        TaskKind::MessageValidation | TaskKind::UserEvent | TaskKind::BulkAction => Size::Small,
        TaskKind::CsvAggregation
        | TaskKind::FileStatistics
        | TaskKind::DataUpload
        | TaskKind::CsvPreview
        | TaskKind::ReportEmail => Size::Large,
    }
}

/// The kinds whose tasks have this size.
pub(crate) fn kinds_of(size: Size) -> Vec<TaskKind> {
    TaskKind::ALL.into_iter().filter(|kind| size_of(*kind) == size).collect()
}

/// The future of a running processor.
pub(crate) type Processing = BoxFuture<'static, Result<Completed<Value>, ProcessError>>;

/// Starts the processor of a task. `mailer` is for processors that send mail.
pub(crate) fn start(spec: TaskSpec, ctx: Context, mailer: Mailer) -> Processing {
    async move {
        match spec {
            TaskSpec::CsvAggregation(spec) => run(CsvAggregation { spec }, &ctx).await,
            TaskSpec::FileStatistics => run(ExamineFile, &ctx).await,
            TaskSpec::CsvPreview(spec) => run(PreviewCsv { spec }, &ctx).await,
            TaskSpec::DataUpload(spec) => run(DataUpload { spec }, &ctx).await,
            TaskSpec::MessageValidation(spec) => run(ValidateMessage { spec }, &ctx).await,
            TaskSpec::BulkAction(_) => run(ActOnTasks, &ctx).await,
            TaskSpec::UserEvent(event) => run(RecordEvent { event }, &ctx).await,
            TaskSpec::ReportEmail(spec) => run(SendReport { spec, mailer }, &ctx).await,
        }
    }
    .boxed()
}

/// Runs a processor, and converts its result to JSON.
async fn run(processor: impl Processor, ctx: &Context) -> Result<Completed<Value>, ProcessError> {
    let Completed { result, output } = processor.process(ctx).await?;
    match serde_json::to_value(result) {
        Ok(result) => Ok(Completed { result, output }),
        Err(error) => {
            let detail = format!("the result cannot be written as JSON: {error}");
            Err(ProcessError::fail(Problem::new(500, "internal", "Internal error", detail)))
        }
    }
}
