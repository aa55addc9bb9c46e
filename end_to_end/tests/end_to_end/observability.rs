//! The metrics of the real programs, and the queries on them in `docker/observability`.

use std::collections::BTreeSet;
use std::path::Path;

use super::api::Api;
use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::standalone::Standalone;

/// The starts of the names of metrics.
const PREFIXES: [&str; 3] = ["task_manager_", "data_processor_", "process_"];

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix))).collect()
}

#[tokio::test]
async fn alerts_and_dashboard_use_existing_metrics() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("TASK_MANAGER_METRICS_LISTEN", "127.0.0.1:0")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let id = server.api.accept("", SAMPLE).await;
    assert_eq!(server.api.result(id).await, SAMPLE_SUMS);

    let line = server.said(&["metrics are at "]).unwrap();
    let url = line.split_once("metrics are at ").unwrap().1.split_once("/metrics").unwrap().0;
    let page = Api::new(url.to_owned()).get("/metrics").await.text().await.unwrap();
    let series = page.lines().filter(|line| !line.starts_with('#'));
    let existing: BTreeSet<&str> = series.flat_map(|line| line.split(['{', ' ']).next()).collect();
    let ended = "task_manager_tasks_ended_total{kind=\"csv_aggregation\",outcome=\"processed\"} 1";
    assert!(page.lines().any(|line| line == ended), "{page}");

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/observability");
    for file in ["alerts.yml", "grafana/dashboards/task-platform.json"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let unknown: Vec<&str> = names(&text).difference(&existing).copied().collect();
        assert!(unknown.is_empty(), "{file} uses {unknown:?}, which do not exist:\n{page}");
    }
}
