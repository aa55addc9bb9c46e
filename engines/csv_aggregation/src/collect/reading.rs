//! Reads the whole input by several threads, and writes the rejected rows meanwhile.

use std::io::Read;
use std::thread;

use crate::collect::reports::Report;
use crate::collect::worker::{Found, Shared, Worker};
use crate::control::Outputs;
use crate::error::AggregationError;
use crate::read::rejects;

/// Reads the whole input by so many threads, and writes the rejected rows.
pub(crate) fn read<R: Read + Send>(
    shared: &Shared<'_, R>,
    threads: usize,
    outputs: &mut dyn Outputs,
) -> Result<(u64, Vec<Found>), AggregationError> {
    let (gathered, found) = thread::scope(|scope| {
        let senders: Vec<_> = (0..threads).map(|_| shared.reports.sender(shared.watch)).collect();
        let threads = senders.into_iter().enumerate().map(|(number, sender)| {
            scope.spawn(move || {
                Worker::new(shared, number).run(&sender).inspect_err(|_| shared.watch.end())
            })
        });
        let threads: Vec<_> = threads.collect();
        let gathered = gather(shared, outputs);
        if gathered.is_err() {
            shared.watch.end();
        }
        let found: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        (gathered, found)
    });
    let all = gathered?;
    let found = all_or_error(found)?;
    if all.bad.count > 0 {
        return Err(AggregationError::BadRows(all.bad));
    }
    Ok((all.rejected_rows, found))
}

/// Puts the reports of all threads together in the order of the file, and writes the rejected rows.
fn gather<R>(
    shared: &Shared<'_, R>,
    outputs: &mut dyn Outputs,
) -> Result<Report, AggregationError> {
    let mut all = Report::default();
    while let Some(reports) = shared.reports.take() {
        for report in reports {
            all.bad.append(report.bad);
            if report.rejected_rows > 0 {
                let output = outputs.rejected().map_err(AggregationError::Write)?;
                let header = if all.rejected_rows == 0 { rejects::HEADER } else { &[] };
                output.write_all(header).map_err(AggregationError::Write)?;
                output.write_all(&report.rejected).map_err(AggregationError::Write)?;
                all.rejected_rows += report.rejected_rows;
            }
        }
    }
    Ok(all)
}

/// What all threads found, or the error that ended the work; the others were only interrupted.
fn all_or_error(
    found: Vec<Result<Found, AggregationError>>,
) -> Result<Vec<Found>, AggregationError> {
    let mut all = Vec::with_capacity(found.len());
    let mut first_error = None;
    for found in found {
        match found {
            Ok(found) => all.push(found),
            Err(error) => match first_error {
                None | Some(AggregationError::Interrupted(_)) => first_error = Some(error),
                Some(_) => {}
            },
        }
    }
    first_error.map_or(Ok(all), Err)
}
