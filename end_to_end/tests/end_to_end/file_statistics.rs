//! Many files are uploaded concurrently; the statistics of each are correct, and the report adds
//! up.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::file_statistics::FileStatisticsRow;
use common::task::{TaskId, TaskState};
use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::api::{Api, accepted};
use super::fleet::Fleet;
use super::fleet::services::Services;
use super::standalone::Standalone;

const PATH: &str = "/v1/file_statistics";
const REPORT: &str = "/v1/reports/file_statistics";
/// The number of concurrent clients.
const CLIENTS: usize = 8;

/// Words and white space with characters of one to four bytes.
const PIECES: [&str; 16] = [
    "a",
    "word",
    " ",
    "\n",
    "\r\n",
    "\t",
    "é",
    "слово",
    "\u{a0}",
    "\u{2003}",
    "\u{3000}",
    "狐",
    "🎉",
    "«",
    "\u{feff}",
    "—",
];

/// Texts by the names of their files.
fn texts(count: usize) -> BTreeMap<String, String> {
    let mut random = StdRng::seed_from_u64(11);
    let text = |number: usize, random: &mut StdRng| {
        let pieces = if number.is_multiple_of(100) { 200_000 } else { random.random_range(0..200) };
        (0..pieces).map(|_| PIECES[random.random_range(0..PIECES.len())]).collect::<String>()
    };
    (0..count).map(|n| (format!("Größe {n:04}.txt"), text(n, &mut random))).collect()
}

/// Lines and characters as `wc` counts them.
fn by_wc(texts: &BTreeMap<String, String>, folder: &Path) -> Vec<(u64, u64)> {
    for (name, text) in texts {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let mut wc = Command::new("wc");
    wc.env("LC_ALL", "C.UTF-8").args(["-l", "-m", "--"]).args(texts.keys()).current_dir(folder);
    let output = wc.output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let counts = lines.lines().take(texts.len()).map(|line| {
        let mut counts = line.split_whitespace().map_while(|count| count.parse().ok());
        (counts.next().unwrap(), counts.next().unwrap())
    });
    counts.collect()
}

async fn upload(api: &Api, name: String, text: String) -> TaskId {
    let request = api.request(Method::POST, PATH).query(&[("file_name", name)]);
    let task = accepted(request.body(text).send().await.unwrap()).await.task;
    assert_eq!(task.links.report.as_deref(), Some(REPORT));
    assert_eq!(task.links.download, None);
    task.task_id
}

/// Uploads the texts and checks their statistics.
async fn check(api: &Api, count: usize) {
    let texts = texts(count);
    let folder = tempfile::tempdir().unwrap();
    let by_wc = by_wc(&texts, folder.path());
    assert_eq!(api.get(PATH).await.status(), StatusCode::NO_CONTENT);

    let ids: Vec<TaskId> = stream::iter(texts.clone())
        .map(|(name, text)| upload(api, name, text))
        .buffered(CLIENTS)
        .collect()
        .await;
    let ended: Vec<_> =
        stream::iter(&ids).map(|id| api.wait_for_end(*id)).buffered(CLIENTS).collect().await;
    let mut rows = BTreeMap::new();
    for ((task, (name, text)), (lines, characters)) in ended.iter().zip(&texts).zip(by_wc) {
        assert_eq!(task.state, TaskState::Processed, "{:?}", task.error);
        let row: FileStatisticsRow = serde_json::from_value(task.result.clone().unwrap()).unwrap();
        let found = &row.statistics;
        assert_eq!(&found.file_name, name);
        assert_eq!(found.size, text.len() as u64, "{name}");
        assert_eq!((found.lines, found.characters), (Some(lines), Some(characters)), "{name}");
        // `wc` splits words by the locale, in which a no-break space is not white space.
        assert_eq!(found.words, Some(text.split_whitespace().count() as u64), "{name}");
        assert_eq!(found.content_type, "text/plain");
        rows.insert(task.task_id, row);
    }
    assert_eq!(rows.len(), count);
    assert_eq!(listed(api).await, rows);
    adds_up(&api.get(REPORT).await.json().await.unwrap(), &rows);
}

/// The rows of all pages.
async fn listed(api: &Api) -> BTreeMap<TaskId, FileStatisticsRow> {
    let mut rows = BTreeMap::new();
    let mut path = format!("{PATH}?page_size=300");
    loop {
        let page: Value = api.get(&path).await.json().await.unwrap();
        for row in page["items"].as_array().unwrap() {
            let row: FileStatisticsRow = serde_json::from_value(row.clone()).unwrap();
            rows.insert(row.task_id, row);
        }
        let Some(token) = page["next_page_token"].as_str() else { return rows };
        path = format!("{PATH}?page_size=300&page_token={token}");
    }
}

fn adds_up(report: &Value, rows: &BTreeMap<TaskId, FileStatisticsRow>) {
    let rows: Vec<_> = rows.values().map(|row| &row.statistics).collect();
    let sums = [
        ("files", rows.len() as u64),
        ("size", rows.iter().map(|row| row.size).sum()),
        ("lines", rows.iter().filter_map(|row| row.lines).sum()),
        ("words", rows.iter().filter_map(|row| row.words).sum()),
        ("characters", rows.iter().filter_map(|row| row.characters).sum()),
    ];
    for (name, sum) in sums {
        assert_eq!(report["totals"][name], sum, "{name}");
        // One content type; on one day, or two if midnight passed.
        assert_eq!(report["by_content_type"][0][name], sum, "{name}");
        let days = report["by_day"].as_array().unwrap().iter();
        assert_eq!(days.map(|day| day[name].as_u64().unwrap()).sum::<u64>(), sum, "{name}");
    }
    let largest = rows.iter().map(|row| row.size).max().unwrap();
    assert_eq!(report["largest_files"][0]["size"], largest);
    assert_eq!(report["largest_files"].as_array().unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_files_are_counted_and_the_report_adds_up() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    check(&server.api, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_counts_a_thousand_files() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    check(&fleet.api, 120).await;
    assert_eq!(fleet.sql("SELECT COUNT(*) FROM file_statistics"), "120");
}

/// A large file is counted and hashed in chunks; a binary one is not counted.
#[tokio::test]
async fn large_empty_and_binary_files_are_accepted() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let line = "много слов\u{2003}и 🎉\n";
    let large = line.repeat(1_000_000);
    let size = large.len() as u64;
    let expected = [
        (upload(&server.api, "large.log".to_owned(), large).await, size, Some(4_000_000)),
        (upload(&server.api, "empty".to_owned(), String::new()).await, 0, Some(0)),
        (upload(&server.api, "blob".to_owned(), "\0\0\0".to_owned()).await, 3, None),
    ];
    for (id, size, words) in expected {
        let task = server.api.wait_for_end(id).await;
        let row: FileStatisticsRow = serde_json::from_value(task.result.unwrap()).unwrap();
        assert_eq!((row.statistics.size, row.statistics.words), (size, words));
        let download = server.api.download(id).await;
        assert_eq!(download.status(), StatusCode::CONFLICT, "the task has no file");
    }
}
