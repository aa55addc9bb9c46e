//! Memory and start of the process.

use std::fmt;

use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::clock;

/// The metrics of the process, which are read by each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    started_at: DateTime<Utc>,
}

impl Default for ProcessCollector {
    fn default() -> Self {
        Self { started_at: clock::now() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut add = |name, help, unit: Unit, value: f64| {
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, Some(&unit), kind)?)
        };
        let started_at = self.started_at.timestamp_micros() as f64 / 1e6;
        let help = "When the process started, in Unix time.";
        add("process_start_time", help, Unit::Seconds, started_at)?;
        match resident_memory() {
            Some(bytes) => {
                let help = "The memory of the process that is in RAM.";
                add("process_resident_memory", help, Unit::Bytes, bytes as f64)
            }
            None => Ok(()),
        }
    }
}

/// The resident memory in bytes, on systems that have `/proc`.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
