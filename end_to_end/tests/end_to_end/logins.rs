//! Logins to the real programs, and refused starts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::api::{Api, eventually};
use super::process::{Process, program, taskctl};
use super::standalone::Standalone;

const PASSWORD: &str = "Pa55word!";

/// Runs a command to its end, with `input` on its standard input.
fn run(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn workers(api: &Api) -> StatusCode {
    api.get("/v1/workers").await.status()
}

#[tokio::test]
async fn an_administrator_is_created_while_the_server_runs_and_survives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_LOGIN_REQUIRED", "true")];
    let mut server = Standalone::start_with(data.path(), &settings).await;
    assert_eq!(workers(&server.api).await, StatusCode::UNAUTHORIZED);
    let user = server.api.clone().logged_in_as("somebody", PASSWORD).await;
    assert_eq!(workers(&user).await, StatusCode::FORBIDDEN);

    let create = |password: &str| {
        let mut command = taskctl();
        command.args(["admin", "create", "--username", "Boss1", "--data"]).arg(data.path());
        run(&mut command, &format!("{password}\n"))
    };
    assert!(!create("short").status.success());
    let made = create(PASSWORD);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let again = create(PASSWORD);
    assert!(text(&again.stderr).contains("is taken"), "{}", text(&again.stderr));
    let mut boss = server.api.clone().logged_in_as("boss1", PASSWORD).await;
    assert_eq!(workers(&boss).await, StatusCode::OK);

    server.crash().await;
    boss.url = server.api.url.clone();
    assert_eq!(workers(&boss).await, StatusCode::OK, "the key of the tokens is the folder's");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::metadata(data.path().join("jwt.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn the_audit_log_names_users_and_actions_and_no_secret() {
    let data = tempfile::tempdir().unwrap();
    let mut command = taskctl();
    command.args(["standalone", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    command.env("TASK_MANAGER_LOG", "trace");
    let mut process = Process::spawn(&mut command);
    let api = Api::new(process.url().await).logged_in_as("alice", PASSWORD).await;
    let wrong = json!({"username": "alice", "password": "wr0ngone!"});
    let refused = api.request(Method::POST, "/v1/sessions").json(&wrong).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let task = api.accept("", "Song,Date,Number of Plays\n").await;
    api.wait_for_end(task).await;
    let delete = api.request(Method::DELETE, &format!("/v1/tasks/{task}")).send().await.unwrap();
    assert_eq!(delete.status(), StatusCode::NO_CONTENT);
    let log_out = api.request(Method::DELETE, "/v1/sessions/current").send().await.unwrap();
    assert_eq!(log_out.status(), StatusCode::NO_CONTENT);

    let id = task.to_string();
    for parts in [
        ["signed up", "alice", "127.0.0.1"],
        ["logged in", "user_id", "127.0.0.1"],
        ["login refused", "alice", "127.0.0.1"],
        ["deleted", "user_id", &id],
        ["logged out", "user_id", "session"],
    ] {
        eventually(&format!("the audit log says {parts:?}"), async || {
            process.find(|line| {
                let fits = line.contains("audit") && parts.iter().all(|part| line.contains(part));
                fits.then(String::new)
            })
        })
        .await;
    }
    for secret in [PASSWORD, "wr0ngone!", "eyJ"] {
        let told = process.find(|line| line.contains(secret).then(|| line.to_owned()));
        assert_eq!(told, None, "a secret is in the log");
    }
}

#[tokio::test]
async fn without_a_login_remote_requests_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut command = taskctl();
    command.args(["standalone", "--listen", "0.0.0.0:0", "--data"]).arg(data.path());
    let refused = run(&mut command, "");
    assert!(!refused.status.success());
    let said = text(&refused.stderr);
    assert!(said.contains("`login_required`") && said.contains("0.0.0.0:0"), "{said}");

    let mut process = Process::spawn(command.env("TASK_MANAGER_LOGIN_REQUIRED", "true"));
    let url = process.url().await;
    let api = Api::new(url.replace("0.0.0.0", "127.0.0.1"));
    assert_eq!(workers(&api).await, StatusCode::UNAUTHORIZED);
}

/// The command line of a server of a fleet in production, without secrets.
fn production(folder: &Path) -> Command {
    let mut command = program("task_manager");
    command.arg("serve").current_dir(folder).envs([
        ("TASK_MANAGER_ENVIRONMENT", "production"),
        ("TASK_MANAGER_LISTEN", "127.0.0.1:0"),
        ("TASK_MANAGER_DATABASE_URL", "mysql://nobody:nothing@127.0.0.1:9/nowhere"),
        ("TASK_MANAGER_QUEUE_URL", "amqp://nobody:nothing@127.0.0.1:9/%2f"),
    ]);
    command
}

#[tokio::test]
async fn production_refuses_guessable_secrets_and_suggests_better_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (service_token, jwt_key) = ("TASK_MANAGER_SERVICE_TOKEN", "TASK_MANAGER_JWT_KEY");
    let mut good = Vec::new();
    for secret in ["", "short", "an-example-of-a-secret-that-is-long-enough"] {
        let mut command = production(folder.path());
        let refused = run(command.env(service_token, secret).env(jwt_key, secret), "");
        assert!(!refused.status.success());
        let said = text(&refused.stderr);
        good = [service_token, jwt_key]
            .map(|name| {
                let (_, rest) = said.split_once(&format!("{name}=")).expect(&said);
                (name, rest.split_whitespace().next().unwrap().to_owned())
            })
            .to_vec();
        assert!(secret.len() < 10 || !said.contains(secret), "it is not repeated: {said}");
    }
    let mut command = production(folder.path());
    command.envs(good).env("TASK_MANAGER_DATABASE_URL", "mysql://nobody:x@127.0.0.1:9/nowhere");
    let process = Process::spawn(&mut command);
    eventually("it gets as far as its missing database", async || {
        process.find(|line| line.contains("cannot use the database, will retry").then(String::new))
    })
    .await;
}

#[tokio::test]
async fn taskctl_registers_logs_in_and_works_with_the_token() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_LOGIN_REQUIRED", "true")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let command = |args: &[&str], input: &str| {
        let mut command = taskctl();
        command.env("XDG_CONFIG_HOME", data.path().join("config"));
        run(command.args(["--json", "--server", &server.api.url]).args(args), input)
    };
    let refused = command(&["list"], "");
    let problem: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(problem["code"], "token_missing");
    let user = command(&["register", "alice"], "Pa55word!\n");
    let user: Value = serde_json::from_slice(&user.stdout).unwrap();
    assert_eq!(user["username"], "alice");
    assert!(command(&["login", "alice"], "Pa55word!\n").status.success());
    let list = command(&["list"], "");
    assert!(list.status.success(), "{}", text(&list.stderr));
    assert!(command(&["logout"], "").status.success());
    assert!(!command(&["list"], "").status.success());
}

#[tokio::test]
async fn a_program_uses_an_api_key_until_it_is_revoked() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_LOGIN_REQUIRED", "true")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let url = server.api.url.as_str();
    let command = |home: &str, key: Option<&str>, args: &[&str], input: &str| {
        let mut command = taskctl();
        command.env("XDG_CONFIG_HOME", data.path().join(home)).env("NO_COLOR", "1");
        if let Some(key) = key {
            command.env("TASKCTL_TOKEN", key);
        }
        run(command.args(args).args(["--server", url]), input)
    };
    let alice = |args: &[&str]| {
        let done = command("alice", None, args, "Pa55word!\n");
        assert!(done.status.success(), "{args:?}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    alice(&["register", "alice"]);
    alice(&["login", "alice"]);
    assert!(alice(&["keys", "list"]).contains("No keys. Make one with `taskctl"));

    let create = ["keys", "create", "nightly export", "--scope", "write", "--expires-in", "30days"];
    let printed = alice(&create);
    let key = printed.trim_end();
    assert!(key.starts_with("tpk_") && !key.contains(char::is_whitespace), "{printed}");
    let list = alice(&["keys", "list"]);
    assert!(list.contains("nightly export") && list.contains("read write"), "{list}");
    assert!(!list.contains(key) && list.contains("never"), "{list}");

    let program = |args: &[&str]| command("program", Some(key), args, "");
    let who = text(&program(&["whoami"]).stdout);
    assert!(
        who.starts_with("alice on ") && who.contains("by an API key for read and write"),
        "{who}"
    );
    let refused = program(&["keys", "create", "another"]);
    assert!(!refused.status.success(), "{}", text(&refused.stdout));

    alice(&["keys", "revoke", "nightly export"]);
    let refused = program(&["whoami"]);
    assert!(text(&refused.stderr).contains("was revoked"), "{}", text(&refused.stderr));
}
