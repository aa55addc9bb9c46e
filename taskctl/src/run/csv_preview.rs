//! `taskctl run csv_preview`: statistics of the columns of a CSV file, and its first rows.

use std::ops::ControlFlow;
use std::process::ExitCode;

use common::csv_preview::{CsvPreview, PreviewColumn};
use common::task::spec::CsvPreviewSpec;
use data_processor::csv_preview::{PreviewError, preview};
use data_processor::{dialect, problems};
use indicatif::HumanCount;

use super::output::print;
use super::{RunArgs, failed, open};
use crate::console::Console;
use crate::counts::{counted, rows};
use crate::failure::Failure;
use crate::local::until_interrupted;
use crate::progress::TransferBar;
use crate::view::{aligned, printable_line};

/// Prints the preview of the file: its columns as text, or with `json` everything as JSON.
pub(super) fn csv_preview(
    args: &RunArgs,
    spec: &CsvPreviewSpec,
    console: Console,
) -> Result<ExitCode, Failure> {
    let (input, size) = open(&args.file)?;
    let dialect = dialect::options(&spec.dialect);
    let bar = TransferBar::start("Reading", size);
    let shown = bar.clone();
    let previewed = until_interrupted(move |cancel| {
        Ok(preview(input, dialect, |done| {
            shown.at(done);
            if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }))
    });
    bar.finish();
    let preview = match previewed? {
        Ok(preview) => preview,
        Err(PreviewError::Interrupted) => return Err(Failure::interrupted("Interrupted.")),
        Err(error) => return Ok(failed(&problems::of_preview(&error), console)),
    };
    let text = match console.is_json() {
        true => serde_json::to_string_pretty(&preview)
            .map_err(|error| Failure::local(format!("Cannot write JSON: {error}.")))?,
        false => lines(&preview),
    };
    print(args.output.as_deref(), &text, console)?;
    Ok(ExitCode::SUCCESS)
}

/// The columns, one per line, and the number of rows.
fn lines(preview: &CsvPreview) -> String {
    let mut table = vec![["COLUMN", "TYPE", "VALUES", "EMPTY", "FIRST VALUE"].map(str::to_owned)];
    let first = preview.rows.first();
    table.extend(preview.columns.iter().enumerate().map(|(index, column)| {
        let value = first.and_then(|row| row.get(index)).map(|value| printable_line(value));
        cells(column, value.unwrap_or_default())
    }));
    let columns = counted(preview.column_count, "column", "columns");
    let irregular = match preview.irregular_row_count {
        0 => String::new(),
        count => format!("; {} irregular", rows(count)),
    };
    format!("{}\n{} of {columns}{irregular}.", aligned(&table, &[2, 3]), rows(preview.row_count))
}

fn cells(column: &PreviewColumn, first: String) -> [String; 5] {
    let column_type = serde_json::to_value(column.column_type).ok();
    let column_type = column_type.as_ref().and_then(|name| name.as_str()).unwrap_or_default();
    [
        printable_line(&column.name),
        column_type.to_owned(),
        HumanCount(column.value_count).to_string(),
        HumanCount(column.empty_count).to_string(),
        first,
    ]
}
