//! `task_load`, the load generator of small tasks for `make bench-tasks`, and of small files for
//! `make bench-upload`.
//!
//! It shares the processors with the system that it measures, so it does little work: one thread,
//! persistent connections, and no more parsing than needed. Every command uses a new user unless
//! one is named, so that it counts only its own tasks, and prints one line of JSON.
//!
//! # Not here
//! Starting servers and workers; the comparison with other systems (`benches/bench_tasks.py`).

mod account;
mod arguments;
mod events;
mod finish;
mod http;
mod latency;
mod quantiles;
mod reads;
mod submission;
mod throughput;
mod uploads;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::account::Account;
use crate::arguments::{Arguments, Command};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "task_load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let account = Account::open(&arguments.server, arguments.user.as_deref()).await?;
    let measured = match arguments.command {
        Command::Throughput(load) => throughput::measure(&account, &load).await?,
        Command::Latency(pace) => latency::measure(&account, pace).await?,
        Command::Reads(reads) => reads::measure(&account, &reads).await?,
        Command::Uploads(load) => uploads::measure(&account, &load).await?,
    };
    writeln!(std::io::stdout(), "{measured}")?;
    Ok(())
}
