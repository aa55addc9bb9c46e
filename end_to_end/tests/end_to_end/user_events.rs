//! User events: each is recorded once, even if all processes die; and the report on them, sent by
//! schedules that a fleet runs once.

use common::task::{TaskId, TaskState};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::api::{Api, eventually};
use super::fleet::Fleet;
use super::fleet::services::Services;
use super::standalone::Standalone;

const SCHEDULE: &str = "/v1/schedules/user_events_report";

async fn generate(api: &Api, path: &str) -> Vec<TaskId> {
    let path = format!("/v1/user_events/generate/{path}");
    let response = api.request(Method::POST, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let accepted: Value = response.json().await.unwrap();
    serde_json::from_value(accepted["task_ids"].clone()).unwrap()
}

async fn report(api: &Api) -> Value {
    api.get("/v1/reports/user_events").await.json().await.unwrap()
}

async fn recorded(api: &Api) -> u64 {
    let report = report(api).await;
    report["stats"].as_object().unwrap().values().map(|users| users.as_u64().unwrap()).sum()
}

async fn all_recorded(api: &Api, count: u64) {
    eventually(&format!("{count} events are recorded"), async || {
        (recorded(api).await == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn events_are_recorded_once_when_the_server_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Standalone::start(data.path()).await;
    generate(&server.api, "600?seed=7").await;
    for step in 1..=3 {
        eventually("some more are recorded", async || {
            (recorded(&server.api).await >= step * 100).then_some(())
        })
        .await;
        server.crash().await;
    }
    // The same events, delivered again.
    let again = generate(&server.api, "600?seed=7").await;
    all_recorded(&server.api, 600).await;
    for id in again {
        assert_eq!(server.api.wait_for_end(id).await.state, TaskState::Processed);
    }
    assert_eq!(recorded(&server.api).await, 600);
}

#[tokio::test]
async fn without_a_mail_server_the_report_is_logged() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let event = json!({
        "id": "a-1",
        "address": {"city": "Zwolle", "state": "Overijssel", "country": "NL", "postCode": "8011"},
        "datetime": "2019-05-07 19:54:13.563",
    });
    let send = server.api.request(Method::POST, "/v1/user_events").json(&event);
    assert_eq!(send.send().await.unwrap().status(), StatusCode::ACCEPTED);
    all_recorded(&server.api, 1).await;
    let schedule = json!({"cron": "@daily", "recipients": ["reports@example.org"]});
    let put = server.api.request(Method::PUT, SCHEDULE).json(&schedule).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::OK);
    let run = server.api.request(Method::POST, &format!("{SCHEDULE}/run")).send().await.unwrap();
    assert_eq!(run.status(), StatusCode::ACCEPTED);
    let task: Value = run.json().await.unwrap();
    let id = serde_json::from_value(task["task_id"].clone()).unwrap();
    let task = server.api.wait_for_end(id).await;
    assert_eq!(task.state, TaskState::Processed, "{:?}", task.error);
    let recipients = ["reports@example.org"];
    let result =
        json!({"sent": false, "recipients": recipients, "refused": [], "message_id": null});
    assert_eq!(task.result, Some(result));
    let said = [
        "Report not sent: no SMTP configured",
        "reports@example.org",
        "User events by city, 20",
        "Zwolle",
        "1 city, 1 user",
    ];
    eventually("it is logged", async || server.said(&said)).await;
}

#[tokio::test]
async fn a_due_schedule_runs_on_its_own() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_RUN_SCHEDULES", "true")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let put = server.api.request(Method::PUT, SCHEDULE).json(&json!({"cron": "* * * * *"}));
    let schedule: Value = put.send().await.unwrap().json().await.unwrap();
    // Within a minute.
    let task = eventually("it is run and logged", async || {
        let schedule: Value = server.api.get(SCHEDULE).await.json().await.unwrap();
        let task = &schedule["last_task"];
        (task["state"] == "processed").then(|| task.clone())
    });
    let task = task.await;
    let second = |time: &Value| time.as_str().unwrap()[..19].to_owned();
    assert!(second(&task["created_at"]) >= second(&schedule["next_due"]), "{task} {schedule}");
    assert_eq!(task["result"]["sent"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_runs_a_due_schedule_once_and_records_each_event_once() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.run_schedules = true;
    for _ in 0..3 {
        fleet.add_manager().await;
    }
    fleet.add_worker(4).await;
    fleet.add_worker(4).await;
    for _ in 0..2 {
        generate(&fleet.api, "300?seed=7").await;
    }
    all_recorded(&fleet.api, 300).await;
    for round in 1..=3 {
        let due = "UPDATE schedules SET next_due = UTC_TIMESTAMP(6) - INTERVAL 3 DAY";
        fleet.sql(due);
        let count = |more: &str| {
            format!("SELECT COUNT(*) FROM tasks WHERE kind = 'report_email' AND {more}")
        };
        eventually("the report is processed", async || {
            let processed = fleet.sql(&count("state = 'processed'"));
            (processed == round.to_string()).then_some(())
        })
        .await;
        let next = fleet.sql("SELECT next_due > UTC_TIMESTAMP(6) FROM schedules");
        assert_eq!((next.as_str(), fleet.sql(&count("TRUE"))), ("1", round.to_string()));
    }
    fleet.is_at_rest().await;
    assert_eq!(fleet.sql("SELECT COUNT(*) FROM user_events"), "300");
    fleet.ends_and_leaves_nothing().await;
}
