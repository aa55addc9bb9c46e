//! Errors inside a file fail its task, with their location and a reason.

use bytes::Bytes;
use common::problem::Problem;
use common::task::{TaskState, TaskView};
use futures_util::stream;

use super::api::refused;
use super::plays::{HEADER, SAMPLE};
use super::standalone::Standalone;

/// The column and the name of the invalid field; none if the row is invalid.
type Location = Option<(u64, &'static str)>;

/// Rows, the location of their error, and a part of the reason.
const BAD_ROWS: [(&[u8], Location, &str); 9] = [
    (b"a,2020-01-01,five\n", Some((3, "Number of Plays")), "`five`"),
    (b"a,2020-01-01,\n", Some((3, "Number of Plays")), "empty"),
    (b"a,2020-01-01,1.5\n", Some((3, "Number of Plays")), "`1.5`"),
    (b"a,2020-01-01,9223372036854775808\n", Some((3, "Number of Plays")), "out of range"),
    (b"a,2020-02-30,1\n", Some((2, "Date")), "`2020-02-30`"),
    (b"a,01.02.2020,1\n", Some((2, "Date")), "`01.02.2020`"),
    (b"a,2020-01-01\n", None, "2 fields"),
    (b"a\xFF,2020-01-01,1\n", Some((1, "Song")), "UTF-8"),
    // The last one, since its end cannot be determined.
    (b"\"a,2020-01-01,1\n", None, "quote"),
];

/// A file in which every second line is a bad row, from line 3 on.
fn file_of_bad_rows() -> Vec<u8> {
    let mut file = HEADER.as_bytes().to_vec();
    for (row, ..) in BAD_ROWS {
        file.extend_from_slice(b"good,2020-01-01,1\n");
        file.extend_from_slice(row);
    }
    file
}

async fn failed(server: &Standalone, content: impl Into<reqwest::Body>) -> (TaskView, Problem) {
    let id = server.api.accept("", content).await;
    let task = server.api.wait_for_end(id).await;
    assert_eq!(task.state, TaskState::Failed);
    let problem = task.error.clone().unwrap();
    assert_eq!(problem.instance.as_deref(), Some(task.links.this.as_str()));
    assert_eq!((task.attempt, task.failures), (1, 0), "a retry would not help");
    let download = refused(server.api.download(id).await).await;
    assert_eq!((download.status, download.code.as_str()), (409, "no_result"));
    (task, problem)
}

#[tokio::test]
async fn every_bad_row_is_named() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let (_, problem) = failed(&server, file_of_bad_rows()).await;
    assert_eq!(problem.code, "bad_rows");
    assert_eq!(problem.error_count, BAD_ROWS.len() as u64);
    assert_eq!(problem.errors.len(), BAD_ROWS.len());
    for ((line, (_, place, reason)), error) in (3..).step_by(2).zip(BAD_ROWS).zip(&problem.errors) {
        assert_eq!(error.line, Some(line), "{error:?}");
        assert_eq!(error.column, place.map(|(column, _)| column), "{error:?}");
        assert_eq!(error.field.as_deref(), place.map(|(_, field)| field), "{error:?}");
        assert!(error.reason.contains(reason), "{error:?}");
    }
}

#[tokio::test]
async fn bad_rows_can_be_skipped_and_fetched() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let id = server.api.accept("&on_bad_row=skip", file_of_bad_rows()).await;
    let good = BAD_ROWS.len();
    assert_eq!(server.api.result(id).await, format!("{HEADER}good,2020-01-01,{good}\n"));
    let task = server.api.task(id).await;
    assert_eq!(task.result.unwrap()["rows_rejected"], good);
    let rejected = server.api.get(&task.links.rejected.unwrap()).await.text().await.unwrap();
    let mut lines = rejected.lines();
    assert_eq!(lines.next(), Some("line,column,field,value,reason"));
    // The value of the last one contains a line break.
    for ((line, (_, place, _)), row) in (3..).step_by(2).zip(BAD_ROWS).zip(lines) {
        let (column, field) = match place {
            Some((column, field)) => (column.to_string(), field),
            None => (String::new(), ""),
        };
        let start = format!("{line},{column},{field},");
        assert!(row.starts_with(&start), "{row} starts with {start}");
    }
}

#[tokio::test]
async fn a_hundred_bad_rows_are_listed_and_all_are_counted() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let file = format!("{HEADER}{}", "a,b,c\n".repeat(250));
    let (_, problem) = failed(&server, file).await;
    assert_eq!((problem.errors.len(), problem.error_count), (100, 250));
}

#[tokio::test]
async fn a_header_without_the_required_columns_fails_the_task() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let (_, problem) = failed(&server, "Title,Day,Plays\na,2020-01-01,1\n").await;
    assert_eq!(problem.code, "missing_column");
    let missing: Vec<_> =
        problem.errors.iter().filter_map(|error| error.field.as_deref()).collect();
    assert_eq!(missing, ["Song", "Date", "Number of Plays"]);
    for name in ["`Title`", "`Song`"] {
        assert!(problem.detail.contains(name), "{}", problem.detail);
    }
    let (_, problem) = failed(&server, "Song,Date,Song,Number of Plays\n").await;
    assert_eq!(problem.code, "repeated_column");
}

#[tokio::test]
async fn a_file_with_only_a_header_results_in_a_header() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let id = server.api.accept("", HEADER).await;
    assert_eq!(server.api.result(id).await, HEADER);
}

#[tokio::test]
async fn a_sum_never_overflows() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let row = format!("a,2020-01-01,{}\n", i64::MAX);
    let (_, problem) = failed(&server, format!("{HEADER}{row}{row}")).await;
    assert_eq!(problem.code, "overflow");
    assert!(problem.detail.contains("18446744073709551614"), "{}", problem.detail);
}

#[tokio::test]
async fn groups_that_exceed_the_memory_are_summed() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("DATA_PROCESSOR_MEMORY_LIMIT", "1MiB")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let rows: String =
        (0..300_000).map(|song| format!("a song of number {song:06},2020-01-01,1\n")).collect();
    let id = server.api.accept("", format!("{HEADER}{rows}{rows}")).await;
    let expected = rows.replace(",1\n", ",2\n");
    assert!(server.api.result(id).await == format!("{HEADER}{expected}"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_gigabyte_line_is_refused_in_little_memory() {
    const LENGTH: u64 = 1 << 30;
    const ENOUGH: u64 = 300 << 20;

    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let pieces = (0..LENGTH >> 20).map(move |_| piece.clone());
    let header = Bytes::from_static(SAMPLE.as_bytes());
    let parts = std::iter::once(header).chain(pieces).map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap_stream(stream::iter(parts));
    let (task, problem) = failed(&server, body).await;
    assert_eq!(task.size, Some(SAMPLE.len() as u64 + LENGTH));
    assert_eq!(problem.code, "record_too_long");
    assert_eq!(problem.errors[0].line, Some(9));
    let peak = server.peak_memory();
    assert!(peak < ENOUGH, "{} MiB", peak >> 20);
}
