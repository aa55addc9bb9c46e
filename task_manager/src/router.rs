//! Every route of the API.

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::app::AppState;
use crate::file_statistics::routes as file_statistics;
use crate::health::routes as health;
use crate::home::routes as home;
use crate::http::middleware;
use crate::messages::bulk::routes as bulk;
use crate::messages::routes as messages;
use crate::openapi;
use crate::tasks::downloads::routes as downloads;
use crate::tasks::events::routes as events;
use crate::tasks::routes as tasks;
use crate::uploads::routes as uploads;
use crate::worker_api::routes as worker_api;

/// The largest batch that a worker may send, in bytes.
const INTERNAL_BODY_LIMIT: usize = 64 << 20;

/// The documented routes and the document.
fn documented() -> (Router<AppState>, Document) {
    OpenApiRouter::<AppState>::with_openapi(openapi::Document::openapi())
        .routes(routes!(uploads::upload_csv))
        .routes(routes!(
            file_statistics::request_file_statistics,
            file_statistics::list_file_statistics
        ))
        .routes(routes!(file_statistics::report_file_statistics))
        .routes(routes!(messages::submit_message, messages::list_messages))
        .routes(routes!(messages::count_messages))
        .routes(routes!(bulk::load_messages))
        .routes(routes!(downloads::download_result))
        .routes(routes!(downloads::download_rejected))
        .routes(routes!(tasks::list_tasks))
        .routes(routes!(tasks::show_task, tasks::delete_task))
        .routes(routes!(tasks::show_task_status))
        .routes(routes!(tasks::stop_task))
        .routes(routes!(tasks::kill_task))
        .routes(routes!(tasks::resume_task))
        .routes(routes!(events::task_events))
        .routes(routes!(events::all_task_events))
        .routes(routes!(worker_api::list_workers))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .split_for_parts()
}

/// The OpenAPI document.
pub fn document() -> Document {
    documented().1
}

/// The whole API.
pub fn router(state: AppState) -> Router {
    let (api, document) = documented();
    let internal = Router::new()
        .route("/internal/v1/claims", post(worker_api::claim))
        .route("/internal/v1/reports", post(worker_api::report))
        .layer(DefaultBodyLimit::max(INTERNAL_BODY_LIMIT));
    let json = document.clone();
    api.merge(internal)
        .route("/", get(home::home))
        .route("/openapi.json", get(move || async { Json(json) }))
        .merge(SwaggerUi::new("/docs").config(utoipa_swagger_ui::Config::from("/openapi.json")))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(CatchPanicLayer::new())
        .layer(from_fn(middleware::problems))
        .layer(from_fn(middleware::request_id))
        .with_state(state)
}
