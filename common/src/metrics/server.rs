//! The listener for scrapes: `GET /metrics`, one request per connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Page;

/// The media type of OpenMetrics.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// The most connections at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 16;
/// How long a connection may take for its request and its answer.
const LIFETIME: Duration = Duration::from_secs(30);
/// How long to wait when no connection can be accepted, as without free file handles.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves the page for ever.
pub(super) async fn serve(listener: TcpListener, page: Arc<Page>) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    // A scraper that goes away or is too slow is of no interest.
                    let _ = timeout(LIFETIME, serve_one(stream, page)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a scrape of the metrics, will retry");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, page: Arc<Page>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| {
        let page = Arc::clone(&page);
        async move { Ok::<_, Infallible>(answer(&page, &request).await) }
    });
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await
}

async fn answer(page: &Page, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let is_for_page = request.method() == Method::GET && request.uri().path() == "/metrics";
    let (status, body) = match is_for_page {
        true => match page.scrape().await {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        false => (StatusCode::NOT_FOUND, "The metrics are at /metrics.\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    if status == StatusCode::OK {
        response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    }
    *response.status_mut() = status;
    response
}
