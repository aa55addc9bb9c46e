//! Sessions, passwords, and users as administrators see and change them.

use diesel::connection::SimpleConnection;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::app::{PASSWORD, SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    sessions_are_listed_and_ended,
    the_last_use_of_a_session_is_recorded,
    a_changed_password_ends_the_other_sessions,
    a_reset_password_ends_all_sessions,
    sessions_of_earlier_versions_stay_valid_until_the_password_changes,
    a_disabled_user_is_refused_immediately,
    a_disabled_user_is_recognised_by_the_right_password_only,
    administrators_see_what_users_store,
    administrators_cannot_change_themselves,
    administrators_cannot_lock_out_each_other,
    a_viewer_reads_and_changes_nothing,
    users_cannot_administer,
];

const NEW: &str = "N3wword!";

async fn status(app: &TestApp, token: &str) -> StatusCode {
    app.request_as(token, Method::GET, "/v1/tasks").send().await.unwrap().status()
}

async fn log_in(app: &TestApp, name: &str, password: &str) -> Response {
    let body = json!({"username": name, "password": password});
    let request = app.anonymous(Method::POST, "/v1/sessions").json(&body);
    request.header("user-agent", "test/1.0").send().await.unwrap()
}

async fn token(app: &TestApp, name: &str, password: &str) -> String {
    let session: Value = log_in(app, name, password).await.json().await.unwrap();
    session["token"].as_str().unwrap().to_owned()
}

async fn json_of(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
    response.json().await.unwrap()
}

async fn sessions(app: &TestApp, token: &str) -> Vec<Value> {
    let list = json_of(app.request_as(token, Method::GET, "/v1/sessions")).await;
    list["items"].as_array().unwrap().clone()
}

async fn code(request: RequestBuilder) -> (u16, String) {
    let (status, body) = problem(request.send().await.unwrap()).await;
    (status.as_u16(), body["code"].as_str().unwrap().to_owned())
}

/// The user as administrators see it.
async fn user(app: &TestApp, name: &str) -> Value {
    let list = json_of(app.request(Method::GET, &format!("/v1/users?text={name}"))).await;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{items:?}");
    items[0].clone()
}

async fn path(app: &TestApp, name: &str) -> String {
    format!("/v1/users/{}", user(app, name).await["user_id"].as_str().unwrap())
}

async fn change(app: &TestApp, name: &str, change: Value) -> Value {
    json_of(app.request(Method::PATCH, &path(app, name).await).json(&change)).await
}

async fn change_password(app: &TestApp, token: &str, from: &str, to: &str) -> Response {
    let body = json!({"current_password": from, "new_password": to});
    let request = app.request_as(token, Method::PUT, "/v1/users/me/password");
    request.json(&body).send().await.unwrap()
}

async fn sessions_are_listed_and_ended(backend: Backend) {
    let app = TestApp::start(backend).await;
    let first = app.log_in_as("alice").await;
    let second = token(&app, "alice", PASSWORD).await;
    let bobby = app.log_in_as("bobby").await;
    let listed = sessions(&app, &second).await;
    assert_eq!(listed.len(), 2);
    let (current, other): (Vec<&Value>, Vec<_>) =
        listed.iter().partition(|session| session["current"] == true);
    assert_eq!((current.len(), other.len()), (1, 1));
    assert_eq!(current[0]["address"], "127.0.0.1");
    assert_eq!(current[0]["user_agent"], "test/1.0");
    assert_eq!(other[0]["user_agent"], Value::Null);
    let me = json_of(app.request_as(&second, Method::GET, "/v1/users/me")).await;
    for field in ["session_id", "created_at", "expires_at"] {
        assert_eq!(me["session"][field], current[0][field], "{field}");
    }
    let page = json_of(app.request_as(&second, Method::GET, "/v1/sessions?page_size=1")).await;
    let next = page["next_page_token"].as_str().unwrap();
    let next = format!("/v1/sessions?page_size=1&page_token={next}");
    let next = json_of(app.request_as(&second, Method::GET, &next)).await;
    assert_ne!(page["items"][0]["session_id"], next["items"][0]["session_id"]);
    assert_eq!(next["next_page_token"], Value::Null);

    let end = |session: &Value| format!("/v1/sessions/{}", session["session_id"].as_str().unwrap());
    let foreign = app.request_as(&bobby, Method::DELETE, &end(other[0]));
    assert_eq!(code(foreign).await, (404, "session_not_found".to_owned()));
    assert_eq!(status(&app, &first).await, StatusCode::OK);
    let ended = app.request_as(&second, Method::DELETE, &end(other[0])).send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(status(&app, &first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(sessions(&app, &second).await.len(), 1);
    let own = app.request_as(&second, Method::DELETE, &end(current[0])).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::NO_CONTENT);
    assert_eq!(status(&app, &second).await, StatusCode::UNAUTHORIZED);
}

async fn the_last_use_of_a_session_is_recorded(backend: Backend) {
    let app = TestApp::start_with(backend, |config| {
        config.sweep_interval = std::time::Duration::from_millis(50);
    })
    .await;
    let token = app.log_in_as("alice").await;
    let long_ago = "UPDATE sessions SET last_used_at = '2000-01-01 00:00:00'";
    app.sql(long_ago);
    eventually("the use is recorded", || async {
        let listed = sessions(&app, &token).await;
        let used = listed[0]["last_used_at"].as_str().unwrap();
        (!used.starts_with("2000")).then_some(())
    })
    .await;
}

async fn a_changed_password_ends_the_other_sessions(backend: Backend) {
    let app = TestApp::start(backend).await;
    let other = app.log_in_as("alice").await;
    let own = token(&app, "alice", PASSWORD).await;
    let bobby = app.log_in_as("bobby").await;
    for (from, to, field) in
        [("wr0ngone!", NEW, "current_password"), (PASSWORD, "short", "new_password")]
    {
        let (status, body) = problem(change_password(&app, &own, from, to).await).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(body["errors"][0]["field"], field);
    }
    assert_eq!(status(&app, &other).await, StatusCode::OK, "nothing was changed");
    let changed = change_password(&app, &own, PASSWORD, NEW).await;
    assert_eq!(changed.status(), StatusCode::NO_CONTENT);
    assert_eq!(status(&app, &own).await, StatusCode::OK);
    assert_eq!(status(&app, &other).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, &bobby).await, StatusCode::OK);
    assert_eq!(log_in(&app, "alice", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&app, "alice", NEW).await.status(), StatusCode::CREATED);
    if app.token.is_none() {
        let body = json!({"current_password": PASSWORD, "new_password": NEW});
        let local = app.anonymous(Method::PUT, "/v1/users/me/password").json(&body);
        assert_eq!(code(local).await, (409, "no_session".to_owned()));
    }
}

async fn a_reset_password_ends_all_sessions(backend: Backend) {
    let app = TestApp::start(backend).await;
    let tokens = [app.log_in_as("alice").await, token(&app, "alice", PASSWORD).await];
    let reset = format!("{}/password", path(&app, "alice").await);
    let body = json!({"new_password": NEW});
    let done = app.request(Method::PUT, &reset).json(&body).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::NO_CONTENT);
    for token in tokens {
        assert_eq!(status(&app, &token).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(log_in(&app, "alice", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    let new = token(&app, "alice", NEW).await;
    assert_eq!(status(&app, &new).await, StatusCode::OK);
    let nobody = format!("/v1/users/{}/password", uuid::Uuid::now_v7());
    let nobody = app.request(Method::PUT, &nobody).json(&body);
    assert_eq!(code(nobody).await, (404, "user_not_found".to_owned()));
}

async fn sessions_of_earlier_versions_stay_valid_until_the_password_changes(backend: Backend) {
    use jsonwebtoken::dangerous::insecure_decode;
    use jsonwebtoken::{EncodingKey, encode};

    let app = TestApp::start(backend).await;
    let token = app.log_in_as("alice").await;
    let good = insecure_decode::<Value>(&token).unwrap();
    let mut claims = good.claims;
    claims["jti"] = json!(uuid::Uuid::new_v4());
    let key = EncodingKey::from_secret(super::app::JWT_KEY.as_bytes());
    let earlier = encode(&good.header, &claims, &key).unwrap();
    assert_eq!(status(&app, &earlier).await, StatusCode::OK);
    assert_eq!(change_password(&app, &token, PASSWORD, NEW).await.status(), 204);
    assert_eq!(status(&app, &earlier).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, &token).await, StatusCode::OK);
}

async fn a_disabled_user_is_refused_immediately(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    assert_eq!(change(&app, "alice", json!({"disabled": true})).await["disabled"], true);
    if backend == Backend::Fleet {
        let first = app.switch_to_another().await;
        assert_eq!(status(&app, &alice).await, StatusCode::UNAUTHORIZED);
        app.switch_back(first).await;
    }
    assert_eq!(status(&app, &alice).await, StatusCode::UNAUTHORIZED);
    assert_eq!(change(&app, "alice", json!({"disabled": false})).await["disabled"], false);
    assert_eq!(status(&app, &alice).await, StatusCode::UNAUTHORIZED, "the session has ended");
    let again = token(&app, "alice", PASSWORD).await;
    assert_eq!(status(&app, &again).await, StatusCode::OK);
}

async fn a_disabled_user_is_recognised_by_the_right_password_only(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.log_in_as("alice").await;
    change(&app, "alice", json!({"disabled": true})).await;
    let mut answers = Vec::new();
    for (name, password) in [("alice", "wr0ngone!"), ("nobody", PASSWORD)] {
        let (status, mut body) = problem(log_in(&app, name, password).await).await;
        body["timestamp"] = Value::Null;
        answers.push((status, body));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert_eq!(answers[0], answers[1]);
    let (status, body) = problem(log_in(&app, "alice", PASSWORD).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &"user_disabled".into()));
}

async fn administrators_see_what_users_store(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let [alice, _] = [app.log_in_as("alice").await, app.log_in_as("bobby").await];
    let upload = "/v1/data_processor/upload?file_name=songs.csv";
    let upload = app.request_as(&alice, Method::POST, upload).body(SONGS).send().await.unwrap();
    assert_eq!(upload.status(), StatusCode::ACCEPTED);
    let attempt = app.next_attempt().await;
    app.complete(&attempt, "sums").await;

    let stored = user(&app, "ALICE").await;
    assert_eq!((&stored["username"], &stored["role"]), (&json!("alice"), &json!("user")));
    assert_eq!((&stored["tasks"], &stored["disabled"]), (&json!(1), &json!(false)));
    assert_eq!(stored["bytes_stored"], SONGS.len() + "sums".len());
    assert!(stored["created_at"].is_string() && stored["last_login_at"].is_string());
    assert_eq!(user(&app, "bobby").await["bytes_stored"], 0);
    let administrators = usize::from(app.token.is_some());
    let mut names = Vec::new();
    let mut next = String::new();
    loop {
        let page = format!("/v1/users?page_size=1&page_token={next}");
        let page = json_of(app.request(Method::GET, &page)).await;
        names.push(page["items"][0]["username"].as_str().unwrap().to_owned());
        let Some(token) = page["next_page_token"].as_str() else { break };
        next = token.to_owned();
    }
    assert_eq!(names[..2], ["bobby", "alice"], "newest first");
    assert_eq!(names.len(), 2 + administrators);
    // A broken row of a task hides no user.
    app.sql("UPDATE tasks SET output = 'broken'");
    assert_eq!(user(&app, "alice").await["bytes_stored"], SONGS.len());
}

async fn administrators_cannot_change_themselves(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.log_in_as("alice").await;
    assert_eq!(change(&app, "alice", json!({"role": "admin"})).await["role"], "admin");
    let alice = token(&app, "alice", PASSWORD).await;
    let own = path(&app, "alice").await;
    for body in [json!({"role": "user"}), json!({"disabled": true})] {
        let request = app.request_as(&alice, Method::PATCH, &own).json(&body);
        assert_eq!(code(request).await, (409, "own_account".to_owned()));
    }
    for (body, status) in [(json!({"role": "boss"}), 400), (json!({"admin": true}), 400)] {
        let request = app.request(Method::PATCH, &own).json(&body);
        assert_eq!(code(request).await.0, status);
    }
    let nobody = format!("/v1/users/{}", uuid::Uuid::now_v7());
    let nobody = app.request(Method::PATCH, &nobody).json(&json!({"disabled": true}));
    assert_eq!(code(nobody).await, (404, "user_not_found".to_owned()));
}

async fn administrators_cannot_lock_out_each_other(backend: Backend) {
    let app = TestApp::start(backend).await;
    let names = ["alice", "bobby"];
    for name in names {
        app.log_in_as(name).await;
        change(&app, name, json!({"role": "admin"})).await;
    }
    let [alices, bobbys] = [path(&app, names[0]).await, path(&app, names[1]).await];
    for body in [json!({"disabled": true}), json!({"role": "user"}), json!({"disabled": true})] {
        let [alice, bobby] =
            [token(&app, names[0], PASSWORD).await, token(&app, names[1], PASSWORD).await];
        let send =
            |token: &str, path: &str| app.request_as(token, Method::PATCH, path).json(&body).send();
        let (first, second) = tokio::join!(send(&alice, &bobbys), send(&bobby, &alices));
        let mut statuses = [first, second].map(|response| response.unwrap().status().as_u16());
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200, "one of them is first");
        // Before its transaction or in it.
        assert!([401, 403].contains(&statuses[1]), "{statuses:?}");
        for name in names {
            change(&app, name, json!({"role": "admin", "disabled": false})).await;
        }
    }
}

/// What a viewer may change: sign up and log in need no role.
const OF_VIEWERS: [(&str, &str); 7] = [
    ("post", "/v1/users"),
    ("post", "/v1/sessions"),
    ("put", "/v1/users/me/password"),
    ("delete", "/v1/sessions/{id}"),
    ("delete", "/v1/sessions/current"),
    // A key for reading.
    ("post", "/v1/users/me/keys"),
    ("delete", "/v1/users/me/keys/{id}"),
];

/// Every request of the API that may change something, with the method.
async fn changing_requests(app: &TestApp) -> Vec<(Method, String)> {
    let document = json_of(app.anonymous(Method::GET, "/openapi.json")).await;
    let mut requests = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in ["post", "put", "patch", "delete"] {
            if methods.get(method).is_none() || OF_VIEWERS.contains(&(method, path.as_str())) {
                continue;
            }
            let segment = |segment: &str| match segment.starts_with('{') {
                true => uuid::Uuid::now_v7().to_string(),
                false => segment.to_owned(),
            };
            let path: Vec<_> = path.split('/').map(segment).collect();
            requests.push((method.to_ascii_uppercase().parse().unwrap(), path.join("/")));
        }
    }
    requests
}

async fn a_viewer_reads_and_changes_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    assert_eq!(change(&app, "alice", json!({"role": "viewer"})).await["role"], "viewer");
    let me = json_of(app.request_as(&alice, Method::GET, "/v1/users/me")).await;
    assert_eq!(me["role"], "viewer");
    assert_eq!(status(&app, &alice).await, StatusCode::OK);
    let requests = changing_requests(&app).await;
    assert!(requests.len() > 20, "{requests:?}");
    for (method, path) in requests {
        let request = app.request_as(&alice, method.clone(), &path).body(SONGS);
        assert_eq!(code(request).await, (403, "read_only".to_owned()), "{method} {path}");
    }
    let changed = change_password(&app, &alice, PASSWORD, NEW).await;
    assert_eq!(changed.status(), StatusCode::NO_CONTENT);
    let log_out = app.request_as(&alice, Method::DELETE, "/v1/sessions/current");
    assert_eq!(log_out.send().await.unwrap().status(), StatusCode::NO_CONTENT);
}

async fn users_cannot_administer(backend: Backend) {
    let app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let own = path(&app, "alice").await;
    for (method, path) in [
        (Method::GET, "/v1/users".to_owned()),
        (Method::PATCH, own.clone()),
        (Method::PUT, format!("{own}/password")),
    ] {
        let body = json!({"role": "admin", "new_password": NEW});
        let request = app.request_as(&alice, method.clone(), &path).json(&body);
        assert_eq!(code(request).await, (403, "not_administrator".to_owned()), "{method} {path}");
    }
    assert_eq!(user(&app, "alice").await["role"], "user");
    assert_eq!(status(&app, &alice).await, StatusCode::OK);
}

#[tokio::test]
async fn a_login_during_a_change_of_the_password_is_refused() {
    let app = TestApp::start(Backend::Fleet).await;
    app.log_in_as("alice").await;
    let change = "UPDATE users SET password_hash = 'another' WHERE username = 'alice'";
    let mut changing = app.open_transaction(change);
    let body = json!({"username": "alice", "password": PASSWORD});
    let request = app.anonymous(Method::POST, "/v1/sessions").json(&body);
    let login = tokio::spawn(request.header("user-agent", "test/1.0").send());
    eventually("the login has verified the old password and waits", || async {
        app.database.has_waiting_statement().then_some(())
    })
    .await;
    changing.batch_execute("COMMIT").unwrap();
    assert_eq!(login.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.sql("DELETE FROM sessions WHERE user_agent = 'test/1.0'"), 0);
}
