//! Runs the worker threads over the input, and writes rejected rows while they work.

use std::io::Read;
use std::thread;

use crate::collect::reports::Report;
use crate::collect::worker::{Shared, Worker, WorkerOutput};
use crate::control::Outputs;
use crate::error::AggregationError;
use crate::read::rejects;

/// Reads the whole input with `threads` worker threads, and writes the rejected rows. Returns their
/// number and the output of each thread.
pub(crate) fn read<R: Read + Send>(
    shared: &Shared<'_, R>,
    threads: usize,
    outputs: &mut dyn Outputs,
) -> Result<(u64, Vec<WorkerOutput>), AggregationError> {
    let (total, workers) = thread::scope(|scope| {
        let senders: Vec<_> = (0..threads).map(|_| shared.reports.sender(shared.watch)).collect();
        let threads = senders.into_iter().enumerate().map(|(number, sender)| {
            scope.spawn(move || {
                Worker::new(shared, number).run(&sender).inspect_err(|_| shared.watch.end())
            })
        });
        let threads: Vec<_> = threads.collect();
        let total = merge_reports(shared, outputs);
        if total.is_err() {
            shared.watch.end();
        }
        let workers: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        (total, workers)
    });
    let total = total?;
    let workers = all_or_error(workers)?;
    if total.bad.count > 0 {
        return Err(AggregationError::BadRows(total.bad));
    }
    Ok((total.rejected_rows, workers))
}

/// Merges the reports of all threads in file order, and writes the rejected rows.
fn merge_reports<R>(
    shared: &Shared<'_, R>,
    outputs: &mut dyn Outputs,
) -> Result<Report, AggregationError> {
    let mut total = Report::default();
    while let Some(reports) = shared.reports.take() {
        for report in reports {
            total.bad.append(report.bad);
            if report.rejected_rows > 0 {
                let output = outputs.rejected().map_err(AggregationError::Write)?;
                let header = if total.rejected_rows == 0 { rejects::HEADER } else { &[] };
                output.write_all(header).map_err(AggregationError::Write)?;
                output.write_all(&report.rejected).map_err(AggregationError::Write)?;
                total.rejected_rows += report.rejected_rows;
                shared.watch.rejected(total.rejected_rows);
            }
        }
    }
    Ok(total)
}

/// The outputs of all threads, or the error that ended the work. An interrupt is returned only if
/// there is no other error, because an error interrupts the other threads.
fn all_or_error(
    results: Vec<Result<WorkerOutput, AggregationError>>,
) -> Result<Vec<WorkerOutput>, AggregationError> {
    let mut outputs = Vec::with_capacity(results.len());
    let mut first_error = None;
    for result in results {
        match result {
            Ok(output) => outputs.push(output),
            Err(error) => match first_error {
                None | Some(AggregationError::Interrupted(_)) => first_error = Some(error),
                Some(_) => {}
            },
        }
    }
    first_error.map_or(Ok(outputs), Err)
}
