//! Traces of the real programs, as a collector receives them.

mod collector;

use std::collections::BTreeSet;
use std::time::Duration;

use common::task::{TaskId, TaskState};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::{Method, StatusCode};

use self::collector::{Collector, KEY_HEADER, Span};
use super::api::{accepted, eventually};
use super::fleet::Fleet;
use super::fleet::services::Services;
use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::process::Process;
use super::standalone::Standalone;

/// The limit of a graceful shutdown.
const DEADLINE: Duration = Duration::from_secs(60);
/// What every trace of a processed upload has, without the request and the root.
const SPANS: [&str; 7] = [
    "publish csv_aggregation",
    "queued",
    "process csv_aggregation",
    "claim",
    "run",
    "report",
    "record report",
];
const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The span of this name.
fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut named = spans.iter().filter(|span| span.name == name);
    let span = named.next().unwrap_or_else(|| panic!("{name} is missing in {spans:#?}"));
    assert!(named.next().is_none(), "{name} is there twice in {spans:#?}");
    span
}

/// Asserts that the spans are one tree below the root, and returns the root.
fn assert_is_a_tree(spans: &[Span], id: TaskId) -> &Span {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "{spans:#?}");
    let (roots, others): (Vec<&Span>, Vec<&Span>) =
        spans.iter().partition(|span| span.parent.is_empty());
    let [root] = roots.as_slice() else { panic!("there is not one root: {spans:#?}") };
    assert_eq!(root.id, id.0.simple().to_string()[16..]);
    for span in others {
        assert!(ids.contains(span.parent.as_str()), "{span:?} has no parent in {spans:#?}");
        assert!(span.begin <= span.end, "{span:?}");
    }
    root
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_to_a_fleet_has_one_trace_from_request_to_report() {
    let collector = Collector::start().await;
    let mut fleet = Fleet::prepare(Services::shared()).await;
    let mut command = fleet.manager_command();
    command.env("TASK_MANAGER_OTLP_ENDPOINT", collector.endpoint());
    fleet.join_manager(Process::spawn(&mut command)).await;
    fleet.api = fleet.api.clone().logged_in_as("tester", "Pa55word!").await;
    let mut command = fleet.worker_command(2, &format!("http://{}", fleet.front.address));
    command.env("DATA_PROCESSOR_OTLP_ENDPOINT", collector.endpoint());
    let mut worker = Process::spawn(command.env("DATA_PROCESSOR_WORKER_NAME", "left"));
    worker.url().await;

    let traceparent = format!("00-{CALLER}-00f067aa0ba902b7-01");
    let upload = fleet.api.upload("", SAMPLE).header("traceparent", traceparent);
    let id = accepted(upload.send().await.unwrap()).await.task.task_id;
    assert_eq!(fleet.api.result(id).await, SAMPLE_SUMS);
    let request = "POST /v1/data_processor/upload";
    let names = [&SPANS[..], &[request, "csv_aggregation"]].concat();
    let spans = collector.wait_for_spans(id, &names).await;
    let root = assert_is_a_tree(&spans, id);
    assert_eq!(spans.len(), names.len(), "{spans:#?}");
    assert_eq!((root.name.as_str(), root.service.as_str()), ("csv_aggregation", "task_manager"));
    assert_eq!(root.attribute("task.state"), "processed");
    assert_eq!(root.attribute("task.attempts"), "1");
    assert!(spans.iter().all(|span| !span.is_error), "{spans:#?}");

    let upload = named(&spans, request);
    assert_eq!(upload.kind, SpanKind::Server);
    assert_eq!(upload.attribute("http.route"), "/v1/data_processor/upload");
    assert_eq!(upload.attribute("http.response.status_code"), "202");
    assert_eq!(upload.attribute("http.request.body.size"), SAMPLE.len().to_string());
    assert_eq!(upload.links, [CALLER]);
    let publish = named(&spans, "publish csv_aggregation");
    assert_eq!(publish.kind, SpanKind::Producer);
    assert_eq!(publish.attribute("messaging.system"), "rabbitmq");
    let attempt = named(&spans, "process csv_aggregation");
    assert_eq!(attempt.kind, SpanKind::Consumer);
    assert_eq!(attempt.service, "data_processor");
    assert_eq!(attempt.attribute("task.worker"), "left");
    assert_eq!(attempt.attribute("task.attempt.outcome"), "completed");
    assert_eq!(attempt.attribute("task.input.bytes_read"), SAMPLE.len().to_string());
    for name in ["claim", "run", "report"] {
        let child = named(&spans, name);
        assert_eq!((&child.parent, child.service.as_str()), (&attempt.id, "data_processor"));
        assert!(attempt.begin <= child.begin && child.end <= attempt.end, "{name}: {spans:#?}");
    }
    let order = [
        upload.begin,
        publish.begin,
        attempt.begin,
        named(&spans, "run").begin,
        named(&spans, "record report").begin,
        root.end,
    ];
    assert!(order.is_sorted(), "{order:?} of {spans:#?}");
    let queued = named(&spans, "queued");
    assert!(root.begin <= queued.begin && queued.end <= root.end, "{spans:#?}");
    worker.terminate();
    assert!(worker.exit(DEADLINE).await.success());
}

#[tokio::test]
async fn a_failed_task_has_an_error_in_its_trace() {
    let collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let headers = format!("{KEY_HEADER}=s3cret");
    let settings = [
        ("TASK_MANAGER_OTLP_ENDPOINT", &*collector.endpoint().leak()),
        ("TASK_MANAGER_OTLP_HEADERS", &*headers.leak()),
    ];
    let mut server = Standalone::start_with(data.path(), &settings).await;
    let id = server.api.accept("", "no,such,columns\n1,2,3\n").await;
    assert_eq!(server.api.wait_for_end(id).await.state, TaskState::Failed);
    // Nothing but the shutdown sends the last spans in time.
    assert!(server.terminate(DEADLINE).await.success());
    let spans = collector.spans(id);
    let root = assert_is_a_tree(&spans, id);
    let attempt = named(&spans, "process csv_aggregation");
    assert!(root.is_error && attempt.is_error, "{spans:#?}");
    assert_eq!(root.attribute("error.type"), attempt.attribute("error.type"));
    assert_eq!(root.attribute("task.state"), "failed");
    assert_eq!(attempt.attribute("messaging.system"), "in_process");
    assert!(spans.iter().all(|span| span.service == "taskctl"), "{spans:#?}");
    assert!(collector.keys().iter().all(|key| key == "s3cret"));
    assert!(!collector.keys().is_empty());
    assert_eq!(server.count_said("s3cret"), 0);
}

#[tokio::test]
async fn the_requests_of_a_resumable_upload_share_its_trace() {
    let collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_OTLP_ENDPOINT", &*collector.endpoint().leak())];
    let server = Standalone::start_with(data.path(), &settings).await;
    let tus =
        |method, path: &str| server.api.request(method, path).header("Tus-Resumable", "1.0.0");
    // `songs.csv` and `csv_aggregation`.
    let metadata = "filename c29uZ3MuY3N2,kind Y3N2X2FnZ3JlZ2F0aW9u";
    let create = tus(Method::POST, "/v1/uploads").header("Upload-Metadata", metadata);
    let created = create.header("Upload-Length", SAMPLE.len()).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let location = created.headers()["location"].to_str().unwrap();
    let path = location[location.find("/v1/").unwrap()..].to_owned();
    let (first, second) = SAMPLE.split_at(10);
    for (offset, part) in [(0, first), (first.len(), second)] {
        let append = tus(Method::PATCH, &path).header("Upload-Offset", offset);
        let append = append.header("Content-Type", "application/offset+octet-stream");
        let status = append.body(part.to_owned()).send().await.unwrap().status();
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
    let id: TaskId = path.rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(server.api.result(id).await, SAMPLE_SUMS);
    let names = [&SPANS[..], &["csv_aggregation", "POST /v1/uploads"]].concat();
    let spans = collector.wait_for_spans(id, &names).await;
    assert_is_a_tree(&spans, id);
    let appends = spans.iter().filter(|span| span.name == "PATCH /v1/uploads/{id}");
    let sizes: Vec<&str> = appends.map(|span| span.attribute("http.request.body.size")).collect();
    assert_eq!(sizes, [first.len().to_string(), second.len().to_string()]);
}

#[tokio::test]
async fn an_unreachable_collector_disturbs_no_task() {
    let gone = Collector::start().await.endpoint();
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_OTLP_ENDPOINT", &*gone.leak())];
    let mut server = Standalone::start_with(data.path(), &settings).await;
    let line = "cannot send traces to";
    let id = server.api.accept("", SAMPLE).await;
    assert_eq!(server.api.result(id).await, SAMPLE_SUMS);
    eventually("the outage is logged", async || server.said(&[line])).await;
    for number in 0..5 {
        let id = server.api.accept("", format!("{SAMPLE}\n{}", "\n".repeat(number))).await;
        server.api.wait_for_end(id).await;
        // Batches are sent each second: several of them fail.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(server.terminate(DEADLINE).await.success());
    assert_eq!(server.count_said(line), 1, "an outage is logged once");
    assert!(server.said(&["spans of traces were lost since the start"]).is_some());
}
