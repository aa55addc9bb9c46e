//! User events: accepted, generated, recorded once, reported and deleted.

use std::collections::BTreeSet;

use common::report::{Attempt, Event, Outcome, Report};
use common::task::spec::TaskSpec;
use common::task::{TaskId, TaskState};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::app::{TestApp, problem};
use super::backend::{Backend, backend_tests};
use super::messages::json_of;

backend_tests![
    an_event_is_recorded_when_its_task_is_processed,
    an_event_delivered_repeatedly_is_recorded_once,
    the_same_event_of_two_users_is_two_events,
    an_invalid_event_refuses_the_whole_list,
    other_invalid_requests_are_refused,
    many_events_are_accepted_in_order,
    the_same_seed_gives_the_same_events,
    repeated_events_replay_their_answer,
    the_report_can_be_filtered,
    only_administrators_get_reports_of_other_users,
    deleting_a_task_deletes_its_event,
    interrupted_and_failed_tasks_record_nothing,
    a_result_other_than_an_event_is_rejected,
    events_of_distant_years_are_recorded_and_reported,
];

const PATH: &str = "/v1/user_events";
const REPORT: &str = "/v1/reports/user_events";

pub fn event(id: &str, city: &str, datetime: &str) -> Value {
    let (state, country) = match city {
        "Austin" | "Dallas" => ("Texas", "USA"),
        "Portland" => ("Oregon", "USA"),
        _ => ("Berlin", "Germany"),
    };
    json!({
        "id": id,
        "address": {"city": city, "state": state, "country": country, "postCode": "10115"},
        "datetime": datetime,
    })
}

pub async fn submit(app: &TestApp, body: &Value) -> Vec<TaskId> {
    accepted(app.request(Method::POST, PATH).json(body).send().await.unwrap()).await
}

async fn accepted(response: Response) -> Vec<TaskId> {
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{:?}", response.text().await);
    assert!(response.headers().contains_key("retry-after"));
    let body: Value = response.json().await.unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    serde_json::from_value(body["task_ids"].clone()).unwrap()
}

/// The result of a worker for an event: the event itself.
fn handed_back(attempt: &Attempt) -> Event {
    let TaskSpec::UserEvent(event) = &attempt.spec else { panic!("{attempt:?}") };
    Event::Completed { result: serde_json::to_value(event).unwrap(), output: None }
}

/// Completes `count` tasks.
pub async fn work(app: &mut TestApp, count: usize) {
    let mut reports = Vec::new();
    for _ in 0..count {
        let attempt = app.next_attempt().await;
        let event = handed_back(&attempt);
        reports.push(Report { task_id: attempt.task_id, attempt: attempt.attempt, event });
    }
    let outcomes = app.report_all(reports).await;
    assert_eq!(outcomes, vec![Outcome::Accepted; count]);
}

async fn stats(app: &TestApp, query: &str) -> Value {
    json_of(app, &format!("{REPORT}{query}")).await["stats"].take()
}

fn sum(stats: &Value) -> u64 {
    stats.as_object().unwrap().values().map(|users| users.as_u64().unwrap()).sum()
}

/// Records five events of four cities.
pub async fn record(app: &mut TestApp) {
    let events = json!([
        event("1", "Portland", "2019-05-07 19:54:13.563"),
        event("2", "Austin", "2019-05-07T19:54:13.564Z"),
        event("3", "Austin", "2019-05-08 00:00:00"),
        event("4", "Dallas", "2019-05-08T02:00:00+03:00"),
        event("5", "Berlin", "2019-05-09T00:00:00Z"),
    ]);
    submit(app, &events).await;
    work(app, 5).await;
}

async fn an_event_is_recorded_when_its_task_is_processed(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let ids = submit(&app, &event(" 7 ", "\tAustin ", "2019-05-07 19:54:13.563")).await;
    assert_eq!(ids.len(), 1);
    let task = app.task(ids[0]).await;
    assert_eq!((task.kind.as_str(), task.state), ("user_event", TaskState::Queued));
    assert_eq!(task.links.report.as_deref(), Some(REPORT));
    assert_eq!(stats(&app, "").await, json!({}), "nothing is recorded yet");

    let attempt = app.next_attempt().await;
    let TaskSpec::UserEvent(spec) = &attempt.spec else { panic!("{attempt:?}") };
    assert_eq!((spec.id.as_str(), spec.address.city.as_str()), ("7", "Austin"));
    assert_eq!(spec.datetime.to_rfc3339(), "2019-05-07T19:54:13.563+00:00");
    assert_eq!(app.report(&attempt, handed_back(&attempt)).await, Outcome::Accepted);
    let task = app.task(ids[0]).await;
    let expected = json!({"id": "7", "recorded": true});
    assert_eq!((task.state, task.result), (TaskState::Processed, Some(expected)));
    let report = json_of(&app, REPORT).await;
    assert_eq!(report["stats"], json!({"Austin": 1}));
    let made: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(report["timestamp"].clone()).unwrap();
    assert!((common::clock::now() - made).num_seconds() < 60);
    assert_eq!(report.as_object().unwrap().len(), 2);
}

async fn an_event_delivered_repeatedly_is_recorded_once(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let first = event("7", "Austin", "2019-05-07 19:54:13");
    // Repeated in one request and in another one, with another city: the first one counts.
    let again = event("7", "Berlin", "2019-05-07 19:54:13");
    submit(&app, &json!([first, first])).await;
    work(&mut app, 1).await;
    submit(&app, &again).await;
    let number = json!({"id": 7, "address": again["address"], "datetime": again["datetime"]});
    submit(&app, &number).await;
    for _ in 0..3 {
        let attempt = app.next_attempt().await;
        // A completion that is reported twice is accepted twice.
        for _ in 0..2 {
            assert_eq!(app.report(&attempt, handed_back(&attempt)).await, Outcome::Accepted);
        }
        let result = app.task(attempt.task_id).await.result.unwrap();
        assert_eq!(result, json!({"id": "7", "recorded": false}));
    }
    assert_eq!(stats(&app, "").await, json!({"Austin": 1}));
    // In one batch, as workers report.
    let many: Vec<Value> =
        (0..50).map(|n| event(&(n % 10).to_string(), "Dallas", "2019-05-07 00:00:00")).collect();
    submit(&app, &json!(many)).await;
    work(&mut app, 50).await;
    assert_eq!(stats(&app, "").await["Dallas"], 9, "all but the earlier one");
}

async fn the_same_event_of_two_users_is_two_events(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let event = event("7", "Austin", "2019-05-07 19:54:13");
    submit(&app, &event).await;
    let request = app.request_as(&alice, Method::POST, PATH).json(&event);
    accepted(request.send().await.unwrap()).await;
    work(&mut app, 2).await;
    assert_eq!(stats(&app, "").await, json!({"Austin": 1}));
    assert_eq!(stats(&app, "?user_id=all").await, json!({"Austin": 2}));
}

async fn an_invalid_event_refuses_the_whole_list(backend: Backend) {
    let app = TestApp::start(backend).await;
    let good = event("1", "Austin", "2019-05-07 19:54:13.563");
    let bad = event("", &"x".repeat(101), "noon");
    let send = async |body: String, content_type: &str| {
        let request = app.request(Method::POST, PATH).header("content-type", content_type);
        problem(request.body(body).send().await.unwrap()).await
    };
    let json = "application/json";
    let (status, body) = send(json!([good, bad]).to_string(), json).await;
    assert_eq!((status.as_u16(), &body["code"]), (422, &json!("invalid_parameters")));
    let fields: Vec<_> = body["errors"].as_array().unwrap().iter().map(|e| &e["field"]).collect();
    assert_eq!(fields, ["[1].id", "[1].address.city", "[1].datetime"]);
    let (status, body) = send(json!(vec![&bad; 100]).to_string(), json).await;
    assert_eq!((status.as_u16(), &body["error_count"]), (422, &json!(300)));
    assert_eq!(body["errors"].as_array().unwrap().len(), 100);
    assert!(body["detail"].as_str().unwrap().ends_with("; and 290 more"), "{body}");
    let (status, body) = send(bad.to_string(), json).await;
    assert_eq!((status.as_u16(), &body["errors"][1]["field"]), (422, &json!("address.city")));
    let mut unknown = good.clone();
    unknown["colour"] = json!("red");
    let mut half = good.clone();
    half["address"]["postCode"] = json!(0.5);
    for (body, content_type, status, named) in [
        (json!([good, {"id": "1"}]).to_string(), json, 400, "[1]: missing field `address`"),
        (json!([unknown]).to_string(), json, 400, "[0].colour: unknown field `colour`"),
        (half.to_string(), json, 400, "address.postCode: invalid type: floating point `0.5`"),
        ("7".to_owned(), json, 400, "invalid type: integer `7`"),
        ("{\"id\": 1".to_owned(), json, 400, "EOF"),
        (String::new(), json, 400, "EOF"),
        ("[]".to_owned(), json, 422, "events: are 0; a request may have 1 to 10000"),
        (json!(vec![&good; 10_001]).to_string(), json, 422, "events: are 10001"),
        (format!("\"{}\"", "x".repeat(17 << 20)), json, 413, "larger"),
        (good.to_string(), "text/plain", 415, "takes application/json"),
    ] {
        let (given, body) = send(body, content_type).await;
        let detail = body["detail"].as_str().unwrap();
        assert!(given.as_u16() == status && detail.contains(named), "{status} {named}: {body}");
    }
    assert!(app.list("").await.items.is_empty(), "nothing was accepted");
}

async fn other_invalid_requests_are_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    for path in ["0", "10001", "-1", "many", "1?seed=-1", "1?seeds=1"] {
        let response = app.post(&format!("{PATH}/generate/{path}")).await;
        assert_eq!(problem(response).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
    for query in ["?user_id=me", "?city=Austin", "?from=now", "?to=tomorrow"] {
        let response = app.get(&format!("{REPORT}{query}")).await;
        assert_eq!(problem(response).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    assert!(app.list("").await.items.is_empty(), "nothing was accepted");
}

async fn many_events_are_accepted_in_order(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let events: Vec<Value> =
        (0..2_500).map(|n| event(&n.to_string(), "Dallas", "2019-05-07 00:00:00")).collect();
    let ids = submit(&app, &json!(events)).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 2_500);
    assert!(ids.is_sorted(), "in the order of the events");
    let mut reports = Vec::new();
    for _ in 0..100 {
        let attempt = app.next_attempt().await;
        let TaskSpec::UserEvent(spec) = &attempt.spec else { panic!("{attempt:?}") };
        let place: usize = spec.id.parse().unwrap();
        assert_eq!(ids[place], attempt.task_id);
        let event = handed_back(&attempt);
        reports.push(Report { task_id: attempt.task_id, attempt: attempt.attempt, event });
    }
    assert_eq!(app.report_all(reports).await, vec![Outcome::Accepted; 100]);
    assert_eq!(stats(&app, "").await, json!({"Dallas": 100}));
}

async fn the_same_seed_gives_the_same_events(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    for _ in 0..2 {
        let ids = accepted(app.post(&format!("{PATH}/generate/20?seed=7")).await).await;
        assert_eq!(ids.len(), 20);
    }
    for _ in 0..2 {
        accepted(app.post(&format!("{PATH}/generate/10")).await).await;
    }
    work(&mut app, 60).await;
    assert_eq!(sum(&stats(&app, "").await), 40);
}

async fn repeated_events_replay_their_answer(backend: Backend) {
    let app = TestApp::start(backend).await;
    let send = async |path: &str, body: &Value| {
        let request = app.request(Method::POST, path).header("Idempotency-Key", "once");
        request.json(body).send().await.unwrap()
    };
    // More than one transaction.
    let events: Vec<Value> =
        (0..1_200).map(|n| event(&n.to_string(), "Dallas", "2019-05-07 00:00:00")).collect();
    let first = accepted(send(PATH, &json!(events)).await).await;
    assert_eq!(accepted(send(PATH, &json!(events)).await).await, first);
    let (status, body) = problem(send(PATH, &events[0]).await).await;
    assert_eq!((status.as_u16(), &body["code"]), (422, &json!("idempotency_key_reused")));
    let generate = format!("{PATH}/generate/5");
    let first = accepted(send(&generate, &json!(null)).await).await;
    assert_eq!(accepted(send(&generate, &json!(null)).await).await, first);
    assert_eq!(app.list("?page_size=2000").await.items.len(), 1_205);
}

async fn the_report_can_be_filtered(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    record(&mut app).await;
    // The event of another user.
    app.sql("UPDATE user_events SET owner = task_id WHERE event_id = '5'");
    for (query, expected) in [
        ("", json!({"Austin": 2, "Dallas": 1, "Portland": 1})),
        ("?user_id=all", json!({"Austin": 2, "Berlin": 1, "Dallas": 1, "Portland": 1})),
        ("?user_id=all&country=Germany", json!({"Berlin": 1})),
        ("?country=USA", json!({"Austin": 2, "Dallas": 1, "Portland": 1})),
        ("?country=usa", json!({})),
        ("?country=%20USA%20&state=Texas", json!({"Austin": 2, "Dallas": 1})),
        ("?state=Texas&country=Germany", json!({})),
        ("?from=2019-05-08", json!({"Austin": 1})),
        ("?to=2019-05-08", json!({"Austin": 1, "Dallas": 1, "Portland": 1})),
        ("?from=2019-05-07T19:54:13.563Z&to=2019-05-07T19:54:13.564Z", json!({"Portland": 1})),
        ("?user_id=00000000-0000-4000-8000-000000000000", json!({})),
    ] {
        assert_eq!(stats(&app, query).await, expected, "{query}");
    }
    let text = app.get(REPORT).await.text().await.unwrap();
    assert!(text.contains(r#"{"Austin":2,"Dallas":1,"Portland":1}"#), "by city: {text}");
}

async fn only_administrators_get_reports_of_other_users(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    record(&mut app).await;
    let alice = app.log_in_as("alice").await;
    let ask = async |query: &str| {
        let path = format!("{REPORT}{query}");
        app.request_as(&alice, Method::GET, &path).send().await.unwrap()
    };
    let own: Value = ask("").await.json().await.unwrap();
    assert_eq!(own["stats"], json!({}));
    let (status, body) = problem(ask("?user_id=all").await).await;
    assert_eq!((status.as_u16(), &body["code"]), (403, &json!("not_administrator")));
    let stranger = "?user_id=00000000-0000-4000-8000-000000000000";
    let (status, body) = problem(ask(stranger).await).await;
    assert_eq!((status.as_u16(), &body["code"]), (404, &json!("user_not_found")));
}

async fn deleting_a_task_deletes_its_event(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let kept = event("1", "Berlin", "2019-05-07 19:54:13");
    let ids = submit(&app, &json!([event("2", "Austin", "2019-05-07 19:54:13"), kept])).await;
    work(&mut app, 2).await;
    let path = format!("/v1/tasks/{}", ids[0]);
    let response = app.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(stats(&app, "").await, json!({"Berlin": 1}));
}

async fn interrupted_and_failed_tasks_record_nothing(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let mut take = async |id: &str| {
        submit(&app, &event(id, "Berlin", "2019-05-07 19:54:13")).await;
        app.next_attempt().await
    };
    let [stopped, killed, failed] = [take("1").await, take("2").await, take("3").await];
    for (attempt, verb, outcome) in
        [(&stopped, "stop", Outcome::Stop), (&killed, "kill", Outcome::Kill)]
    {
        app.interrupt(attempt.task_id, verb).await;
        assert_eq!(app.report(attempt, handed_back(attempt)).await, outcome);
    }
    assert_eq!(app.report(&failed, super::app::failed()).await, Outcome::Accepted);
    for attempt in [&stopped, &killed, &failed] {
        app.interrupt(attempt.task_id, "stop").await;
        app.wait_for_state(attempt.task_id, TaskState::Stopped).await;
    }
    assert_eq!(stats(&app, "").await, json!({}));
}

async fn a_result_other_than_an_event_is_rejected(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    submit(&app, &event("1", "Berlin", "2019-05-07 19:54:13")).await;
    let attempt = app.next_attempt().await;
    let event = Event::Completed { result: json!({"id": 7}), output: None };
    assert!(matches!(app.report(&attempt, event).await, Outcome::Rejected { .. }));
    assert_eq!(app.state(attempt.task_id).await, TaskState::Processing);
}

async fn events_of_distant_years_are_recorded_and_reported(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let events = json!([
        event("1", "Austin", "2038-01-19 03:14:07"),
        event("2", "Berlin", "2038-01-19T03:14:08Z"),
        event("3", "Dallas", "2040-02-29 12:00:00.000001"),
        event("4", "Portland", "9999-12-31 23:59:59"),
    ]);
    submit(&app, &events).await;
    work(&mut app, 4).await;
    assert_eq!(
        stats(&app, "?from=2038-01-19T03:14:08Z&to=2040-03-01").await,
        json!({"Berlin": 1, "Dallas": 1})
    );
    assert_eq!(stats(&app, "?from=9999-12-31").await, json!({"Portland": 1}));
    assert_eq!(stats(&app, "?to=9999-12-31").await.as_object().unwrap().len(), 3);
}
