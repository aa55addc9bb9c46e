//! Pictures of each screen for the documentation, made by `make screenshots`.

use std::fs;
use std::path::Path;

use common::task::TaskId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::end_to_end::api::{Api, accepted, eventually};
use crate::end_to_end::people::People;
use crate::end_to_end::process::taskctl;
use crate::end_to_end::standalone::Standalone;

/// Messages whose category and order are alike in every run.
const MESSAGES: [&str; 5] = [
    "The parcel has arrived at the harbour.",
    "Invoice 2041 was paid.",
    "The pump of line 3 runs again.",
    "New songs were uploaded for April.",
    "The parcel was returned to its sender.",
];

/// A server with tasks of each kind; returns one that is worth looking at.
async fn fill(api: &Api, folder: &Path) -> TaskId {
    let songs = folder.join("songs.csv");
    let mut fake = taskctl();
    fake.args(["fake-songs", "--songs", "12", "--days", "90", "--rows", "60000", "--seed", "4"]);
    assert!(fake.arg("--output").arg(&songs).status().unwrap().success());
    let content = fs::read_to_string(&songs).unwrap();

    for message in MESSAGES {
        let request = api.request(Method::POST, "/v1/messages").json(&json!({"message": message}));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
    }
    let events = api.request(Method::POST, "/v1/user_events/generate/9").send().await.unwrap();
    assert_eq!(events.status(), StatusCode::ACCEPTED);
    let shown = api.accept("", content.clone()).await;
    let broken = content.replacen("2020-01", "2020-13", 3);
    let failed = api.accept("", broken).await;
    let people = People::random(&mut StdRng::seed_from_u64(1), 5_000);
    let loaded = people.upload(api).await.task.task_id;
    let mut tasks = vec![shown, failed, loaded];
    for (name, text) in [("minutes.txt", "one two three\n"), ("notes.md", "# Notes\n")] {
        let path = format!("/v1/file_statistics?file_name={name}");
        let request = api.request(Method::POST, &path).body(text.repeat(900));
        tasks.push(accepted(request.send().await.unwrap()).await.task.task_id);
    }
    for task in tasks {
        api.wait_for_end(task).await;
    }
    eventually("the messages are tracked", async || {
        let list: Value = api.get("/v1/messages").await.json().await.unwrap();
        (list["items"].as_array()?.len() == MESSAGES.len()).then_some(())
    })
    .await;
    shown
}

#[tokio::test]
#[ignore = "writes pictures; make screenshots runs it"]
async fn pictures_of_every_screen() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Standalone::start(data.path()).await;
    let task = fill(&server.api, files.path()).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
    fs::create_dir_all(&folder).unwrap();
    let browser = Browser::start().await;

    // The start page remembers the files of this browser.
    browser.open(&server.api.url).await;
    browser.sees("No files yet").await;
    browser.drop_file(&files.path().join("songs.csv")).await;
    browser.sees("1 file ready to start").await;
    browser.click("Start").await;
    browser.find("a[download]").await;
    let tasks = server.api.tasks().await;
    let opened = format!("/?open={}", tasks[0].task_id);

    let task = format!("/tasks/{task}");
    let screens: [(&str, &str); 8] = [
        ("files", &opened),
        ("tasks", "/tasks"),
        ("task", &task),
        ("statistics", "/statistics"),
        ("messages", "/messages"),
        ("events", "/events"),
        ("operations", "/operations"),
        ("account", "/account"),
    ];
    for (name, address) in screens {
        for (suffix, scheme, width) in
            [("", "light", 1280), ("-dark", "dark", 1280), ("-narrow", "light", 360)]
        {
            browser.prefer_scheme(scheme).await;
            browser.resize(width, 900).await;
            browser.open(&format!("{}{address}", server.api.url)).await;
            browser.wait_for("nothing is being loaded", IS_QUIET, &[]).await;
            fs::write(folder.join(format!("{name}{suffix}.png")), browser.screenshot().await)
                .unwrap();
        }
    }
    browser.finish().await;
}

/// Whether the screen has a heading and no request was made for half a second.
const IS_QUIET: &str = "
    const ends = performance.getEntriesByType('resource').map((entry) => entry.responseEnd);
    const isQuiet = performance.now() - Math.max(0, ...ends) > 500;
    return isQuiet && document.querySelector('main h1') !== null;
";
