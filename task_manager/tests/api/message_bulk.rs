//! Bulk loads of messages.

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::app::{TestApp, problem};
use super::backend::{Backend, backend_tests};
use super::messages::{json_of, load};

backend_tests![
    a_hundred_thousand_documents_are_loaded_and_invalid_ones_named,
    both_formats_are_read,
    malformed_bodies_change_nothing,
    a_body_interrupted_late_keeps_the_documents_before,
    the_caller_owns_what_is_loaded,
    messages_of_distant_years_are_listed_found_and_counted,
];

async fn post(app: &TestApp, content_type: &str, body: impl Into<Body>) -> Response {
    let request =
        app.request(Method::POST, "/v1/messages/bulk").header("content-type", content_type);
    request.body(body).send().await.unwrap()
}

/// A body that is generated while it is sent.
fn streamed(pieces: impl Iterator<Item = String> + Send + 'static) -> Body {
    let pieces = pieces.map(|piece| Ok::<_, std::convert::Infallible>(Bytes::from(piece)));
    Body::wrap_stream(stream::iter(pieces))
}

async fn a_hundred_thousand_documents_are_loaded_and_invalid_ones_named(backend: Backend) {
    const COUNT: usize = 100_000;
    let app = TestApp::start(backend).await;
    let document = |index: usize| match index {
        17 => "{\"message\": \"\"}".to_owned(),
        50_000 => "{\"message\": broken, \"x\": \"]\"}".to_owned(),
        99_999 => "{\"text\": \"no message\"}".to_owned(),
        _ => format!(
            "{{\"message\": \"message number {index} of many\", \"category\": \"Retried\"}}"
        ),
    };
    let documents = (0..COUNT)
        .map(move |index| format!("{}{}", if index == 0 { "[" } else { "," }, document(index)));
    let body = streamed(documents.chain(["]".to_owned()]));
    let response = post(&app, "application/json", body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = response.json().await.unwrap();
    assert_eq!((&answer["inserted"], &answer["error_count"]), (&json!(COUNT - 3), &json!(3)));
    let named: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["index"].as_u64().unwrap())
        .collect();
    assert_eq!(named, [17, 50_000, 99_999]);
    assert!(
        answer["errors"].as_array().unwrap().iter().all(|error| error["reason"]
            .as_str()
            .unwrap()
            .len()
            > 10)
    );
    let counts = json_of(&app, "/v1/messages/counts?by=category").await;
    assert_eq!(
        counts["counts"][0],
        json!({"category": "Retried", "date": null, "count": COUNT - 3})
    );
    let found = json_of(&app, "/v1/messages?text=%22number 77777 of%22").await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let page = json_of(&app, "/v1/messages?text=many&page_size=10000").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 10_000);
    assert!(page["next_page_token"].is_string());
}

async fn both_formats_are_read(backend: Backend) {
    let app = TestApp::start(backend).await;
    let lines = "{\"message\": \"one\"}\r\n\n{\"message\": 2}\n{\"message\": \"three\", \"request_count\": 9}";
    let answer: Value = post(&app, "application/x-ndjson", lines).await.json().await.unwrap();
    assert_eq!((&answer["inserted"], &answer["errors"][0]["index"]), (&json!(2), &json!(1)));
    let array = " [ {\"message\": \"four\"} , {\"message\": \"five\"}, ] ";
    let answer: Value =
        post(&app, "application/json; charset=utf-8", array).await.json().await.unwrap();
    assert_eq!((&answer["inserted"], &answer["errors"][0]["index"]), (&json!(2), &json!(2)));
    for (content_type, body) in [("application/json", "[]"), ("application/x-ndjson", "")] {
        let answer: Value = post(&app, content_type, body).await.json().await.unwrap();
        assert_eq!(answer, json!({"inserted": 0, "errors": [], "error_count": 0}));
    }
    let three = json_of(&app, "/v1/messages?text=three").await;
    assert_eq!(three["items"][0]["request_count"], 9);
    assert_eq!(three["items"][0]["category"], "Direct");
    assert_eq!(json_of(&app, "/v1/messages").await["items"].as_array().unwrap().len(), 4);
}

async fn malformed_bodies_change_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    for (content_type, body, status) in [
        ("application/json", "", 400),
        ("application/json", "{\"message\": \"a\"}", 400),
        ("application/json", "[{\"message\": \"a\"}", 400),
        ("application/json", "[{\"message\": \"a\"}] more", 400),
        ("text/csv", "message\na\n", 415),
    ] {
        let (given, body) = problem(post(&app, content_type, body).await).await;
        assert_eq!(given.as_u16(), status, "{body}");
    }
    assert_eq!(json_of(&app, "/v1/messages").await["items"], json!([]));
}

async fn a_body_interrupted_late_keeps_the_documents_before(backend: Backend) {
    let app = TestApp::start(backend).await;
    let document =
        |n: usize| format!("{}{{\"message\": \"m{n}\"}}", if n == 0 { "[" } else { "," });
    let body = streamed((0..2_500).map(document));
    let answer: Value = post(&app, "application/json", body).await.json().await.unwrap();
    // The last one may be complete or not.
    assert_eq!((&answer["inserted"], &answer["error_count"]), (&json!(2_499), &json!(1)));
    assert_eq!(answer["errors"][0]["index"], 2_499);
    assert!(
        answer["errors"][0]["reason"].as_str().unwrap().contains("without its closing bracket")
    );
}

async fn the_caller_owns_what_is_loaded(backend: Backend) {
    let app = TestApp::start(backend).await;
    let stranger = uuid::Uuid::from_u128(1);
    let answer =
        load(&app, &json!([{"message": "a", "user_id": stranger}, {"message": "b"}])).await;
    assert_eq!((&answer["inserted"], &answer["errors"][0]["index"]), (&json!(1), &json!(0)));
    let mine = json_of(&app, "/v1/messages").await["items"][0].clone();
    let again = load(&app, &json!([{"message": "c", "user_id": mine["user_id"]}])).await;
    assert_eq!(again["inserted"], 1);
    let hex = stranger.simple().to_string();
    app.sql(&format!("UPDATE messages SET user_id = X'{hex}' WHERE message = 'c'"));
    for path in ["/v1/messages", "/v1/messages?text=c*"] {
        let list = json_of(&app, path).await;
        assert!(
            list["items"].as_array().unwrap().iter().all(|item| item["message"] != "c"),
            "{path}"
        );
    }
    let counts = json_of(&app, "/v1/messages/counts?by=category").await;
    assert_eq!(counts["counts"][0]["count"], 1);
}

async fn messages_of_distant_years_are_listed_found_and_counted(backend: Backend) {
    let app = TestApp::start(backend).await;
    let times = [
        "1970-01-02T00:00:00Z",
        "2038-01-19T03:14:07Z",
        "2038-01-19T03:14:08Z",
        "2040-02-29T12:00:00.000001Z",
        "9999-12-31T23:59:59Z",
    ];
    let document = |time: &&str| json!({"message": format!("far {time}"), "created_at": time});
    let documents: Vec<Value> = times.iter().map(document).collect();
    assert_eq!(load(&app, &documents.into()).await["inserted"], times.len());
    for text in ["", "text=far&"] {
        let listed = async |query: &str| -> Vec<String> {
            let mut found = Vec::new();
            let mut token = String::new();
            loop {
                let path = format!("/v1/messages?{text}{query}page_size=2&page_token={token}");
                let page = json_of(&app, &path).await;
                let time = |item: &Value| item["created_at"].as_str().unwrap().to_owned();
                found.extend(page["items"].as_array().unwrap().iter().map(time));
                match page["next_page_token"].as_str() {
                    Some(next) => token = next.to_owned(),
                    None => break found,
                }
            }
        };
        let newest_first: Vec<_> = times.iter().rev().map(ToString::to_string).collect();
        assert_eq!(listed("").await, newest_first);
        assert_eq!(listed("from=2038-01-19T03:14:08Z&").await, newest_first[..3]);
        assert_eq!(listed("to=2040-02-29T12:00:00.000001Z&").await, newest_first[2..]);
        assert_eq!(listed("from=2038-01-20&to=2041-01-01&").await, newest_first[1..2]);
        assert_eq!(listed("from=9999-12-31&").await, newest_first[..1]);
        assert_eq!(listed("from=9999-12-31T23:59:59.5Z&").await, [""; 0]);
    }
    let counts = json_of(&app, "/v1/messages/counts?by=date&from=2038-01-01&to=9999-12-31").await;
    let expected = json!([
        {"category": null, "date": "2038-01-19", "count": 2},
        {"category": null, "date": "2040-02-29", "count": 1},
    ]);
    assert_eq!(counts["counts"], expected);
}
