//! register, login, logout, and the token that every other command sends.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};

use crate::fake_api::{answer, command, finished, problem, serve, taskctl, taskctl_with_input};

/// The requests: method and path, the token, and the JSON body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

async fn respond(asked: Asked, request: Request) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    let token =
        request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    asked.lock().unwrap().push((what.clone(), token.clone().unwrap_or_default(), body));
    match (what.as_str(), token.as_deref()) {
        ("POST /v1/users", _) => answer(201, &json!({"user_id": "7", "username": "alice"})),
        ("POST /v1/sessions", _) => {
            answer(201, &json!({"token": "t0k3n", "expires_at": "2099-01-01T00:00:00Z"}))
        }
        (_, Some("Bearer t0k3n" | "Bearer from-the-variable")) => {
            answer(200, &json!({"items": [], "next_page_token": null}))
        }
        _ => problem(401, "token_missing", "Send a token."),
    }
}

async fn server() -> (String, Asked) {
    let asked = Asked::default();
    let state = asked.clone();
    let router = Router::new().fallback(move |request| respond(state.clone(), request));
    (serve(router).await, asked)
}

#[tokio::test]
async fn every_command_sends_the_token_until_logout() {
    let folder = tempfile::tempdir().unwrap();
    let (server, asked) = server().await;
    let run = taskctl(&server, folder.path(), &["list"]).await;
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("taskctl login NAME"), "{}", run.stderr);

    let run =
        taskctl_with_input(&server, folder.path(), &["register", "alice"], "Pa55word!\n").await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.text().contains("taskctl login alice"), "{run:?}");
    let run = taskctl_with_input(&server, folder.path(), &["login", "alice"], "Pa55word!\n").await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!format!("{run:?}").contains("t0k3n"), "a token is not shown: {run:?}");
    let credentials = json!({"username": "alice", "password": "Pa55word!"});
    assert!(asked.lock().unwrap()[1..3].iter().all(|(_, _, body)| *body == credentials));

    assert_eq!(taskctl(&server, folder.path(), &["list"]).await.code, 0);
    let other = self::server().await.0;
    assert_eq!(taskctl(&other, folder.path(), &["list"]).await.code, 1, "it is one server's");
    assert_eq!(taskctl(&server, folder.path(), &["logout"]).await.code, 0);
    let last = asked.lock().unwrap().last().unwrap().clone();
    assert_eq!((last.0.as_str(), last.1.as_str()), ("DELETE /v1/sessions/current", "Bearer t0k3n"));
    assert_eq!(taskctl(&server, folder.path(), &["list"]).await.code, 1);
}

#[tokio::test]
async fn the_token_file_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = server().await;
    std::fs::write(folder.path().join("password"), "Pa55word!\n").unwrap();
    let args = ["login", "alice", "--password-file", "password"];
    assert_eq!(taskctl(&server, folder.path(), &args).await.code, 0);
    let path = folder.path().join("config/taskctl/tokens.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept[&server]["token"], "t0k3n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::write(&path, "no json").unwrap();
    let run = taskctl(&server, folder.path(), &["list"]).await;
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("Delete the file and log in again"), "{}", run.stderr);
}

#[tokio::test]
async fn the_variable_overrides_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (server, asked) = server().await;
    taskctl_with_input(&server, folder.path(), &["login", "alice"], "Pa55word!\n").await;
    let mut list = command(&server, folder.path(), &["list"]);
    let run = finished(list.env("TASKCTL_TOKEN", "from-the-variable").spawn().unwrap()).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(asked.lock().unwrap().last().unwrap().1, "Bearer from-the-variable");
}

#[tokio::test]
async fn without_a_password_no_request_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (server, asked) = server().await;
    for (args, code) in
        [(vec!["login", "alice"], 2), (vec!["register", "alice", "--password-file", "nowhere"], 1)]
    {
        let run = taskctl(&server, folder.path(), &args).await;
        assert_eq!(run.code, code, "{run:?}");
        assert!(run.stderr.contains("no password can be read"), "{}", run.stderr);
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_sign_up_is_retried_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&keys);
    let sign_up = async move |headers: HeaderMap| {
        let mut seen = seen.lock().unwrap();
        seen.push(headers["idempotency-key"].to_str().unwrap().to_owned());
        match seen.len() {
            1 => problem(503, "outcome_unknown", "It may have been carried out."),
            _ => answer(201, &json!({"user_id": "7", "username": "alice"})),
        }
    };
    let server = serve(Router::new().route("/v1/users", post(sign_up))).await;
    let run =
        taskctl_with_input(&server, folder.path(), &["register", "alice"], "Pa55word!\n").await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("Trying again in 0.5 s"), "{}", run.stderr);
    let keys = keys.lock().unwrap();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
}
