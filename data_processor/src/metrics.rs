//! The metrics of the worker. The process has one set of them, as it has one log.
//!
//! # Not here
//! Their listener (`common::metrics`).

use std::sync::LazyLock;
use std::time::Duration;

use common::metrics::Page;
use common::queue::Publisher;
use common::task::TaskKind;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

/// From small tasks of milliseconds to large ones of hours, in seconds.
const BUCKETS: [f64; 13] =
    [0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0];

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

/// The metrics of this process.
pub(crate) fn metrics() -> &'static Metrics {
    &METRICS
}

/// Adds the metrics of the worker to a page.
pub fn add_metrics(page: &mut Page) {
    metrics().register(page);
}

/// Adds whether the broker responds, for a worker in a process of its own.
pub fn add_broker(page: &mut Page, publisher: Publisher) {
    let up = Gauge::<i64>::default();
    let registry = page.registry().sub_registry_with_prefix("data_processor");
    registry.register("broker_up", "Whether the broker responds", up.clone());
    page.before_scrapes(move || {
        let (up, publisher) = (up.clone(), publisher.clone());
        Box::pin(async move {
            up.set(i64::from(publisher.check().await.is_ok()));
        })
    });
}

/// All metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    running: Family<KindLabel, Gauge>,
    attempts: Family<OutcomeLabels, Counter>,
    attempt_time: Family<KindLabel, Histogram, fn() -> Histogram>,
    input: Family<KindLabel, Counter>,
    rows: Family<OutcomeLabels, Counter>,
    slots: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: TaskKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    kind: TaskKind,
    outcome: Outcome,
}

/// How an attempt ended, by the name of its event or `interrupted`; or what became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Outcome(&'static str);

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            running: Family::default(),
            attempts: Family::default(),
            attempt_time: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            input: Family::default(),
            rows: Family::default(),
            slots: Gauge::default(),
        }
    }
}

impl Metrics {
    fn register(&self, page: &mut Page) {
        let registry = page.registry().sub_registry_with_prefix("data_processor");
        registry.register("running_attempts", "Attempts that run now", self.running.clone());
        registry.register(
            "attempts",
            "Ended attempts by what the worker reports; interrupted ones are not reported",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "attempt_time",
            "How long attempts ran",
            Unit::Seconds,
            self.attempt_time.clone(),
        );
        registry.register_with_unit(
            "input",
            "Bytes of input files that ended attempts have read",
            Unit::Bytes,
            self.input.clone(),
        );
        registry.register("rows", "Rows of completed tasks", self.rows.clone());
        registry.register(
            "slots",
            "How many tasks run at a time, small ones not counted",
            self.slots.clone(),
        );
    }

    /// The worker runs up to `slots` tasks at a time, small ones not counted.
    pub(crate) fn set_slots(&self, slots: u16) {
        self.slots.set(slots.into());
    }

    /// An attempt starts.
    pub(crate) fn attempt_started(&self, kind: TaskKind) {
        self.running.get_or_create(&KindLabel { kind }).inc();
    }

    /// An attempt ended after it had run for `ran` and read `bytes` of its input. `event` is the name
    /// of the event to report; none if it was interrupted.
    pub(crate) fn attempt_ended(
        &self,
        kind: TaskKind,
        event: Option<&'static str>,
        ran: Duration,
        bytes: u64,
    ) {
        let outcome = Outcome(event.unwrap_or("interrupted"));
        self.attempts.get_or_create(&OutcomeLabels { kind, outcome }).inc();
        let kind = KindLabel { kind };
        self.running.get_or_create(&kind).dec();
        self.attempt_time.get_or_create(&kind).observe(ran.as_secs_f64());
        self.input.get_or_create(&kind).inc_by(bytes);
    }

    /// A task is complete that accepted and rejected so many rows in all its attempts.
    pub(crate) fn rows_processed(&self, kind: TaskKind, accepted: u64, rejected: u64) {
        for (outcome, rows) in [("accepted", accepted), ("rejected", rejected)] {
            let labels = OutcomeLabels { kind, outcome: Outcome(outcome) };
            self.rows.get_or_create(&labels).inc_by(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_are_counted_by_kind_and_outcome() {
        let (metrics, mut page) = (Metrics::default(), Page::default());
        metrics.register(&mut page);
        let kind = TaskKind::CsvAggregation;
        metrics.attempt_started(kind);
        metrics.attempt_started(kind);
        metrics.attempt_ended(kind, Some("completed"), Duration::from_secs(3), 100);
        metrics.rows_processed(kind, 7, 2);
        let text = page.scrape().await.unwrap();
        for line in [
            "data_processor_running_attempts{kind=\"csv_aggregation\"} 1",
            "data_processor_attempts_total{kind=\"csv_aggregation\",outcome=\"completed\"} 1",
            "data_processor_attempt_time_seconds_count{kind=\"csv_aggregation\"} 1",
            "data_processor_input_bytes_total{kind=\"csv_aggregation\"} 100",
            "data_processor_rows_total{kind=\"csv_aggregation\",outcome=\"accepted\"} 7",
            "data_processor_rows_total{kind=\"csv_aggregation\",outcome=\"rejected\"} 2",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
        }
    }
}
