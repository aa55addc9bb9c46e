//! The settings of the worker.

use std::num::NonZeroU16;
use std::thread::available_parallelism;
use std::time::Duration;

use common::config::Settings;

/// Memory in bytes that one task may take where nothing else is set.
const DEFAULT_MEMORY_LIMIT: u64 = 512 << 20;
/// With less than this no kind of task gets anywhere.
const LEAST_MEMORY_LIMIT: u64 = 1 << 20;
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How a worker is to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// What people call it; shown in the list of workers.
    pub name: String,
    /// How many tasks it runs at once.
    pub slots: NonZeroU16,
    /// Memory in bytes that one task may take.
    pub memory_limit: u64,
    /// How long running tasks may go on when the worker is asked to end, before they are given
    /// back.
    pub drain_timeout: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        let cores = available_parallelism().ok().and_then(|cores| cores.try_into().ok());
        Self {
            name: format!("{}-{}", host_name(), std::process::id()),
            slots: cores.unwrap_or(NonZeroU16::MIN),
            memory_limit: DEFAULT_MEMORY_LIMIT,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
        }
    }
}

impl WorkerConfig {
    /// Reads `worker_name`, `worker_slots`, `memory_limit` and `drain_timeout`; what does not hold
    /// is noted in `settings`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let default = Self::default();
        let config = Self {
            name: settings.value("worker_name", default.name),
            slots: settings.value("worker_slots", default.slots),
            memory_limit: settings.bytes("memory_limit", default.memory_limit),
            drain_timeout: settings.duration("drain_timeout", default.drain_timeout),
        };
        if config.name.trim().is_empty() {
            settings.problem("`worker_name` is empty; leave it out to get the host's name");
        }
        if config.memory_limit < LEAST_MEMORY_LIMIT {
            settings.problem("`memory_limit` is less than 1MiB, which is enough for no task");
        }
        config
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "worker".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(content: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, content).unwrap();
        Settings::load(Some(&file), "WORKER_CONFIG_TEST")
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let mut settings = settings("");
        let config = WorkerConfig::from_settings(&mut settings);
        settings.finish().unwrap();
        assert_eq!(config, WorkerConfig::default());
        assert_eq!(config.memory_limit, 512 << 20);
        assert!(config.name.ends_with(&format!("-{}", std::process::id())), "{}", config.name);
    }

    #[test]
    fn everything_can_be_set() {
        let mut settings = settings(
            "worker_name = \"left\"\nworker_slots = 3\nmemory_limit = \"64MiB\"\n\
             drain_timeout = \"1m\"\n",
        );
        let config = WorkerConfig::from_settings(&mut settings);
        settings.finish().unwrap();
        let expected = WorkerConfig {
            name: "left".to_owned(),
            slots: NonZeroU16::new(3).unwrap(),
            memory_limit: 64 << 20,
            drain_timeout: Duration::from_secs(60),
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn what_does_not_hold_is_named() {
        let mut settings =
            settings("worker_name = \" \"\nworker_slots = 0\nmemory_limit = \"1KiB\"\n");
        WorkerConfig::from_settings(&mut settings);
        let message = settings.finish().unwrap_err().to_string();
        for name in ["`worker_name`", "`worker_slots`", "`memory_limit`"] {
            assert!(message.contains(name), "{message}");
        }
    }
}
