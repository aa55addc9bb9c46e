//! Messages: accepted, counted, tracked, listed and deleted.

use std::collections::BTreeSet;

use common::report::{Attempt, Event, Outcome};
use common::task::spec::TaskSpec;
use common::task::{TaskId, TaskKind, TaskState};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    a_validated_message_is_tracked_with_its_count,
    concurrent_messages_are_counted_without_gap_or_repeat,
    a_message_is_tracked_once_when_its_completion_is_reported_twice,
    a_delay_keeps_the_draws_without_a_failure,
    invalid_messages_are_refused,
    the_list_is_paged_and_filtered,
    messages_are_counted_by_category_and_day,
    deleting_a_task_deletes_its_message,
    a_stopped_task_leaves_no_message,
    an_invalid_result_is_rejected,
    a_repeated_message_is_accepted_once,
    a_repeated_bulk_request_is_stored_once,
];

pub async fn send(app: &TestApp, message: &str) -> Value {
    let request = app.request(Method::POST, "/v1/messages").json(&json!({"message": message}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    response.json().await.unwrap()
}

pub async fn json_of(app: &TestApp, path: &str) -> Value {
    let response = app.get(path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}: {:?}", response.text().await);
    response.json().await.unwrap()
}

pub async fn load(app: &TestApp, documents: &Value) -> Value {
    let request = app.request(Method::POST, "/v1/messages/bulk").json(documents);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
    response.json().await.unwrap()
}

pub fn validated(category: &str, number: u8, draws: u8) -> Event {
    let result = json!({"category": category, "number": number, "draws": draws});
    Event::Completed { result, output: None }
}

/// Sends a message and claims its task.
pub async fn processing(app: &mut TestApp, message: &str) -> Attempt {
    let accepted = send(app, message).await;
    let attempt = app.next_attempt().await;
    assert_eq!(accepted["task_id"], json!(attempt.task_id));
    attempt
}

async fn a_validated_message_is_tracked_with_its_count(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let body = json!({"message": " The parcel has arrived. "});
    let request = app.request(Method::POST, "/v1/messages").json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(response.headers().contains_key("retry-after"));
    let accepted: Value = response.json().await.unwrap();
    let id: TaskId = serde_json::from_value(accepted["task_id"].clone()).unwrap();
    assert_eq!(location, format!("/v1/tasks/{id}"));
    assert_eq!((&accepted["request_count"], &accepted["state"]), (&json!(1), &json!("queued")));
    assert_eq!(
        (&accepted["kind"], &accepted["queue_position"]),
        (&json!("message_validation"), &json!(1))
    );
    assert_eq!((&accepted["file_name"], &accepted["attempt"]), (&Value::Null, &json!(0)));
    let shown: Value = json_of(&app, &location).await;
    for field in ["task_id", "created_at", "queued_at", "links", "failures", "progress"] {
        assert_eq!(accepted[field], shown[field], "{field}");
    }
    assert_eq!(json_of(&app, "/v1/messages").await["items"], json!([]), "it is not validated yet");

    let attempt = app.next_attempt().await;
    let TaskSpec::MessageValidation(spec) = attempt.spec.clone() else { panic!("{attempt:?}") };
    assert_eq!((spec.message.as_str(), spec.request_count), (" The parcel has arrived. ", 1));
    assert!((1..=60).contains(&spec.number));
    assert_eq!(app.report(&attempt, validated("Retried", 7, 2)).await, Outcome::Accepted);
    let task = app.task(id).await;
    assert_eq!(task.state, TaskState::Processed);
    assert_eq!(task.result.unwrap(), json!({"category": "Retried", "number": 7, "draws": 2}));
    assert!(task.links.download.is_none());
    let list = json_of(&app, "/v1/messages").await;
    let message = &list["items"][0];
    assert_eq!(message["id"], json!(id));
    assert_eq!(message["user_id"], json!(spec.user_id));
    assert_eq!(message["message"], " The parcel has arrived. ");
    assert_eq!((&message["request_count"], &message["category"]), (&json!(1), &json!("Retried")));
    assert_eq!(message["snippet"], Value::Null);
    assert_eq!(app.list("?kind=message_validation").await.items.len(), 1);
}

async fn concurrent_messages_are_counted_without_gap_or_repeat(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let sends = (0..200).map(|n| {
        let request =
            app.request(Method::POST, "/v1/messages").json(&json!({"message": n.to_string()}));
        async move {
            let accepted: Value = request.send().await.unwrap().json().await.unwrap();
            let place = accepted["queue_position"].as_u64().unwrap();
            (accepted["request_count"].as_u64().unwrap(), place)
        }
    });
    let accepted = futures_util::future::join_all(sends).await;
    let counts: BTreeSet<u64> = accepted.iter().map(|accepted| accepted.0).collect();
    assert_eq!(counts, (1..=200).collect());
    assert!(accepted.iter().all(|accepted| (1..=200).contains(&accepted.1)));
    let mut specs = BTreeSet::new();
    for _ in 0..200 {
        let TaskSpec::MessageValidation(spec) = app.next_attempt().await.spec else { panic!() };
        specs.insert((spec.request_count, spec.message));
    }
    assert_eq!(specs.len(), 200, "each message has its own count");
    assert_eq!(specs.iter().map(|spec| spec.0).collect::<BTreeSet<_>>(), counts);
}

async fn a_message_is_tracked_once_when_its_completion_is_reported_twice(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app, "once").await;
    for _ in 0..3 {
        assert_eq!(app.report(&attempt, validated("Direct", 7, 1)).await, Outcome::Accepted);
    }
    assert_eq!(app.report(&attempt, validated("Failed", 10, 1)).await, Outcome::Accepted);
    let list = json_of(&app, "/v1/messages").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["category"], "Direct");
}

async fn a_delay_keeps_the_draws_without_a_failure(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app, "again").await;
    let checkpoint = Some(json!({"draws": 1}));
    let event = Event::Retry {
        after: Some(0.9),
        checkpoint: checkpoint.clone(),
        reason: None,
        waits_for: None,
    };
    let began = std::time::Instant::now();
    assert_eq!(app.report(&attempt, event).await, Outcome::Accepted);
    let again = app.next_attempt().await;
    assert!(began.elapsed() >= std::time::Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!((again.task_id, again.attempt), (attempt.task_id, 2));
    assert_eq!((again.checkpoint.clone(), again.spec.clone()), (checkpoint, attempt.spec));
    assert_eq!(app.report(&again, validated("Failed", 20, 2)).await, Outcome::Accepted);
    let task = app.task(again.task_id).await;
    assert_eq!((task.state, task.failures), (TaskState::Processed, 0));
    assert_eq!(json_of(&app, "/v1/messages").await["items"][0]["category"], "Failed");
}

async fn invalid_messages_are_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let long = json!({"message": "é".repeat(8_193)}).to_string();
    for (content_type, body, status, code) in [
        ("application/json", r#"{"message": ""}"#, 422, "invalid_parameters"),
        ("application/json", "{\"message\": \" \\n\\t\"}", 422, "invalid_parameters"),
        ("application/json", long.as_str(), 422, "invalid_parameters"),
        ("application/json", "{}", 400, "bad_request"),
        ("application/json", r#"{"message": 7}"#, 400, "bad_request"),
        ("application/json", r#"{"message": "a", "number": 7}"#, 400, "bad_request"),
        ("application/json", r#"{"message": "a""#, 400, "bad_request"),
        ("application/json", "\"a\"", 400, "bad_request"),
        ("text/plain", "a", 415, "unsupported_media_type"),
    ] {
        let request =
            app.request(Method::POST, "/v1/messages").header("content-type", content_type);
        let (given, body) = problem(request.body(body.to_owned()).send().await.unwrap()).await;
        assert_eq!((given.as_u16(), &body["code"]), (status, &json!(code)), "{body}");
    }
    assert!(app.list("").await.items.is_empty());
    let longest = "é".repeat(8_192);
    assert_eq!(send(&app, &longest).await["request_count"], 1, "refused messages are not counted");
    let parameters = "?order=worst&category=good&from=now&page_size=0&page_token=x&limit=3";
    let (status, body) = problem(app.get(&format!("/v1/messages{parameters}")).await).await;
    assert_eq!((status, &body["error_count"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(6)));
    for path in
        ["/v1/messages/counts?by=day", "/v1/messages?order=best", "/v1/messages/counts?text=a"]
    {
        let (status, _) = problem(app.get(path).await).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
    assert_eq!(app.get("/v1/messages/bulk").await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Five messages, of which two have the same time.
async fn five(app: &TestApp) {
    let message = |message: &str, category: &str, time: &str| json!({"message": message, "category": category, "created_at": time});
    let documents = json!([
        message("apple one", "Direct", "2026-01-01T10:00:00Z"),
        message("apple two", "Direct", "2026-01-02T00:00:00Z"),
        message("pear three", "Retried", "2026-01-02T00:00:00Z"),
        message("apple four", "Failed", "2026-01-02T23:59:59.999999Z"),
        message("apple five", "Direct", "2026-01-03T00:00:00+00:00"),
    ]);
    assert_eq!(load(app, &documents).await, json!({"inserted": 5, "errors": [], "error_count": 0}));
}

async fn pages(app: &TestApp, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let list = json_of(app, &format!("/v1/messages?{query}{token}")).await;
        let text = |item: &Value| item["message"].as_str().unwrap().to_owned();
        pages.push(list["items"].as_array().unwrap().iter().map(text).collect());
        match list["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return pages,
        }
    }
}

async fn the_list_is_paged_and_filtered(backend: Backend) {
    let app = TestApp::start(backend).await;
    five(&app).await;
    for (query, expected) in [
        (
            "page_size=2",
            vec![
                vec!["apple five", "apple four"],
                vec!["pear three", "apple two"],
                vec!["apple one"],
            ],
        ),
        (
            "page_size=5",
            vec![vec!["apple five", "apple four", "pear three", "apple two", "apple one"]],
        ),
        (
            "text=apple&page_size=3",
            vec![vec!["apple five", "apple four", "apple two"], vec!["apple one"]],
        ),
        (
            "text=apple&category=Direct&page_size=1",
            vec![vec!["apple five"], vec!["apple two"], vec!["apple one"]],
        ),
        ("category=Retried", vec![vec!["pear three"]]),
        ("from=2026-01-02&to=2026-01-03", vec![vec!["apple four", "pear three", "apple two"]]),
        ("text=apple&from=2026-01-02&to=2026-01-03", vec![vec!["apple four", "apple two"]]),
        ("text=apple&to=2026-01-02T00:00:00.000001Z", vec![vec!["apple two", "apple one"]]),
        ("from=2027-01-01", vec![vec![]]),
        (
            "text=%20",
            vec![vec!["apple five", "apple four", "pear three", "apple two", "apple one"]],
        ),
    ] {
        assert_eq!(pages(&app, query).await, expected, "{query}");
    }
    let best = pages(&app, "text=apple&order=best&page_size=3").await;
    assert_eq!(best.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(best.concat().into_iter().collect::<BTreeSet<_>>().len(), 4);
    let documents = json!([
        {"message": format!("pie {}", "filler ".repeat(50))},
        {"message": "pie pie pie"},
        {"message": "pie and more of all sorts"},
    ]);
    load(&app, &documents).await;
    let best = pages(&app, "text=pie&order=best&page_size=1").await;
    assert_eq!(best[0], ["pie pie pie"], "the message with the most occurrences is the best match");
    assert_eq!(best.len(), 3);
}

async fn messages_are_counted_by_category_and_day(backend: Backend) {
    let app = TestApp::start(backend).await;
    assert_eq!(json_of(&app, "/v1/messages/counts").await, json!({"counts": []}));
    five(&app).await;
    let count = |category: Option<&str>, date: Option<&str>, count: u64| json!({"category": category, "date": date, "count": count});
    let (one, two, three) = (Some("2026-01-01"), Some("2026-01-02"), Some("2026-01-03"));
    let all = vec![
        count(Some("Direct"), one, 1),
        count(Some("Direct"), two, 1),
        count(Some("Retried"), two, 1),
        count(Some("Failed"), two, 1),
        count(Some("Direct"), three, 1),
    ];
    for (query, expected) in [
        ("", all.clone()),
        ("?by=category,date", all),
        (
            "?by=category",
            vec![
                count(Some("Direct"), None, 3),
                count(Some("Retried"), None, 1),
                count(Some("Failed"), None, 1),
            ],
        ),
        ("?by=date", vec![count(None, one, 1), count(None, two, 3), count(None, three, 1)]),
        ("?by=category&from=2026-01-03", vec![count(Some("Direct"), None, 1)]),
        ("?by=date&to=2026-01-02", vec![count(None, one, 1)]),
    ] {
        let counts = json_of(&app, &format!("/v1/messages/counts{query}")).await;
        assert_eq!(counts, json!({"counts": expected}), "{query}");
    }
}

async fn deleting_a_task_deletes_its_message(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    load(&app, &json!([{"message": "gone or not"}])).await;
    let attempt = processing(&mut app, "gone").await;
    app.report(&attempt, validated("Direct", 7, 1)).await;
    assert_eq!(pages(&app, "text=gone").await, [["gone", "gone or not"]]);
    let path = format!("/v1/tasks/{}", attempt.task_id);
    let response = app.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(pages(&app, "").await, [["gone or not"]]);
    assert_eq!(pages(&app, "text=gone").await, [["gone or not"]]);
}

async fn a_stopped_task_leaves_no_message(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app, "stopped").await;
    app.interrupt(attempt.task_id, "stop").await;
    assert_eq!(app.report(&attempt, validated("Direct", 7, 1)).await, Outcome::Stop);
    app.wait_for_state(attempt.task_id, TaskState::Stopped).await;
    assert_eq!(pages(&app, "").await, [Vec::<String>::new()]);
    assert_eq!(send(&app, "next").await["request_count"], 2, "the counter is not rolled back");
}

async fn an_invalid_result_is_rejected(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app, "odd").await;
    let event = Event::Completed { result: json!({"category": "Odd"}), output: None };
    let outcome = app.report(&attempt, event).await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
    assert_eq!(app.state(attempt.task_id).await, TaskState::Processing);
    assert_eq!(attempt.spec.kind(), TaskKind::MessageValidation);
}

async fn a_repeated_message_is_accepted_once(backend: Backend) {
    let app = TestApp::start(backend).await;
    let send_with_key = async |message: &str| {
        let request = app.request(Method::POST, "/v1/messages").header("idempotency-key", "k-1");
        request.json(&json!({"message": message})).send().await.unwrap()
    };
    let first: Value = send_with_key("hello").await.json().await.unwrap();
    let again = send_with_key("hello").await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    let other = send_with_key("something else").await;
    assert_eq!(problem(other).await.0, 422);
    // Neither of the two was counted.
    assert_eq!(send(&app, "hello").await["request_count"], 2);
}

async fn a_repeated_bulk_request_is_stored_once(backend: Backend) {
    let app = TestApp::start(backend).await;
    let load_with_key = async |documents: &Value| {
        let request = app.request(Method::POST, "/v1/messages/bulk");
        request.header("idempotency-key", "k-1").json(documents).send().await.unwrap()
    };
    let documents = json!([{"message": "one"}, {"message": ""}, {"message": "two"}]);
    let first: Value = load_with_key(&documents).await.json().await.unwrap();
    assert_eq!(first["inserted"], 2);
    assert_eq!(load_with_key(&documents).await.json::<Value>().await.unwrap(), first);
    let other = load_with_key(&json!([{"message": "three"}])).await;
    assert_eq!(problem(other).await.0, 422);
    let stored = json_of(&app, "/v1/messages").await;
    assert_eq!(stored["items"].as_array().unwrap().len(), 2);
}
