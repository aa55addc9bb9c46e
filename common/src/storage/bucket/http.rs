//! The HTTP client of buckets: this project's, with its TLS and its trusted certificates.

use std::error::Error;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt, unfold};
use http_body_util::{BodyExt, StreamBody};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::Body;
use tokio::time::timeout;

use crate::client;
use crate::tls::Trust;

/// How long an answer may take to start, and how long it may stall.
const STALL: Duration = Duration::from_secs(30);
/// A request with a body gets more time, as if this many bytes were sent in a second.
const SLOWEST: u64 = 128 << 10;

/// Makes clients for `object_store`, which share connections.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    client: HttpClient,
}

impl Connector {
    pub(super) fn new(trust: &Trust) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let client = client::builder(trust)?.build()?;
        Ok(Self { client: HttpClient::new(Client(client)) })
    }

    pub(super) fn client(&self) -> HttpClient {
        self.client.clone()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.client())
    }
}

#[derive(Debug)]
struct Client(reqwest::Client);

impl HttpService for Client {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}

impl Client {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let size = request.body().content_length() as u64;
        let request = request.map(Body::wrap).try_into().map_err(http_error)?;
        let limit = STALL + Duration::from_secs(size / SLOWEST);
        let response = timeout(limit, self.0.execute(request)).await;
        let response = response.map_err(timed_out)?.map_err(http_error)?;
        let (status, headers) = (response.status(), response.headers().clone());
        // A limit for each piece, instead of one for the whole answer, whose size varies.
        let frames = unfold(Body::from(response), |mut body| async move {
            let frame = match timeout(STALL, body.frame()).await {
                Ok(frame) => frame?.map_err(http_error),
                Err(elapsed) => Err(timed_out(elapsed)),
            };
            Some((frame, body))
        })
        // It may be asked again after its end.
        .fuse();
        let mut response = HttpResponse::new(HttpResponseBody::new(StreamBody::new(frames)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

fn timed_out(error: tokio::time::error::Elapsed) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, error)
}

/// The kinds decide what is repeated. All requests of this module may be: those that create an
/// object recognize it as theirs.
fn http_error(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_builder() {
        HttpErrorKind::Unknown
    } else {
        HttpErrorKind::Request
    };
    HttpError::new(kind, error.without_url())
}
