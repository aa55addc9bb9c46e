//! Stop, kill and resume of a running task.

use std::time::Duration;

use common::task::{TaskId, TaskState, TaskView};
use reqwest::{Method, Response, StatusCode};

use super::api::{Api, eventually, eventually_within, refused};
use super::long_task::start_long_task;
use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::standalone::Standalone;

/// A stop or kill reaches the worker with the answer to its next report, one per second; the rest
/// is a margin for a busy machine.
const SOON: Duration = Duration::from_secs(3);
/// With one slot, a busy worker takes no other task.
const ONE_SLOT: [(&str, &str); 1] = [("DATA_PROCESSOR_WORKER_SLOTS", "1")];

async fn task_of(response: Response) -> (StatusCode, TaskView) {
    (response.status(), response.json().await.unwrap())
}

/// Asserts that `verb` is refused because of `state`.
async fn assert_wrong_state(api: &Api, id: TaskId, verb: &str, state: TaskState) {
    let problem = refused(api.interrupt(id, verb).await).await;
    assert_eq!((problem.status, problem.code.as_str()), (409, "invalid_state"), "{verb}");
    assert!(problem.detail.contains(state.as_str()), "{}", problem.detail);
}

/// Asserts that the worker has ended the attempt.
async fn assert_slot_free_soon(api: &Api) {
    let id = api.accept("", SAMPLE).await;
    eventually_within(SOON, "the worker takes another task", async || {
        (api.task(id).await.state == TaskState::Processed).then_some(())
    })
    .await;
    assert_eq!(api.result(id).await, SAMPLE_SUMS);
}

#[tokio::test]
async fn a_stop_ends_a_running_task_and_rolls_it_back() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start_with(data.path(), &ONE_SLOT).await;
    let api = &server.api;
    let (id, _) = start_long_task(api).await;
    let early = api.download(id).await;
    assert!(early.headers().contains_key("retry-after"));
    assert_eq!(refused(early).await.code, "not_ready");

    let (status, task) = task_of(api.interrupt(id, "stop").await).await;
    assert_eq!((status, task.state), (StatusCode::ACCEPTED, TaskState::Stopping));
    assert_slot_free_soon(api).await;
    let task = api.wait_for_state(id, TaskState::Stopped).await;
    assert_eq!((task.links.resume, task.links.download), (None, None));
    assert!(task.finished_at.is_some());
    eventually("nothing that it wrote is left", async || {
        let folder = format!("processed_data/{id}/");
        (!server.files().iter().any(|file| file.starts_with(&folder))).then_some(())
    })
    .await;
    let problem = refused(api.download(id).await).await;
    assert_eq!((problem.status, problem.code.as_str()), (409, "no_result"));

    let (status, task) = task_of(api.interrupt(id, "stop").await).await;
    assert_eq!((status, task.state), (StatusCode::OK, TaskState::Stopped));
    assert_wrong_state(api, id, "kill", TaskState::Stopped).await;
    assert_wrong_state(api, id, "resume", TaskState::Stopped).await;
}

#[tokio::test]
async fn a_killed_task_can_be_resumed() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start_with(data.path(), &ONE_SLOT).await;
    let api = &server.api;
    let (id, plays) = start_long_task(api).await;
    let (status, task) = task_of(api.interrupt(id, "kill").await).await;
    assert_eq!((status, task.state), (StatusCode::OK, TaskState::Killed));
    let (status, task) = task_of(api.interrupt(id, "kill").await).await;
    assert_eq!((status, task.state), (StatusCode::OK, TaskState::Killed));
    assert_slot_free_soon(api).await;
    assert_eq!(refused(api.download(id).await).await.code, "no_result");
    assert!(server.files().contains(&format!("raw_data/{id}")), "its input is kept");

    for _ in 0..2 {
        let (status, task) = task_of(api.interrupt(id, "resume").await).await;
        assert_eq!(status, StatusCode::OK);
        assert!(matches!(task.state, TaskState::Queued | TaskState::Processing), "{}", task.state);
    }
    assert_eq!(api.result(id).await, plays.sums());
    let task = api.task(id).await;
    assert_eq!((task.attempt, task.failures), (2, 0));
    let left = server.files();
    assert!(left.contains(&format!("processed_data/{id}/2.csv")), "{left:?}");
    eventually("nothing of the killed attempt is left", async || {
        let first = format!("processed_data/{id}/1.");
        (!server.files().iter().any(|file| file.starts_with(&first))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_killed_task_can_be_stopped_after_a_crash() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Standalone::start(data.path()).await;
    let (id, _) = start_long_task(&server.api).await;
    server.api.interrupt(id, "kill").await;
    server.crash().await;
    assert_eq!(server.api.task(id).await.state, TaskState::Killed);
    let response = server.api.interrupt(id, "stop").await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    server.crash().await;
    server.api.wait_for_state(id, TaskState::Stopped).await;
}

#[tokio::test]
async fn the_same_file_again_resumes_the_killed_task() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let api = &server.api;
    let (id, plays) = start_long_task(api).await;
    api.interrupt(id, "kill").await;
    let again = super::api::accepted(api.upload("", plays.body()).send().await.unwrap()).await;
    assert_eq!((again.task.task_id, again.resumed), (id, true));
    assert_eq!(api.result(id).await, plays.sums());
    let inputs = || server.files().into_iter().filter(|file| file.starts_with("raw_data/"));
    assert_eq!(inputs().filter(|file| file.contains('#')).count(), 0);
    assert_eq!(inputs().count(), api.tasks().await.len(), "the second upload left no file");
}

#[tokio::test]
async fn a_processed_task_cannot_be_interrupted() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let api = &server.api;
    let id = api.accept("", SAMPLE).await;
    api.result(id).await;
    for verb in ["stop", "kill", "resume"] {
        assert_wrong_state(api, id, verb, TaskState::Processed).await;
    }
    assert_eq!(api.result(id).await, SAMPLE_SUMS);
}

#[tokio::test]
async fn a_deleted_task_is_gone_with_its_files() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let api = &server.api;
    let (running, _) = start_long_task(api).await;
    let path = format!("/v1/tasks/{running}");
    let delete = || async { api.request(Method::DELETE, &path).send().await.unwrap() };
    assert_eq!(refused(delete().await).await.code, "invalid_state");
    api.interrupt(running, "kill").await;
    assert_eq!(delete().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(refused(api.get(&path).await).await.code, "task_not_found");
    let mut kept = Vec::new();
    for task in api.tasks().await {
        kept.push(format!("raw_data/{}", task.task_id));
        kept.push(format!("processed_data/{}/{}.csv", task.task_id, task.attempt));
    }
    server.wait_for_files(kept).await;
}
