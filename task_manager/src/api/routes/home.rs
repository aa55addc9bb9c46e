//! `/`: what this is and what to do next.

use axum::http::{HeaderMap, header};
use axum::response::Html;

/// The page; `{host}` stands for the address under which the client sees the server.
const PAGE: &str = include_str!("home/index.html");

/// Shows the page.
pub async fn home(headers: HeaderMap) -> Html<String> {
    let given = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // Whatever stands in the page was sent by the client, so only what a host can be is shown.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let host = given.filter(|host| host.chars().all(is_plain)).unwrap_or("127.0.0.1:5000");
    Html(PAGE.replace("{host}", host))
}
