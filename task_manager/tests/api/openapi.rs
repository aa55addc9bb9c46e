//! The OpenAPI document is what clients are made from: a change of it is seen.

#[test]
fn the_document_is_the_one_that_was_agreed() {
    let document = serde_json::to_value(task_manager::openapi_document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    insta::assert_json_snapshot!(document);
}

#[tokio::test]
async fn the_server_shows_it() {
    let app = super::app::TestApp::start(super::backend::Backend::Alone).await;
    let shown: serde_json::Value = app.get("/openapi.json").await.json().await.unwrap();
    assert_eq!(shown, serde_json::to_value(task_manager::openapi_document()).unwrap());
}
