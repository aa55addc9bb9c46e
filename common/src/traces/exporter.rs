//! Posts spans to a collector by OTLP over HTTP, with the client of this project.
//!
//! `opentelemetry-otlp` would read variables of the environment (`OTEL_EXPORTER_OTLP_HEADERS`) in
//! addition to the settings, and hide the causes of network errors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::config::TracesConfig;
use super::losses::Losses;
use crate::causes::with_causes;
use crate::client;
use crate::tls::Trust;

/// The limit of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before a request is repeated, so that a restart of the collector loses no span.
const RETRIES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(4)];
/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// Sends batches of spans.
#[derive(Debug)]
pub(super) struct OtlpExporter {
    collector: Arc<Collector>,
    resource: ResourceAttributesWithSchema,
    /// The client needs a runtime, and batches are exported by a thread of their own.
    runtime: Handle,
}

#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    trust: Trust,
    url: Url,
    headers: HeaderMap,
    losses: Arc<Losses>,
}

/// Why a request failed.
struct Failure {
    reason: String,
    is_transient: bool,
}

impl OtlpExporter {
    /// An exporter whose requests run on the runtime of the caller.
    pub(super) fn new(
        url: &Url,
        config: &TracesConfig,
        trust: &Trust,
        resource: &Resource,
        losses: Arc<Losses>,
    ) -> anyhow::Result<Self> {
        // A redirect would pass secret headers on.
        let http = client::builder(trust)?.timeout(TIMEOUT).redirect(Policy::none()).build()?;
        let (url, headers, trust) = (url.clone(), config.headers.clone(), trust.clone());
        Ok(Self {
            collector: Arc::new(Collector { http, trust, url, headers, losses }),
            resource: resource.into(),
            runtime: Handle::try_current()?,
        })
    }
}

impl SpanExporter for OtlpExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.collector.losses.taken(batch.len());
        let spans = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let collector = Arc::clone(&self.collector);
        let sending = self.runtime.spawn(async move { collector.send(spans, body.into()).await });
        // It fails if the runtime has ended.
        sending.await.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }
}

impl Collector {
    /// Sends a batch, and counts it as lost if it cannot be sent.
    async fn send(&self, spans: u64, body: Bytes) {
        let mut retries = RETRIES.into_iter();
        loop {
            let Failure { reason, is_transient } = match self.post(body.clone()).await {
                Ok((rejected, reason)) => return self.losses.sent(rejected, &reason),
                Err(failure) => failure,
            };
            // During an outage, the next batch finds out whether it is over.
            let retry = retries.next().filter(|_| is_transient && !self.losses.is_away());
            let Some(delay) = retry else {
                return self.losses.failed(spans, self.url.as_str(), &reason);
            };
            sleep(delay).await;
        }
    }

    /// Sends a batch once. Returns how many of its spans the collector rejected, and why.
    async fn post(&self, body: Bytes) -> Result<(u64, String), Failure> {
        let request = self.http.post(self.url.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let unreachable = |error: reqwest::Error| {
            let error = error.without_url();
            let reason = self.trust.explain(&error, with_causes(&error));
            Failure { reason, is_transient: true }
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            // Those that OTLP names as worth repeating.
            let is_transient = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            return Err(Failure { reason: format!("it answered {status}"), is_transient });
        }
        if response.content_length().is_none_or(|length| length > MAX_ANSWER) {
            return Ok((0, String::new()));
        }
        let answer = response.bytes().await.map_err(unreachable)?;
        // An answer in another format is a success too.
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        Ok((partial.rejected_spans.try_into().unwrap_or_default(), partial.error_message))
    }
}
