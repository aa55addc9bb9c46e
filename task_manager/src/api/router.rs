//! Every route of the API.

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use axum::routing::{get, post};
use axum::{Json, Router};
use common::traces;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::{
    SetSensitiveRequestHeadersLayer, SetSensitiveResponseHeadersLayer,
};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::accounts::users::credentials::PasswordLength;
use crate::api::middleware::access::{
    Authenticator, ServiceToken, authenticate, authenticate_worker,
};
use crate::api::middleware::cors::AllowedOrigins;
use crate::api::middleware::{
    compression, content_encoding, host, measure, problems, request_id, same_machine, trace, tus,
};
use crate::api::routes::{
    administration, api_keys, audit, bulk_messages as bulk, csv_previews, data_uploads, downloads,
    events, file_statistics, health, messages, operations, page, results,
    resumable_uploads as resumable, run_again, schedules, sessions, task_actions, task_reports,
    tasks, timelines, uploads, user_events, users, workers,
};
use crate::api::state::AppState;
use crate::api::{internal, openapi, server};
use crate::lifecycle::resumable::ResumableUploads;

/// The largest batch that a worker may send, in bytes.
const INTERNAL_BODY_LIMIT: usize = 64 << 20;

/// The largest list of user events, in bytes.
const USER_EVENTS_LIMIT: usize = 16 << 20;

/// The largest name and password, in bytes.
const CREDENTIALS_LIMIT: usize = 16 << 10;

/// The routes for users who have logged in.
fn of_users() -> OpenApiRouter<AppState> {
    OpenApiRouter::<AppState>::with_openapi(openapi::Document::openapi())
        .routes(routes!(uploads::upload_csv))
        .routes(routes!(
            file_statistics::request_file_statistics,
            file_statistics::list_file_statistics
        ))
        .routes(routes!(file_statistics::report_file_statistics))
        .routes(routes!(csv_previews::preview_csv))
        .routes(routes!(data_uploads::upload_data))
        .routes(routes!(data_uploads::list_loaded_rows))
        .routes(routes!(data_uploads::list_rejected_rows))
        .routes(routes!(messages::submit_message, messages::list_messages))
        .routes(routes!(messages::count_messages))
        .routes(routes!(bulk::load_messages))
        .merge(events_of_users())
        .routes(routes!(schedules::list_schedules))
        .routes(routes!(
            schedules::show_schedule,
            schedules::put_schedule,
            schedules::delete_schedule
        ))
        .routes(routes!(schedules::run_schedule))
        .routes(routes!(resumable::create_upload))
        .routes(routes!(
            resumable::show_upload,
            resumable::show_offset,
            resumable::append_to_upload,
            resumable::terminate_upload,
            resumable::override_method
        ))
        .routes(routes!(downloads::download_result))
        .routes(routes!(downloads::download_rejected))
        .routes(routes!(results::preview_result))
        .routes(routes!(results::series_of_result))
        .routes(routes!(tasks::list_tasks))
        .routes(routes!(task_reports::count_tasks))
        .routes(routes!(task_reports::list_failures))
        .routes(routes!(task_reports::show_throughput))
        .routes(routes!(task_actions::act_on_tasks))
        .routes(routes!(tasks::show_task, tasks::delete_task))
        .routes(routes!(tasks::show_task_status))
        .routes(routes!(tasks::stop_task))
        .routes(routes!(tasks::kill_task))
        .routes(routes!(tasks::resume_task))
        .routes(routes!(timelines::show_timeline))
        .routes(routes!(run_again::run_task_again))
        .routes(routes!(events::task_events))
        .routes(routes!(events::all_task_events))
        .routes(routes!(workers::list_workers))
        .routes(routes!(operations::show_operations))
        .merge(accounts_of_users())
}

/// The routes of users, their sessions and their keys.
fn accounts_of_users() -> OpenApiRouter<AppState> {
    OpenApiRouter::<AppState>::new()
        .routes(routes!(sessions::list_sessions))
        .routes(routes!(sessions::end_session))
        .routes(routes!(sessions::log_out))
        .routes(routes!(users::show_current_user))
        .routes(routes!(users::change_password))
        .routes(routes!(administration::list_users))
        .routes(routes!(administration::change_user))
        .routes(routes!(administration::reset_password))
        .routes(routes!(api_keys::list_keys, api_keys::create_key))
        .routes(routes!(api_keys::revoke_key))
        .routes(routes!(api_keys::list_keys_of_user))
        .routes(routes!(api_keys::revoke_key_of_user))
        .routes(routes!(audit::list_audit))
        .layer(DefaultBodyLimit::max(CREDENTIALS_LIMIT))
}

/// The routes of user events, whose bodies may be lists.
fn events_of_users() -> OpenApiRouter<AppState> {
    OpenApiRouter::<AppState>::new()
        .routes(routes!(user_events::submit_user_events))
        .layer(DefaultBodyLimit::max(USER_EVENTS_LIMIT))
        .routes(routes!(user_events::generate_user_events))
        .routes(routes!(user_events::report_user_events))
}

/// The routes without a login.
fn open() -> OpenApiRouter<AppState> {
    let credentials = OpenApiRouter::<AppState>::new()
        .routes(routes!(users::sign_up))
        .routes(routes!(sessions::log_in))
        .layer(DefaultBodyLimit::max(CREDENTIALS_LIMIT));
    OpenApiRouter::<AppState>::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .merge(credentials)
}

/// The routes for workers, under `/internal`.
fn internal_routes() -> Router<AppState> {
    Router::new()
        .route("/v1/claims", post(internal::claim_tasks))
        .route("/v1/reports", post(internal::report_attempts))
        .route("/v1/tasks/{id}/rows", post(internal::receive_rows))
        .route("/v1/tasks/{id}/steps", post(internal::step_bulk_action))
        .layer(DefaultBodyLimit::max(INTERNAL_BODY_LIMIT))
        // A separate fallback, so that the guard of these routes covers it too.
        .fallback(not_found)
}

async fn not_found() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// The OpenAPI document of a server that requires a login, with default limits.
pub fn document() -> Document {
    document_of(true, PasswordLength::default())
}

fn document_of(login_required: bool, password_length: PasswordLength) -> Document {
    let mut document = openapi::with_login(of_users().split_for_parts().1, login_required);
    document.merge(open().split_for_parts().1);
    openapi::rules::complete(openapi::rules::limit_passwords(document, password_length))
}

/// The whole API.
pub fn router(state: AppState, authenticator: Authenticator) -> Router {
    let login_required = authenticator.login_required;
    let document = document_of(login_required, PasswordLength::from_ref(&state));
    let authenticator = from_fn_with_state(authenticator, authenticate);
    let (of_users, _) = of_users().route_layer(authenticator).split_for_parts();
    let (open, _) = open().split_for_parts();
    let service_token = ServiceToken::from_ref(&state);
    let internal = internal_routes().layer(from_fn_with_state(service_token, authenticate_worker));
    let all = of_users
        .merge(open)
        .nest("/internal", internal)
        .route("/", get(page::screen))
        .route("/page/{*path}", get(page::file))
        .route("/openapi.json", get(move || async { Json(document) }))
        .merge(SwaggerUi::new("/docs").config(utoipa_swagger_ui::Config::from("/openapi.json")))
        .fallback(page::not_found);
    let all = page::SCREENS.iter().fold(all, |all, screen| all.route(screen, get(page::screen)));
    let all = match login_required {
        true => all,
        false => {
            let allowed = AllowedOrigins::from_ref(&state);
            all.layer(from_fn_with_state(allowed, same_machine::same_machine))
        }
    };
    let all = all.layer(
        ServiceBuilder::new()
            .layer(from_fn(problems::problems))
            .layer(CatchPanicLayer::new())
            .layer(from_fn(host::one_host))
            .layer(from_fn(page::lead_browsers))
            .layer(from_fn(server::refuse_beyond_limit))
            .layer(from_fn(content_encoding::refuse_encoded_bodies))
            .layer(map_request(compression::allow_plain))
            .layer(compression::layer()),
    );
    let all = match AllowedOrigins::from_ref(&state).layer() {
        Some(cors) => all.layer(cors),
        None => all,
    };
    let all = all.layer(from_fn_with_state(ResumableUploads::from_ref(&state), tus::tus));
    let all = match traces::are_on() {
        true => all.layer(from_fn(trace::trace)),
        false => all,
    };
    request_id::with_request_ids(all.layer(from_fn(measure::measure)))
        // Should headers ever be logged, tokens are left out.
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, header::COOKIE]))
        .layer(SetSensitiveResponseHeadersLayer::new([header::SET_COOKIE]))
        .with_state(state)
}
