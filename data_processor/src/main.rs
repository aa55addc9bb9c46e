//! The worker as a program of its own, for a fleet.

use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use common::client::FailoverClient;
use common::queue::{AmqpQueue, Queue};
use common::storage::Storage;
use common::systemd::Notifier;
use common::tls::Trust;
use common::{command_line, signals, telemetry, traces};
use data_processor::config::{self, ProcessConfig};
use data_processor::mail::Mailer;
use data_processor::{health, metrics, worker};
use tikv_jemallocator::Jemalloc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Returns freed memory to the system, where that of glibc keeps it: docs/adr/0024-allocator.md.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Takes tasks from the queue, processes them and reports to the task manager.
#[derive(Parser)]
#[command(name = "data_processor", version = common::version!())]
struct Arguments {
    /// A file with settings (TOML); variables DATA_PROCESSOR_… take precedence.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the worker; the default.
    Work,
    /// Checks whether the worker with these settings is ready; fails if it is not.
    Health,
    /// Prints the effective settings, with secrets masked, and the source of each.
    Config,
    /// Writes completions, manual pages and the reference into a folder, for packages.
    #[command(hide = true)]
    PackageFiles {
        /// The folder.
        folder: PathBuf,
    },
}

// One thread takes messages, claims and reports; long work runs on other threads. With several
// async threads, small tasks would wait for wake-ups between them.
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
        #[expect(clippy::print_stdout, reason = "the output of the command")]
        Some(Command::Health) => {
            let answer = common::health::check(config.listen).await.map_err(anyhow::Error::msg)?;
            println!("{answer}");
        }
        #[expect(clippy::print_stdout, reason = "the output of the command")]
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
    traces::start(&config.traces, "data_processor", &trust)?;
    let queue = AmqpQueue::new(config.queue_url, &config.queue_prefix)?.trusting(trust.clone());
    let queue = Queue::Amqp(queue);
    let storage = Storage::connect(&config.storage, &trust)?;
    let token = Some(config.service_token);
    let api = FailoverClient::new(&config.task_manager_urls, token, &trust)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("the address {} cannot be used; choose another one (`listen`)", config.listen)
    })?;
    let address = listener.local_addr()?;
    info!("task managers: {api}; files: {}", config.storage.location);
    info!("listening on http://{address}");
    common::queue::log_connection(&queue).await;
    let _metrics = common::metrics::start(config.metrics_listen, |page| {
        metrics::add_metrics(page);
        metrics::add_broker(page, queue.publisher());
    })
    .await?;
    let dependencies = health::Dependencies { queue: queue.publisher(), api: api.clone() };
    let health = tokio::spawn(health::serve(listener, dependencies));

    let draining = CancellationToken::new();
    let stop = draining.clone();
    let mut working = tokio::spawn(async move {
        worker::run(config.worker, api, &queue, storage, mailer, stop).await;
    });
    systemd.start_watchdog();
    systemd.ready(&format!("working, http://{address}/readyz shows its state"));
    tokio::select! {
        _ = &mut working => anyhow::bail!("the worker ended unexpectedly"),
        name = signals.next() => info!("{name}: finishing or releasing running tasks"),
    }
    systemd.stopping(drain_timeout.saturating_add(traces::FLUSH));
    draining.cancel();
    tokio::select! {
        ended = working => {
            ended.context("the worker ended unexpectedly")?;
            traces::stop().await;
            info!("ended");
        }
        name = signals.next() => {
            warn!("{name} again: exiting; running tasks resume when their leases expire");
        }
    }
    health.abort();
    Ok(())
}
