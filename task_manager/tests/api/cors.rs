//! Pages of other origins that the operator allows.

use reqwest::{Method, StatusCode};
use task_manager::config::Config;

use super::app::TestApp;
use super::backend::{Backend, backend_tests};
use super::tus::header;

backend_tests![a_page_of_an_allowed_origin_can_upload, pages_of_other_origins_get_no_permission,];

const ORIGIN: &str = "https://files.example.org";

fn allow(config: &mut Config) {
    use task_manager::config::AllowedOrigins;
    config.cors_origins = AllowedOrigins::parse(&[ORIGIN.to_owned()]).unwrap();
}

async fn a_page_of_an_allowed_origin_can_upload(backend: Backend) {
    let app = TestApp::start_with(backend, allow).await;
    let preflight = app.anonymous(Method::OPTIONS, "/v1/uploads/x").header("Origin", ORIGIN);
    let wanted = "authorization,content-type,tus-resumable,upload-offset,x-custom";
    let preflight = preflight
        .header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", wanted);
    let allowed = preflight.send().await.unwrap();
    assert!(allowed.status().is_success(), "{allowed:?}");
    assert_eq!(header(&allowed, "access-control-allow-origin"), ORIGIN);
    assert_eq!(header(&allowed, "access-control-allow-headers"), wanted);
    assert!(header(&allowed, "access-control-allow-methods").contains("PATCH"), "{allowed:?}");
    assert_eq!(header(&allowed, "tus-version"), "1.0.0");

    let request = app.tus(Method::POST, "/v1/uploads").header("Origin", ORIGIN);
    let created = request.header("Upload-Length", 3).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(header(&created, "access-control-allow-origin"), ORIGIN);
    let exposed = header(&created, "access-control-expose-headers").to_owned();
    let exposed: Vec<&str> = exposed.split(',').collect();
    let readable = ["content-type", "cache-control", "date", "vary", "content-length"];
    for name in created.headers().keys().map(reqwest::header::HeaderName::as_str) {
        let is_cors = name.starts_with("access-control");
        let is_readable = exposed.contains(&name) || readable.contains(&name) || is_cors;
        assert!(is_readable, "the page cannot read {name}");
    }
    let path = header(&created, "location").to_owned();
    let wrong = app.patch(&path, 1, "abc").header("Origin", ORIGIN).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::CONFLICT);
    assert_eq!(header(&wrong, "access-control-allow-origin"), ORIGIN, "on errors too");
}

async fn pages_of_other_origins_get_no_permission(backend: Backend) {
    let mut app = TestApp::start_with(backend, allow).await;
    for _ in 0..2 {
        for origin in ["https://evil.example", "null"] {
            let request = app.anonymous(Method::OPTIONS, "/v1/tasks").header("Origin", origin);
            let request = request.header("Access-Control-Request-Method", "GET");
            let refused = request.send().await.unwrap();
            assert_eq!(header(&refused, "access-control-allow-origin"), "", "{origin}");
            let read = app.request(Method::GET, "/v1/tasks").header("Origin", origin);
            let read = read.send().await.unwrap();
            assert_eq!(header(&read, "access-control-allow-origin"), "", "{origin}");
        }
        // By default there are none.
        app.restart_with(|config| config.cors_origins = Default::default()).await;
    }
    let own = app.request(Method::GET, "/v1/tasks").send().await.unwrap();
    assert_eq!(header(&own, "access-control-expose-headers"), "");
}
