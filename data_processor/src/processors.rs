//! Which processor runs which kind of task.

mod csv_aggregation;
mod data_upload;
mod file_statistics;
mod message_validation;

use common::problem::Problem;
use common::task::spec::TaskSpec;
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;

use self::csv_aggregation::CsvAggregation;
use self::data_upload::DataUpload;
use self::file_statistics::ExamineFile;
use self::message_validation::ValidateMessage;
use crate::processor::{Completed, Context, ProcessError, Processor};

/// A processor at work.
pub(crate) type Processing = BoxFuture<'static, Result<Completed<Value>, ProcessError>>;

/// Starts the processor of a task.
pub(crate) fn start(spec: TaskSpec, ctx: Context) -> Processing {
    async move {
        match spec {
            TaskSpec::CsvAggregation(spec) => run(CsvAggregation { spec }, &ctx).await,
            TaskSpec::FileStatistics => run(ExamineFile, &ctx).await,
            TaskSpec::DataUpload(spec) => run(DataUpload { spec }, &ctx).await,
            TaskSpec::MessageValidation(spec) => run(ValidateMessage { spec }, &ctx).await,
        }
    }
    .boxed()
}

/// Runs a processor, whose result goes over the wire as JSON.
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
