//! `/`: a page that introduces the server.

use axum::http::{HeaderMap, header};
use axum::response::Html;

/// The page; `{host}` is replaced by the address that the client used.
const PAGE: &str = include_str!("home/index.html");

/// Shows the page.
pub async fn home(headers: HeaderMap) -> Html<String> {
    let given = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // The client sent this text, so only characters of host names are shown.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let host = given.filter(|host| host.chars().all(is_plain)).unwrap_or("127.0.0.1:5000");
    Html(PAGE.replace("{host}", host))
}
