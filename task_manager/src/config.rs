//! The settings of the task manager.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::config::{EffectiveSettings, Settings, SettingsError};
use common::queue::DEFAULT_PREFIX;
use common::telemetry::LogFormat;
use secrecy::SecretString;

pub use crate::retention::Retention;

/// Environment variables start with this and `_`.
pub const PREFIX: &str = "TASK_MANAGER";
/// Where the API listens unless set otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);
/// The pool would tell of every try while the database is away; what follows from it is told once.
const DEFAULT_LOG: &str = "info,r2d2=off";
/// No time span may be longer: times further back than the calendar have no meaning.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What the task manager needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// `sqlite://PATH` or `mysql://USER:PASSWORD@HOST/DATABASE`.
    pub database_url: SecretString,
    /// The folder of the bucket.
    pub storage: PathBuf,
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST` of the broker; the queue in the process where absent.
    pub queue_url: Option<SecretString>,
    /// What the names of the broker's queues begin with.
    pub queue_prefix: String,
    /// What workers show; a random one at each start where absent.
    pub service_token: Option<SecretString>,
    /// The largest file that is taken, in bytes.
    pub upload_limit: u64,
    /// How long things are kept.
    pub retention: Retention,
    /// How often files that no task knows are looked for.
    pub sweep_interval: Duration,
    /// How the log looks.
    pub log_format: LogFormat,
    /// What the log tells: a level, or directives by module.
    pub log: String,
}

impl Config {
    /// Reads the settings; files are by default in `folder`.
    ///
    /// # Errors
    /// Every setting that does not hold.
    pub fn load(
        file: Option<&Path>,
        folder: &Path,
    ) -> Result<(Self, EffectiveSettings), SettingsError> {
        let mut settings = Settings::load(file, PREFIX);
        let config = Self::from_settings(&mut settings, folder);
        settings.finish().map(|effective| (config, effective))
    }

    /// What the settings of a task manager in a fleet must have beside the defaults.
    ///
    /// # Errors
    /// Every setting that is missing.
    pub fn check_fleet(&self) -> Result<(), SettingsError> {
        use secrecy::ExposeSecret;
        let mut problems = Vec::new();
        if !self.database_url.expose_secret().starts_with("mysql://") {
            problems.push("`database_url` must name the fleet's MySQL or MariaDB, as mysql://USER:PASSWORD@HOST/DATABASE".to_owned());
        }
        if self.queue_url.is_none() {
            problems.push("`queue_url` must name the fleet's RabbitMQ, as amqp://USER:PASSWORD@HOST:PORT/VHOST".to_owned());
        }
        if self.service_token.is_none() {
            problems.push("`service_token` must be the secret that the workers show".to_owned());
        }
        SettingsError::unless_empty(problems)
    }

    fn from_settings(settings: &mut Settings, folder: &Path) -> Self {
        let day = Duration::from_secs(24 * 3600);
        let default_database = format!("sqlite://{}", folder.join("tasks.sqlite").display());
        let config = Self {
            listen: settings.value("listen", DEFAULT_LISTEN),
            database_url: settings.secret_or("database_url", &default_database),
            storage: settings.path("storage", &folder.join("local_storage")),
            queue_url: settings.secret("queue_url"),
            queue_prefix: settings.value("queue_prefix", DEFAULT_PREFIX.to_owned()),
            service_token: settings.secret("service_token"),
            upload_limit: settings.bytes("upload_limit", 32 << 30),
            retention: Retention {
                files: settings.duration("keep_files", 7 * day),
                tasks: settings.duration("keep_tasks", 90 * day),
            },
            sweep_interval: settings.duration("sweep_interval", Duration::from_secs(60)),
            log_format: settings.value("log_format", LogFormat::Text),
            log: settings.value("log", DEFAULT_LOG.to_owned()),
        };
        config.check(settings);
        config
    }

    fn check(&self, settings: &mut Settings) {
        use secrecy::ExposeSecret;
        let url = self.database_url.expose_secret();
        if !url.starts_with("sqlite://") && !url.starts_with("mysql://") {
            settings.problem("`database_url` starts with neither `sqlite://` nor `mysql://`");
        }
        if let Err(reason) = check_listen(self.listen) {
            settings.problem(format!("`listen` {reason}"));
        }
        if self.retention.tasks < self.retention.files {
            settings.problem("`keep_tasks` must be at least as long as `keep_files`");
        }
        if self.retention.tasks > LONGEST || self.sweep_interval > LONGEST {
            settings.problem("a time span is longer than 100 years");
        }
        if self.sweep_interval < Duration::from_secs(1) {
            settings.problem("`sweep_interval` must be 1s at least");
        }
    }
}

/// Whether the API may listen there.
///
/// # Errors
/// Why not, in words.
pub fn check_listen(address: SocketAddr) -> Result<(), String> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "is {address}, which others can reach; it must be a loopback address such as \
         {DEFAULT_LISTEN}, since this version knows no users"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold() {
        let mut settings = Settings::load(None, "TASK_MANAGER_UNIT_TEST");
        let config = Config::from_settings(&mut settings, Path::new("/data"));
        assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
        assert_eq!(config.storage, Path::new("/data/local_storage"));
        assert_eq!(config.upload_limit, 32 << 30);
        let shown = settings.finish().unwrap().to_string();
        assert!(shown.contains("keep_files = \"7d\"  # default"), "{shown}");
    }
}
