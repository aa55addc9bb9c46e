//! `/v1/messages`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Response;
use chrono::NaiveDate;
use common::message::Category;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::{IdempotencyKey, InvalidParameters, PageQuery, PeriodQuery};
use crate::api::request::body::{Content, read_json};
use crate::api::request::detached::run_detached;
use crate::api::request::idempotency;
use crate::api::request::parameters::Parameters;
use crate::api::request::query::Query;
use crate::api::response::accepted::accepted;
use crate::db::Database;
use crate::error::Error;
use crate::kinds::message_validation::TrackedMessage;
use crate::kinds::message_validation::search::{MAX_TEXT, Search};
use crate::kinds::message_validation::store::{self, Count, Filter, PageStart};
use crate::lifecycle::submit_messages::{AcceptedMessage, Messages};
use crate::paging::{Cursor, PageSize};

/// A message to validate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MessageRequest)]
pub struct MessageRequest {
    /// Up to 16 KiB of UTF-8, not only blanks. It is stored unchanged.
    #[schema(
        example = "The parcel has arrived.",
        min_length = 1,
        max_length = 16384,
        pattern = r"\S"
    )]
    message: String,
}

/// Sends a message.
///
/// A number from 1 to 60 is drawn for it. If it is not a multiple of ten, the message is `Direct`.
/// Otherwise another number is drawn four seconds later: the message is `Retried`, or `Failed` if
/// that is a multiple of ten too. Each message is tracked once, when its task is `processed`; the
/// category is in the task's `result`.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages",
    params(IdempotencyKey),
    request_body = MessageRequest,
    responses(
        (status = 202, description = "The message is stored and will be validated", body = AcceptedMessage,
            headers(("Location" = String, description = "The task"), ("Retry-After" = u64, description = "Seconds to wait before the next request"))),
        (status = 422, description = "The message is empty or too long, or the key was used for another body"),
    )
)]
pub async fn submit_message(
    State(messages): State<Messages>,
    user: CurrentUser,
    parts: Parts,
    Content(content): Content,
) -> Result<Response, Error> {
    let MessageRequest { message } = read_json(&parts.headers, &content)?;
    let key = idempotency::key(&parts, &user.id.0.to_string())?;
    let request_key = key.map(|key| (key, hex::encode(Sha256::digest(&content))));
    let submitting = async move { messages.submit(user.id, message, request_key).await };
    let message = run_detached("accepting a message", submitting).await?;
    let location = message.task.links.this.clone();
    Ok(accepted(Some(&location), message))
}

/// A page of messages.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageList {
    /// The messages of this page.
    items: Vec<TrackedMessage>,
    /// The token of the next page; `null` on the last one.
    next_page_token: Option<String>,
}

/// Lists the caller's messages, or those that contain a text.
///
/// With `text`: messages with all words, in any order and case. `"Words in quotes"` must be
/// adjacent; `word*` matches every word with this prefix. Words of every script and emoji are
/// found; other punctuation has no meaning, and a text without a word finds nothing. In `snippet`
/// the matches are between `**`; it is plain text, not escaped for HTML.
///
/// `from` and `to` limit the time at which messages were accepted.
#[utoipa::path(
    get, path = "/v1/messages", tag = "messages",
    params(
        ("text" = Option<String>, Query, description = "The words to search for, up to 1,000 characters", max_length = 1000, example = "\"red apple\" pie*"),
        ("category" = Option<Category>, Query, description = "Only messages of this category"),
        PeriodQuery,
        ("order" = Option<String>, Query, description = "`newest` first (the default), or the `best` match of `text` first", pattern = "^(newest|best)$"),
        PageQuery,
    ),
    responses(
        (status = 200, description = "A page of messages", body = MessageList),
        InvalidParameters,
    )
)]
pub async fn list_messages(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Json<MessageList>, Error> {
    let Page { search, filter, start, size } = Page::read(parameters)?;
    let list = db.read(move |conn| {
        let limit = size.limit();
        let mut items = match (&search, start) {
            (Some(search), start) => store::search(conn, user.id, search, &filter, start, limit)?,
            (None, PageStart::Newest(before)) => {
                store::list(conn, user.id, &filter, before, limit)?
            }
            (None, PageStart::Best(_)) => Vec::new(),
        };
        let next_page_token = size.cut(&mut items).map(|last| token(start, size, last));
        Ok(MessageList { items, next_page_token })
    });
    Ok(Json(list.await?))
}

struct Page {
    search: Option<Search>,
    filter: Filter,
    start: PageStart,
    size: PageSize,
}

impl Page {
    fn read(parameters: Parameters) -> Result<Self, Error> {
        let mut query = Query::of(parameters);
        let search = query.read("text", |text| match text.chars().count() {
            0..=MAX_TEXT => {
                Ok(Some(text).filter(|text| !text.trim().is_empty()).map(Search::parse))
            }
            length => Err(format!("has {length} characters; up to {MAX_TEXT} are accepted")),
        });
        let search = search.flatten();
        let category = query.read("category", |text| {
            text.parse().map_err(|error: common::task::UnknownName| error.to_string())
        });
        let period = query.period();
        let best_first = query.read("order", |text| match text {
            "newest" => Ok(false),
            "best" if search.is_none() => Err("`best` needs a `text` to compare with".to_owned()),
            "best" => Ok(true),
            _ => Err(format!("`{text}` is neither `newest` nor `best`")),
        });
        let first =
            if best_first == Some(true) { PageStart::Best(0) } else { PageStart::Newest(None) };
        let start = query.read("page_token", |text| {
            next(first, text).ok_or_else(|| "is not a token of this list".to_owned())
        });
        let size = query.page_size();
        query.finish()?;
        Ok(Self {
            search,
            filter: Filter { category, period },
            start: start.unwrap_or(first),
            size,
        })
    }
}

/// The token of the next page: the last message, or the number of messages so far.
fn token(start: PageStart, size: PageSize, last: &TrackedMessage) -> String {
    match start {
        PageStart::Newest(_) => {
            Cursor { time: last.created_at.naive_utc(), id: last.id }.to_string()
        }
        PageStart::Best(offset) => (offset + size.0).to_string(),
    }
}

fn next(first: PageStart, token: &str) -> Option<PageStart> {
    match first {
        PageStart::Newest(_) => Cursor::parse(token).map(|last| PageStart::Newest(Some(last))),
        // No list is longer, and no database supports a larger offset.
        PageStart::Best(_) => {
            token.parse::<u32>().ok().map(|offset| PageStart::Best(offset.into()))
        }
    }
}

/// The number of messages of a category and a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessageCount {
    /// `null` if the categories are counted together.
    category: Option<Category>,
    /// The day, UTC; `null` if the days are counted together.
    #[schema(example = "2026-01-31")]
    date: Option<NaiveDate>,
    /// The number of messages.
    count: u64,
}

/// The counts of messages, by day and category, without zero counts.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageCounts {
    counts: Vec<MessageCount>,
}

/// Counts the caller's messages.
///
/// `from` and `to` limit the time at which messages were accepted.
#[utoipa::path(
    get, path = "/v1/messages/counts", tag = "messages",
    params(
        ("by" = Option<String>, Query, description = "`category`, `date`, or both separated by a comma: the default", pattern = "^ *(category|date) *(, *(category|date) *)*$", example = "category,date"),
        PeriodQuery,
    ),
    responses(
        (status = 200, description = "The counts", body = MessageCounts),
        InvalidParameters,
    )
)]
pub async fn count_messages(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Json<MessageCounts>, Error> {
    let mut query = Query::of(parameters);
    let named = query.read_all("by", dimensions);
    let period = query.period();
    query.finish()?;
    let named = named.into_iter().reduce(|one, other| (one.0 || other.0, one.1 || other.1));
    let (by_category, by_date) = named.unwrap_or((true, true));
    let single = db.read(move |conn| store::counts(conn, user.id, period)).await?;
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for Count { category, date, count } in single {
        let key = (by_date.then_some(date), by_category.then_some(category));
        *counts.entry(key).or_default() += count;
    }
    let count = |((date, category), count)| MessageCount { category, date, count };
    Ok(Json(MessageCounts { counts: counts.into_iter().map(count).collect() }))
}

/// Whether to count by category, and by date.
fn dimensions(text: &str) -> Result<(bool, bool), String> {
    let mut by = (false, false);
    for name in text.split(',').map(str::trim) {
        match name {
            "category" => by.0 = true,
            "date" => by.1 = true,
            _ => return Err(format!("`{name}` is neither `category` nor `date`")),
        }
    }
    Ok(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(given: &[(&str, &str)]) -> Result<Page, Error> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Page::read(Parameters(given.iter().map(own).collect()))
    }

    #[test]
    fn every_invalid_parameter_is_named() {
        let text = "x".repeat(1_001);
        let given = [
            ("text", text.as_str()),
            ("category", "direct"),
            ("order", "best"),
            ("page_token", "7"),
            ("sort", "up"),
        ];
        let Err(Error::InvalidParameters(errors)) = page(&given) else { panic!("valid") };
        let fields: Vec<_> = errors.iter().filter_map(|error| error.field.as_deref()).collect();
        assert_eq!(fields, ["text", "category", "order", "page_token", "sort"]);
    }

    #[test]
    fn a_page_token_is_bound_to_its_order() {
        let newest = "1763708400123456.01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(matches!(
            page(&[("page_token", newest)]).unwrap().start,
            PageStart::Newest(Some(_))
        ));
        let best = [("text", "a"), ("order", "best"), ("page_token", "50")];
        assert_eq!(page(&best).unwrap().start, PageStart::Best(50));
        assert!(page(&[("page_token", "50")]).is_err());
        assert!(page(&[("text", "a"), ("order", "best"), ("page_token", newest)]).is_err());
    }

    #[test]
    fn dimensions_are_comma_separated() {
        assert_eq!(dimensions("category"), Ok((true, false)));
        assert_eq!(dimensions("date, category"), Ok((true, true)));
        assert!(dimensions("").is_err() && dimensions("day").is_err());
    }
}
