//! `/v1/user_events` and the report on them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use common::task::UserId;
use common::user_event::{UserEvent, UserEventsReport};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::middleware::access::CurrentUser;
use crate::api::middleware::trace::CreatedTask;
use crate::api::openapi::shared::{IdempotencyKey, InvalidParameters, PeriodQuery};
use crate::api::request::body::{Content, read_json};
use crate::api::request::detached::run_detached;
use crate::api::request::idempotency;
use crate::api::request::parameters::Parameters;
use crate::api::request::query::Query;
use crate::api::response::accepted::accepted;
use crate::db::Database;
use crate::error::Error;
use crate::idempotency::{IdempotentRequest, fingerprint};
use crate::kinds::user_event::document::UserEventDocument;
use crate::kinds::user_event::store::Filter;
use crate::kinds::user_event::{generate, report};
use crate::lifecycle::submit_user_events::{AcceptedEvents, MOST_EVENTS, UserEvents};

/// One event, or a list of them.
#[derive(ToSchema)]
#[schema(as = UserEventsRequest)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body in the OpenAPI document")]
pub enum UserEventsForm {
    /// One event.
    One(UserEventDocument),
    /// 1 to 10,000 events.
    Many(Vec<UserEventDocument>),
}

/// Sends events of users: one, or a list of up to 10,000.
///
/// Each becomes a task that records it, once for each of your ids, even if it is sent repeatedly.
/// Every event is checked first: if one is invalid, none is accepted, and the errors name the
/// position in the list and the field, such as `[3].address.city`.
#[utoipa::path(
    post, path = "/v1/user_events", tag = "user_events",
    params(IdempotencyKey),
    request_body(content = UserEventsForm, content_type = "application/json"),
    responses(
        (status = 202, description = "The events are stored and will be recorded", body = AcceptedEvents,
            headers(("Retry-After" = u64, description = "Seconds to wait before the next request"))),
        (status = 413, description = "The body is larger than 16 MiB"),
        (status = 422, description = "An event is invalid, the list is empty or too long, or the key was used for another body"),
    )
)]
pub async fn submit_user_events(
    State(events): State<UserEvents>,
    user: CurrentUser,
    parts: Parts,
    Content(content): Content,
) -> Result<Response, Error> {
    let checked = read(&parts, &content)?;
    let asked = fingerprint(&[&String::from_utf8_lossy(&content)]);
    submit(events, user, &parts, checked, asked).await
}

/// The events of a body, each checked.
fn read(parts: &Parts, content: &[u8]) -> Result<Vec<UserEvent>, Error> {
    let mut errors = Vec::new();
    let is_list = content.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let events: Vec<UserEvent> = if is_list {
        let documents: Vec<UserEventDocument> = read_json(&parts.headers, content)?;
        check_count("events", documents.len())?;
        let check = |(index, document): (usize, UserEventDocument)| {
            document.check(&format!("[{index}]."), &mut errors)
        };
        documents.into_iter().enumerate().filter_map(check).collect()
    } else {
        let document: UserEventDocument = read_json(&parts.headers, content)?;
        document.check("", &mut errors).into_iter().collect()
    };
    if errors.is_empty() { Ok(events) } else { Err(Error::InvalidParameters(errors)) }
}

fn check_count(field: &str, count: usize) -> Result<(), Error> {
    if (1..=MOST_EVENTS).contains(&count) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("are {count}; a request may have 1 to {MOST_EVENTS}")))
}

async fn submit(
    events: UserEvents,
    user: CurrentUser,
    parts: &Parts,
    checked: Vec<UserEvent>,
    asked: String,
) -> Result<Response, Error> {
    let key = idempotency::key(parts, &user.id.0.to_string())?;
    let request_key: IdempotentRequest = key.map(|key| (key, asked));
    let submitting = async move { events.submit(user.id, checked, request_key).await };
    let events = run_detached("accepting events", submitting).await?;
    let single = match *events.task_ids.as_slice() {
        [id] => Some(CreatedTask(id)),
        _ => None,
    };
    let mut response = accepted(None, events);
    single.and_then(|created| response.extensions_mut().insert(created));
    Ok(response)
}

/// Generates up to 10,000 plausible events and submits them on your behalf.
///
/// With `seed` they are always the same, including their ids, so that repeating the request records
/// none again. They are dated in 2024 and 2025.
#[utoipa::path(
    post, path = "/v1/user_events/generate/{n}", tag = "user_events",
    params(
        ("n" = u64, Path, description = "How many: 1 to 10,000", minimum = 1, maximum = 10000, example = 100),
        ("seed" = Option<u64>, Query, description = "Selects the events; if absent, they are random"),
        IdempotencyKey,
    ),
    responses(
        (status = 202, description = "The events are stored and will be recorded", body = AcceptedEvents,
            headers(("Retry-After" = u64, description = "Seconds to wait before the next request"))),
        (status = 422, description = "The number is not from 1 to 10,000, or the key was used for another request"),
    )
)]
pub async fn generate_user_events(
    State(events): State<UserEvents>,
    user: CurrentUser,
    Path(count): Path<String>,
    parameters: Parameters,
    parts: Parts,
) -> Result<Response, Error> {
    let mut query = Query::of(parameters);
    let seed = query.read("seed", |text| {
        text.parse::<u64>().map_err(|_| format!("`{text}` is not a whole number from 0"))
    });
    query.finish()?;
    let count: usize = count.parse().map_err(|_| {
        Error::invalid("n", format!("`{count}` is not a whole number from 1 to {MOST_EVENTS}"))
    })?;
    check_count("n", count)?;
    let generated = generate::events(count, seed.unwrap_or_else(rand::random));
    let asked = fingerprint(&[&count.to_string(), &format!("{seed:?}")]);
    submit(events, user, &parts, generated, asked).await
}

/// The owner of the events: a user's id, or `all`.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the parameter in the OpenAPI document")]
pub enum WhoseEvents {
    /// The events of a user.
    User(Uuid),
    /// The events of all users.
    All(AllEvents),
}

/// The events of all users.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the parameter in the OpenAPI document")]
pub enum AllEvents {
    /// The literal `all`.
    All,
}

/// The owners of the events of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EventScope {
    All,
    User(UserId),
}

/// Reports the number of users per city: every recorded event counts as one.
///
/// Covers your events. Administrators may request those of another user, or of all.
///
/// `from` and `to` limit the time at which events happened.
#[utoipa::path(
    get, path = "/v1/reports/user_events", tag = "user_events",
    params(
        ("user_id" = Option<WhoseEvents>, Query, description = "The owner of the events: a user's id, or `all`; if absent, the caller"),
        ("state" = Option<String>, Query, description = "Only events in this state, spelled as in the events"),
        ("country" = Option<String>, Query, description = "Only events in this country, spelled as in the events"),
        PeriodQuery,
    ),
    responses(
        (status = 200, description = "The report", body = UserEventsReport),
        (status = 403, description = "Only an administrator may request all users"),
        (status = 404, description = "The report is not the caller's"),
        InvalidParameters,
    )
)]
pub async fn report_user_events(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Json<UserEventsReport>, Error> {
    let mut query = Query::of(parameters);
    let whose = query.read("user_id", |text| match text {
        "all" => Ok(EventScope::All),
        text => Uuid::try_parse(text)
            .map(|id| EventScope::User(UserId(id)))
            .map_err(|_| format!("`{text}` is neither a user's id nor `all`")),
    });
    let mut place = |name| query.read(name, |text| Ok(text.trim().to_owned()));
    let (state, country) = (place("state"), place("country"));
    let period = query.period();
    query.finish()?;
    let whose = whose.unwrap_or(EventScope::User(user.id));
    if !user.is_administrator() && whose != EventScope::User(user.id) {
        return Err(match whose {
            EventScope::All => Error::NotAdministrator,
            EventScope::User(_) => Error::UserNotFound,
        });
    }
    let owner = match whose {
        EventScope::All => None,
        EventScope::User(id) => Some(id),
    };
    let filter = Filter { owner, state, country, period };
    Ok(Json(db.read(move |conn| report(conn, &filter)).await?))
}
