//! `taskctl context`, and which server and token a command uses.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use serde_json::{Value, json};

use crate::fake_api::{Finished, answer, command, finished, nowhere, problem, serve};

/// The tokens that a server got.
type Tokens = Arc<Mutex<Vec<String>>>;

/// A server that requires no login, or one that knows the token `t0k3n`.
async fn server(login_required: bool) -> (String, Tokens) {
    let tokens = Tokens::default();
    let seen = Arc::clone(&tokens);
    let respond = async move |request: Request| -> Response {
        let token = request.headers().get(AUTHORIZATION);
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        seen.lock().unwrap().push(token.clone().unwrap_or_default());
        match (request.uri().path(), token.as_deref()) {
            ("/v1/sessions", _) => {
                let body = json!({"token": "t0k3n", "expires_at": "2099-01-01T00:00:00Z"});
                return answer(201, &body);
            }
            (_, None) if login_required => return problem(401, "token_missing", "Send a token."),
            (_, Some(token)) if !login_required || token != "Bearer t0k3n" => {
                return problem(401, "invalid_token", "The token is invalid.");
            }
            ("/v1/users/me", _) => {}
            _ => return answer(200, &json!({"items": [], "next_page_token": null})),
        }
        let session =
            token.map(|_| json!({"session_id": "7", "expires_at": "2099-01-01T00:00:00Z"}));
        answer(
            200,
            &json!({"user_id": "7", "username": if login_required { "alice" } else { "local" },
            "role": "admin", "login_required": login_required, "session": session}),
        )
    };
    (serve(Router::new().fallback(respond)).await, tokens)
}

/// Runs the program without a server in its environment.
async fn taskctl(folder: &Path, args: &[&str]) -> Finished {
    let mut command = command("", folder, args);
    command.env_remove("TASKCTL_SERVER");
    finished(command.spawn().unwrap()).await
}

async fn login(folder: &Path, args: &[&str]) -> Finished {
    std::fs::write(folder.join("password"), "Pa55word!\n").unwrap();
    let login = ["login", "alice", "--password-file", "password"];
    taskctl(folder, &[&login[..], args].concat()).await
}

#[tokio::test]
async fn a_context_has_a_server_and_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (prod, seen) = server(true).await;
    let (test, _) = server(false).await;
    let run = taskctl(folder, &["context", "set", "prod", "--server", &prod]).await;
    assert!(run.code == 0 && run.text().contains("It is used from now on."), "{run:?}");
    let run = taskctl(folder, &["context", "set", "test", "--server", &test]).await;
    assert_eq!(run.code, 0, "{run:?}");

    assert_eq!(taskctl(folder, &["list"]).await.code, 1, "no login yet");
    let run = login(folder, &[]).await;
    assert!(run.code == 0 && run.text().contains("in the context prod"), "{run:?}");
    assert_eq!(taskctl(folder, &["list"]).await.code, 0);
    assert_eq!(*seen.lock().unwrap().last().unwrap(), "Bearer t0k3n");
    let run = taskctl(folder, &["whoami"]).await;
    let text = format!("alice, administrator on {prod}; logged in until 2099-01-01 00:00 UTC\n");
    assert_eq!((run.code, run.text()), (0, text));

    let run = taskctl(folder, &["whoami", "-c", "test"]).await;
    assert_eq!(run.text(), format!("local, administrator on {test}; no login required\n"));
    assert_eq!(taskctl(folder, &["context", "use", "test"]).await.code, 0);
    assert!(taskctl(folder, &["whoami"]).await.text().contains(&test));
    let run = taskctl(folder, &["context", "list"]).await;
    assert_eq!(run.text().lines().filter(|line| line.starts_with("*  test")).count(), 1, "{run:?}");

    let list = taskctl(folder, &["context", "list", "--json"]).await;
    assert!(!format!("{list:?}").contains("t0k3n"), "a token is not shown");
    assert_eq!(list.json()["items"][0]["has_token"], true);
    let path = folder.join("config/taskctl/tokens.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept["contexts"]["prod"]["session"]["token"], "t0k3n");

    let run = taskctl(folder, &["context", "set", "prod", "--server", &test]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let list = taskctl(folder, &["context", "list", "--json"]).await;
    assert_eq!(list.json()["items"][0]["has_token"], false, "it was of another server");
    assert_eq!(taskctl(folder, &["context", "rm", "test"]).await.code, 0);
    assert_eq!(taskctl(folder, &["context", "use", "test"]).await.code, 1);
    assert!(!std::fs::read_to_string(&path).unwrap().contains("t0k3n"));
}

#[tokio::test]
async fn options_and_variables_precede_the_context_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [used, option, variable] = [nowhere().await, nowhere().await, nowhere().await];
    assert_eq!(taskctl(folder, &["context", "set", "x", "-s", &used]).await.code, 0);
    let run = taskctl(folder, &["list"]).await;
    assert!(run.stderr.contains(&format!("at {used}.")), "{}", run.stderr);
    let run = finished(command(&variable, folder, &["list"]).spawn().unwrap()).await;
    assert!(run.stderr.contains(&format!("at {variable}.")), "{}", run.stderr);
    let named = command(&variable, folder, &["list", "--context", "x"]).spawn().unwrap();
    let run = finished(named).await;
    assert!(run.stderr.contains(&format!("at {used}.")), "{}", run.stderr);
    for args in [["--server", &option, "list"], ["list", "--server", &option]] {
        let run = finished(command(&variable, folder, &args).spawn().unwrap()).await;
        assert!(run.stderr.contains(&format!("at {option}.")), "{}", run.stderr);
    }
    let run = taskctl(folder, &["context", "set", "y", "--server", "ftp://x"]).await;
    assert!(run.code == 2 && run.stderr.contains("`ftp` URLs are not supported"), "{run:?}");
    let run = taskctl(folder, &["context", "set", "y"]).await;
    assert!(run.code == 2 && run.stderr.contains("needs --server URL"), "{run:?}");
}

#[tokio::test]
async fn the_token_of_an_earlier_server_is_left_out_where_none_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (server, seen) = server(false).await;
    let run = login(folder.path(), &["--server", &server]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let run = taskctl(folder.path(), &["list", "--server", &server]).await;
    assert_eq!((run.code, run.text().as_str()), (0, "No tasks.\n"), "{run:?}");
    assert!(run.stderr.contains("`taskctl logout` removes it"), "{}", run.stderr);
    assert_eq!(*seen.lock().unwrap().last().unwrap(), "");
    assert_eq!(taskctl(folder.path(), &["logout", "--server", &server]).await.code, 0);
    let run = taskctl(folder.path(), &["list", "--server", &server]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}
