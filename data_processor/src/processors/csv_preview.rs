//! `csv_preview`: runs the engine (`crate::csv_preview`) on the input of a task. It writes no
//! files.

use std::ops::ControlFlow;

use common::csv_preview::CsvPreview;
use common::task::spec::CsvPreviewSpec;
use csv_input::InputError;

use crate::csv_preview::{PreviewError, preview};
use crate::dialect;
use crate::problems;
use crate::processor::{Completed, Context, Interrupted, ProcessError, Processor};

/// Returns the first rows of a CSV file and the types of its columns.
#[derive(Debug)]
pub(super) struct PreviewCsv {
    pub(super) spec: CsvPreviewSpec,
}

impl Processor for PreviewCsv {
    type Output = CsvPreview;

    async fn process(self, ctx: &Context) -> Result<Completed<CsvPreview>, ProcessError> {
        let _thread = ctx.budget().grant(1);
        let input = ctx.open_input().await?;
        let size = ctx.input()?.size;
        let dialect = dialect::options(&self.spec.dialect);
        let previewed = ctx
            .on_thread(move |ctx| {
                preview(input.into_blocking(), dialect, |done| match ctx.progress(done.min(size)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(Interrupted) => ControlFlow::Break(()),
                })
            })
            .await?;
        match previewed {
            Ok(result) => Ok(Completed { result, output: None }),
            Err(PreviewError::Interrupted) => Err(Interrupted.into()),
            // Errors of the storage are transient; errors of the file are not.
            Err(error @ PreviewError::Input(InputError::Read(_))) => {
                Err(ProcessError::retry(error.to_string()))
            }
            Err(error) => Err(ProcessError::fail(problems::of_preview(&error))),
        }
    }
}
