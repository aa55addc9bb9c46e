//! The settings of the worker.

mod reference;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use common::config::{EffectiveSettings, Settings, SettingsError};
use common::queue::DEFAULT_PREFIX;
use common::storage::StorageConfig;
use common::telemetry::LogFormat;
use common::traces::TracesConfig;
use secrecy::SecretString;

use csv_aggregation::DEFAULT_UNPACKED_LIMIT;

pub use self::reference::reference;
pub use crate::mail::config::MailConfig;

/// Small tasks share their calls and commits, and none keeps a core busy, so many can run together.
const DEFAULT_SMALL_SLOTS: NonZeroU16 = NonZeroU16::MIN.saturating_add(255);
/// The default memory limit of all tasks together, in bytes.
const DEFAULT_MEMORY_LIMIT: u64 = 512 << 20;
/// With less than this, no kind of task works.
const LEAST_MEMORY_LIMIT: u64 = 1 << 20;
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The prefix of environment variables, followed by `_`.
pub const PREFIX: &str = "DATA_PROCESSOR";
/// The default address of the health endpoints.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5001);

/// Lapin would log every attempt to reconnect during an outage; the worker logs the outage once.
const DEFAULT_LOG: &str = "info,lapin=off";

/// The settings of a worker that is a process of its own.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The settings of the worker itself.
    pub worker: WorkerConfig,
    /// How it sends mail.
    pub mail: MailConfig,
    /// The address of the health endpoints.
    pub listen: SocketAddr,
    /// The URLs of the task managers. One that responds is enough.
    pub task_manager_urls: Vec<String>,
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST` of the broker.
    pub queue_url: SecretString,
    /// A PEM file of additional certificates to trust for the API, the broker and the bucket.
    pub ca_file: Option<PathBuf>,
    /// The prefix of the names of the broker's queues.
    pub queue_prefix: String,
    /// The token that authenticates it to the task manager.
    pub service_token: SecretString,
    /// Where the files are.
    pub storage: StorageConfig,
    /// Where metrics are served; nowhere if absent.
    pub metrics_listen: Option<SocketAddr>,
    /// Where traces are sent.
    pub traces: TracesConfig,
    /// The format of the log.
    pub log_format: LogFormat,
    /// The log level, or directives by module.
    pub log: String,
}

impl ProcessConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// Every invalid setting.
    pub fn load(file: Option<&Path>) -> Result<(Self, EffectiveSettings), SettingsError> {
        let mut settings = Settings::load(file, PREFIX);
        let config = Self::from_settings(&mut settings);
        settings.finish().map(|effective| (config, effective))
    }

    fn from_settings(settings: &mut Settings) -> Self {
        let mut required = |name, what| {
            let value = settings.secret(name);
            if value.is_none() {
                settings.problem(format!("`{name}` must be set: {what}"));
            }
            value.unwrap_or_default()
        };
        let queue_url = required("queue_url", "amqp://USER:PASSWORD@HOST:PORT/VHOST of the broker");
        let service_token = required("service_token", "the same secret as the task manager's");
        Self {
            worker: WorkerConfig::from_settings(settings),
            mail: MailConfig::from_settings(settings),
            listen: settings.value("listen", DEFAULT_LISTEN),
            task_manager_urls: settings.list("task_manager_url", "http://127.0.0.1:5000"),
            queue_url,
            ca_file: settings.optional("ca_file").map(PathBuf::from),
            queue_prefix: settings.value("queue_prefix", DEFAULT_PREFIX.to_owned()),
            service_token,
            storage: StorageConfig::from_settings(settings, Path::new("local_storage")),
            metrics_listen: settings.address("metrics_listen"),
            traces: TracesConfig::from_settings(settings),
            log_format: settings.value("log_format", LogFormat::Text),
            log: settings.value("log", DEFAULT_LOG.to_owned()),
        }
    }
}

/// The settings of a worker, in a process of its own or in the standalone server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Its name in the list of workers.
    pub name: String,
    /// How many tasks it runs at a time, not counting small ones.
    pub slots: NonZeroU16,
    /// How many small tasks it runs at a time, in addition.
    pub small_slots: NonZeroU16,
    /// The memory limit of all tasks together, in bytes.
    pub memory_limit: u64,
    /// The maximum decompressed size of a compressed file, in bytes.
    pub unpacked_limit: u64,
    /// How long running tasks may continue when the worker shuts down, before they are released.
    pub drain_timeout: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        let cores = available_parallelism().ok().and_then(|cores| cores.try_into().ok());
        Self {
            name: format!("{}-{}", host_name(), std::process::id()),
            slots: cores.unwrap_or(NonZeroU16::MIN),
            small_slots: DEFAULT_SMALL_SLOTS,
            memory_limit: DEFAULT_MEMORY_LIMIT,
            unpacked_limit: DEFAULT_UNPACKED_LIMIT,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
        }
    }
}

impl WorkerConfig {
    /// Reads `worker_name`, `worker_slots`, `worker_small_slots`, `memory_limit`, `unpacked_limit`
    /// and `drain_timeout`. Invalid values are recorded in `settings`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let default = Self::default();
        let config = Self {
            name: settings.value("worker_name", default.name),
            slots: settings.value("worker_slots", default.slots),
            small_slots: settings.value("worker_small_slots", default.small_slots),
            memory_limit: settings.bytes("memory_limit", default.memory_limit),
            unpacked_limit: settings.bytes("unpacked_limit", default.unpacked_limit),
            drain_timeout: settings.duration("drain_timeout", default.drain_timeout),
        };
        if config.name.trim().is_empty() {
            settings.problem("`worker_name` is empty; leave it out to get the host's name");
        }
        if config.memory_limit < LEAST_MEMORY_LIMIT {
            settings.problem("`memory_limit` must be at least 1MiB");
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
    fn all_settings_have_defaults() {
        let mut settings = settings("");
        let config = WorkerConfig::from_settings(&mut settings);
        settings.finish().unwrap();
        assert_eq!(config, WorkerConfig::default());
        assert_eq!(config.memory_limit, 512 << 20);
        assert!(config.name.ends_with(&format!("-{}", std::process::id())), "{}", config.name);
    }

    #[test]
    fn all_settings_can_be_set() {
        let mut settings = settings(
            "worker_name = \"left\"\nworker_slots = 3\nworker_small_slots = 30\n\
             memory_limit = \"64MiB\"\nunpacked_limit = \"1GiB\"\ndrain_timeout = \"1m\"\n",
        );
        let config = WorkerConfig::from_settings(&mut settings);
        settings.finish().unwrap();
        let expected = WorkerConfig {
            name: "left".to_owned(),
            slots: NonZeroU16::new(3).unwrap(),
            small_slots: NonZeroU16::new(30).unwrap(),
            memory_limit: 64 << 20,
            unpacked_limit: 1 << 30,
            drain_timeout: Duration::from_secs(60),
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_process_needs_a_broker_and_a_token() {
        let mut given = settings("");
        ProcessConfig::from_settings(&mut given);
        let message = given.finish().unwrap_err().to_string();
        assert!(
            message.contains("`queue_url`") && message.contains("`service_token`"),
            "{message}"
        );

        let mut given = settings("queue_url = \"amqp://localhost\"\nservice_token = \"secret\"\n");
        let config = ProcessConfig::from_settings(&mut given);
        let shown = given.finish().unwrap().to_string();
        assert_eq!(config.task_manager_urls, ["http://127.0.0.1:5000"]);
        assert!(!shown.contains("\"secret\""), "{shown}");
    }

    #[test]
    fn invalid_settings_are_named() {
        let mut settings =
            settings("worker_name = \" \"\nworker_slots = 0\nmemory_limit = \"1KiB\"\n");
        WorkerConfig::from_settings(&mut settings);
        let message = settings.finish().unwrap_err().to_string();
        for name in ["`worker_name`", "`worker_slots`", "`memory_limit`"] {
            assert!(message.contains(name), "{message}");
        }
    }
}
