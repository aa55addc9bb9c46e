//! Stop, kill and resume from every state, and delete.

use common::task::TaskState;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::app::{TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    stop_rolls_back_from_every_state_but_processed,
    kill_ends_queued_and_processing_tasks,
    resume_continues_killed_and_failed_tasks,
    a_killed_task_in_the_queue_is_no_longer_claimable,
    a_rollback_resumes_after_a_restart,
    an_ended_task_is_deleted_with_all_its_data,
    a_task_that_has_not_ended_is_not_deleted,
];

const STATES: [TaskState; 6] = [
    TaskState::Queued,
    TaskState::Processing,
    TaskState::Processed,
    TaskState::Failed,
    TaskState::Stopped,
    TaskState::Killed,
];

async fn assert_verb(
    backend: Backend,
    verb: &str,
    from: TaskState,
    status: u16,
    becomes: Option<TaskState>,
) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(from).await;
    let (given, body) = app.interrupt(id, verb).await;
    assert_eq!(given.as_u16(), status, "{verb} of a task that is {from}: {body}");
    match becomes {
        Some(state) => {
            app.wait_for_state(id, state).await;
        }
        None => {
            assert_eq!(body["code"], "invalid_state");
            assert!(body["detail"].as_str().unwrap().contains(from.as_str()), "{body}");
            assert_eq!(app.state(id).await, from);
        }
    }
}

async fn stop_rolls_back_from_every_state_but_processed(backend: Backend) {
    for from in STATES {
        match from {
            TaskState::Processed => assert_verb(backend, "stop", from, 409, None).await,
            TaskState::Stopped => {
                assert_verb(backend, "stop", from, 200, Some(TaskState::Stopped)).await
            }
            _ => assert_verb(backend, "stop", from, 202, Some(TaskState::Stopped)).await,
        }
    }
}

async fn kill_ends_queued_and_processing_tasks(backend: Backend) {
    for from in STATES {
        match from {
            TaskState::Queued | TaskState::Processing | TaskState::Killed => {
                assert_verb(backend, "kill", from, 200, Some(TaskState::Killed)).await;
            }
            _ => assert_verb(backend, "kill", from, 409, None).await,
        }
    }
}

async fn resume_continues_killed_and_failed_tasks(backend: Backend) {
    for from in STATES {
        match from {
            TaskState::Killed | TaskState::Failed => {
                assert_verb(backend, "resume", from, 200, Some(TaskState::Queued)).await;
            }
            TaskState::Queued | TaskState::Processing => {
                assert_verb(backend, "resume", from, 200, Some(from)).await;
            }
            _ => assert_verb(backend, "resume", from, 409, None).await,
        }
    }
}

async fn a_killed_task_in_the_queue_is_no_longer_claimable(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Queued).await;
    app.interrupt(id, "kill").await;
    assert!(app.is_queue_silent().await);
    app.interrupt(id, "resume").await;
    assert_eq!(app.next_attempt().await.task_id, id);
}

async fn a_rollback_resumes_after_a_restart(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    app.write_result(&attempt, "written before the stop").await;
    // The state after a server was killed right after the stop.
    app.sql("UPDATE tasks SET state = 'stopping', leased_until = NULL");
    app.restart().await;
    app.wait_for_state(attempt.task_id, TaskState::Stopped).await;
    assert_eq!(app.files(), [format!("raw_data/{}", attempt.task_id)]);
}

async fn an_ended_task_is_deleted_with_all_its_data(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Processed).await;
    let path = format!("/v1/tasks/{id}");
    let deleted = app.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(app.get(&path).await.status(), StatusCode::NOT_FOUND);
    assert!(app.list("").await.items.is_empty());
    app.wait_for_files(&[]).await;
    eventually("the row is gone", || async {
        (app.sql("UPDATE tasks SET failures = 0") == 0).then_some(())
    })
    .await;
    let again = app.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
}

async fn a_task_that_has_not_ended_is_not_deleted(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Queued).await;
    let response = app.request(Method::DELETE, &format!("/v1/tasks/{id}")).send().await.unwrap();
    let (status, body) = problem(response).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("invalid_state")));
    assert_eq!(app.state(id).await, TaskState::Queued);
}
