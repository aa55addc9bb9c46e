//! The worker as a program of its own: one of a fleet.

use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use common::client::FailoverClient;
use common::queue::{AmqpQueue, Queue};
use common::storage::Storage;
use common::systemd::Notifier;
use common::tls::Trust;
use common::{command_line, signals, telemetry};
use data_processor::config::{self, ProcessConfig};
use data_processor::mail::Mailer;
use data_processor::{health, worker};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Takes tasks from the queue, processes them and reports to the task manager.
#[derive(Parser)]
#[command(name = "data_processor", version = common::version!())]
struct Arguments {
    /// A file with settings (TOML); variables DATA_PROCESSOR_… win over it.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Works; the default.
    Work,
    /// Asks the worker that runs with these settings whether it is ready; fails unless it is.
    Health,
    /// Prints the settings in force, secrets masked, and where each comes from.
    Config,
    /// Writes completions, manual pages and the reference into a folder, for packages.
    #[command(hide = true)]
    PackageFiles {
        /// The folder.
        folder: PathBuf,
    },
}

// One thread takes messages, asks and reports; what takes long has threads of its own. With more of them, small
// tasks would wait for threads to wake each other.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::PackageFiles { folder }) = &arguments.command {
        command_line::write_package_files(Arguments::command(), folder)?;
        return Ok(std::fs::write(folder.join("settings.md"), config::reference()?)?);
    }
    let (config, effective) = ProcessConfig::load(arguments.config.as_deref())?;
    match arguments.command {
        None | Some(Command::Work) => work(config).await?,
        #[expect(clippy::print_stdout, reason = "it is what the command is for")]
        Some(Command::Health) => {
            let answer = common::health::check(config.listen).await.map_err(anyhow::Error::msg)?;
            println!("{answer}");
        }
        #[expect(clippy::print_stdout, reason = "it is what the command is for")]
        Some(Command::Config) => print!("{effective}"),
        Some(Command::PackageFiles { .. }) => {}
    }
    Ok(())
}

/// Works until SIGTERM or Ctrl-C.
async fn work(config: ProcessConfig) -> anyhow::Result<()> {
    telemetry::start(config.log_format, &config.log)?;
    let mut signals = signals::ShutdownSignals::listen()?;
    let systemd = Notifier::from_environment();
    let drain_timeout = config.worker.drain_timeout;
    let mailer = Mailer::new(config.mail)?;
    let trust = Trust::with_file(config.ca_file.as_deref())?;
    let queue = AmqpQueue::new(config.queue_url, &config.queue_prefix)?.trusting(trust.clone());
    let queue = Queue::Amqp(queue);
    let storage = Storage::local(&config.storage)
        .with_context(|| format!("the folder {} cannot be used", config.storage.display()))?;
    let token = Some(config.service_token);
    let api = FailoverClient::new(&config.task_manager_urls, token, &trust)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("the address {} cannot be used; choose another one (`listen`)", config.listen)
    })?;
    let address = listener.local_addr()?;
    info!("works for {api}, files are in {}", config.storage.display());
    info!("listening on http://{address}");
    common::queue::log_connection(&queue).await;
    let needs = health::Needs { queue: queue.publisher(), api: api.clone() };
    let health = tokio::spawn(health::serve(listener, needs));

    let draining = CancellationToken::new();
    let stop = draining.clone();
    let mut working = tokio::spawn(async move {
        worker::run(config.worker, api, &queue, storage, mailer, stop).await;
    });
    systemd.start_watchdog();
    systemd.ready(&format!("working, http://{address}/readyz shows its state"));
    tokio::select! {
        _ = &mut working => anyhow::bail!("the worker ended unexpectedly"),
        name = signals.next() => info!("{name}: running tasks are ended or given back"),
    }
    systemd.stopping(drain_timeout);
    draining.cancel();
    tokio::select! {
        ended = working => {
            ended.context("the worker ended unexpectedly")?;
            info!("ended");
        }
        name = signals.next() => {
            warn!("{name} again: ending at once; running tasks go on when their leases end");
        }
    }
    health.abort();
    Ok(())
}
