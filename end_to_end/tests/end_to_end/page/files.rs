//! The start page: from a file to its result.

use std::fs;

use common::task::TaskState;
use serde_json::json;

use super::browser::Browser;
use crate::end_to_end::api::eventually;
use crate::end_to_end::plays::{SAMPLE, SAMPLE_SUMS};
use crate::end_to_end::standalone::Standalone;

/// Reads the file behind the first link to a result.
const DOWNLOAD: &str = "
    const link = document.querySelector('a[download]');
    const request = new XMLHttpRequest();
    request.open('GET', link.href, false);
    request.send();
    return request.responseText;
";

#[tokio::test]
async fn a_dropped_file_is_processed_and_its_result_downloaded() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let browser = Browser::start().await;
    let file = data.path().join("plays.csv");
    fs::write(&file, SAMPLE).unwrap();

    browser.open(&server.api.url).await;
    browser.sees("No files yet").await;
    browser.drop_file(&file).await;
    browser.sees("1 file ready to start").await;
    browser.sees("Number of Plays").await;
    assert_eq!(server.api.tasks().await, [], "nothing is sent before the start");
    browser.click("Start").await;
    browser.find("a[download]").await;
    assert_eq!(browser.run(DOWNLOAD, &[]).await, SAMPLE_SUMS);

    browser.reload().await;
    browser.find("a[download]").await;
    assert_eq!(browser.run(DOWNLOAD, &[]).await, SAMPLE_SUMS, "the list survives a reload");
    browser.finish().await;
}

#[tokio::test]
async fn the_sample_needs_no_file() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let browser = Browser::start().await;
    browser.open(&server.api.url).await;
    browser.click("Try a sample").await;
    browser.sees("1 file ready to start").await;
    browser.click("Start").await;
    browser.find("a[download]").await;
    let result = browser.run(DOWNLOAD, &[]).await;
    let result = result.as_str().unwrap();
    assert!(result.starts_with("Song,Date,Number of Plays\n"), "{result}");
    assert_eq!(server.api.tasks().await[0].state, TaskState::Processed);
    browser.finish().await;
}

#[tokio::test]
async fn the_kind_is_guessed_from_other_names_of_columns() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let browser = Browser::start().await;
    browser.open(&server.api.url).await;
    browser.sees("No files yet").await;
    for (name, content) in [
        ("people.csv", "Name;E-Mail\nAda;ada@example.org\n"),
        ("songs.csv", "song;DATE;number of plays\nUmbrella;2020-01-02;200\n"),
    ] {
        let file = data.path().join(name);
        fs::write(&file, content).unwrap();
        browser.drop_file(&file).await;
        browser.sees(name).await;
    }
    let kinds = browser.run(CHOSEN_KINDS, &[]).await;
    assert_eq!(kinds, json!(["data_upload", "csv_aggregation"]));
    browser.click("Start all").await;
    browser.find("a[download]").await;
    // The columns are the default ones, under their own names.
    let sums = "Song,Date,Number of Plays\nUmbrella,2020-01-02,200\n";
    assert_eq!(browser.run(DOWNLOAD, &[]).await, sums);
    browser.finish().await;
}

/// The kind of each prepared file.
const CHOSEN_KINDS: &str = "
    const kinds = document.querySelectorAll('.prepared-actions select');
    return [...kinds].map((kind) => kind.value);
";

#[tokio::test]
async fn a_file_is_previewed_and_processed_as_its_options_say() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let browser = Browser::start().await;
    let file = data.path().join("plays.csv");
    let content = "# plays of 2020\nSong;Plays\n'Don\\'t Stop; live';1.234,00\n";
    fs::write(&file, content).unwrap();

    browser.open(&server.api.url).await;
    browser.sees("No files yet").await;
    browser.drop_file(&file).await;
    browser.sees("1 file ready to start").await;
    browser.choose("What to do with plays.csv", "csv_aggregation").await;
    browser.click("More options").await;
    for (label, mark) in
        [("Comments start with", "#"), ("Quote", "'"), ("Escape within quotes", "\\")]
    {
        browser.fill(label, mark).await;
    }
    browser.sees("Don't Stop; live").await;
    browser.choose("Thousands", ".").await;
    browser.choose("Decimals", ",").await;
    browser.sees("whole numbers").await;
    browser.sees("Sums Plays for each Song.").await;
    browser.sees("--thousands point --decimal comma").await;
    for width in [1280, 360] {
        browser.resize(width, 900).await;
        let found = browser.run(include_str!("checks.js"), &[]).await;
        assert_eq!(found, json!([]), "{width} pixels");
    }
    browser.resize(1280, 900).await;

    // Marks that the server would refuse are refused before the upload.
    browser.fill("Quote", "#").await;
    browser.sees("The mark of comments must differ from the quote.").await;
    browser.fill("Quote", "'").await;
    browser.sees("Don't Stop; live").await;
    browser.click("Start").await;
    browser.find("a[download]").await;
    let sums = "Song,Plays\nDon't Stop; live,1234\n";
    assert_eq!(browser.run(DOWNLOAD, &[]).await, sums);
    browser.finish().await;
}

#[tokio::test]
async fn a_detected_delimiter_can_be_changed() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let browser = Browser::start().await;
    let file = data.path().join("pairs.csv");
    fs::write(&file, "a;b|c\n1;2|3\n4;5|6\n").unwrap();
    browser.open(&server.api.url).await;
    browser.sees("No files yet").await;
    browser.drop_file(&file).await;
    browser.sees("separated by semicolons").await;
    browser.choose("What to do with pairs.csv", "csv_preview").await;
    browser.click("More options").await;
    browser.choose("Separated by", "|").await;
    browser.sees("separated by vertical bars").await;
    browser.sees("a;b").await;
    browser.sees("--delimiter pipe").await;
    browser.click("Start").await;
    let task = eventually("the preview is made", async || {
        let tasks = server.api.tasks().await;
        tasks.into_iter().find(|task| task.state == TaskState::Processed)
    })
    .await;
    assert_eq!(task.result.unwrap()["dialect"]["delimiter"], "|");
    browser.finish().await;
}

#[tokio::test]
async fn an_upload_continues_after_a_reload_and_a_crash_of_the_server() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Standalone::start(data.path()).await;
    let browser = Browser::start().await;
    let file = data.path().join("words.txt");
    let content = "one two three\n".repeat(3_000_000);
    fs::write(&file, &content).unwrap();

    browser.open(&server.api.url).await;
    browser.sees("No files yet").await;
    browser.drop_file(&file).await;
    browser.sees("1 file ready to start").await;
    // 42 MB at 6 MB/s.
    browser.limit_upload(6 << 20).await;
    browser.click("Start").await;
    browser.wait_for("some bytes arrived", ARRIVED, &[json!(4 << 20)]).await;

    server.crash_in_place().await;
    browser.wait_for("it continues", ARRIVED, &[json!(12 << 20)]).await;

    browser.reload().await;
    browser.limit_upload(6 << 20).await;
    browser.sees("words.txt").await;
    browser.drop_file(&file).await;
    browser.sees("1 upload continues.").await;
    let tasks = server.api.tasks().await;
    assert_eq!(tasks.len(), 1, "it is the same upload");
    let task = server.api.wait_for_end(tasks[0].task_id).await;
    assert_eq!(task.state, TaskState::Processed);
    assert_eq!(task.result.unwrap()["lines"], 3_000_000);
    // The console tells of the requests that the crash ended.
    browser.errors().await;
    browser.finish().await;
}

/// Whether so many bytes of the only upload have arrived.
const ARRIVED: &str = "
    const request = new XMLHttpRequest();
    request.open('GET', '/v1/tasks', false);
    try { request.send() } catch { return false }
    if (request.status !== 200) return false;
    const [task] = JSON.parse(request.responseText).items;
    return task?.progress?.done >= arguments[0];
";
