//! A span of the trace of a task, recorded when it has ended.

use std::ops::Range;
use std::time::SystemTime;

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Link, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

pub use opentelemetry::trace::SpanKind;

use super::{TRACER, TaskName};
use crate::task::TaskId;

/// The span of a client, as its request names it (W3C Trace Context).
#[derive(Debug, Clone)]
pub struct Caller(SpanContext);

impl Caller {
    /// The caller that a header names; `header` returns the value of one.
    pub fn of_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let context =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(&header));
        let span = context.span().span_context().clone();
        span.is_valid().then_some(Self(span))
    }
}

/// Returns the value of a header.
struct Headers<'f, 'v>(&'f dyn Fn(&str) -> Option<&'v str>);

impl Extractor for Headers<'_, '_> {
    fn get(&self, key: &str) -> Option<&str> {
        (self.0)(key)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// A span that has ended, to be completed and then [recorded](Self::record).
#[derive(Debug)]
#[must_use = "a span is sent only if it is recorded"]
pub struct TaskSpan(SpanData);

impl TaskSpan {
    pub(super) fn root(
        task: TaskId,
        name: TaskName,
        times: Range<SystemTime>,
        scope: InstrumentationScope,
    ) -> Self {
        Self::new(trace_id(task), root_id(task), SpanId::INVALID, name, times, scope)
    }

    pub(super) fn below_root(
        task: TaskId,
        name: TaskName,
        times: Range<SystemTime>,
        scope: InstrumentationScope,
    ) -> Self {
        Self::new(trace_id(task), random_id(), root_id(task), name, times, scope)
    }

    /// A span below this one.
    pub fn child(&self, name: &'static str, times: Range<SystemTime>) -> Self {
        let (trace, parent) = (self.0.span_context.trace_id(), self.0.span_context.span_id());
        let scope = self.0.instrumentation_scope.clone();
        Self::new(trace, random_id(), parent, name.into(), times, scope)
    }

    fn new(
        trace: TraceId,
        id: SpanId,
        parent: SpanId,
        name: TaskName,
        times: Range<SystemTime>,
        scope: InstrumentationScope,
    ) -> Self {
        let state = TraceState::NONE;
        Self(SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, state),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name,
            start_time: times.start,
            // Clocks of several machines may differ.
            end_time: times.end.max(times.start),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope,
        })
    }

    /// Sets the kind; without this, the span is internal.
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.0.span_kind = kind;
        self
    }

    /// Adds an attribute, named by the semantic conventions of OpenTelemetry if they have it.
    pub fn attribute(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Adds an attribute if it has a value.
    pub fn optional(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.attribute(key, value),
            None => self,
        }
    }

    /// Adds a count as an attribute.
    pub fn count(self, key: &'static str, count: u64) -> Self {
        self.attribute(key, i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Links the span to that of a caller.
    pub fn link(mut self, caller: Option<Caller>) -> Self {
        self.0.links.links.extend(caller.map(|Caller(span)| Link::with_context(span)));
        self
    }

    /// Sets the status to error. `error` is its code, a word without values of users.
    pub fn failed(mut self, error: impl Into<TaskName>) -> Self {
        let error = error.into();
        self.0.status = Status::error(error.clone());
        self.attribute("error.type", error)
    }

    /// Sends the span.
    pub fn record(self) {
        if let Some(tracer) = TRACER.get() {
            tracer.record(self.0);
        }
    }
}

/// The id of the trace of a task: that of the task.
fn trace_id(task: TaskId) -> TraceId {
    TraceId::from_bytes(task.0.into_bytes())
}

/// The id of the root span: the second half of the task's id.
fn root_id(task: TaskId) -> SpanId {
    let (_, half) = task.0.as_u64_pair();
    non_zero(half)
}

fn random_id() -> SpanId {
    non_zero(rand::random())
}

/// Zero is no valid id.
fn non_zero(id: u64) -> SpanId {
    SpanId::from(id.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_the_task() {
        let task: TaskId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(trace_id(task).to_string(), "01890a5dac96774bbcceb302099a8057");
        assert_eq!(root_id(task).to_string(), "bcceb302099a8057");
        assert_ne!(root_id(TaskId(uuid::Uuid::nil())), SpanId::INVALID);
    }

    #[test]
    fn a_caller_is_read_from_valid_headers_only() {
        let read = |value: &'static str| {
            Caller::of_headers(move |name| (name == "traceparent").then_some(value))
        };
        let caller = read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(caller.0.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(caller.0.span_id().to_string(), "00f067aa0ba902b7");
        for invalid in ["", "00-0-0-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"]
        {
            assert!(read(invalid).is_none(), "{invalid}");
        }
    }
}
