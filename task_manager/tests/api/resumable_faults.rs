//! Resumable uploads whose requests break, stall, collide, or outlive their server.

use std::io::Write;
use std::time::{Duration, Instant};

use common::task::TaskState;
use reqwest::StatusCode;

use super::app::{TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};
use super::tus::{header, id_of, random_bytes};

backend_tests![
    the_bytes_of_a_cut_request_are_kept,
    a_stalled_request_gives_way,
    a_body_with_a_wrong_offset_is_refused_at_once,
    concurrent_requests_never_mix,
    an_upload_survives_a_restart,
    an_upload_that_was_received_before_a_crash_is_completed,
    an_upload_whose_bytes_are_gone_ends,
];

/// How long a request may wait for one that stalls.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn the_bytes_of_a_cut_request_are_kept(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let content = random_bytes(1_000_000);
    let path = app.create_upload(content.len(), &[]).await;
    let mut offset = 0;
    for sent in [1, 100_000, 300_000] {
        let cut =
            app.begin_patch(&path, offset, content.len() - offset, &content[offset..][..sent]);
        drop(cut);
        offset = eventually("the bytes are stored", || async {
            Some(app.offset(&path).await).filter(|stored| *stored == offset + sent)
        })
        .await;
    }
    assert_eq!(app.append(&path, offset, &content[offset..]).await, content.len());
    app.assert_queued_with(id_of(&path), &content).await;
}

async fn a_stalled_request_gives_way(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let content = random_bytes(900_000);
    let path = app.create_upload(content.len(), &[]).await;
    let stalled = app.begin_patch(&path, 0, content.len(), &content[..300_000]);
    eventually("its bytes arrive", || async {
        (app.task(id_of(&path)).await.progress?.done == 300_000).then_some(())
    })
    .await;
    let asked = Instant::now();
    assert_eq!(app.offset(&path).await, 300_000);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());

    // On another task manager too, and for a request that continues without asking.
    let another = app.begin_patch(&path, 300_000, 600_000, &content[300_000..600_000]);
    eventually("its bytes arrive", || async {
        (app.task(id_of(&path)).await.progress?.done == 600_000).then_some(())
    })
    .await;
    let first = match backend {
        Backend::Fleet => Some(app.switch_to_another().await),
        Backend::Standalone => None,
    };
    let asked = Instant::now();
    let offset = app.append(&path, 600_000, &content[600_000..]).await;
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(offset, content.len());
    app.assert_queued_with(id_of(&path), &content).await;
    drop((stalled, another));
    if let Some(first) = first {
        app.switch_back(first).await;
    }
}

async fn a_body_with_a_wrong_offset_is_refused_at_once(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(1_000_000_000, &[]).await;
    app.append(&path, 0, b"12345").await;
    let mut stream = app.begin_patch(&path, 3, 900_000_000, b"45");
    let answer = tokio::task::spawn_blocking(move || {
        // The client is still sending.
        for _ in 0..10 {
            stream.write_all(&[0; 10_000]).unwrap();
        }
        let mut answer = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    let asked = Instant::now();
    assert_eq!(answer.await.unwrap(), "HTTP/1.1 409");
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

/// Clients that do not know of each other send the same file, each from the offset that it was told.
async fn concurrent_requests_never_mix(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let content = random_bytes(2_000_000);
    let path = app.create_upload(content.len(), &[]).await;
    // Every chunk is sent by several requests at the same offset, of which all but one have other
    // bytes or lose.
    let mut offset = 0;
    while offset < content.len() {
        let end = (offset + 250_000).min(content.len());
        let patches =
            (0..4).map(|_| app.patch(&path, offset, content[offset..end].to_vec()).send());
        let statuses = futures_util::future::join_all(patches).await;
        for response in statuses {
            let response = response.unwrap();
            let status = response.status();
            let is_expected = matches!(
                status,
                StatusCode::NO_CONTENT | StatusCode::CONFLICT | StatusCode::LOCKED
            );
            assert!(is_expected, "{status}: {:?}", response.text().await);
        }
        let stored = app.offset(&path).await;
        assert!(stored >= offset && stored <= end, "{offset} {stored} {end}");
        offset = stored;
    }
    app.assert_queued_with(id_of(&path), &content).await;
}

async fn an_upload_survives_a_restart(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let content = random_bytes(500_000);
    let path = app.create_upload(content.len(), &[]).await;
    app.append(&path, 0, &content[..100_000]).await;
    let open = app.begin_patch(&path, 100_000, 400_000, &content[100_000..200_000]);
    eventually("the bytes arrive", || async {
        (app.task(id_of(&path)).await.progress?.done == 200_000).then_some(())
    })
    .await;
    app.restart().await;
    drop(open);
    assert_eq!(app.state(id_of(&path)).await, TaskState::Initializing);
    assert_eq!(app.offset(&path).await, 200_000, "a shutdown keeps what has arrived");
    app.append(&path, 200_000, &content[200_000..]).await;
    app.assert_queued_with(id_of(&path), &content).await;
}

async fn an_upload_that_was_received_before_a_crash_is_completed(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let content = b"all of it";
    let path = app.create_upload(content.len() + 1, &[]).await;
    app.append(&path, 0, content).await;
    // The state after a server was killed between the last byte and the task.
    let past = app.time(-chrono::TimeDelta::days(1));
    let update =
        format!("UPDATE uploads SET state = 'received', size = received, held_until = {past}");
    assert_eq!(app.sql(&update), 1);
    app.assert_queued_with(id_of(&path), content).await;
    let head = app.head(&path).await;
    assert_eq!(header(&head, "upload-offset"), content.len().to_string());
    let more = app.patch(&path, 0, "x").send().await.unwrap();
    assert_eq!(problem(more).await.0, StatusCode::CONFLICT);
}

/// As after the restore of a backup, which leaves out unfinished uploads.
async fn an_upload_whose_bytes_are_gone_ends(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(10, &[]).await;
    app.append(&path, 0, b"12345").await;
    std::fs::remove_dir_all(app.folder.path().join("local_storage/uploads")).unwrap();
    let (status, body) = problem(app.patch(&path, 5, "67890").send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &"upload_not_found".into()));
    assert_eq!(app.head(&path).await.status(), StatusCode::NOT_FOUND);
    assert!(app.list("").await.items.is_empty());
}
