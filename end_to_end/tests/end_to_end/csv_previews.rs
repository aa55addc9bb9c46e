//! Previews of CSV files by real workers.

use common::csv_preview::{ColumnType, CsvPreview};
use common::task::TaskState;
use reqwest::Method;

use super::api::{Api, accepted};
use super::fleet::Fleet;
use super::fleet::services::Services;
use super::standalone::Standalone;

/// Rows, every tenth of which has no number of plays.
fn songs(rows: usize) -> String {
    let row = |number: usize| match number % 10 {
        0 => format!("Song {number},2020-01-02,\n"),
        _ => format!("Song {number},2020-01-02,{number}\n"),
    };
    let rows: String = (1..=rows).map(row).collect();
    format!("Song,Date,Number of Plays\n{rows}")
}

async fn check(api: &Api) {
    let request = api.request(Method::POST, "/v1/csv_previews");
    let request = request.query(&[("file_name", "songs.csv")]).body(songs(20_000));
    let id = accepted(request.send().await.unwrap()).await.task.task_id;
    let task = api.wait_for_end(id).await;
    assert_eq!(task.state, TaskState::Processed, "{:?}", task.error);
    let preview: CsvPreview = serde_json::from_value(task.result.unwrap()).unwrap();
    let columns = preview.columns.iter();
    let columns: Vec<_> = columns
        .map(|it| (it.name.as_str(), it.column_type, it.value_count, it.empty_count))
        .collect();
    assert_eq!(
        columns,
        [
            ("Song", ColumnType::Text, 20_000, 0),
            ("Date", ColumnType::Date, 20_000, 0),
            ("Number of Plays", ColumnType::Integer, 18_000, 2_000),
        ]
    );
    assert_eq!((preview.row_count, preview.irregular_row_count), (20_000, 0));
    assert_eq!(preview.rows.len(), 100);
    assert_eq!(preview.rows[9], ["Song 10", "2020-01-02", ""]);
}

#[tokio::test]
async fn a_file_is_previewed() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    check(&server.api).await;
}

#[tokio::test]
async fn a_fleet_previews_a_file() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(1).await;
    check(&fleet.api).await;
}
