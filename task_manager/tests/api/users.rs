//! Signing up and logging in.

use std::num::NonZeroU32;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::app::{PASSWORD, TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    a_user_signs_up_logs_in_and_out,
    user_names_are_unique_regardless_of_case,
    invalid_names_and_passwords_are_named,
    credentials_of_a_wrong_shape_are_refused,
    an_unknown_user_and_a_wrong_password_get_the_same_answer,
    guessing_at_a_name_is_throttled,
    attempts_of_an_address_are_limited,
    administrators_are_created_by_the_command_line_only,
];

async fn send(app: &TestApp, path: &str, body: Value) -> Response {
    app.anonymous(Method::POST, path).json(&body).send().await.unwrap()
}

async fn sign_up(app: &TestApp, name: &str, password: &str) -> Response {
    send(app, "/v1/users", json!({"username": name, "password": password})).await
}

async fn log_in(app: &TestApp, name: &str, password: &str) -> Response {
    send(app, "/v1/sessions", json!({"username": name, "password": password})).await
}

async fn a_user_signs_up_logs_in_and_out(backend: Backend) {
    let app = TestApp::start(backend).await;
    let signed_up = sign_up(&app, "Alice42", PASSWORD).await;
    assert_eq!(signed_up.status(), StatusCode::CREATED);
    let user: Value = signed_up.json().await.unwrap();
    assert_eq!(user.as_object().unwrap().len(), 2, "nothing else is returned: {user}");
    assert_eq!(user["username"], "Alice42");
    user["user_id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap();

    let session = log_in(&app, "aLICE42", PASSWORD).await;
    assert_eq!(session.status(), StatusCode::CREATED);
    let session: Value = session.json().await.unwrap();
    let expires: chrono::DateTime<chrono::Utc> =
        session["expires_at"].as_str().unwrap().parse().unwrap();
    let holds_for = expires - common::clock::now();
    assert!((1_435..=1_440).contains(&holds_for.num_minutes()), "a day: {holds_for}");

    let token = session["token"].as_str().unwrap();
    let list = app.request_as(token, Method::GET, "/v1/tasks").send().await.unwrap();
    assert_eq!(list.status(), StatusCode::OK);
    let log_out = || app.request_as(token, Method::DELETE, "/v1/sessions/current").send();
    assert_eq!(log_out().await.unwrap().status(), StatusCode::NO_CONTENT);
    for _ in 0..2 {
        let (status, body) = problem(log_out().await.unwrap()).await;
        assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &"invalid_token".into()));
    }
    // Other sessions of the user stay valid.
    assert_eq!(log_in(&app, "Alice42", PASSWORD).await.status(), StatusCode::CREATED);
}

async fn user_names_are_unique_regardless_of_case(backend: Backend) {
    let app = TestApp::start(backend).await;
    assert_eq!(sign_up(&app, "Alice", PASSWORD).await.status(), StatusCode::CREATED);
    for name in ["Alice", "aLiCe", "local", "LOCAL"] {
        let (status, body) = problem(sign_up(&app, name, "other pass").await).await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &"username_taken".into()));
    }
    assert_eq!(log_in(&app, "Alice", PASSWORD).await.status(), StatusCode::CREATED);
    assert_eq!(log_in(&app, "local", "other pass").await.status(), StatusCode::UNAUTHORIZED);
}

async fn invalid_names_and_passwords_are_named(backend: Backend) {
    let app = TestApp::start_with(backend, |config| config.password_length.most = 20).await;
    for (name, password, field) in [
        ("abcd", PASSWORD, "username"),
        ("abcdefghijklmnop", PASSWORD, "username"),
        ("al-ice", PASSWORD, "username"),
        ("alice", "five5", "password"),
        ("alice", "twenty-one characters", "password"),
    ] {
        let (status, body) = problem(sign_up(&app, name, password).await).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(body["errors"][0]["field"], field, "{body}");
        assert!(!body.to_string().contains(password), "a password is not repeated: {body}");
    }
    let long = sign_up(&app, "alice", "now twenty it may be").await;
    assert_eq!(long.status(), StatusCode::CREATED, "the limit is a setting");
}

async fn credentials_of_a_wrong_shape_are_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    for path in ["/v1/users", "/v1/sessions"] {
        for (body, status) in
            [("{", 400), ("{}", 400), ("{\"username\":\"alice\",\"password\":7}", 400)]
        {
            let request = app.anonymous(Method::POST, path).body(body);
            let request = request.header("content-type", "application/json");
            let (given, body) = problem(request.send().await.unwrap()).await;
            assert_eq!(given.as_u16(), status, "{path}: {body}");
        }
        let request = app.anonymous(Method::POST, path).body("username=alice");
        assert_eq!(problem(request.send().await.unwrap()).await.0, 415);
        let huge = send(&app, path, json!({"username": "alice", "password": "x".repeat(20_000)}));
        assert_eq!(problem(huge.await).await.0, 413);
    }
}

async fn an_unknown_user_and_a_wrong_password_get_the_same_answer(backend: Backend) {
    let app = TestApp::start(backend).await;
    sign_up(&app, "alice", PASSWORD).await;
    let mut answers = Vec::new();
    for (name, password) in [("alice", "wrong one"), ("nobody", PASSWORD), ("no name", PASSWORD)] {
        let response = log_in(&app, name, password).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, mut body) = problem(response).await;
        body["timestamp"] = Value::Null;
        answers.push((status, body));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

/// Logs in until it is refused; returns the number of accepted attempts.
async fn tries_until_refused(app: &TestApp, path: &str, name: impl Fn(u32) -> String) -> u32 {
    for tried in 0..30 {
        let body = json!({"username": name(tried), "password": "wrong one"});
        let response = send(app, path, body).await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
            assert_eq!(problem(response).await.1["code"], "too_many_attempts");
            return tried;
        }
    }
    panic!("nothing is refused");
}

fn rate(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

async fn guessing_at_a_name_is_throttled(backend: Backend) {
    let app = TestApp::start_with(backend, |config| config.rates.by_name = rate(3)).await;
    sign_up(&app, "alice", PASSWORD).await;
    let tries = tries_until_refused(&app, "/v1/sessions", |_| "Alice".to_owned()).await;
    assert_eq!(tries, 3);
    let right = log_in(&app, "alice", PASSWORD).await;
    assert_eq!(right.status(), StatusCode::TOO_MANY_REQUESTS, "the right password is refused too");
    assert_eq!(log_in(&app, "other", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    let tries = tries_until_refused(&app, "/v1/users", |_| "alice".to_owned()).await;
    assert_eq!(tries, 2, "one was the sign-up itself");
}

async fn attempts_of_an_address_are_limited(backend: Backend) {
    let app = TestApp::start_with(backend, |config| config.rates.by_address = rate(5)).await;
    let logged_in = u32::from(app.token.is_some());
    let names = |tried| format!("name{tried}");
    assert_eq!(tries_until_refused(&app, "/v1/sessions", names).await, 5 - logged_in);
    assert_eq!(tries_until_refused(&app, "/v1/users", names).await, 5);
}

async fn administrators_are_created_by_the_command_line_only(backend: Backend) {
    let app = TestApp::start(backend).await;
    let body = json!({"username": "mallory", "password": PASSWORD, "role": "admin"});
    assert_eq!(send(&app, "/v1/users", body).await.status(), StatusCode::CREATED);
    let session: Value = log_in(&app, "mallory", PASSWORD).await.json().await.unwrap();
    let token = session["token"].as_str().unwrap();
    let (status, body) =
        problem(app.request_as(token, Method::GET, "/v1/workers").send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &"not_administrator".into()));
    assert_eq!(app.get("/v1/workers").await.status(), StatusCode::OK);
}
