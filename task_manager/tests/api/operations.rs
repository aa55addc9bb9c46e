//! The state of the platform, and disks without space.

use std::path::{Path, PathBuf};
use std::process::Command;

use common::storage::StorageConfig;
use common::task::TaskState;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::app::{SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    operations_show_the_state_of_every_part,
    operations_are_for_administrators,
    an_upload_to_a_full_disk_is_507_and_leaves_nothing,
];

async fn operations(app: &TestApp) -> Value {
    let response = app.get("/v1/operations").await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

async fn operations_show_the_state_of_every_part(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.task_in(TaskState::Processing).await;
    app.task_in(TaskState::Processed).await;
    app.task_in(TaskState::Queued).await;
    let shown = operations(&app).await;
    let (database, broker) = match backend {
        Backend::Standalone => ("sqlite", "in_process"),
        Backend::Fleet => ("mysql", "rabbitmq"),
    };
    assert_eq!(
        (&shown["database"]["kind"], &shown["broker"]["kind"]),
        (&database.into(), &broker.into())
    );
    for part in ["database", "broker", "storage"] {
        assert_eq!(shown[part]["ok"], true, "{shown}");
    }
    let storage = &shown["storage"];
    assert_eq!(storage["kind"], "local");
    let location = app.folder.path().join("local_storage");
    assert_eq!(storage["location"], location.to_str().unwrap());
    let [free, total] = ["free_bytes", "total_bytes"].map(|name| storage[name].as_u64().unwrap());
    assert!(0 < free && free <= total, "{storage}");
    let queue = shown["queue"].as_array().unwrap();
    assert_eq!(queue.len(), 1, "{queue:?}");
    assert_eq!(queue[0]["kind"], "csv_aggregation");
    assert_eq!((&queue[0]["queued"], &queue[0]["processing"]), (&1.into(), &1.into()));
    assert!(queue[0]["oldest_queued_at"].is_string(), "{queue:?}");
    assert!(shown["outbox"]["lag_seconds"].as_f64().unwrap() < 60.0, "{shown}");
    assert!(shown["started_at"].as_str() < shown["timestamp"].as_str(), "{shown}");
    let settings = shown["settings"].as_array().unwrap();
    let setting = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
    assert_eq!(setting("keep_files")["value"], "7d");
    assert_eq!(setting("keep_files")["default"], true);
    let token = app.service_token();
    assert!(!shown.to_string().contains(token), "no secret is shown");
}

async fn operations_are_for_administrators(backend: Backend) {
    let app = TestApp::start(backend).await;
    let user = app.log_in_as("alice").await;
    let response = app.request_as(&user, Method::GET, "/v1/operations").send().await.unwrap();
    let (status, body) = problem(response).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &"not_administrator".into()));
}

/// A disk of a few MiB in memory, which is unmounted when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None if this user may not mount disks.
    #[allow(clippy::print_stdout, reason = "says what was not tested")]
    fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4M", "tmpfs"]).arg(folder);
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(folder.to_owned()));
        }
        println!("NOT TESTED: this user may not mount a disk");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

async fn an_upload_to_a_full_disk_is_507_and_leaves_nothing(backend: Backend) {
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mount.path()) else { return };
    let storage = StorageConfig::folder(&disk.0);
    let app = TestApp::start_with(backend, |config| config.storage = storage).await;
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![0; 3 << 20]).unwrap();

    let songs = format!("{SONGS}{}", "Umbrella,2020-01-02,200\n".repeat(100_000));
    let upload = async |content: String| {
        let path = "/v1/data_processor/upload?file_name=songs.csv";
        app.request(Method::POST, path).body(content).send().await.unwrap()
    };
    let (status, body) = problem(upload(songs.clone()).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::INSUFFICIENT_STORAGE, &"storage_full".into()));
    assert!(body["detail"].as_str().unwrap().contains("Make space"), "{body}");
    assert!(app.list("").await.items.is_empty(), "no task is left");

    std::fs::write(&filler, vec![0; 3_900_000]).unwrap();
    let ready = app.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK, "only the database decides");
    let ready: Value = ready.json().await.unwrap();
    assert!(
        ready["storage"].as_str().unwrap().starts_with("ok; the disk is nearly full: "),
        "{ready}"
    );
    let storage = &operations(&app).await["storage"];
    assert_eq!(
        (&storage["nearly_full"], &storage["ok"]),
        (&true.into(), &true.into()),
        "{storage}"
    );
    assert!(storage["detail"].as_str().unwrap().contains("nearly full"), "{storage}");

    std::fs::remove_file(&filler).unwrap();
    assert_eq!(upload(songs).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn an_upload_without_space_for_the_database_is_507() {
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mount.path()) else { return };
    let url = format!("sqlite://{}", disk.0.join("tasks.sqlite").display());
    let app = TestApp::start_with(Backend::Standalone, |config| config.database_url = url.into());
    let app = app.await;
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![0; 4 << 20]).unwrap_err();
    let upload = async || {
        let path = "/v1/data_processor/upload?file_name=songs.csv";
        app.request(Method::POST, path).body(SONGS).send().await.unwrap()
    };
    // What is free in the log of the database may be enough for some.
    let full = eventually("the database is full", async || {
        Some(upload().await).filter(|response| response.status() != StatusCode::ACCEPTED)
    });
    let (status, body) = problem(full.await).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::INSUFFICIENT_STORAGE, &"database_full".into()),
        "{body}"
    );
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(upload().await.status(), StatusCode::ACCEPTED);
}
