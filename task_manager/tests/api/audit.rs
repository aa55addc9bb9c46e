//! The audit log as administrators query it.

use chrono::TimeDelta;
use common::task::TaskState;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{PASSWORD, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    the_audit_log_says_who_did_what_from_where,
    the_audit_log_is_filtered_and_paged,
    old_audit_entries_are_removed,
    the_audit_log_is_for_administrators,
    refused_requests_do_not_crowd_out_other_entries,
];

async fn entries(app: &TestApp, query: &str) -> Vec<Value> {
    let list = app.get(&format!("/v1/audit{query}")).await;
    assert_eq!(list.status(), StatusCode::OK, "{:?}", list.text().await);
    let list: Value = list.json().await.unwrap();
    list["items"].as_array().unwrap().clone()
}

/// Waits for the newest entry of an action, since entries are written after the answer.
async fn newest(app: &TestApp, action: &str) -> Value {
    eventually(&format!("{action} is recorded"), || async {
        entries(app, &format!("?action={action}")).await.first().cloned()
    })
    .await
}

async fn log_in(app: &TestApp, name: &str, password: &str) {
    let body = json!({"username": name, "password": password});
    app.anonymous(Method::POST, "/v1/sessions").json(&body).send().await.unwrap();
}

async fn the_audit_log_says_who_did_what_from_where(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    log_in(&app, "Alice", "wr0ngone!").await;
    for action in ["signed_up", "logged_in", "login_refused"] {
        let entry = newest(&app, action).await;
        assert_eq!(entry["username"].as_str().unwrap().to_lowercase(), "alice", "{entry}");
        assert_eq!(entry["address"], "127.0.0.1", "{entry}");
        assert_eq!(entry["user_id"].is_null(), action == "login_refused", "{entry}");
    }
    let user = newest(&app, "signed_up").await["user_id"].as_str().unwrap().to_owned();

    let task = app.task_in(TaskState::Killed).await;
    let deleted = app.request(Method::DELETE, &format!("/v1/tasks/{task}")).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let name = if app.token.is_some() { "tester" } else { "local" };
    for action in ["task_killed", "task_deleted"] {
        let entry = newest(&app, action).await;
        assert_eq!(entry["task_id"], task.to_string(), "{entry}");
        assert_eq!(entry["username"], name, "{entry}");
    }

    let path = format!("/v1/users/{user}");
    let refused = app.request_as(&alice, Method::PATCH, &path).json(&json!({"role": "admin"}));
    assert_eq!(refused.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let entry = newest(&app, "refused").await;
    assert_eq!((&entry["username"], &entry["detail"]), (&json!("alice"), &json!(path)));
    let disabled = app.request(Method::PATCH, &path).json(&json!({"disabled": true}));
    assert_eq!(disabled.send().await.unwrap().status(), StatusCode::OK);
    let entry = newest(&app, "user_changed").await;
    assert_eq!(entry["username"], name);
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains(&user) && detail.contains("disabled true"), "{detail}");
    if app.token.is_some() {
        let entry = newest(&app, "administrator_created").await;
        assert_eq!((&entry["username"], &entry["address"]), (&json!("tester"), &Value::Null));
    }
    for secret in [PASSWORD, "wr0ngone!", "eyJ"] {
        assert!(!json!(entries(&app, "").await).to_string().contains(secret), "{secret}");
    }
}

async fn the_audit_log_is_filtered_and_paged(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.log_in_as("alice").await;
    app.log_in_as("bobby").await;
    newest(&app, "logged_in").await;
    let both = eventually("both are recorded", || async {
        let found = entries(&app, "?action=signed_up&action=logged_out").await;
        (found.len() == 2).then_some(found)
    })
    .await;
    assert_eq!(both[0]["username"], "bobby", "newest first");
    let user = both[1]["user_id"].as_str().unwrap();
    let of_alice = eventually("the login is recorded", || async {
        let found = entries(&app, &format!("?user_id={user}")).await;
        (found.len() == 2).then_some(found)
    })
    .await;
    assert_eq!(of_alice[0]["action"], "logged_in");
    let at = both[0]["at"].as_str().unwrap();
    let earlier = entries(&app, &format!("?action=signed_up&to={at}")).await;
    assert_eq!(earlier, both[1..]);
    let later = entries(&app, &format!("?action=signed_up&from={at}")).await;
    assert_eq!(later, both[..1]);

    let page = app.get("/v1/audit?action=signed_up&page_size=1").await;
    let page: Value = page.json().await.unwrap();
    let next = page["next_page_token"].as_str().unwrap();
    let next = entries(&app, &format!("?action=signed_up&page_size=1&page_token={next}")).await;
    assert_eq!([page["items"][0].clone(), next[0].clone()], both[..]);

    let wrong = app.get("/v1/audit?action=nothing&user_id=x&colour=red").await;
    let (status, body) = problem(wrong).await;
    assert_eq!((status, body["errors"].as_array().unwrap().len()), (422.try_into().unwrap(), 3));
}

async fn old_audit_entries_are_removed(backend: Backend) {
    let app = TestApp::start_with(backend, |config| {
        config.sweep_interval = std::time::Duration::from_millis(50);
    })
    .await;
    app.log_in_as("alice").await;
    newest(&app, "logged_in").await;
    let old = app.time(TimeDelta::days(-91));
    let kept = app.time(TimeDelta::days(-89));
    app.sql(&format!("UPDATE audit SET at = {kept} WHERE action = 'signed_up'"));
    app.sql(&format!("UPDATE audit SET at = {old} WHERE action = 'logged_in'"));
    eventually("the old entry is gone", || async {
        entries(&app, "?action=logged_in").await.is_empty().then_some(())
    })
    .await;
    assert_eq!(entries(&app, "?action=signed_up").await.len(), 1);
}

async fn the_audit_log_is_for_administrators(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let request = app.request_as(&alice, Method::GET, "/v1/audit");
    let (status, body) = problem(request.send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &"not_administrator".into()));
}

async fn refused_requests_do_not_crowd_out_other_entries(backend: Backend) {
    const SENT: usize = 300;
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    for _ in 0..SENT {
        let refused = app.request_as(&alice, Method::GET, "/v1/audit").send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
    log_in(&app, "alice", PASSWORD).await;
    eventually("the login is recorded", || async {
        (entries(&app, "?action=logged_in").await.len() >= 2).then_some(())
    })
    .await;
    // Entries are written in order.
    let recorded = entries(&app, "?action=refused&page_size=1000").await.len();
    assert!((100..SENT).contains(&recorded), "{recorded} of {SENT}");
}
