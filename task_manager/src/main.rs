//! The task manager program for a fleet: serves the API, migrates the database, shows settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use common::queue::{AmqpQueue, Queue};
use common::storage::Storage;
use common::systemd::Notifier;
use common::tls::Trust;
use common::{command_line, health, metrics, password, signals, telemetry, traces};
use task_manager::Server;
use task_manager::config::{self, Config};
use tikv_jemallocator::Jemalloc;

/// The limit for `Server::stop`.
const STOP_AT_MOST: Duration = Duration::from_secs(20);

/// Returns freed memory to the system, where that of glibc keeps it: docs/adr/0024-allocator.md.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Keeps tasks in a database and hands them to workers.
///
/// To serve the API with everything in one process, run `taskctl standalone`.
#[derive(Parser)]
#[command(name = "task_manager", version = common::version!())]
struct Arguments {
    /// A file with settings (TOML); variables TASK_MANAGER_… override it.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the API as one of a fleet, on MySQL or MariaDB and RabbitMQ.
    Serve,
    /// Brings the database's tables up to date.
    Migrate,
    /// Administrators.
    #[command(subcommand)]
    Admin(Admin),
    /// Checks whether the server that runs with these settings is ready; fails if it is not.
    Health,
    /// Prints the settings in force, secrets masked, and where each comes from.
    Config,
    /// Prints the OpenAPI document of the API.
    Openapi,
    /// Writes completions, manual pages and the reference into a folder, for packages.
    #[command(hide = true)]
    PackageFiles {
        /// The folder.
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
enum Admin {
    /// Creates an administrator in the database of the settings.
    ///
    /// The password is asked for on a terminal, else it is the first line of the standard input.
    Create {
        /// 5 to 15 letters and digits.
        #[arg(long)]
        username: String,
        /// A file whose first line is the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Command::PackageFiles { folder } = &arguments.command {
        command_line::write_package_files(Arguments::command(), folder)?;
        return Ok(std::fs::write(folder.join("settings.md"), config::reference()?)?);
    }
    let (config, effective) = Config::load(arguments.config.as_deref(), Path::new("."))?;
    match arguments.command {
        Command::Serve => serve(config).await?,
        Command::Migrate => {
            telemetry::start(config.log_format, &config.log)?;
            let ran = task_manager::migrate(&config).await?;
            tracing::info!(migrations = ?ran, "the tables are up to date");
        }
        #[expect(clippy::print_stdout, reason = "the answer of the command")]
        Command::Admin(Admin::Create { username, password_file }) => {
            telemetry::start(config.log_format, &config.log)?;
            let password = password::new_password(password_file.as_deref())?;
            let name = task_manager::create_administrator(&config, &username, password).await?;
            println!("{name} is an administrator");
        }
        #[expect(clippy::print_stdout, reason = "it is the output of the command")]
        Command::Health => {
            println!("{}", health::check(config.listen).await.map_err(anyhow::Error::msg)?);
        }
        #[expect(clippy::print_stdout, reason = "it is the output of the command")]
        Command::Config => print!("{effective}"),
        #[expect(clippy::print_stdout, reason = "it is the output of the command")]
        Command::Openapi => println!("{}", task_manager::openapi_document().to_pretty_json()?),
        Command::PackageFiles { .. } => {}
    }
    Ok(())
}

/// Serves until SIGTERM or Ctrl-C.
async fn serve(config: Config) -> anyhow::Result<()> {
    config.check_fleet()?;
    telemetry::start(config.log_format, &config.log)?;
    let mut signals = signals::ShutdownSignals::listen()?;
    let systemd = Notifier::from_environment();
    let queue_url = config.queue_url.clone().context("`queue_url` is missing")?;
    let trust = Trust::with_file(config.ca_file.as_deref())?;
    traces::start(&config.traces, "task_manager", &trust)?;
    let queue = AmqpQueue::new(queue_url, &config.queue_prefix)?.trusting(trust.clone());
    let queue = Queue::Amqp(queue);
    let storage = Storage::connect(&config.storage, &trust)?;
    systemd.status("waiting for the database");
    let server = tokio::select! {
        started = Server::start(&config, &queue, storage) => started?,
        name = signals.next() => {
            tracing::info!("{name}: ended before the start was complete");
            return Ok(());
        }
    };
    tracing::info!("tasks are in {}", config.database_address());
    tracing::info!("files are in {}", config.storage.location);
    common::queue::log_connection(&queue).await;
    tracing::info!("listening on http://{}", server.address);
    let _metrics = metrics::start(config.metrics_listen, |page| server.add_metrics(page)).await?;
    systemd.start_watchdog();
    systemd.ready(&format!("listening on http://{}", server.address));
    let name = signals.next().await;
    tracing::info!("{name}: shutting down");
    systemd.stopping(STOP_AT_MOST + traces::FLUSH);
    tokio::select! {
        stopped = server.stop() => stopped?,
        name = signals.next() => {
            tracing::warn!("{name} again: exiting immediately");
            return Ok(());
        }
    }
    traces::stop().await;
    tracing::info!("ended");
    Ok(())
}
