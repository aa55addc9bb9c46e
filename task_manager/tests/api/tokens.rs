//! Valid tokens, and all kinds of invalid ones.

use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{JWT_KEY, TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    a_forged_token_is_refused,
    a_token_without_a_user_is_refused,
    a_rotated_key_is_valid_until_it_is_removed,
    tokens_and_revocations_survive_a_restart,
    a_token_expires,
    service_tokens_and_user_tokens_are_not_interchangeable,
];

async fn status(app: &TestApp, token: &str) -> StatusCode {
    app.request_as(token, Method::GET, "/v1/tasks").send().await.unwrap().status()
}

fn sign(header: &Header, claims: &Value, key: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

/// The token with another header in base64 and its original signature.
fn with_header(token: &str, header: &str) -> String {
    format!("{header}.{}", token.split_once('.').unwrap().1)
}

async fn a_forged_token_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let token = app.log_in_as("alice").await;
    let good = insecure_decode::<Value>(&token).unwrap();
    let (header, claims) = (good.header, good.claims);
    assert_eq!(header.alg, Algorithm::HS256);
    let signed = |change: Value| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        sign(&header, &claims, JWT_KEY)
    };
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        sign(&header, &claims, JWT_KEY)
    };
    let without = |claim: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(claim).unwrap();
        sign(&header, &claims, JWT_KEY)
    };
    assert_eq!(status(&app, &signed(json!({}))).await, StatusCode::OK, "the test signs correctly");

    let now = common::clock::now().timestamp();
    let mut flipped = token.clone().into_bytes();
    let middle = token.find('.').unwrap() + 10;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    // {"alg":"none","typ":"at+jwt"} and {"alg":"HS512","typ":"at+jwt"}
    let none = with_header(&token, "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0");
    let unsigned = format!("{}.", none.rsplit_once('.').unwrap().0);
    let cases = [
        ("algorithm none", none),
        ("algorithm none without a signature", unsigned),
        ("another algorithm", with_header(&token, "eyJhbGciOiJIUzUxMiIsInR5cCI6ImF0K2p3dCJ9")),
        ("another key", sign(&header, &claims, "another-key-of-a-good-length-000")),
        ("a changed text", String::from_utf8(flipped).unwrap()),
        ("no signature", format!("{}.", token.rsplit_once('.').unwrap().0)),
        ("an unknown key's name", with(&|header| header.kid = Some("0011223344556677".to_owned()))),
        ("no key's name", with(&|header| header.kid = None)),
        ("another type", with(&|header| header.typ = Some("JWT".to_owned()))),
        ("a refresh token", with(&|header| header.typ = Some("rt+jwt".to_owned()))),
        ("no type", with(&|header| header.typ = None)),
        ("another audience", signed(json!({"aud": "somebody/else"}))),
        ("another issuer", signed(json!({"iss": "somebody_else"}))),
        ("expired", signed(json!({"exp": now - 60}))),
        ("not yet valid", signed(json!({"nbf": now + 60}))),
        ("no expiry", without("exp")),
        ("no beginning", without("nbf")),
        ("no audience", without("aud")),
        ("no issuer", without("iss")),
        ("no id", without("jti")),
        ("no user", without("sub")),
        ("a user that is not an id", signed(json!({"sub": "alice"}))),
        ("nothing", String::new()),
        ("nonsense", "a.b.c".to_owned()),
    ];
    for (what, forged) in cases {
        let request = app.request_as(&forged, Method::GET, "/v1/tasks").send().await.unwrap();
        assert_eq!(request.headers()["www-authenticate"], "Bearer", "{what}");
        let (status, body) = problem(request).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::UNAUTHORIZED, &"invalid_token".into()),
            "{what}"
        );
    }
    for scheme in ["Basic", "Token"] {
        let request = app.anonymous(Method::GET, "/v1/tasks");
        let request = request.header("authorization", format!("{scheme} {token}"));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{scheme}");
    }
    let two = app.request_as(&token, Method::GET, "/v1/tasks").bearer_auth(&token);
    assert_eq!(two.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "two headers");
    assert_eq!(status(&app, &token).await, StatusCode::OK);
}

async fn a_token_without_a_user_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let token = app.log_in_as("alice").await;
    assert_eq!(app.sql("DELETE FROM users WHERE username = 'alice'"), 1);
    assert_eq!(status(&app, &token).await, StatusCode::UNAUTHORIZED);
}

async fn a_rotated_key_is_valid_until_it_is_removed(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let old = app.log_in_as("alice").await;
    app.restart_with(|config| {
        config.jwt_previous_key =
            config.jwt_key.replace("the-next-key-of-a-good-length-000".into());
    })
    .await;
    let new = app.log_in_as("bobby").await;
    assert_eq!(status(&app, &old).await, StatusCode::OK);
    assert_eq!(status(&app, &new).await, StatusCode::OK);
    app.restart_with(|config| config.jwt_previous_key = None).await;
    assert_eq!(status(&app, &old).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, &new).await, StatusCode::OK);
}

async fn tokens_and_revocations_survive_a_restart(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let [kept, revoked] = [app.log_in_as("alice").await, app.log_in_as("bobby").await];
    let log_out = app.request_as(&revoked, Method::DELETE, "/v1/sessions/current");
    assert_eq!(log_out.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    app.restart().await;
    assert_eq!(status(&app, &kept).await, StatusCode::OK);
    assert_eq!(status(&app, &revoked).await, StatusCode::UNAUTHORIZED);
}

async fn a_token_expires(backend: Backend) {
    let app = TestApp::start_with(backend, |config| {
        config.token_lifetime = std::time::Duration::from_secs(1);
    })
    .await;
    let token = app.log_in_as("alice").await;
    assert_eq!(status(&app, &token).await, StatusCode::OK);
    super::app::eventually("the token expires", || async {
        (status(&app, &token).await == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}

async fn service_tokens_and_user_tokens_are_not_interchangeable(backend: Backend) {
    let app = TestApp::start(backend).await;
    let token = app.log_in_as("alice").await;
    assert_eq!(status(&app, app.service_token()).await, StatusCode::UNAUTHORIZED);
    for path in ["/internal/v1/claims", "/internal/v1/reports"] {
        for request in
            [app.request_as(&token, Method::POST, path), app.anonymous(Method::POST, path)]
        {
            let request = request.json(&json!({}));
            assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{path}");
        }
    }
}
