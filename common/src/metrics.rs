//! Metrics of a process, as OpenMetrics text on a listener of its own.
//!
//! # Invariants
//! - Values that must be read from elsewhere are read by scrapes, at most every 5 seconds.
//! - Labels have few values: never an id, a name from a client or a raw path.
//!
//! # Not here
//! The metrics of the programs (`task_manager::metrics`, `data_processor::metrics`).

mod process;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::{BoxFuture, join_all};
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use self::process::ProcessCollector;
use crate::task::TaskKind;

/// How long values that were read by a scrape are fresh enough for the next ones.
const FRESH: Duration = Duration::from_secs(5);
/// A scrape waits no longer than this for these values; those of an earlier scrape remain.
const PATIENCE: Duration = Duration::from_secs(4);

/// Reads values from elsewhere and sets gauges.
type Refresh = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// All metrics of a process.
pub struct Page {
    registry: Registry,
    refreshes: Vec<Refresh>,
    refreshed: Mutex<Option<Instant>>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

impl Default for Page {
    /// A page with the metrics of the process itself.
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector::default()));
        Self { registry, refreshes: Vec::new(), refreshed: Mutex::default() }
    }
}

impl Page {
    /// Where a program registers its metrics.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Calls `refresh` before a scrape is answered, if the values of an earlier one are not fresh.
    pub fn before_scrapes(
        &mut self,
        refresh: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) {
        self.refreshes.push(Box::new(refresh));
    }

    /// The metrics as text.
    ///
    /// # Errors
    /// A metric cannot be written as text.
    pub async fn scrape(&self) -> Result<String, fmt::Error> {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_none_or(|at| at.elapsed() >= FRESH) {
            let refreshing = join_all(self.refreshes.iter().map(|refresh| refresh()));
            if timeout(PATIENCE, refreshing).await.is_err() {
                tracing::debug!("a scrape of the metrics did not wait for slow values");
            }
            *refreshed = Some(Instant::now());
        }
        drop(refreshed);
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// Serves the metrics of the process, with those that `add` adds, at the address of the setting
/// `metrics_listen`, if there is one. They are served until the handle is dropped.
///
/// # Errors
/// The address is taken.
pub async fn start(
    address: Option<SocketAddr>,
    add: impl FnOnce(&mut Page),
) -> anyhow::Result<Option<Serving>> {
    let Some(address) = address else { return Ok(None) };
    let mut page = Page::default();
    add(&mut page);
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("the address {address} cannot be used; choose another one (`metrics_listen`)")
    })?;
    let address = listener.local_addr()?;
    tracing::info!("metrics are at http://{address}/metrics, without a login");
    let serving = tokio::spawn(server::serve(listener, Arc::new(page)));
    Ok(Some(Serving { address, _serving: AbortOnDropHandle::new(serving) }))
}

/// A listener that serves metrics until this is dropped.
#[derive(Debug)]
pub struct Serving {
    /// The address it listens on.
    pub address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl EncodeLabelValue for TaskKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    /// Adds a counter, and a gauge that counts its refreshes.
    fn add(page: &mut Page) {
        let (files, refreshes) = (Counter::<u64>::default(), Gauge::<i64>::default());
        page.registry().register("files", "Files that were read", files.clone());
        page.registry().register("refreshes", "How often values were read", refreshes.clone());
        files.inc_by(3);
        page.before_scrapes(move || {
            refreshes.inc();
            Box::pin(std::future::ready(()))
        });
    }

    #[tokio::test(start_paused = true)]
    async fn values_are_read_again_when_they_are_not_fresh() {
        let mut page = Page::default();
        add(&mut page);
        let count = async || {
            let text = page.scrape().await.unwrap();
            assert!(text.contains("files_total 3\n") && text.ends_with("# EOF\n"), "{text}");
            let line = text.lines().find(|line| line.starts_with("refreshes ")).unwrap().to_owned();
            line.split_once(' ').unwrap().1.to_owned()
        };
        assert_eq!((count().await, count().await), ("1".to_owned(), "1".to_owned()));
        tokio::time::advance(FRESH).await;
        assert_eq!(count().await, "2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_does_not_wait_for_slow_values() {
        let mut page = Page::default();
        add(&mut page);
        let calls = Arc::new(AtomicU64::default());
        let counted = Arc::clone(&calls);
        page.before_scrapes(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        });
        assert!(page.scrape().await.unwrap().contains("files_total 3\n"));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_page_is_served_over_http() {
        assert!(start(None, add).await.unwrap().is_none());
        let serving = start(Some(([127, 0, 0, 1], 0).into()), add).await.unwrap().unwrap();
        let client = crate::client::plain_http().unwrap().build().unwrap();
        let get = async |path: &str| {
            client.get(format!("http://{}{path}", serving.address)).send().await.unwrap()
        };
        let response = get("/metrics").await;
        assert_eq!(response.status(), 200);
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(media_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let text = response.text().await.unwrap();
        assert!(text.contains("# HELP files Files that were read.\n"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert_eq!(get("/").await.status(), 404);
    }
}
