//! Logging in, API keys, and what others do not see.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::end_to_end::api::Api;
use crate::end_to_end::plays::SAMPLE;
use crate::end_to_end::process::taskctl;
use crate::end_to_end::standalone::Standalone;

const PASSWORD: &str = "Pa55word!";

async fn log_in(browser: &Browser, name: &str) {
    browser.sees("User name").await;
    browser.fill("username", name).await;
    browser.fill("password", PASSWORD).await;
    browser.click("Log in").await;
}

#[tokio::test]
async fn a_login_shows_own_tasks_only_and_a_logout_ends_it() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_LOGIN_REQUIRED", "true")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let url = &server.api.url;
    let alice = Api::new(url.clone()).logged_in_as("alice1", PASSWORD).await;
    let task = alice.accept("", SAMPLE).await;
    alice.result(task).await;
    Api::new(url.clone()).logged_in_as("bobby1", PASSWORD).await;

    let browser = Browser::start().await;
    browser.open(&format!("{url}/tasks")).await;
    log_in(&browser, "alice1").await;
    browser.wait_for_path("/tasks").await;
    browser.sees("songs.csv").await;
    let token = browser.run("return document.cookie", &[]).await;
    assert_eq!(token, json!(""), "scripts cannot read the token");

    browser.open(&format!("{url}/account")).await;
    browser.click("Log out").await;
    log_in(&browser, "bobby1").await;
    browser.sees("Files").await;
    browser.open(&format!("{url}/tasks")).await;
    browser.sees("No tasks yet").await;
    assert!(!browser.text().await.contains("songs.csv"));
    browser.open(&format!("{url}/tasks/{task}")).await;
    browser.sees("There is no task with this id").await;
    browser.finish().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_words() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_LOGIN_REQUIRED", "true")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let browser = Browser::start().await;
    browser.open(&server.api.url).await;
    log_in(&browser, "nobody1").await;
    browser.sees("Invalid user name or password").await;
    browser.finish().await;
}

#[tokio::test]
async fn an_api_key_is_made_shown_once_and_revoked() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_LOGIN_REQUIRED", "true")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let url = &server.api.url;
    Api::new(url.clone()).logged_in_as("alice1", PASSWORD).await;
    let browser = Browser::start().await;
    browser.open(&format!("{url}/account")).await;
    log_in(&browser, "alice1").await;
    browser.sees("API keys").await;
    browser.fill("name", "nightly <b>export</b>").await;
    browser.click("Make a key").await;
    browser.sees("it is shown only this once").await;
    let shown = "return document.querySelector('.command code').textContent";
    let key = browser.run(shown, &[]).await.as_str().unwrap().to_owned();
    assert_eq!(status_with(url, &key).await, StatusCode::OK);
    for width in [1280, 360] {
        browser.resize(width, 900).await;
        let found = browser.run(include_str!("checks.js"), &[]).await;
        assert_eq!(found, json!([]), "{width} pixels");
    }
    browser.resize(1280, 900).await;

    browser.reload().await;
    browser.sees("nightly <b>export</b>").await;
    assert!(!browser.text().await.contains(&key), "it is not shown again");
    browser.click("Revoke nightly <b>export</b>").await;
    browser.sees("Revoke the key").await;
    browser.click("Revoke").await;
    browser.sees("is revoked").await;
    assert_eq!(status_with(url, &key).await, StatusCode::UNAUTHORIZED);
    browser.finish().await;
}

#[tokio::test]
async fn an_administrator_sees_and_revokes_the_keys_of_a_user() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_LOGIN_REQUIRED", "true")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let url = &server.api.url;
    let alice = Api::new(url.clone()).logged_in_as("alice1", PASSWORD).await;
    let new = json!({"name": "nightly export", "scopes": ["read"], "expires_in": 86_400});
    let made = alice.request(Method::POST, "/v1/users/me/keys").json(&new).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    let key = made["key"].as_str().unwrap();
    assert_eq!(status_with(url, key).await, StatusCode::OK);
    let password = data.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    let mut create = taskctl();
    create.args(["admin", "create", "--username", "boss1", "--data"]).arg(data.path());
    assert!(create.arg("--password-file").arg(&password).status().unwrap().success());

    let browser = Browser::start().await;
    browser.open(&format!("{url}/account")).await;
    log_in(&browser, "boss1").await;
    browser.sees("Make a key").await;
    browser.click("Users").await;
    browser.click("API keys of alice1").await;
    browser.sees("nightly export").await;
    browser.sees(made["prefix"].as_str().unwrap()).await;
    for width in [1280, 360] {
        browser.resize(width, 900).await;
        let found = browser.run(include_str!("checks.js"), &[]).await;
        assert_eq!(found, json!([]), "{width} pixels");
    }
    browser.resize(1280, 900).await;
    browser.click("Revoke nightly export").await;
    browser.sees("Revoke the key nightly export?").await;
    browser.click("Revoke").await;
    browser.sees("This user has no API keys.").await;
    assert_eq!(status_with(url, key).await, StatusCode::UNAUTHORIZED);
    browser.click("Close").await;
    browser.finish().await;
}

/// The status of a request with this API key.
async fn status_with(url: &str, key: &str) -> StatusCode {
    let client = common::client::plain_http().unwrap().no_proxy().build().unwrap();
    let request = client.get(format!("{url}/v1/tasks")).bearer_auth(key);
    request.send().await.unwrap().status()
}
