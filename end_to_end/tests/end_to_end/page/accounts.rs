//! Logging in, and what others do not see.

use serde_json::json;

use super::browser::Browser;
use crate::end_to_end::api::Api;
use crate::end_to_end::plays::SAMPLE;
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
    let status = async || {
        let client = common::client::plain_http().unwrap().no_proxy().build().unwrap();
        let request = client.get(format!("{url}/v1/tasks")).bearer_auth(&key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status().await, 200);
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
    assert_eq!(status().await, 401);
    browser.finish().await;
}
