//! Server-sent events.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use common::report::Event;
use common::task::{Progress, TaskState, TaskView};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::time::timeout;

use super::app::{DEADLINE, SONGS, TestApp, failed};
use super::backend::{Backend, backend_tests};

backend_tests![
    subscribers_get_the_task_immediately_and_on_every_change,
    changes_by_reports_and_interrupts_are_pushed_immediately,
    every_one_of_many_changes_is_pushed,
    after_a_reconnect_everything_missed_is_sent,
    a_client_that_missed_all_changes_gets_all_tasks,
    a_stream_ends_when_its_token_expires,
    a_stream_ends_soon_after_its_token_is_revoked,
    a_stream_ends_when_its_user_gets_another_role,
    the_stream_of_a_task_ends_with_the_task,
    events_are_not_buffered_by_proxies,
    unknown_streams_are_404_and_open_ones_delay_no_shutdown,
];

/// An open stream of events.
struct Events {
    stream: BoxStream<'static, reqwest::Result<Bytes>>,
    text: String,
}

impl Events {
    async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { stream: response.bytes_stream().boxed(), text: String::new() }
    }

    /// The next event's id and its task.
    async fn next(&mut self) -> (String, TaskView) {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|v| v.trim().to_owned())
                };
                let Some(data) = field("data:") else { continue };
                assert_eq!(field("event:").as_deref(), Some("task"));
                return (field("id:").unwrap(), serde_json::from_str(&data).unwrap());
            }
            let bytes = self.stream.next().await.expect("the stream ended").unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event that matches.
    async fn until(&mut self, fits: impl Fn(&TaskView) -> bool) -> (String, TaskView) {
        let reading = async {
            loop {
                let (id, task) = self.next().await;
                if fits(&task) {
                    return (id, task);
                }
            }
        };
        timeout(DEADLINE, reading).await.expect("no such event in time")
    }
}

/// Reads events until one matches; returns its id and its task.
async fn read_until(
    request: RequestBuilder,
    fits: impl Fn(&TaskView) -> bool,
) -> (String, TaskView) {
    Events::open(request).await.until(fits).await
}

/// The progress of a task that rejects as many rows as it has read bytes.
fn progress(done: u64) -> Progress {
    let unit = "bytes".to_owned();
    Progress { done, total: None, unit, per_second: None, rejected_rows: Some(done) }
}

async fn subscribers_get_the_task_immediately_and_on_every_change(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    let path = format!("/v1/tasks/{}/events", attempt.task_id);
    let now = read_until(app.request(Method::GET, &path), |_| true).await.1;
    assert_eq!(now.state, TaskState::Processing);

    let progress = progress(7);
    let heartbeat = Event::Heartbeat { progress: Some(progress.clone()) };
    let watched = read_until(app.request(Method::GET, &path), |task| {
        task.progress.as_ref().is_some_and(|progress| progress.done == 7)
    });
    let (watched, _) = tokio::join!(watched, app.report(&attempt, heartbeat));
    assert_eq!(watched.1.progress, Some(progress));

    let ended = read_until(app.request(Method::GET, &path), |task| task.state.is_ended());
    let (ended, _) = tokio::join!(ended, app.report(&attempt, failed()));
    assert_eq!(ended.1.state, TaskState::Failed);
}

async fn changes_by_reports_and_interrupts_are_pushed_immediately(backend: Backend) {
    /// The number of changes. Polls are half a second apart, so that they alone would take twice
    /// the given time.
    const TIMES: u64 = 20;
    const TIME: Duration = Duration::from_secs(5);

    let mut app = TestApp::start(backend).await;
    let mut events = Events::open(app.request(Method::GET, "/v1/tasks/events")).await;
    let changing = async {
        let attempt = app.processing_task().await;
        let is_it = |task: &TaskView| task.task_id == attempt.task_id;
        events.until(|task| is_it(task) && task.state == TaskState::Processing).await;
        for done in 1..=TIMES {
            let progress = progress(done);
            app.report(&attempt, Event::Heartbeat { progress: Some(progress.clone()) }).await;
            let (_, task) = events.until(is_it).await;
            assert_eq!(task.progress, Some(progress), "it is sent once, with the current state");
        }
        let killed = app.post(&format!("/v1/tasks/{}/kill", attempt.task_id)).await;
        assert_eq!(killed.status(), StatusCode::OK);
        assert_eq!(events.until(is_it).await.1.state, TaskState::Killed);
    };
    timeout(TIME, changing).await.expect("they do not wait for a poll");
}

async fn every_one_of_many_changes_is_pushed(backend: Backend) {
    const COUNT: usize = 1_500;
    let app = TestApp::start(backend).await;
    let mut events = Events::open(app.request(Method::GET, "/v1/tasks/events")).await;
    let accepted = app.post(&format!("/v1/user_events/generate/{COUNT}")).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    let telling = async {
        let mut told = HashSet::new();
        while told.len() < COUNT {
            told.insert(events.next().await.1.task_id);
        }
    };
    timeout(DEADLINE, telling).await.expect("all are sent in time");
}

async fn after_a_reconnect_everything_missed_is_sent(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let first = app.processing_task().await;
    let all = |app: &TestApp| app.request(Method::GET, "/v1/tasks/events");
    let seen = read_until(all(&app), |task| task.state == TaskState::Failed);
    let (seen, _) = tokio::join!(seen, app.report(&first, failed()));

    let missed = app.task_in(TaskState::Killed).await;
    let request = all(&app).header("last-event-id", seen.0);
    let (_, task) = read_until(request, |task| task.task_id == missed).await;
    assert_eq!(task.state, TaskState::Killed);

    let request = all(&app).header("last-event-id", "0000-01-01T00:00:00Z");
    let (_, task) = read_until(request, |task| task.task_id == first.task_id).await;
    assert_eq!(task.state, TaskState::Failed, "everything has changed since then");
}

async fn unknown_streams_are_404_and_open_ones_delay_no_shutdown(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let path = format!("/v1/tasks/{}/events", common::task::TaskId::new());
    assert_eq!(app.get(&path).await.status(), StatusCode::NOT_FOUND);
    let open = app.get("/v1/tasks/events").await;
    let before = std::time::Instant::now();
    app.restart().await;
    assert!(before.elapsed() < std::time::Duration::from_secs(8));
    drop(open);
}

async fn a_stream_ends_when_its_token_expires(backend: Backend) {
    let app = TestApp::start_with(backend, |config| {
        config.token_lifetime = std::time::Duration::from_secs(2);
    })
    .await;
    let token = app.log_in_as("alice").await;
    let stream = app.request_as(&token, Method::GET, "/v1/tasks/events").send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    tokio::time::timeout(DEADLINE, stream.bytes()).await.expect("it ends").unwrap();
}

async fn a_client_that_missed_all_changes_gets_all_tasks(backend: Backend) {
    const COUNT: usize = 5_000;
    let app = TestApp::start(backend).await;
    let accepted = app.post(&format!("/v1/user_events/generate/{COUNT}")).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    let request = app.request(Method::GET, "/v1/tasks/events");
    let mut events = Events::open(request.header("last-event-id", "1970-01-01T00:00:00Z")).await;
    let telling = async {
        let (mut told, mut latest) = (HashSet::new(), String::new());
        while told.len() < COUNT {
            let (id, task) = events.next().await;
            assert!(id >= latest, "oldest first, so that {id} tells which are still missing");
            told.insert(task.task_id);
            latest = id;
        }
    };
    timeout(DEADLINE * 2, telling).await.expect("all are sent in time");
}

/// Asserts that the stream ends in time; reads the events before that.
async fn assert_ends(stream: reqwest::Response, why: &str) {
    assert_eq!(stream.status(), StatusCode::OK, "{why}");
    let ended = timeout(Duration::from_secs(5), stream.bytes()).await;
    ended.unwrap_or_else(|_| panic!("the stream continues: {why}")).unwrap();
}

async fn a_stream_ends_soon_after_its_token_is_revoked(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let [alice, bobby] = [app.log_in_as("alice").await, app.log_in_as("bobby").await];
    let open = async |app: &TestApp, token: &str| {
        app.request_as(token, Method::GET, "/v1/tasks/events").send().await.unwrap()
    };
    let (revoked, good) = (open(&app, &alice).await, open(&app, &bobby).await);
    let first = app.switch_to_another().await;
    let log_out = app.request_as(&alice, Method::DELETE, "/v1/sessions/current");
    assert_eq!(log_out.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_ends(revoked, "its token was revoked at another task manager").await;
    let going_on = timeout(Duration::from_secs(3), good.bytes()).await;
    assert!(going_on.is_err(), "this token was not revoked");

    let gone = open(&app, &bobby).await;
    app.sql("DELETE FROM users WHERE username = 'bobby'");
    assert_ends(gone, "its user was deleted").await;
    first.stop().await.unwrap();
}

/// An administrator sees the tasks of all users, and a user no longer does.
async fn a_stream_ends_when_its_user_gets_another_role(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    app.sql("UPDATE users SET role = 'admin' WHERE username = 'alice'");
    let path = format!("/v1/tasks/{}/events", app.upload(SONGS).await.task.task_id);
    let stream = app.request_as(&alice, Method::GET, &path).send().await.unwrap();
    app.sql("UPDATE users SET role = 'user' WHERE username = 'alice'");
    assert_ends(stream, "its user is no administrator any more").await;
    let again = app.request_as(&alice, Method::GET, &path).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
}

async fn the_stream_of_a_task_ends_with_the_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    let path = format!("/v1/tasks/{}/events", attempt.task_id);
    let open = |last: &str| app.request(Method::GET, &path).header("last-event-id", last).send();
    let live = open("").await.unwrap();
    app.report(&attempt, failed()).await;
    let read = |stream: reqwest::Response| async {
        timeout(DEADLINE, stream.text()).await.expect("the stream continues").unwrap()
    };
    let text = read(live).await;
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.contains("\"state\":\"failed\""), "{text}");

    let text = read(open("").await.unwrap()).await;
    assert_eq!(text.matches("event: task").count(), 1, "{text}");
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    let seen = open(&id).await.unwrap();
    assert_eq!(
        seen.status(),
        StatusCode::NO_CONTENT,
        "no event follows, which ends an EventSource"
    );
    assert_eq!(seen.headers()["cache-control"], "no-store");
    let earlier = open("2020-01-01T00:00:00Z").await.unwrap();
    assert!(read(earlier).await.contains("\"state\":\"failed\""));

    let resumed = app.post(&format!("/v1/tasks/{}/resume", attempt.task_id)).await;
    assert_eq!(resumed.status(), StatusCode::OK);
    let again = open(&id).await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    app.post(&format!("/v1/tasks/{}/kill", attempt.task_id)).await;
    assert!(read(again).await.contains("\"state\":\"killed\""));
}

async fn events_are_not_buffered_by_proxies(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    for path in ["/v1/tasks/events".to_owned(), format!("/v1/tasks/{}/events", attempt.task_id)] {
        let stream = app.get(&path).await;
        assert_eq!(stream.headers()["x-accel-buffering"], "no", "{path}");
        assert_eq!(stream.headers()["cache-control"], "no-store", "{path}");
        assert_eq!(stream.headers()["content-type"], "text/event-stream", "{path}");
    }
}
