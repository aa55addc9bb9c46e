//! `taskctl standalone`: the whole platform in one process, on SQLite and the queue in memory.
//!
//! # Invariants
//! - One process uses a data folder at a time: it holds the folder's lock while it runs.
//! - The worker uses the API over HTTP, like any other worker.
//! - On SIGTERM or Ctrl-C the worker drains before the API stops, so that released tasks are
//!   recorded.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use common::client::ApiClient;
use common::config::Settings;
use common::queue::{MemoryQueue, Queue};
use common::storage::Storage;
use common::systemd::Notifier;
use common::tls::Trust;
use common::{metrics, signals, telemetry, traces};
use data_processor::config::{MailConfig, PREFIX as WORKER_PREFIX, WorkerConfig};
use data_processor::mail::Mailer;
use data_processor::worker;
use secrecy::{ExposeSecret, SecretString};
use task_manager::Server;
use task_manager::config::{Config, secrets};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::connection::DEFAULT_SERVER;
use crate::console::Console;
use crate::data_folder::{DataFolder, Folders};
use crate::failure::Failure;

/// The limit for `Server::stop`.
const SERVER_STOP: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(crate) struct StandaloneArgs {
    /// The address that the API listens on; by default 127.0.0.1:5000. Other machines may reach it
    /// only if a login is required.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    data: DataFolder,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it takes an address with a port, such as 127.0.0.1:5000")
}

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn standalone(args: StandaloneArgs, console: Console) -> ExitCode {
    let run = || {
        let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
        runtime.block_on(serve(args, console))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::local(format!("{error:#}")).report(console),
    }
}

async fn serve(args: StandaloneArgs, console: Console) -> anyhow::Result<()> {
    let folders = args.data.resolve();
    let data = &folders.data;
    std::fs::create_dir_all(data)
        .with_context(|| format!("the folder {} cannot be created", data.display()))?;
    let _lock = lock(data)?;
    let mut config = config(&folders)?;
    if let Some(listen) = args.listen {
        config.listen_on(listen);
    }
    if config.jwt_key.is_none() {
        config.jwt_key = Some(jwt_key(data)?);
    }
    config.check_start(true)?;
    let mut settings =
        Settings::load(folders.settings_file("data_processor.toml").as_deref(), WORKER_PREFIX);
    let worker_config = WorkerConfig::from_settings(&mut settings);
    let mail_config = MailConfig::from_settings(&mut settings);
    settings.finish()?;
    telemetry::start(config.log_format, &config.log)?;
    // Before any request is accepted, so that no signal ends the process halfway.
    let mut signals = signals::ShutdownSignals::listen()?;
    let systemd = Notifier::from_environment();
    let drain_timeout = worker_config.drain_timeout;

    let trust = Trust::with_file(config.ca_file.as_deref())?;
    traces::start(&config.traces, "taskctl", &trust)?;
    let storage = Storage::connect(&config.storage, &trust)?;
    let mailer = Mailer::new(mail_config)?;
    let queue = Queue::Memory(MemoryQueue::default());
    let server = Server::start_standalone(&config, &queue, storage.clone()).await?;
    let _metrics = metrics::start(config.metrics_listen, |page| {
        server.add_metrics(page);
        data_processor::metrics::add_metrics(page);
    })
    .await?;
    let url = format!("http://{}", server.address);
    let api = ApiClient::new(&url, Some(server.service_token.clone()))?.into();
    let draining = CancellationToken::new();
    let worker = tokio::spawn({
        let draining = draining.clone();
        async move { worker::run(worker_config, api, &queue, storage, mailer, draining).await }
    });
    info!("tasks and files are in {}", data.display());
    info!("listening on {url}");
    systemd.start_watchdog();
    systemd.ready(&format!("listening on {url}"));
    if !systemd.is_active() {
        console.say(&welcome(&url));
    }

    tokio::pin!(worker);
    tokio::select! {
        ended = &mut worker => {
            ended.context("the worker ended unexpectedly")?;
            bail!("the worker ended unexpectedly");
        }
        name = signals.next() => info!("{name}: finishing or releasing running tasks"),
    }
    systemd.stopping(drain_timeout.saturating_add(SERVER_STOP + traces::FLUSH));
    draining.cancel();
    tokio::select! {
        ended = &mut worker => ended.context("the worker ended unexpectedly")?,
        name = signals.next() => {
            warn!("{name} again: exiting; running tasks resume after the next start");
            return Ok(());
        }
    }
    server.stop().await?;
    traces::stop().await;
    info!("ended");
    Ok(())
}

/// The settings of the server on a data folder.
pub(crate) fn config(folders: &Folders) -> anyhow::Result<Config> {
    let file = folders.settings_file("task_manager.toml");
    let (config, _) = Config::load(file.as_deref(), &folders.data)?;
    Ok(config)
}

/// The key that signs the tokens of this folder's users: created at the first start, so that tokens
/// stay valid after a restart, in a file that only the user can read.
fn jwt_key(data: &Path) -> anyhow::Result<SecretString> {
    let path = data.join("jwt.key");
    let key = match std::fs::read_to_string(&path) {
        Ok(key) => key.trim().into(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = secrets::random();
            let write = || {
                // Temporary files are private to the user.
                let mut file = tempfile::NamedTempFile::new_in(data)?;
                file.write_all(key.expose_secret().as_bytes())?;
                file.as_file().sync_all()?;
                file.persist(&path)?;
                Ok::<_, std::io::Error>(())
            };
            write().with_context(|| format!("{} cannot be written", path.display()))?;
            key
        }
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    anyhow::ensure!(
        !key.expose_secret().is_empty(),
        "{} is empty; delete it, and a new key is created",
        path.display()
    );
    Ok(key)
}

/// Takes the folder's lock, which is released when the process ends in any way.
fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join("tasks.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another server runs on the folder {}; stop it, or choose another folder with --data",
            data.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

fn welcome(url: &str) -> String {
    // The path of the program as it was called, since after a build it is not on the PATH.
    let program = std::env::args().next().unwrap_or_else(|| "taskctl".to_owned());
    let server = match url == DEFAULT_SERVER {
        true => String::new(),
        false => format!(" --server {url}"),
    };
    format!(
        "\nThe task platform is listening on {url}\n\n  \
         Open      {url}/ in a browser, or:\n\n  \
         Upload    curl -F file=@songs.csv {url}/v1/data_processor/upload\n  \
         Watch     curl {url}/v1/tasks/status/TASK_ID\n  \
         Download  curl -OJ {url}/v1/data_processor/download/TASK_ID\n  \
         Or all    {program}{server} upload songs.csv --wait --output sums.csv\n\n  \
         No CSV?   {program} fake-songs --output songs.csv\n  \
         The API   {url}/docs/\n\n\
         Ctrl-C stops the server; unfinished tasks continue after the next start.\n"
    )
}
