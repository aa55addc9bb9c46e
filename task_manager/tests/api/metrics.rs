//! The metrics, which the servers of all tests in this process share: they only grow.

use common::metrics::Page;
use common::report::Event;
use common::task::TaskState;
use reqwest::StatusCode;

use super::app::{TestApp, failed};
use super::backend::{Backend, backend_tests};

backend_tests![tasks_attempts_and_requests_are_counted, scrapes_read_the_backlog,];

/// The metrics of the server.
struct Scrape(String);

impl Scrape {
    async fn of(app: &TestApp) -> Self {
        let mut page = Page::default();
        app.add_metrics(&mut page);
        Self(page.scrape().await.unwrap())
    }

    /// The value of a series; zero if it does not exist.
    fn value(&self, series: &str) -> f64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// How much a series has grown since `earlier`.
    fn growth(&self, earlier: &Self, series: &str) -> f64 {
        self.value(series) - earlier.value(series)
    }
}

async fn tasks_attempts_and_requests_are_counted(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let before = Scrape::of(&app).await;
    app.task_in(TaskState::Processed).await;
    app.task_in(TaskState::Killed).await;
    let attempt = app.processing_task().await;
    let again = Event::Retry {
        after: Some(0.0),
        checkpoint: None,
        reason: Some("no disk".to_owned()),
        waits_for: None,
    };
    app.report(&attempt, again).await;
    let attempt = app.next_attempt().await;
    app.report(&attempt, failed()).await;
    assert_eq!(app.get("/v1/tasks/8").await.status(), StatusCode::NOT_FOUND);
    let after = Scrape::of(&app).await;

    let kind = "kind=\"csv_aggregation\"";
    let grew = |series: &str, least: f64| {
        let growth = after.growth(&before, series);
        assert!(growth >= least, "{series} grew by {growth}");
    };
    // The third upload resumed the killed task, since it has the same file.
    grew(&format!("task_manager_tasks_accepted_total{{{kind}}}"), 2.0);
    grew(&format!("task_manager_queue_time_seconds_count{{{kind}}}"), 4.0);
    grew(&format!("task_manager_attempt_time_seconds_count{{{kind}}}"), 4.0);
    for outcome in ["processed", "killed", "failed"] {
        grew(&format!("task_manager_tasks_ended_total{{{kind},outcome=\"{outcome}\"}}"), 1.0);
    }
    for outcome in ["completed", "killed", "retry", "failed"] {
        grew(&format!("task_manager_attempts_total{{{kind},outcome=\"{outcome}\"}}"), 1.0);
    }
    let requests = |labels: &str| format!("task_manager_http_requests_total{{{labels}}}");
    let route = "method=\"POST\",route=\"/v1/data_processor/upload\",status=\"202\"";
    grew(&requests(route), 3.0);
    grew(&requests("method=\"GET\",route=\"/v1/tasks/{id}\",status=\"404\""), 1.0);
    grew("task_manager_http_received_bytes_total", 200.0);
    grew("task_manager_http_sent_bytes_total", 200.0);
    let id = attempt.task_id.to_string();
    assert!(!after.0.contains(&id), "no label has the id of a task");
}

async fn scrapes_read_the_backlog(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.task_in(TaskState::Queued).await;
    let scrape = Scrape::of(&app).await;
    // Other tests may have set the gauges since, but not removed them.
    for series in [
        "task_manager_tasks{kind=\"csv_aggregation\",state=\"queued\"} ",
        "task_manager_outbox_rows ",
        "task_manager_outbox_lag_seconds ",
        "task_manager_broker_up ",
        "task_manager_storage_free_bytes ",
        "process_start_time_seconds ",
    ] {
        assert!(scrape.0.contains(series), "{series} is missing in\n{}", scrape.0);
    }
    let limit = scrape.value("task_manager_database_connections{pool=\"read\",state=\"limit\"}");
    assert_eq!(limit, 8.0);
}
