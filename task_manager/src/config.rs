//! The settings of the task manager.

mod reference;
pub mod secrets;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use common::config::{EffectiveSettings, Settings, SettingsError, Switch};
use common::queue::DEFAULT_PREFIX;
use common::storage::StorageConfig;
use common::telemetry::LogFormat;
use common::traces::TracesConfig;
use secrecy::SecretString;

pub use self::reference::reference;
pub use crate::accounts::users::credentials::PasswordLength;
pub use crate::accounts::users::throttle::Rates;
pub use crate::api::middleware::cors::AllowedOrigins;
pub use crate::api::server::ConnectionLimits;
pub use crate::api::server::connection::Timeouts;
use crate::db;
pub use crate::lifecycle::retention::Retention;

/// Environment variables start with this and `_`.
pub const PREFIX: &str = "TASK_MANAGER";
/// Where the API listens unless set otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);
/// The libraries would log every attempt while the database or the broker is down; the server logs
/// an outage once.
const DEFAULT_LOG: &str = "info,r2d2=off,lapin=off";
/// The longest time span: times before the calendar begins have no meaning.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// More connections than the files that a process can open.
const MOST_CONNECTIONS: usize = 1_000_000;
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
const SHORTEST_TOKEN: Duration = Duration::from_secs(1);
/// The longest password that can be allowed, in characters.
const MOST_PASSWORD: usize = 1_000;

/// Where the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine: any secret is accepted.
    Development,
    /// For users: the server refuses to start with guessable secrets.
    Production,
}

impl FromStr for Environment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            _ => Err("it is `development` or `production`"),
        }
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Development => "development",
            Self::Production => "production",
        })
    }
}

/// The settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address that the API listens on.
    pub listen: SocketAddr,
    /// `sqlite://PATH` or `mysql://USER:PASSWORD@HOST/DATABASE`.
    pub database_url: SecretString,
    /// Where the files are.
    pub storage: StorageConfig,
    /// Whether downloads are redirected to the bucket, if the files are in one.
    pub presigned_downloads: bool,
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST` of the broker; if absent, the queue is in the process.
    pub queue_url: Option<SecretString>,
    /// A PEM file of certificates to trust for broker and bucket, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The prefix of the names of the broker's queues.
    pub queue_prefix: String,
    /// The token that workers send; if absent, each start makes a random one.
    pub service_token: Option<SecretString>,
    /// In production, guessable secrets are refused.
    pub environment: Environment,
    /// Whether a request needs a token. `auto`: in a fleet, but not in a standalone server. `false`
    /// only on loopback addresses.
    pub login_required: Switch,
    /// The key that signs tokens; if absent, each start makes a random one.
    pub jwt_key: Option<SecretString>,
    /// The previous key: tokens that it signed are still valid.
    pub jwt_previous_key: Option<SecretString>,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// How long a new password may be.
    pub password_length: PasswordLength,
    /// Limits on logins and sign-ups.
    pub rates: Rates,
    /// Whether a proxy in front names the client's address in `X-Forwarded-For`.
    pub trust_forwarded_for: bool,
    /// The number of connections, and when an idle one is closed.
    pub connections: ConnectionLimits,
    /// How long a request body other than a file may stall.
    pub body_timeout: Duration,
    /// The largest file that is accepted, in bytes.
    pub upload_limit: u64,
    /// How long an upload may stall.
    pub upload_idle_timeout: Duration,
    /// How long an unfinished resumable upload is kept without a request.
    pub keep_uploads: Duration,
    /// The origins whose pages may use the API.
    pub cors_origins: AllowedOrigins,
    /// How long files and tasks are kept.
    pub retention: Retention,
    /// How often one task manager of the fleet searches for files without a task.
    pub sweep_interval: Duration,
    /// Whether this task manager runs schedules; one that does is enough.
    pub run_schedules: bool,
    /// Where metrics are served; nowhere if absent.
    pub metrics_listen: Option<SocketAddr>,
    /// Where traces are sent.
    pub traces: TracesConfig,
    /// The format of the log.
    pub log_format: LogFormat,
    /// The filter of the log: a level, or directives by module.
    pub log: String,
    /// All settings in force, as administrators see them.
    pub in_force: EffectiveSettings,
}

impl Config {
    /// Reads the settings; files are by default in `folder`.
    ///
    /// # Errors
    /// Every invalid setting.
    pub fn load(
        file: Option<&Path>,
        folder: &Path,
    ) -> Result<(Self, EffectiveSettings), SettingsError> {
        let mut settings = Settings::load(file, PREFIX);
        let config = Self::from_settings(&mut settings, folder);
        let effective = settings.finish()?;
        Ok((Self { in_force: effective.clone(), ..config }, effective))
    }

    /// Listens on this address, whatever the settings are.
    pub fn listen_on(&mut self, address: SocketAddr) {
        self.listen = address;
        self.in_force.replace("listen", &address);
    }

    /// Checks the settings of a task manager of a fleet.
    ///
    /// # Errors
    /// Every setting that is missing or invalid.
    pub fn check_fleet(&self) -> Result<(), SettingsError> {
        use secrecy::ExposeSecret;
        let mut problems = Vec::new();
        if !self.database_url.expose_secret().starts_with("mysql://") {
            problems.push("`database_url` must name the fleet's MySQL or MariaDB, as mysql://USER:PASSWORD@HOST/DATABASE".to_owned());
        }
        if self.queue_url.is_none() {
            problems.push("`queue_url` must name the fleet's RabbitMQ, as amqp://USER:PASSWORD@HOST:PORT/VHOST".to_owned());
        }
        // In production, `check_start` reports it and suggests a good one.
        let is_development = self.environment == Environment::Development;
        if is_development && self.service_token.is_none() {
            problems.push("`service_token` must be the secret that the workers show".to_owned());
        }
        if is_development && self.jwt_key.is_none() {
            problems.push(
                "`jwt_key` must be the secret that signs tokens, the same for all task managers"
                    .to_owned(),
            );
        }
        problems.extend(self.start_problems(false));
        SettingsError::unless_empty(problems)
    }

    /// Whether a request without a token is refused.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        use secrecy::ExposeSecret;
        self.login_required.or(!db::is_in_process(self.database_url.expose_secret()))
    }

    /// Checks the settings of any server: one without a login must not be reachable from other
    /// machines, and in production no secret may be guessable. If `standalone`, worker and API are one
    /// process, so that the service token may be random.
    ///
    /// # Errors
    /// Every problem; the text suggests a good secret.
    pub fn check_start(&self, standalone: bool) -> Result<(), SettingsError> {
        SettingsError::unless_empty(self.start_problems(standalone))
    }

    fn start_problems(&self, standalone: bool) -> Vec<String> {
        use secrecy::ExposeSecret;
        let mut problems = Vec::new();
        if !self.listen.ip().is_loopback() && !self.needs_login() {
            problems.push(format!(
                "`listen` is {}, which others can reach; without a login it must be a loopback \
                 address such as {DEFAULT_LISTEN}, or set `login_required` to true",
                self.listen
            ));
        }
        if self.cors_origins.is_any() && !self.needs_login() {
            problems.push(
                "`cors_origins` is `*`: without a login every web page could use the server; name \
                 the origins"
                    .to_owned(),
            );
        }
        if self.environment == Environment::Production {
            problems.extend(secrets::problem("jwt_key", self.jwt_key.as_ref()));
            if self.jwt_previous_key.is_some() {
                let previous = self.jwt_previous_key.as_ref();
                problems.extend(secrets::problem("jwt_previous_key", previous));
            }
            if !standalone || self.service_token.is_some() {
                problems.extend(secrets::problem("service_token", self.service_token.as_ref()));
            }
        }
        let token = self.service_token.as_ref().map(ExposeSecret::expose_secret);
        for key in [&self.jwt_key, &self.jwt_previous_key].into_iter().flatten() {
            if token == Some(key.expose_secret()) {
                problems.push(
                    "`service_token` and the key of tokens are the same; workers must not be able \
                     to sign tokens"
                        .to_owned(),
                );
            }
        }
        problems
    }

    /// The address of the database, without user and password.
    #[must_use]
    pub fn database_address(&self) -> &str {
        use secrecy::ExposeSecret;
        let url = self.database_url.expose_secret();
        url.rsplit_once('@').map_or(url, |(_, address)| address)
    }

    fn from_settings(settings: &mut Settings, folder: &Path) -> Self {
        let day = Duration::from_secs(24 * 3600);
        let default_database = format!("sqlite://{}", folder.join("tasks.sqlite").display());
        let config = Self {
            listen: settings.value("listen", DEFAULT_LISTEN),
            database_url: settings.secret_or("database_url", &default_database),
            storage: StorageConfig::from_settings(settings, &folder.join("local_storage")),
            presigned_downloads: settings.value("presigned_downloads", false),
            queue_url: settings.secret("queue_url"),
            ca_file: settings.optional("ca_file").map(PathBuf::from),
            queue_prefix: settings.value("queue_prefix", DEFAULT_PREFIX.to_owned()),
            service_token: settings.secret("service_token"),
            environment: settings.value("environment", Environment::Development),
            login_required: settings.value("login_required", Switch::Auto),
            jwt_key: settings.secret("jwt_key"),
            jwt_previous_key: settings.secret("jwt_previous_key"),
            token_lifetime: settings.duration("token_lifetime", day),
            password_length: PasswordLength {
                least: settings.value("password_min", PasswordLength::default().least),
                most: settings.value("password_max", PasswordLength::default().most),
            },
            rates: Rates {
                by_name: settings.value("tries_by_name", Rates::default().by_name),
                by_address: settings.value("tries_by_address", Rates::default().by_address),
            },
            trust_forwarded_for: settings.value("trust_forwarded_for", false),
            connections: connections(settings),
            body_timeout: settings.duration("body_timeout", Duration::from_secs(30)),
            upload_limit: settings.bytes("upload_limit", 32 << 30),
            upload_idle_timeout: settings.duration("upload_idle_timeout", Duration::from_secs(60)),
            keep_uploads: settings.duration("keep_uploads", day),
            cors_origins: cors_origins(settings),
            retention: Retention {
                files: settings.duration("keep_files", 7 * day),
                tasks: settings.duration("keep_tasks", 90 * day),
            },
            sweep_interval: settings.duration("sweep_interval", Duration::from_secs(3600)),
            run_schedules: settings.value("run_schedules", true),
            metrics_listen: settings.address("metrics_listen"),
            traces: TracesConfig::from_settings(settings),
            log_format: settings.value("log_format", LogFormat::Text),
            log: settings.value("log", DEFAULT_LOG.to_owned()),
            in_force: EffectiveSettings::default(),
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
        let PasswordLength { least, most } = self.password_length;
        if least == 0 || least > most || most > MOST_PASSWORD {
            settings.problem(format!(
                "`password_min` must be 1 at least, and `password_max` from there to {MOST_PASSWORD}"
            ));
        }
        if !(SHORTEST_TOKEN..=LONGEST).contains(&self.token_lifetime) {
            settings.problem("`token_lifetime` must be 1s at least and 100 years at most");
        }
        if self.retention.tasks < self.retention.files {
            settings.problem("`keep_tasks` must be at least as long as `keep_files`");
        }
        if self.retention.tasks > LONGEST || self.sweep_interval > LONGEST {
            settings.problem("a time span is longer than 100 years");
        }
        let ConnectionLimits { timeouts, max_connections } = self.connections;
        if !(1..=MOST_CONNECTIONS).contains(&max_connections) {
            settings.problem(format!("`max_connections` must be from 1 to {MOST_CONNECTIONS}"));
        }
        if !(Duration::from_secs(1)..=LONGEST).contains(&self.upload_idle_timeout) {
            settings.problem("`upload_idle_timeout` must be 1s at least and 100 years at most");
        }
        for (name, timeout) in [
            ("header_timeout", timeouts.header),
            ("keep_alive_timeout", timeouts.keep_alive),
            ("send_timeout", timeouts.send),
            ("body_timeout", self.body_timeout),
        ] {
            if !(SHORTEST_TIMEOUT..=LONGEST).contains(&timeout) {
                settings.problem(format!("`{name}` must be 1ms at least and 100 years at most"));
            }
        }
        if !(Duration::from_secs(1)..=LONGEST).contains(&self.keep_uploads) {
            settings.problem("`keep_uploads` must be 1s at least and 100 years at most");
        }
        if self.sweep_interval < Duration::from_secs(1) {
            settings.problem("`sweep_interval` must be 1s at least");
        }
    }
}

fn cors_origins(settings: &mut Settings) -> AllowedOrigins {
    let given = settings.list("cors_origins", "");
    AllowedOrigins::parse(&given).unwrap_or_else(|problem| {
        settings.problem(format!("`cors_origins`: {problem}"));
        AllowedOrigins::default()
    })
}

fn connections(settings: &mut Settings) -> ConnectionLimits {
    let ConnectionLimits { timeouts, max_connections } = ConnectionLimits::default();
    ConnectionLimits {
        timeouts: Timeouts {
            header: settings.duration("header_timeout", timeouts.header),
            keep_alive: settings.duration("keep_alive_timeout", timeouts.keep_alive),
            send: settings.duration("send_timeout", timeouts.send),
        },
        max_connections: settings.value("max_connections", max_connections),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        let mut settings = Settings::load(None, "TASK_MANAGER_UNIT_TEST");
        let config = Config::from_settings(&mut settings, Path::new("/data"));
        assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
        assert_eq!(config.storage.location.to_string(), "/data/local_storage");
        assert_eq!(config.upload_limit, 32 << 30);
        assert_eq!(config.upload_idle_timeout, Duration::from_secs(60));
        let shown = settings.finish().unwrap().to_string();
        assert!(shown.contains("keep_files = \"7d\"  # default"), "{shown}");
        config.check_start(true).unwrap();
        assert!(!config.needs_login());
    }

    fn config() -> Config {
        let mut settings = Settings::load(None, "TASK_MANAGER_UNIT_TEST");
        Config::from_settings(&mut settings, Path::new("/data"))
    }

    fn problems(config: &Config, standalone: bool) -> String {
        config.check_start(standalone).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_fleet_requires_a_login() {
        let mut config = config();
        config.listen.set_ip([0, 0, 0, 0].into());
        assert!(problems(&config, true).contains("`login_required`"));
        config.login_required = Switch::True;
        assert_eq!(problems(&config, true), "");
        config.login_required = Switch::Auto;
        config.database_url = "mysql://localhost/tasks".into();
        assert!(config.needs_login());
        assert_eq!(problems(&config, false), "");
    }

    #[test]
    fn production_refuses_guessable_secrets() {
        let mut config = config();
        config.environment = Environment::Production;
        let text = problems(&config, false);
        assert!(text.contains("`jwt_key` is missing"), "{text}");
        assert!(text.contains("`service_token` is missing"), "{text}");
        assert!(!problems(&config, true).contains("`service_token`"));
        config.jwt_key = Some("changeme".into());
        config.jwt_previous_key = Some("short".into());
        config.service_token = Some("for-development-on-this-machine".into());
        let text = problems(&config, true);
        for name in ["`jwt_key` can", "`jwt_previous_key` can", "`service_token` can"] {
            assert!(text.contains(name), "{text}");
        }
        config.jwt_key = Some(secrets::random());
        config.jwt_previous_key = Some(secrets::random());
        config.service_token = Some(secrets::random());
        assert_eq!(problems(&config, false), "");
        config.service_token = config.jwt_key.clone();
        assert!(problems(&config, false).contains("are the same"));
    }
}
