//! Resumable uploads by tus 1.0.0, request by request.

use common::task::{TaskId, TaskState};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::app::{SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};
use super::tus::{BYTES, header, id_of, metadata, random_bytes};

backend_tests![
    an_upload_of_several_requests_becomes_a_task,
    a_file_without_metadata_gets_statistics,
    a_wrong_kind_or_parameter_is_refused_before_bytes_are_sent,
    a_creation_may_bring_the_first_bytes,
    an_empty_file_is_complete_at_once,
    the_length_may_be_told_later,
    a_wrong_offset_is_refused_with_the_right_one,
    a_complete_upload_stays_readable,
    a_chunk_with_a_wrong_checksum_is_discarded,
    only_the_supported_version_and_type_are_accepted,
    too_many_bytes_are_refused,
    a_file_of_the_wrong_type_ends_its_upload,
    a_terminated_upload_leaves_nothing,
    a_stop_ends_an_upload,
    an_upload_expires,
    uploads_of_other_users_do_not_exist,
    the_same_file_resumes_a_killed_task,
    methods_can_be_overridden,
    a_repeated_creation_with_a_key_creates_one_upload,
    the_http_drafts_are_spoken_too,
];

async fn an_upload_of_several_requests_becomes_a_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let content = random_bytes(3_000_000);
    let request = app.tus(Method::POST, "/v1/uploads").header("Upload-Length", content.len());
    let given = metadata(&[("filename", "päth/blob.bin"), ("kind", "file_statistics")]);
    let response = request.header("Upload-Metadata", &given).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(header(&response, "tus-resumable"), "1.0.0");
    assert_eq!(header(&response, "upload-offset"), "0");
    assert!(header(&response, "upload-expires").ends_with("GMT"), "{response:?}");
    let path = header(&response, "location").to_owned();
    let id = id_of(&path);
    assert_eq!(path, format!("/v1/uploads/{id}"), "it is relative");
    assert_eq!(header(&response, "task-id"), id.to_string());
    let task = app.task(id).await;
    assert_eq!(
        (task.state, task.file_name.as_deref()),
        (TaskState::Initializing, Some("blob.bin"))
    );

    assert_eq!(app.append(&path, 0, &content[..1_000_000]).await, 1_000_000);
    let head = app.head(&path).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(header(&head, "upload-offset"), "1000000");
    assert_eq!(header(&head, "upload-length"), "3000000");
    assert_eq!(header(&head, "upload-metadata"), given);
    assert_eq!(header(&head, "cache-control"), "no-store");
    assert_eq!(header(&head, "tus-resumable"), "1.0.0");
    let progress = app.task(id).await.progress.unwrap();
    assert_eq!((progress.done, progress.total), (1_000_000, Some(3_000_000)));
    assert_eq!(progress.unit, "bytes");

    assert_eq!(app.append(&path, 1_000_000, &content[1_000_000..1_000_001]).await, 1_000_001);
    let last = app.patch(&path, 1_000_001, content[1_000_001..].to_vec()).send().await.unwrap();
    assert_eq!(last.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&last, "upload-offset"), "3000000");
    assert_eq!(header(&last, "task-id"), id.to_string());
    assert_eq!(header(&last, "task-resumed"), "");
    app.assert_queued_with(id, &content).await;
}

async fn a_file_without_metadata_gets_statistics(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    for given in ["", "caption d2l0aG91dCBhIGtpbmQ=, flag"] {
        let request = app.tus(Method::POST, "/v1/uploads").header("Upload-Length", 3);
        let response = request.header("Upload-Metadata", given).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        let path = header(&response, "location").to_owned();
        assert_eq!(app.append(&path, 0, b"abc").await, 3);
        let attempt = app.next_attempt().await;
        assert_eq!(attempt.spec, common::task::spec::TaskSpec::FileStatistics);
        assert_eq!(attempt.input.unwrap().file_name, "upload");
    }
}

async fn a_wrong_kind_or_parameter_is_refused_before_bytes_are_sent(backend: Backend) {
    let app = TestApp::start(backend).await;
    for (pairs, query, field) in [
        (&[("kind", "csv")][..], "", "kind"),
        (&[("kind", "user_event")], "", "kind"),
        (&[("kind", "csv_aggregation"), ("on_bad_row", "x")], "", "on_bad_row"),
        (&[("kind", "csv_aggregation")], "?sums=x", "sums"),
    ] {
        let request = app.tus(Method::POST, &format!("/v1/uploads{query}"));
        let request = request.header("Upload-Length", 1_000_000_000);
        let response = request.header("Upload-Metadata", metadata(pairs)).send().await.unwrap();
        assert_eq!(header(&response, "tus-resumable"), "1.0.0", "on errors too");
        let (status, body) = problem(response).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{pairs:?} {query}");
        assert_eq!(body["errors"][0]["field"], field);
    }
    assert!(app.list("").await.items.is_empty());
}

async fn a_creation_may_bring_the_first_bytes(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let create = |sent: &'static str| {
        let path = "/v1/uploads?kind=csv_aggregation&file_name=songs.csv";
        let request = app.tus(Method::POST, path).header("Upload-Length", SONGS.len());
        request.header("Content-Type", BYTES).body(sent).send()
    };
    let part = create(&SONGS[..10]).await.unwrap();
    assert_eq!((part.status(), header(&part, "upload-offset")), (StatusCode::CREATED, "10"));
    let path = header(&part, "location");
    assert_eq!(app.append(path, 10, &SONGS.as_bytes()[10..]).await, SONGS.len());
    let whole = create(SONGS).await.unwrap();
    assert_eq!(header(&whole, "upload-offset"), SONGS.len().to_string());
    let id: TaskId = header(&whole, "task-id").parse().unwrap();
    assert_eq!(app.state(id).await, TaskState::Queued);
    for _ in 0..2 {
        let input = app.next_attempt().await.input.unwrap();
        assert_eq!((input.file_name.as_str(), input.size), ("songs.csv", SONGS.len() as u64));
    }
}

async fn an_empty_file_is_complete_at_once(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let path = app.create_upload(0, &[("filename", "empty")]).await;
    app.assert_queued_with(id_of(&path), b"").await;
    let request = app.tus(Method::POST, "/v1/uploads?kind=data_upload").header("Upload-Length", 0);
    let (status, body) = problem(request.send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &"empty_file".into()));
}

async fn the_length_may_be_told_later(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let request = app.tus(Method::POST, "/v1/uploads").header("Upload-Defer-Length", 1);
    let response = request.send().await.unwrap();
    let path = header(&response, "location").to_owned();
    assert_eq!(app.append(&path, 0, b"one").await, 3);
    let head = app.head(&path).await;
    assert_eq!(header(&head, "upload-defer-length"), "1");
    assert_eq!(header(&head, "upload-length"), "");
    assert_eq!(app.append(&path, 3, b" two").await, 7);
    // As clients do that learn only then that there is nothing more.
    let last = app.patch(&path, 7, "").header("Upload-Length", 7).send().await.unwrap();
    assert_eq!((last.status(), header(&last, "upload-offset")), (StatusCode::NO_CONTENT, "7"));
    app.assert_queued_with(id_of(&path), b"one two").await;

    let path = app.create_upload(7, &[]).await;
    let other = app.patch(&path, 0, "one two").header("Upload-Length", 8).send().await.unwrap();
    assert_eq!(problem(other).await.0, StatusCode::BAD_REQUEST, "it is 7 already");
}

async fn a_wrong_offset_is_refused_with_the_right_one(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(10, &[]).await;
    app.append(&path, 0, b"12345").await;
    for wrong in [0, 4, 6, 10] {
        let response = app.patch(&path, wrong, "678").send().await.unwrap();
        assert_eq!(header(&response, "upload-offset"), "5");
        let (status, body) = problem(response).await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &"offset_mismatch".into()));
    }
    assert_eq!(app.append(&path, 5, b"67890").await, 10);
}

async fn a_complete_upload_stays_readable(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(3, &[]).await;
    app.append(&path, 0, b"abc").await;
    let id = id_of(&path);
    let head = app.head(&path).await;
    assert_eq!((header(&head, "upload-offset"), header(&head, "upload-length")), ("3", "3"));
    assert_eq!(header(&head, "task-id"), id.to_string());
    let shown: Value = app.get(&path).await.json().await.unwrap();
    assert_eq!(shown["task_id"], id.to_string());
    assert_eq!((&shown["is_complete"], &shown["resumed"]), (&true.into(), &false.into()));
    assert_eq!(shown["links"]["task"], format!("/v1/tasks/{id}"));
    // A client that lost the last response may send nothing more, but not other bytes.
    assert_eq!(app.append(&path, 3, b"").await, 3);
    let more = app.patch(&path, 0, "abc").send().await.unwrap();
    assert_eq!(problem(more).await.0, StatusCode::CONFLICT);
    assert_eq!(app.list("").await.items.len(), 1);
}

async fn a_chunk_with_a_wrong_checksum_is_discarded(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let content = b"hellohello";
    let path = app.create_upload(content.len(), &[]).await;
    let patch = |offset: usize, checksum: &'static str| {
        app.patch(&path, offset, "hello").header("Upload-Checksum", checksum).send()
    };
    let wrong = patch(0, "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ0x=").await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST, "it is not Base64");
    let wrong = patch(0, "sha1 aaTGHdzF6KLavt4PO0gs2a6pQ00=").await.unwrap();
    let (status, body) = problem(wrong).await;
    assert_eq!((status.as_u16(), &body["code"]), (460, &"checksum_mismatch".into()));
    assert_eq!(app.offset(&path).await, 0);
    assert_eq!(patch(0, "md5 XUFAKrxLKna5cZ2REBfFkg==").await.unwrap().status(), 400);
    assert_eq!(patch(0, "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=").await.unwrap().status(), 204);
    let sha256 = "sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    assert_eq!(patch(5, sha256).await.unwrap().status(), 204);
    app.assert_queued_with(id_of(&path), content).await;
}

async fn only_the_supported_version_and_type_are_accepted(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(3, &[]).await;
    for (method, at) in [
        (Method::POST, "/v1/uploads"),
        (Method::HEAD, path.as_str()),
        (Method::PATCH, &path),
        (Method::DELETE, &path),
    ] {
        for version in [None, Some("0.2.2")] {
            let request = app.request(method.clone(), at).header("Upload-Length", 3);
            let request = request.header("Content-Type", BYTES).header("Upload-Offset", 0);
            let request = match version {
                Some(version) => request.header("Tus-Resumable", version),
                None => request,
            };
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::PRECONDITION_FAILED, "{method} {version:?}");
            assert_eq!(header(&response, "tus-version"), "1.0.0");
        }
    }
    let request = app.tus(Method::PATCH, &path).header("Upload-Offset", 0).body("abc");
    let plain = request.header("Content-Type", "application/octet-stream").send().await.unwrap();
    assert_eq!(problem(plain).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(app.offset(&path).await, 0);

    let options = app.anonymous(Method::OPTIONS, "/v1/uploads").send().await.unwrap();
    assert_eq!(options.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&options, "tus-version"), "1.0.0");
    assert_eq!(header(&options, "tus-max-size"), (32_u64 << 30).to_string());
    assert_eq!(header(&options, "tus-checksum-algorithm"), "sha1,sha256");
    for extension in [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "termination",
        "checksum",
        "expiration",
        "concatenation",
    ] {
        let named = header(&options, "tus-extension").split(',').any(|it| it == extension);
        assert!(named, "{extension}");
    }
}

async fn too_many_bytes_are_refused(backend: Backend) {
    let app = TestApp::start_with(backend, |config| config.upload_limit = 100).await;
    let create = app.tus(Method::POST, "/v1/uploads").header("Upload-Length", 101);
    let (status, body) = problem(create.send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &"too_large".into()));

    let path = app.create_upload(5, &[]).await;
    let (status, body) = problem(app.patch(&path, 0, "123456").send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &"beyond_end".into()));
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("123"), Ok("456")]);
    let unsized_body = reqwest::Body::wrap_stream(chunks);
    let response = app.patch(&path, 0, unsized_body).send().await.unwrap();
    assert_eq!(problem(response).await.1["code"], "beyond_end");
    assert_eq!(app.append(&path, 0, b"12345").await, 5);

    let deferred = app.tus(Method::POST, "/v1/uploads").header("Upload-Defer-Length", 1);
    let path = header(&deferred.send().await.unwrap(), "location").to_owned();
    let response = app.patch(&path, 0, vec![0; 101]).send().await.unwrap();
    assert_eq!(problem(response).await.1["code"], "too_large");
}

async fn a_file_of_the_wrong_type_ends_its_upload(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(1_000_000, &[("kind", "csv_aggregation")]).await;
    let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0; 1_000]].concat();
    let (status, body) = problem(app.patch(&path, 0, png).send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &"not_csv".into()));
    assert_eq!(app.head(&path).await.status(), StatusCode::NOT_FOUND);
    assert!(app.list("").await.items.is_empty());
    app.wait_for_files(&[]).await;
}

async fn a_terminated_upload_leaves_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(10, &[]).await;
    app.append(&path, 0, b"12345").await;
    let terminated = app.tus(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(terminated.status(), StatusCode::NO_CONTENT);
    assert_eq!(app.head(&path).await.status(), StatusCode::NOT_FOUND);
    let patch = app.patch(&path, 5, "67890").send().await.unwrap();
    assert_eq!(problem(patch).await.1["code"], "upload_not_found");
    assert!(app.list("").await.items.is_empty());
    app.wait_for_files(&[]).await;

    let path = app.create_upload(3, &[]).await;
    app.append(&path, 0, b"abc").await;
    assert_eq!(app.tus(Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(app.state(id_of(&path)).await, TaskState::Queued, "the task stays");
}

async fn a_stop_ends_an_upload(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(10, &[]).await;
    app.append(&path, 0, b"12345").await;
    let (status, body) = app.interrupt(id_of(&path), "stop").await;
    assert_eq!((status, &body["state"]), (StatusCode::ACCEPTED, &"stopping".into()));
    app.wait_for_state(id_of(&path), TaskState::Stopped).await;
    app.wait_for_files(&[]).await;
    assert_eq!(app.head(&path).await.status(), StatusCode::NOT_FOUND);

    // While a request appends.
    let path = app.create_upload(10, &[]).await;
    let stream = app.begin_patch(&path, 0, 10, b"12345");
    eventually("the bytes arrive", || async {
        let progress = app.task(id_of(&path)).await.progress?;
        (progress.done == 5).then_some(())
    })
    .await;
    app.interrupt(id_of(&path), "stop").await;
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = [0; 12];
        std::io::Read::read_exact(&mut (&stream), &mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    let answer = answer.await.unwrap();
    assert!(matches!(answer.as_str(), "HTTP/1.1 410" | "HTTP/1.1 404"), "{answer}");
    app.wait_for_state(id_of(&path), TaskState::Stopped).await;
    app.wait_for_files(&[]).await;
}

async fn an_upload_expires(backend: Backend) {
    use std::time::Duration;
    let second = Duration::from_secs(1);
    let app = TestApp::start_with(backend, |config| {
        (config.keep_uploads, config.sweep_interval) = (2 * second, second);
    })
    .await;
    let path = app.create_upload(10, &[]).await;
    app.append(&path, 0, b"12345").await;
    let part = app.partial(b"part").await;
    for path in [&path, &part] {
        eventually("it has expired", || async {
            (app.get(path).await.status() == StatusCode::NOT_FOUND).then_some(())
        })
        .await;
    }
    eventually("its task is gone", || async { app.list("").await.items.is_empty().then_some(()) })
        .await;
    app.wait_for_files(&[]).await;
}

async fn uploads_of_other_users_do_not_exist(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(10, &[]).await;
    let other = app.log_in_as("mallory").await;
    for method in [Method::GET, Method::HEAD, Method::PATCH, Method::DELETE] {
        let request = app.request_as(&other, method.clone(), &path);
        let request = request.header("Tus-Resumable", "1.0.0").header("Content-Type", BYTES);
        let response = request.header("Upload-Offset", 0).body("12345").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method}");
    }
    assert_eq!(app.offset(&path).await, 0);
}

async fn the_same_file_resumes_a_killed_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let killed = app.task_in(TaskState::Killed).await;
    let pairs = [("filename", "other.csv"), ("kind", "csv_aggregation")];
    let path = app.create_upload(SONGS.len(), &pairs).await;
    let last = app.patch(&path, 0, SONGS).send().await.unwrap();
    assert_eq!(header(&last, "task-id"), killed.to_string());
    assert_eq!(header(&last, "task-resumed"), "true");
    assert_eq!(app.state(killed).await, TaskState::Queued);
    let shown: Value = app.get(&path).await.json().await.unwrap();
    assert_eq!((&shown["task_id"], &shown["resumed"]), (&killed.to_string().into(), &true.into()));
    assert_eq!(app.list("").await.items.len(), 1, "the upload's own task is gone");
    app.wait_for_files(&[format!("raw_data/{killed}")]).await;
}

async fn methods_can_be_overridden(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = app.create_upload(5, &[]).await;
    let post = |method: &'static str| {
        app.tus(Method::POST, &path).header("X-HTTP-Method-Override", method)
    };
    let patch = post("PATCH").header("Upload-Offset", 0).header("Content-Type", BYTES).body("123");
    let patched = patch.send().await.unwrap();
    assert_eq!(
        (patched.status(), header(&patched, "upload-offset")),
        (StatusCode::NO_CONTENT, "3")
    );
    let head = post("HEAD").send().await.unwrap();
    assert_eq!((head.status(), header(&head, "upload-offset")), (StatusCode::OK, "3"));
    assert_eq!(problem(post("PUT").send().await.unwrap()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(post("DELETE").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(app.head(&path).await.status(), StatusCode::NOT_FOUND);
}

async fn a_repeated_creation_with_a_key_creates_one_upload(backend: Backend) {
    let app = TestApp::start(backend).await;
    let create = |length: usize| {
        let request = app.tus(Method::POST, "/v1/uploads").header("Idempotency-Key", "once");
        request.header("Upload-Length", length).send()
    };
    let first = create(5).await.unwrap();
    let path = header(&first, "location").to_owned();
    app.append(&path, 0, b"123").await;
    let again = create(5).await.unwrap();
    assert_eq!((again.status(), header(&again, "location")), (StatusCode::CREATED, path.as_str()));
    assert_eq!(header(&again, "upload-offset"), "3");
    let (status, body) = problem(create(6).await.unwrap()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["code"], "idempotency_key_reused");
    assert_eq!(app.list("").await.items.len(), 1);
}

async fn the_http_drafts_are_spoken_too(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    fn draft(app: &TestApp, method: Method, path: &str) -> reqwest::RequestBuilder {
        app.request(method, path).header("Upload-Draft-Interop-Version", "6")
    }
    let append = |path: &str, offset: usize, is_last: &'static str, bytes: &'static str| {
        let request = draft(&app, Method::PATCH, path).header("Upload-Complete", is_last);
        let request = request.header("Content-Type", "application/partial-upload");
        request.header("Upload-Offset", offset).body(bytes).send()
    };
    let create = draft(&app, Method::POST, "/v1/uploads?kind=csv_aggregation&file_name=songs.csv");
    let created = create.header("Upload-Complete", "?0").send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(header(&created, "upload-complete"), "?0");
    assert_eq!(header(&created, "tus-resumable"), "");
    let path = header(&created, "location").to_owned();
    let first = append(&path, 0, "?0", &SONGS[..20]).await.unwrap();
    assert_eq!((first.status(), header(&first, "upload-offset")), (StatusCode::NO_CONTENT, "20"));
    let head = draft(&app, Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::NO_CONTENT);
    assert_eq!((header(&head, "upload-offset"), header(&head, "upload-complete")), ("20", "?0"));
    assert_eq!(header(&head, "cache-control"), "no-store");
    let wrong = append(&path, 3, "?1", &SONGS[20..]).await.unwrap();
    assert_eq!((wrong.status(), header(&wrong, "upload-offset")), (StatusCode::CONFLICT, "20"));
    let last = append(&path, 20, "?1", &SONGS[20..]).await.unwrap();
    assert_eq!(last.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&last, "upload-complete"), "?1");
    app.assert_queued_with(id_of(&path), SONGS.as_bytes()).await;

    let at_once = draft(&app, Method::POST, "/v1/uploads").header("Upload-Complete", "?1");
    let at_once = at_once.header("Content-Type", "application/partial-upload").body("whole");
    let done = at_once.send().await.unwrap();
    assert_eq!((done.status(), header(&done, "upload-complete")), (StatusCode::CREATED, "?1"));
    assert_eq!(app.state(id_of(header(&done, "location"))).await, TaskState::Queued);
}
