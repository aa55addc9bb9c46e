//! The metrics of the task manager. The process has one set of them, as it has one log.
//!
//! # Invariants
//! - What a transaction does is counted after its commit.
//! - Counting costs some atomic operations; values that must be read from elsewhere are read by
//!   scrapes (`app`).
//!
//! # Not here
//! Their listener (`common::metrics`).

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use common::task::{TaskKind, TaskState};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From requests of a millisecond to downloads of minutes, in seconds.
const REQUEST_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];
/// From small tasks of milliseconds to large ones of hours, in seconds.
const TASK_BUCKETS: [f64; 13] =
    [0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0];

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    accepted: Family<KindLabel, Counter>,
    ended: Family<EndLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    queue_time: Histograms<KindLabel>,
    attempt_time: Histograms<KindLabel>,
    requests: Family<RequestLabels, Counter>,
    request_time: Histograms<RouteLabels>,
    received: Counter,
    sent: Counter,
    tasks: Family<StateLabels, Gauge>,
    outbox_rows: Gauge,
    outbox_lag: Gauge<f64, AtomicU64>,
    connections: Family<PoolLabels, Gauge>,
    broker_up: Gauge,
    storage_free: Gauge,
    storage_size: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: TaskKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    kind: TaskKind,
    outcome: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    kind: TaskKind,
    outcome: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    kind: TaskKind,
    state: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: Name,
    state: Name,
}

/// A route: the method, and the path as it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: Name,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: Name,
    route: String,
    status: u16,
}

/// A value of a label that is known at compile time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name(&'static str);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let of_tasks: fn() -> Histogram = || Histogram::new(TASK_BUCKETS);
        let of_requests: fn() -> Histogram = || Histogram::new(REQUEST_BUCKETS);
        Self {
            accepted: Family::default(),
            ended: Family::default(),
            attempts: Family::default(),
            queue_time: Family::new_with_constructor(of_tasks),
            attempt_time: Family::new_with_constructor(of_tasks),
            requests: Family::default(),
            request_time: Family::new_with_constructor(of_requests),
            received: Counter::default(),
            sent: Counter::default(),
            tasks: Family::default(),
            outbox_rows: Gauge::default(),
            outbox_lag: Gauge::default(),
            connections: Family::default(),
            broker_up: Gauge::default(),
            storage_free: Gauge::default(),
            storage_size: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Registers all of them, with the prefix `task_manager_`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("task_manager");
        registry.register("tasks_accepted", "Accepted tasks", self.accepted.clone());
        registry.register("tasks_ended", "Ended tasks", self.ended.clone());
        registry.register(
            "attempts",
            "Ended attempts; retry, released and lease_lost are run again",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "queue_time",
            "How long tasks waited for a worker, from their due time to their claim",
            Unit::Seconds,
            self.queue_time.clone(),
        );
        registry.register_with_unit(
            "attempt_time",
            "How long attempts ran, from their claim to their end",
            Unit::Seconds,
            self.attempt_time.clone(),
        );
        registry.register("http_requests", "Answered HTTP requests", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to the head of its answer",
            Unit::Seconds,
            self.request_time.clone(),
        );
        registry.register_with_unit(
            "http_received",
            "Bytes received from clients and workers",
            Unit::Bytes,
            self.received.clone(),
        );
        registry.register_with_unit(
            "http_sent",
            "Bytes sent to clients and workers",
            Unit::Bytes,
            self.sent.clone(),
        );
        registry.register("tasks", "Tasks that are queued or processing", self.tasks.clone());
        registry.register(
            "outbox_rows",
            "Messages that are not published yet, including those that are due later",
            self.outbox_rows.clone(),
        );
        registry.register_with_unit(
            "outbox_lag",
            "How long the first message of the outbox has been due",
            Unit::Seconds,
            self.outbox_lag.clone(),
        );
        registry.register(
            "database_connections",
            "Connections to the database by pool, in use and at most",
            self.connections.clone(),
        );
        registry.register(
            "broker_up",
            "Whether the broker accepts messages",
            self.broker_up.clone(),
        );
        registry.register_with_unit(
            "storage_free",
            "The free space of the storage's disk; 0 for a bucket",
            Unit::Bytes,
            self.storage_free.clone(),
        );
        registry.register_with_unit(
            "storage_size",
            "The size of the storage's disk; 0 for a bucket",
            Unit::Bytes,
            self.storage_size.clone(),
        );
    }

    /// Begins the counters of tasks and of attempts with these outcomes at zero: without that,
    /// Prometheus would not count the first event of a series as an increase.
    pub fn start_at_zero(&self, outcomes: &[&'static str]) {
        for kind in TaskKind::ALL {
            drop(self.accepted.get_or_create(&KindLabel { kind }));
            for state in TaskState::ALL.into_iter().filter(|state| state.is_ended()) {
                let outcome = Name(state.as_str());
                drop(self.ended.get_or_create(&EndLabels { kind, outcome }));
            }
            for outcome in outcomes.iter().copied().map(Name) {
                drop(self.attempts.get_or_create(&AttemptLabels { kind, outcome }));
            }
        }
    }

    /// `count` tasks were accepted.
    pub fn tasks_accepted(&self, kind: TaskKind, count: u64) {
        self.accepted.get_or_create(&KindLabel { kind }).inc_by(count);
    }

    /// A task ended in `state`; a stopped one is not rolled back yet.
    pub fn task_ended(&self, kind: TaskKind, state: TaskState) {
        self.ended.get_or_create(&EndLabels { kind, outcome: Name(state.as_str()) }).inc();
    }

    /// A worker claimed a task that had waited for `waited`.
    pub fn task_claimed(&self, kind: TaskKind, waited: Duration) {
        self.queue_time.get_or_create(&KindLabel { kind }).observe(waited.as_secs_f64());
    }

    /// An attempt ended after it had run for `ran`.
    pub fn attempt_ended(&self, kind: TaskKind, outcome: &'static str, ran: Duration) {
        self.attempts.get_or_create(&AttemptLabels { kind, outcome: Name(outcome) }).inc();
        self.attempt_time.get_or_create(&KindLabel { kind }).observe(ran.as_secs_f64());
    }

    /// A request was answered. `route` is its path as it was registered.
    pub fn request_answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let (method, route) = (Name(method), route.to_owned());
        let labels = RouteLabels { method, route };
        self.request_time.get_or_create(&labels).observe(took.as_secs_f64());
        let RouteLabels { method, route } = labels;
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Bytes arrived over HTTP.
    pub fn bytes_received(&self, count: usize) {
        self.received.inc_by(count as u64);
    }

    /// Bytes were sent over HTTP.
    pub fn bytes_sent(&self, count: usize) {
        self.sent.inc_by(count as u64);
    }

    /// Sets the numbers of tasks by kind and state.
    pub fn set_tasks(&self, kind: TaskKind, state: TaskState, count: u64) {
        let labels = StateLabels { kind, state: Name(state.as_str()) };
        self.tasks.get_or_create(&labels).set(signed(count));
    }

    /// Sets the state of the outbox.
    pub fn set_outbox(&self, rows: u64, lag_seconds: f64) {
        self.outbox_rows.set(signed(rows));
        self.outbox_lag.set(lag_seconds);
    }

    /// Sets how many of the `limit` connections of a pool are in use.
    pub fn set_connections(&self, pool: &'static str, in_use: usize, limit: usize) {
        for (state, count) in [("in_use", in_use), ("limit", limit)] {
            let labels = PoolLabels { pool: Name(pool), state: Name(state) };
            self.connections.get_or_create(&labels).set(signed(count as u64));
        }
    }

    /// Sets whether the broker accepts messages.
    pub fn set_broker_up(&self, is_up: bool) {
        self.broker_up.set(i64::from(is_up));
    }

    /// Sets the space of the storage's disk in bytes.
    pub fn set_storage(&self, free: u64, size: u64) {
        self.storage_free.set(signed(free));
        self.storage_size.set(signed(size));
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn names_have_units_and_counters_end_in_total() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.start_at_zero(&["lease_lost", "retry"]);
        let kind = TaskKind::CsvAggregation;
        metrics.tasks_accepted(kind, 2);
        metrics.task_claimed(kind, Duration::from_millis(300));
        metrics.attempt_ended(kind, "lease_lost", Duration::from_secs(2));
        metrics.task_ended(kind, TaskState::Failed);
        metrics.request_answered("GET", "/v1/tasks/{id}", 404, Duration::from_millis(2));
        metrics.bytes_received(10);
        metrics.set_outbox(3, 1.5);
        metrics.set_tasks(kind, TaskState::Queued, 4);
        metrics.set_connections("readers", 1, 8);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "task_manager_tasks_accepted_total{kind=\"csv_aggregation\"} 2",
            "task_manager_tasks_ended_total{kind=\"csv_aggregation\",outcome=\"failed\"} 1",
            "task_manager_attempts_total{kind=\"csv_aggregation\",outcome=\"lease_lost\"} 1",
            "task_manager_tasks_ended_total{kind=\"data_upload\",outcome=\"failed\"} 0",
            "task_manager_attempts_total{kind=\"csv_aggregation\",outcome=\"retry\"} 0",
            "task_manager_queue_time_seconds_bucket{le=\"0.5\",kind=\"csv_aggregation\"} 1",
            "task_manager_attempt_time_seconds_sum{kind=\"csv_aggregation\"} 2.0",
            "task_manager_http_requests_total{method=\"GET\",route=\"/v1/tasks/{id}\",status=\"404\"} 1",
            "task_manager_http_received_bytes_total 10",
            "task_manager_outbox_lag_seconds 1.5",
            "task_manager_tasks{kind=\"csv_aggregation\",state=\"queued\"} 4",
            "task_manager_database_connections{pool=\"readers\",state=\"limit\"} 8",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
        }
    }
}
