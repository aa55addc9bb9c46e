//! A collector of traces that keeps the spans it receives by OTLP over HTTP.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::task::TaskId;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::end_to_end::api::eventually;

/// The header with the secret of the collector.
pub const KEY_HEADER: &str = "api-key";

/// A span as it was received.
#[derive(Debug, Clone)]
pub struct Span {
    pub service: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: SpanKind,
    pub begin: u64,
    pub end: u64,
    pub is_error: bool,
    pub attributes: BTreeMap<String, String>,
    /// The traces that it links to.
    pub links: Vec<String>,
    trace: String,
}

impl Span {
    /// An attribute, which must exist.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("{name} is missing in {self:?}"))
    }
}

#[derive(Debug, Default)]
struct Received {
    spans: Vec<Span>,
    /// The values of [`KEY_HEADER`], one per request.
    keys: Vec<String>,
}

/// The collector; dropping it closes its port.
pub struct Collector {
    pub address: SocketAddr,
    received: Arc<Mutex<Received>>,
    serving: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Received>>::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&received)));
        Self { address, received, serving }
    }

    /// The value of `otlp_endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of a task's trace so far.
    pub fn spans(&self, task: TaskId) -> Vec<Span> {
        let trace = task.0.simple().to_string();
        let received = self.received.lock().unwrap();
        received.spans.iter().filter(|span| span.trace == trace).cloned().collect()
    }

    /// The secrets of all requests.
    pub fn keys(&self) -> Vec<String> {
        self.received.lock().unwrap().keys.clone()
    }

    /// Waits until the trace of a task has spans with all these names.
    pub async fn wait_for_spans(&self, task: TaskId, names: &[&str]) -> Vec<Span> {
        eventually(&format!("{task} has the spans {names:?}"), async || {
            let spans = self.spans(task);
            let has = |name: &&str| spans.iter().any(|span| span.name == **name);
            names.iter().all(has).then_some(spans)
        })
        .await
    }
}

async fn serve(listener: TcpListener, received: Arc<Mutex<Received>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let received = Arc::clone(&received);
        let answer = service_fn(move |request| answer(request, Arc::clone(&received)));
        // A connection that breaks is the sender's concern.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn answer(
    request: Request<Incoming>,
    received: Arc<Mutex<Received>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let key = request.headers().get(KEY_HEADER).map(|key| key.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut received = received.lock().unwrap();
    received.keys.extend(key);
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap().attributes);
        for name in ["service.version", "service.instance.id"] {
            assert!(resource.contains_key(name), "{resource:?}");
        }
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        received.spans.extend(spans.map(|span| Span {
            service: resource["service.name"].clone(),
            trace: hex::encode(&span.trace_id),
            id: hex::encode(&span.span_id),
            parent: hex::encode(&span.parent_span_id),
            kind: span.kind(),
            begin: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            is_error: span.status.as_ref().unwrap().code() == StatusCode::Error,
            links: span.links.iter().map(|link| hex::encode(&link.trace_id)).collect(),
            attributes: attributes(span.attributes),
            name: span.name,
        }));
    }
    Ok(Response::new(Empty::new()))
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: AnyValue| match value.value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("no attribute has such a value: {other:?}"),
    };
    pairs.into_iter().map(|pair| (pair.key, text(pair.value.unwrap()))).collect()
}
