//! API keys: what they permit, when they end, and who sees them.

use std::time::Duration;

use chrono::TimeDelta;
use common::task::AcceptedTask;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::app::{DEADLINE, PASSWORD, SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};
use super::tus::BYTES;

backend_tests![
    a_key_is_shown_once_and_stored_as_a_hash,
    a_key_permits_what_its_scopes_name,
    an_administrators_key_needs_its_scope,
    a_key_never_permits_more_than_its_owner_may,
    a_key_changes_no_users_passwords_sessions_or_keys,
    a_key_of_a_disabled_owner_is_refused,
    a_revoked_key_is_refused_immediately,
    an_expired_key_is_refused,
    a_key_with_a_typo_is_refused_in_words,
    the_last_use_of_a_key_is_recorded,
    a_stream_ends_soon_after_its_key_is_revoked,
    a_resumable_upload_works_with_a_key,
    invalid_keys_are_refused_with_their_fields,
    the_number_of_keys_is_limited,
    administrators_see_and_revoke_the_keys_of_others,
    made_and_revoked_keys_are_in_the_audit_log,
    without_a_login_there_are_no_keys,
];

const KEYS: &str = "/v1/users/me/keys";
const UPLOAD: &str = "/v1/data_processor/upload?file_name=songs.csv";

fn creation(app: &TestApp, token: &str, body: &Value) -> RequestBuilder {
    app.request_as(token, Method::POST, KEYS).json(body)
}

/// Makes a key; returns the answer.
async fn create(app: &TestApp, token: &str, body: Value) -> Value {
    let response = creation(app, token, &body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED, "{:?}", response.text().await);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

/// Makes a key with these scopes; returns the key and the path that revokes it.
async fn key(app: &TestApp, token: &str, scopes: &[&str]) -> (String, String) {
    let body = json!({"name": scopes.join(" "), "scopes": scopes});
    let created = create(app, token, body).await;
    let path = format!("{KEYS}/{}", created["key_id"].as_str().unwrap());
    (created["key"].as_str().unwrap().to_owned(), path)
}

async fn items(request: RequestBuilder) -> Vec<Value> {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
    response.json::<Value>().await.unwrap()["items"].as_array().unwrap().clone()
}

async fn keys(app: &TestApp, token: &str) -> Vec<Value> {
    items(app.request_as(token, Method::GET, KEYS)).await
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

/// The status of a request that reads.
async fn reads(app: &TestApp, key: &str) -> StatusCode {
    status(app.request_as(key, Method::GET, "/v1/tasks")).await
}

/// The status, the code and the words of a refusal.
async fn refusal(request: RequestBuilder) -> (u16, String, String) {
    let (status, body) = problem(request.send().await.unwrap()).await;
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    (status.as_u16(), text("code"), text("detail"))
}

async fn code(request: RequestBuilder) -> (u16, String) {
    let (status, code, _) = refusal(request).await;
    (status, code)
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn me(app: &TestApp, token: &str) -> Value {
    let request = app.request_as(token, Method::GET, "/v1/users/me");
    request.send().await.unwrap().json().await.unwrap()
}

async fn user_path(app: &TestApp, token: &str) -> String {
    format!("/v1/users/{}", me(app, token).await["user_id"].as_str().unwrap())
}

async fn change(app: &TestApp, user: &str, change: Value) {
    let request = app.request(Method::PATCH, user).json(&change);
    assert_eq!(status(request).await, StatusCode::OK);
}

/// A user with the role `role`; returns the token and the path of the user.
async fn user(app: &TestApp, name: &str, role: &str) -> (String, String) {
    let token = app.log_in_as(name).await;
    let path = user_path(app, &token).await;
    change(app, &path, json!({"role": role})).await;
    (token, path)
}

async fn a_key_is_shown_once_and_stored_as_a_hash(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let body = json!({"name": " nightly export ", "scopes": ["write"], "expires_in": 3600});
    let created = create(&app, &alice, body).await;
    let key = created["key"].as_str().unwrap();
    assert_eq!(created["name"], "nightly export");
    assert_eq!(created["scopes"], json!(["read", "write"]));
    assert!(key.starts_with(created["prefix"].as_str().unwrap()), "{created}");
    assert!(created["expires_at"].is_string() && created["last_used_at"].is_null(), "{created}");

    let listed = keys(&app, &alice).await;
    let mut shown = created.clone();
    shown.as_object_mut().unwrap().remove("key");
    assert_eq!(listed, [shown]);
    // Behind `tpk_` and the id.
    let secret = key.get(36..100).unwrap();
    let hash = hex::encode(Sha256::digest(hex::decode(secret).unwrap()));
    let count = |condition: &str| app.sql(&format!("DELETE FROM api_keys WHERE {condition}"));
    assert_eq!(count(&format!("HEX(hash) LIKE '%{}%'", secret.to_uppercase())), 0);
    assert_eq!(count(&format!("HEX(hash) = '{}'", hash.to_uppercase())), 1);
}

async fn a_key_permits_what_its_scopes_name(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let (reader, _) = key(&app, &alice, &["read"]).await;
    let (writer, _) = key(&app, &alice, &["write"]).await;
    let upload = |key: &str| app.request_as(key, Method::POST, UPLOAD).body(SONGS);

    let (status, code, detail) = refusal(upload(&reader)).await;
    assert_eq!((status, code.as_str()), (403, "scope_missing"));
    assert!(detail.contains("`write`"), "{detail}");
    let accepted = upload(&writer).send().await.unwrap();
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    let task = accepted.json::<AcceptedTask>().await.unwrap().task.task_id;
    for token in [&alice, &reader, &writer] {
        let tasks = items(app.request_as(token, Method::GET, "/v1/tasks")).await;
        assert_eq!(tasks.len(), 1, "all are of the owner");
    }
    let kill = format!("/v1/tasks/{task}/kill");
    let by_reader = app.request_as(&reader, Method::POST, &kill);
    assert_eq!(refusal(by_reader).await.0, 403);
    let by_writer = app.request_as(&writer, Method::POST, &kill);
    assert!(by_writer.send().await.unwrap().status().is_success());

    let me = me(&app, &reader).await;
    assert_eq!((&me["username"], &me["session"]), (&json!("alice"), &Value::Null));
    assert_eq!(me["api_key"]["scopes"], json!(["read"]));
}

async fn an_administrators_key_needs_its_scope(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (boss, _) = user(&app, "boss1", "admin").await;
    let (writer, _) = key(&app, &boss, &["write"]).await;
    let (watcher, _) = key(&app, &boss, &["admin"]).await;
    let (all, _) = key(&app, &boss, &["admin", "write"]).await;
    let operations = |key: &str| app.request_as(key, Method::GET, "/v1/operations");
    let schedule = |key: &str| {
        let body = json!({
            "cron": "0 6 * * *", "time_zone": "UTC", "to": ["boss@example.org"], "enabled": true
        });
        app.request_as(key, Method::PUT, "/v1/schedules/test").json(&body)
    };

    let (status_of_writer, code_of_writer, detail) = refusal(operations(&writer)).await;
    assert_eq!((status_of_writer, code_of_writer.as_str()), (403, "not_administrator"));
    assert!(detail.contains("scope `admin`"), "{detail}");
    assert_eq!(code(schedule(&writer)).await, refused(403, "not_administrator"));
    assert_eq!(status(operations(&watcher)).await, StatusCode::OK);
    assert_eq!(code(schedule(&watcher)).await, refused(403, "scope_missing"));
    assert_eq!(status(operations(&all)).await, StatusCode::OK);
    assert!(!matches!(status(schedule(&all)).await.as_u16(), 401 | 403));
    assert_eq!(me(&app, &writer).await["role"], "user");
    assert_eq!(me(&app, &all).await["role"], "admin");
}

async fn a_key_never_permits_more_than_its_owner_may(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (boss, path) = user(&app, "boss1", "admin").await;
    let (all, _) = key(&app, &boss, &["admin", "write"]).await;
    let operations = || app.request_as(&all, Method::GET, "/v1/operations");
    let upload = || app.request_as(&all, Method::POST, UPLOAD).body(SONGS);
    assert_eq!(status(operations()).await, StatusCode::OK);

    change(&app, &path, json!({"role": "user"})).await;
    assert_eq!(code(operations()).await, refused(403, "not_administrator"));
    assert_eq!(status(upload()).await, StatusCode::ACCEPTED);
    change(&app, &path, json!({"role": "viewer"})).await;
    assert_eq!(code(upload()).await, refused(403, "read_only"));
    assert_eq!(reads(&app, &all).await, StatusCode::OK);

    for scope in ["write", "admin"] {
        let body = json!({"name": scope, "scopes": [scope]});
        let (status, body) = problem(creation(&app, &boss, &body).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(body["errors"][0]["field"], "scopes");
    }
    let (reader, path) = key(&app, &boss, &["read"]).await;
    assert_eq!(reads(&app, &reader).await, StatusCode::OK, "a viewer makes keys that read");
    let revoked = status(app.request_as(&boss, Method::DELETE, &path)).await;
    assert_eq!(revoked, StatusCode::NO_CONTENT);
}

async fn a_key_changes_no_users_passwords_sessions_or_keys(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (boss, path) = user(&app, "boss1", "admin").await;
    let (all, revocation) = key(&app, &boss, &["admin", "write"]).await;
    let id = uuid::Uuid::now_v7();
    let passwords = json!({"current_password": PASSWORD, "new_password": "N3wword!"});
    for (method, path, body) in [
        (Method::POST, KEYS.to_owned(), json!({"name": "other", "scopes": ["read"]})),
        (Method::DELETE, revocation, Value::Null),
        (Method::DELETE, format!("{path}/keys/{id}"), Value::Null),
        (Method::PUT, "/v1/users/me/password".to_owned(), passwords.clone()),
        (Method::PUT, format!("{path}/password"), json!({"new_password": "N3wword!"})),
        (Method::PATCH, path, json!({"role": "user"})),
        (Method::DELETE, "/v1/sessions/current".to_owned(), Value::Null),
        (Method::DELETE, format!("/v1/sessions/{id}"), Value::Null),
    ] {
        let request = app.request_as(&all, method.clone(), &path).json(&body);
        assert_eq!(code(request).await, refused(403, "not_by_key"), "{method} {path}");
    }
    assert_eq!(keys(&app, &all).await.len(), 1, "it may read them");
    let cookie =
        app.anonymous(Method::GET, "/v1/users/me").header("cookie", format!("session={all}"));
    match backend {
        Backend::Fleet => assert_eq!(code(cookie).await, refused(401, "invalid_token")),
        Backend::Standalone => {
            let me: Value = cookie.send().await.unwrap().json().await.unwrap();
            assert_eq!(me["username"], "local", "a key in a cookie is ignored");
        }
    }
    let worker = app.anonymous(Method::POST, "/internal/v1/claims").bearer_auth(&all);
    assert_eq!(status(worker).await, StatusCode::UNAUTHORIZED);
}

async fn a_key_of_a_disabled_owner_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (alice, path) = user(&app, "alice", "user").await;
    let (reader, _) = key(&app, &alice, &["read"]).await;
    change(&app, &path, json!({"disabled": true})).await;
    let request = app.request_as(&reader, Method::GET, "/v1/tasks");
    let (status, code, detail) = refusal(request).await;
    assert_eq!((status, code.as_str()), (401, "invalid_token"));
    assert!(detail.contains("disabled"), "{detail}");
    change(&app, &path, json!({"disabled": false})).await;
    assert_eq!(reads(&app, &reader).await, StatusCode::OK, "it was not revoked");
}

async fn a_revoked_key_is_refused_immediately(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let [alice, bobby] = [app.log_in_as("alice").await, app.log_in_as("bobby").await];
    let (reader, path) = key(&app, &alice, &["read"]).await;
    let (other, _) = key(&app, &alice, &["write"]).await;
    let by_other = app.request_as(&bobby, Method::DELETE, &path);
    assert_eq!(code(by_other).await, refused(404, "key_not_found"));
    assert_eq!(reads(&app, &reader).await, StatusCode::OK);
    let revoke = async |app: &TestApp| {
        let revoked = status(app.request_as(&alice, Method::DELETE, &path)).await;
        assert_eq!(revoked, StatusCode::NO_CONTENT);
    };
    if backend == Backend::Fleet {
        // Another task manager revokes it, and has read it before.
        let first = app.switch_to_another().await;
        assert_eq!(reads(&app, &reader).await, StatusCode::OK);
        revoke(&app).await;
        assert_eq!(reads(&app, &reader).await, StatusCode::UNAUTHORIZED);
        app.switch_back(first).await;
    } else {
        revoke(&app).await;
    }
    let request = app.request_as(&reader, Method::GET, "/v1/tasks");
    assert_eq!(code(request).await, refused(401, "invalid_token"));
    assert_eq!(reads(&app, &other).await, StatusCode::OK);
    assert_eq!(keys(&app, &alice).await.len(), 1);
    let again = app.request_as(&alice, Method::DELETE, &path);
    assert_eq!(code(again).await, refused(404, "key_not_found"));
    key(&app, &alice, &["read"]).await;
}

async fn an_expired_key_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let at = common::clock::now() + TimeDelta::hours(1);
    let body = json!({"name": "brief", "scopes": ["read"], "expires_at": at});
    let created = create(&app, &alice, body).await;
    let key = created["key"].as_str().unwrap();
    assert_eq!(reads(&app, key).await, StatusCode::OK);
    let past = app.time(TimeDelta::seconds(-1));
    app.sql(&format!("UPDATE api_keys SET expires_at = {past}"));
    let (status, code, detail) = refusal(app.request_as(key, Method::GET, "/v1/tasks")).await;
    assert_eq!((status, code.as_str()), (401, "invalid_token"));
    assert!(detail.contains("expired"), "{detail}");
    assert_eq!(keys(&app, &alice).await.len(), 1, "it is still listed");
}

async fn a_key_with_a_typo_is_refused_in_words(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let (good, _) = key(&app, &alice, &["read"]).await;
    let last = if good.ends_with('0') { "1" } else { "0" };
    let typo = format!("{}{last}", &good[..good.len() - 1]);
    for (wrong, word) in
        [(typo.as_str(), "checksum"), (&good[..50], "checksum"), ("tpk_", "checksum")]
    {
        let response = app.request_as(wrong, Method::GET, "/v1/tasks").send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, body) = problem(response).await;
        assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_token")));
        assert!(body["detail"].as_str().unwrap().contains(word), "{body}");
    }
    // The id of a key with the secret of another one.
    let (other, _) = key(&app, &alice, &["write"]).await;
    let mixed = format!("{}{}", &good[..36], &other[36..100]);
    let mixed = format!("{mixed}{}", &hex::encode(Sha256::digest(&mixed))[..8]);
    let (status, code, detail) = refusal(app.request_as(&mixed, Method::GET, "/v1/tasks")).await;
    assert_eq!((status, code.as_str()), (401, "invalid_token"));
    assert!(detail.contains("does not exist"), "{detail}");
}

async fn the_last_use_of_a_key_is_recorded(backend: Backend) {
    let app = TestApp::start_with(backend, |config| {
        config.sweep_interval = Duration::from_millis(50);
    })
    .await;
    let alice = app.log_in_as("alice").await;
    let (reader, _) = key(&app, &alice, &["read"]).await;
    let (unused, _) = key(&app, &alice, &["write"]).await;
    assert_eq!(reads(&app, &reader).await, StatusCode::OK);
    eventually("the use is recorded", || async {
        let listed = keys(&app, &alice).await;
        let [second, first] = listed.as_slice() else { panic!("{listed:?}") };
        assert!(second["last_used_at"].is_null(), "{unused} is not used");
        first["last_used_at"].is_string().then_some(())
    })
    .await;
}

async fn a_stream_ends_soon_after_its_key_is_revoked(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let (reader, path) = key(&app, &alice, &["read"]).await;
    let open = async |key: &str| {
        app.request_as(key, Method::GET, "/v1/tasks/events").send().await.unwrap()
    };
    let (other, _) = key(&app, &alice, &["write"]).await;
    let (revoked, good) = (open(&reader).await, open(&other).await);
    assert_eq!(revoked.status(), StatusCode::OK);
    assert_eq!(status(app.request_as(&alice, Method::DELETE, &path)).await, 204);
    timeout(DEADLINE, revoked.bytes()).await.expect("it ends").unwrap();
    assert!(timeout(Duration::from_secs(3), good.bytes()).await.is_err(), "the other one stays");
}

async fn a_resumable_upload_works_with_a_key(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let (writer, _) = key(&app, &alice, &["write"]).await;
    let (reader, _) = key(&app, &alice, &["read"]).await;
    let create = |key: &str| {
        let request = app.request_as(key, Method::POST, "/v1/uploads");
        let request = request.header("Tus-Resumable", "1.0.0").header("Upload-Length", SONGS.len());
        request.header("Upload-Metadata", super::tus::metadata(&[("filename", "songs.csv")]))
    };
    assert_eq!(status(create(&reader)).await, StatusCode::FORBIDDEN);
    let created = create(&writer).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED, "{:?}", created.text().await);
    let path = super::tus::header(&created, "location").to_owned();
    let append = |key: &str| {
        let request = app.request_as(key, Method::PATCH, &path).header("Tus-Resumable", "1.0.0");
        request.header("Upload-Offset", 0).header("Content-Type", BYTES).body(SONGS)
    };
    assert_eq!(status(append(&reader)).await, StatusCode::FORBIDDEN);
    assert_eq!(status(append(&writer)).await, StatusCode::NO_CONTENT);
    eventually("the task is queued", || async {
        let tasks = items(app.request_as(&alice, Method::GET, "/v1/tasks")).await;
        (tasks.len() == 1 && tasks[0]["state"] == "queued").then_some(())
    })
    .await;
}

async fn invalid_keys_are_refused_with_their_fields(backend: Backend) {
    let app = TestApp::start(backend).await;
    let [alice, bobby] = [app.log_in_as("alice").await, app.log_in_as("bobby").await];
    let past = common::clock::now() - TimeDelta::seconds(1);
    for (body, field) in [
        (json!({"name": " ", "scopes": ["read"]}), "name"),
        (json!({"name": "a".repeat(101), "scopes": ["read"]}), "name"),
        (json!({"name": "a", "scopes": []}), "scopes"),
        (json!({"name": "a", "scopes": ["read"], "expires_in": 0}), "expires_in"),
        (json!({"name": "a", "scopes": ["read"], "expires_at": past}), "expires_at"),
        (json!({"name": "a", "scopes": ["admin"]}), "scopes"),
    ] {
        let (status, answer) = problem(creation(&app, &alice, &body).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answer["errors"][0]["field"], field, "{body}");
    }
    for body in [
        json!({"name": "a", "scopes": ["everything"]}),
        json!({"name": "a", "scopes": ["read"], "expire_in": 60}),
    ] {
        assert_eq!(code(creation(&app, &alice, &body)).await, refused(400, "bad_request"));
    }
    let named = json!({"name": "Ä".repeat(100), "scopes": ["read"]});
    create(&app, &alice, named.clone()).await;
    assert_eq!(code(creation(&app, &alice, &named)).await, refused(409, "key_name_taken"));
    create(&app, &bobby, named).await;
}

async fn the_number_of_keys_is_limited(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let body = |number: usize| json!({"name": format!("key {number}"), "scopes": ["read"]});
    for number in 0..49 {
        create(&app, &alice, body(number)).await;
    }
    let requests = (49..53).map(|number| creation(&app, &alice, &body(number)).send());
    let answers = futures_util::future::join_all(requests).await;
    let created =
        answers.iter().filter(|answer| answer.as_ref().unwrap().status() == StatusCode::CREATED);
    assert_eq!(created.count(), 1, "however many ask at the same time");
    assert_eq!(keys(&app, &alice).await.len(), 50);
    let (status, code, detail) = refusal(creation(&app, &alice, &body(60))).await;
    assert_eq!((status, code.as_str()), (409, "too_many_keys"));
    assert!(detail.contains("50"), "{detail}");
}

async fn administrators_see_and_revoke_the_keys_of_others(backend: Backend) {
    let app = TestApp::start(backend).await;
    let [alice, bobby] = [app.log_in_as("alice").await, app.log_in_as("bobby").await];
    let (reader, own) = key(&app, &alice, &["read"]).await;
    let path = format!("{}/keys", user_path(&app, &alice).await);
    let id = own.rsplit('/').next().unwrap();
    let of_bobby = format!("{}/keys/{id}", user_path(&app, &bobby).await);

    let listed = items(app.request(Method::GET, &path)).await;
    assert_eq!(listed, keys(&app, &alice).await);
    assert!(listed[0].get("key").is_none());
    for (method, path) in [(Method::GET, path.clone()), (Method::DELETE, format!("{path}/{id}"))] {
        let request = app.request_as(&bobby, method, &path);
        assert_eq!(code(request).await, refused(403, "not_administrator"), "{path}");
    }
    let nobody = format!("/v1/users/{}/keys", uuid::Uuid::now_v7());
    for (method, path, error) in [
        (Method::GET, nobody.as_str(), "user_not_found"),
        (Method::DELETE, of_bobby.as_str(), "key_not_found"),
        (Method::DELETE, "/v1/users/x/keys/y", "key_not_found"),
    ] {
        assert_eq!(code(app.request(method, path)).await, refused(404, error), "{path}");
    }
    assert_eq!(reads(&app, &reader).await, StatusCode::OK);
    let revoked = status(app.request(Method::DELETE, &format!("{path}/{id}"))).await;
    assert_eq!(revoked, StatusCode::NO_CONTENT);
    assert_eq!(reads(&app, &reader).await, StatusCode::UNAUTHORIZED);
}

async fn made_and_revoked_keys_are_in_the_audit_log(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let created = create(&app, &alice, json!({"name": "export", "scopes": ["write"]})).await;
    let path = format!("{KEYS}/{}", created["key_id"].as_str().unwrap());
    assert_eq!(status(app.request_as(&alice, Method::DELETE, &path)).await, 204);
    for (action, words) in [("key_created", "read write"), ("key_revoked", "export")] {
        let entry = eventually(&format!("{action} is recorded"), || async {
            items(app.request(Method::GET, &format!("/v1/audit?action={action}"))).await.pop()
        })
        .await;
        assert_eq!((&entry["username"], &entry["action"]), (&json!("alice"), &json!(action)));
        let detail = entry["detail"].as_str().unwrap();
        assert!(detail.contains(created["prefix"].as_str().unwrap()), "{detail}");
        assert!(detail.contains("export") && detail.contains(words), "{detail}");
        let secret = created["key"].as_str().unwrap().get(36..).unwrap();
        assert!(!entry.to_string().contains(secret.get(..8).unwrap()), "{entry}");
    }
}

async fn without_a_login_there_are_no_keys(backend: Backend) {
    let app = TestApp::start(backend).await;
    let creation =
        app.anonymous(Method::POST, KEYS).json(&json!({"name": "a", "scopes": ["read"]}));
    match backend {
        Backend::Fleet => assert_eq!(code(creation).await, refused(401, "token_missing")),
        Backend::Standalone => {
            let (status, code, detail) = refusal(creation).await;
            assert_eq!((status, code.as_str()), (409, "no_session"));
            assert!(detail.contains("Log in"), "{detail}");
            assert!(items(app.anonymous(Method::GET, KEYS)).await.is_empty());
            let path = format!("{KEYS}/{}", uuid::Uuid::now_v7());
            let revocation = app.anonymous(Method::DELETE, &path);
            assert_eq!(self::code(revocation).await, refused(404, "key_not_found"));
        }
    }
}
