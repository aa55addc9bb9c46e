//! `file_statistics`: runs the engine (`crate::file_statistics`) on the input of a task. It writes
//! no files.

use std::ops::ControlFlow;

use common::file_statistics::FileStatistics;

use crate::file_statistics::{ExamineError, MAX_THREADS, examine};
use crate::processor::{Completed, Context, Interrupted, ProcessError, Processor};

/// Determines the statistics of a file.
#[derive(Debug)]
pub(super) struct ExamineFile;

impl Processor for ExamineFile {
    type Output = FileStatistics;

    async fn process(self, ctx: &Context) -> Result<Completed<FileStatistics>, ProcessError> {
        let expected = ctx.input()?.clone();
        let input = ctx.open_input().await?;
        let file_name = expected.file_name;
        let examined = ctx
            .on_thread(move |ctx| {
                let threads = ctx.budget().grant(MAX_THREADS);
                let input = input.into_blocking();
                examine(input, &file_name, threads.threads(), |done| match ctx.progress(done) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(Interrupted) => ControlFlow::Break(()),
                })
            })
            .await?;
        let result = match examined {
            Ok(result) => result,
            Err(ExamineError::Interrupted) => return Err(Interrupted.into()),
            // Errors of the storage are transient.
            Err(error @ ExamineError::Read(_)) => {
                return Err(ProcessError::retry(error.to_string()));
            }
        };
        if result.sha256 != expected.sha256 {
            let reason = "the stored file is not the one that was uploaded: the storage is damaged";
            return Err(ProcessError::retry(reason));
        }
        Ok(Completed { result, output: None })
    }
}
