//! The session cookie of pages.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::app::{PASSWORD, SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests};
use super::tus::header;

backend_tests![
    a_page_logs_in_works_and_logs_out_by_cookie,
    changes_by_cookie_come_from_the_servers_own_pages,
    the_header_takes_precedence_over_the_cookie,
    behind_a_tls_proxy_the_cookie_is_secure_and_of_this_host,
    an_invalid_cookie_is_a_missing_login,
];

const UPLOAD: &str = "/v1/data_processor/upload?file_name=songs.csv";

async fn log_in(app: &TestApp, name: &str) -> Response {
    let body = json!({"username": name, "password": PASSWORD, "cookie": true});
    app.anonymous(Method::POST, "/v1/sessions").json(&body).send().await.unwrap()
}

/// Signs a user up and logs in; returns the cookie as a browser sends it.
async fn cookie_of(app: &TestApp, name: &str) -> String {
    app.log_in_as(name).await;
    let response = log_in(app, name).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    header(&response, "set-cookie").split_once(';').unwrap().0.to_owned()
}

fn by(app: &TestApp, cookie: &str, method: Method, path: &str) -> RequestBuilder {
    app.anonymous(method, path).header("cookie", cookie)
}

/// The same from a page of the server.
fn by_page(app: &TestApp, cookie: &str, method: Method, path: &str) -> RequestBuilder {
    by(app, cookie, method, path).header("origin", format!("http://{}", app.address()))
}

async fn me(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
    response.json().await.unwrap()
}

async fn a_page_logs_in_works_and_logs_out_by_cookie(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.log_in_as("alice").await;
    let session = log_in(&app, "ALICE").await;
    assert_eq!(session.status(), StatusCode::CREATED);
    let set = header(&session, "set-cookie").to_owned();
    let (cookie, attributes) = set.split_once("; ").unwrap();
    assert!(cookie.starts_with("session=ey"), "{cookie}");
    let lifetime = "Path=/; Max-Age=86400; HttpOnly; SameSite=Strict";
    let a_second_less = lifetime.replace("86400", "86399");
    assert!([lifetime, &a_second_less].contains(&attributes), "{attributes}");
    let session: Value = session.json().await.unwrap();
    assert_eq!(session["token"], Value::Null, "scripts of the page do not see it");

    let upload = by_page(&app, cookie, Method::POST, UPLOAD).body(SONGS).send().await.unwrap();
    assert_eq!(upload.status(), StatusCode::ACCEPTED);
    let list = by(&app, cookie, Method::GET, "/v1/tasks").send().await.unwrap();
    assert_eq!(header(&list, "cache-control"), "private", "no shared cache keeps it");
    let list: Value = list.json().await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);

    let user = me(by(&app, cookie, Method::GET, "/v1/users/me")).await;
    assert_eq!((&user["username"], &user["role"]), (&json!("alice"), &json!("user")));
    assert_eq!(user["login_required"], app.token.is_some());
    assert_eq!(user["session"]["expires_at"], session["expires_at"]);

    let log_out = || by_page(&app, cookie, Method::DELETE, "/v1/sessions/current").send();
    let ended = log_out().await.unwrap();
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    let cleared = "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
    assert_eq!(header(&ended, "set-cookie"), cleared);
    let status = log_out().await.unwrap().status();
    assert_eq!(status, if app.token.is_some() { 401 } else { 409 }, "it is revoked");
}

async fn changes_by_cookie_come_from_the_servers_own_pages(backend: Backend) {
    let app = TestApp::start(backend).await;
    let cookie = cookie_of(&app, "alice").await;
    let own = format!("http://{}", app.address());
    let other_port = format!("http://{}:1", app.address().ip());
    let refused: [&[(&str, &str)]; 5] = [
        &[],
        &[("sec-fetch-site", "same-origin")],
        &[("origin", &own), ("sec-fetch-site", "same-site")],
        &[("origin", &other_port), ("sec-fetch-site", "same-site")],
        &[("origin", "null")],
    ];
    for headers in refused {
        let mut request = by(&app, &cookie, Method::POST, UPLOAD).body(SONGS);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (status, body) = problem(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{headers:?}");
        assert_eq!(body["code"], "foreign_origin", "{headers:?}");
    }
    let foreign = by(&app, &cookie, Method::GET, "/v1/tasks").header("origin", &other_port);
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let list = by(&app, &cookie, Method::GET, "/v1/tasks").send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    assert_eq!(list["items"], json!([]), "nothing was changed");
    let request = by_page(&app, &cookie, Method::POST, UPLOAD).body(SONGS);
    let request = request.header("sec-fetch-site", "same-origin");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
}

async fn the_header_takes_precedence_over_the_cookie(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (cookie, bobby) = (cookie_of(&app, "alice").await, app.log_in_as("bobby").await);
    let both = by(&app, &cookie, Method::GET, "/v1/users/me").bearer_auth(&bobby);
    assert_eq!(me(both).await["username"], "bobby");
    let wrong = by(&app, &cookie, Method::GET, "/v1/users/me").bearer_auth("wrong");
    assert_eq!(wrong.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // A client with a token is no page, and needs no origin.
    let upload = by(&app, &cookie, Method::POST, UPLOAD).bearer_auth(&bobby).body(SONGS);
    assert_eq!(upload.send().await.unwrap().status(), StatusCode::ACCEPTED);
}

async fn behind_a_tls_proxy_the_cookie_is_secure_and_of_this_host(backend: Backend) {
    let app = TestApp::start_with(backend, |config| {
        config.trust_forwarded_for = true;
        config.login_required = common::config::Switch::True;
    })
    .await;
    let plain = cookie_of(&app, "alice").await;
    let body = json!({"username": "alice", "password": PASSWORD, "cookie": true});
    let request = app.anonymous(Method::POST, "/v1/sessions").json(&body);
    let session = request.header("x-forwarded-proto", "https").send().await.unwrap();
    let set = header(&session, "set-cookie");
    assert!(set.starts_with("__Host-session=ey") && set.ends_with("; Secure"), "{set}");
    let cookie = set.split_once(';').unwrap().0;
    let status = async |cookie: &str, scheme: &str, origin: &str| {
        let request = by(&app, cookie, Method::POST, UPLOAD).body(SONGS);
        let request = request.header("host", "tasks.example").header("origin", origin);
        request.header("x-forwarded-proto", scheme).send().await.unwrap().status()
    };
    let origin = "https://tasks.example";
    assert_eq!(status(cookie, "https", origin).await, StatusCode::ACCEPTED);
    assert_eq!(status(cookie, "https", "http://tasks.example").await, StatusCode::FORBIDDEN);
    assert_eq!(status(&plain, "https", origin).await, StatusCode::UNAUTHORIZED);
}

async fn an_invalid_cookie_is_a_missing_login(backend: Backend) {
    let app = TestApp::start(backend).await;
    for cookie in ["session=abc", "session=", "session=a.b.c; session=x"] {
        let request = by_page(&app, cookie, Method::GET, "/v1/users/me");
        let response = request.send().await.unwrap();
        if app.token.is_none() {
            // Another server on this machine may have set the cookie.
            assert_eq!(response.json::<Value>().await.unwrap()["username"], "local", "{cookie}");
            continue;
        }
        let (status, body) = problem(response).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{cookie}");
        assert_eq!(body["code"], "invalid_token", "{cookie}");
    }
    let user = me(app.request(Method::GET, "/v1/users/me")).await;
    assert_eq!(user["role"], "admin");
    assert_eq!(user["session"].is_null(), app.token.is_none());
}
