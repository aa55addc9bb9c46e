//! The page for people.

use reqwest::{Method, Response, StatusCode};

use super::app::{TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    every_screen_is_the_same_page,
    the_page_may_load_its_own_files_only,
    a_browser_gets_a_page_where_a_program_gets_json,
];

/// What browsers send when a person opens an address.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// Opens an address like a person with a browser.
async fn open(app: &TestApp, path: &str) -> Response {
    app.request(Method::GET, path).header("accept", BROWSER).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

async fn every_screen_is_the_same_page(backend: Backend) {
    let app = TestApp::start(backend).await;
    let home = app.get("/").await.text().await.unwrap();
    assert!(home.contains("/page/app.js"), "{home}");
    let task = "/tasks/0199aa3e-7c1f-7d05-9c4e-5b1f3d8f2a10";
    for path in ["/tasks", task, "/statistics", "/messages", "/events", "/operations", "/account"] {
        let screen = app.get(path).await;
        assert_eq!(screen.status(), StatusCode::OK, "{path}");
        assert_eq!(screen.text().await.unwrap(), home, "{path}");
    }
}

async fn the_page_may_load_its_own_files_only(backend: Backend) {
    let app = TestApp::start(backend).await;
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page/app.js", "text/javascript; charset=utf-8"),
        ("/page/screens/tasks.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
    ] {
        let response = app.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&response, "content-type"), media_type, "{path}");
        let policy = header(&response, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{path}");

        let etag = header(&response, "etag").to_owned();
        let again = app.request(Method::GET, path).header("if-none-match", etag);
        assert_eq!(again.send().await.unwrap().status(), StatusCode::NOT_MODIFIED, "{path}");
    }
    for path in ["/page/", "/page/../Cargo.toml", "/page/missing.js", "/page/screens"] {
        assert_eq!(app.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

async fn a_browser_gets_a_page_where_a_program_gets_json(backend: Backend) {
    let app = TestApp::start(backend).await;
    let id = "0199aa3e-7c1f-7d05-9c4e-5b1f3d8f2a10";
    for (path, screen) in [
        ("/v1/tasks".to_owned(), "/tasks".to_owned()),
        (format!("/v1/tasks/{id}"), format!("/tasks/{id}")),
        (format!("/v1/tasks/status/{id}"), format!("/tasks/{id}")),
    ] {
        let opened = open(&app, &path).await;
        assert_eq!(opened.url().path(), screen, "the browser is redirected");
        assert_eq!(opened.status(), StatusCode::OK, "{path}");
        let read = app.get(&path).await;
        assert!(header(&read, "content-type").ends_with("json"), "{path}");
    }

    let unknown = open(&app, "/nothing/here").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_eq!(header(&unknown, "content-type"), "text/html; charset=utf-8");
    let (status, body) = problem(app.get("/nothing/here").await).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &"not_found".into()));
    // An error of the API is a problem document for browsers too.
    let foreign = open(&app, &format!("/v1/data_processor/download/{id}")).await;
    assert_eq!(problem(foreign).await.0, StatusCode::NOT_FOUND);
}
