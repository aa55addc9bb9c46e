//! A snapshot makes changes of the OpenAPI document visible, from which clients are generated.
//! `make test-api` tests the server against it.

use reqwest::Method;
use serde_json::{Value, json};

use super::app::TestApp;
use super::backend::Backend;

#[test]
fn the_document_matches_its_snapshot() {
    let document = serde_json::to_value(task_manager::openapi_document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    insta::assert_json_snapshot!(document);
}

#[test]
fn the_file_is_the_last_field_of_a_form() {
    // As text, since a parsed object is sorted by its keys. Swagger UI sends fields in this order,
    // and parameters after the file are refused.
    let document = serde_json::to_string(&task_manager::openapi_document()).unwrap();
    for (form, parameter) in [("UploadForm", "group_by"), ("DataUploadForm", "on_bad_row")] {
        let (_, schema) = document.split_once(&format!("\"{form}\":{{")).unwrap();
        let (_, properties) = schema.split_once("\"properties\":{").unwrap();
        let position = |name: &str| properties.find(&format!("\"{name}\":{{")).unwrap();
        assert!(position("file") > position(parameter), "{form}");
    }
}

#[tokio::test]
async fn the_served_document_matches_the_settings() {
    let shown = async |app: &TestApp| -> Value {
        app.anonymous(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap()
    };
    let fleet = TestApp::start(Backend::Fleet).await;
    let agreed = serde_json::to_value(task_manager::openapi_document()).unwrap();
    assert_eq!(shown(&fleet).await, agreed);
    let alone = TestApp::start_with(Backend::Standalone, |config| {
        config.password_length.least = 8;
        config.password_length.most = 64;
    })
    .await;
    let alone = shown(&alone).await;
    let security = &alone["paths"]["/v1/tasks"]["get"]["security"];
    assert_eq!(security, &json!([{}, {"bearer": []}]), "a token may be left out");
    let password = &alone["components"]["schemas"]["Credentials"]["properties"]["password"];
    assert_eq!((&password["minLength"], &password["maxLength"]), (&8.into(), &64.into()));
}
