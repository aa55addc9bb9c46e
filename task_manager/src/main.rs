//! The task manager as a program of its own: its database and its settings.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use common::telemetry;
use task_manager::config::Config;

/// Keeps tasks in a database and hands them to workers.
///
/// To serve the API with everything in one process, run `taskctl standalone`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A file with settings (TOML); variables TASK_MANAGER_… win over it.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings the database's tables up to date.
    Migrate,
    /// Prints the settings in force, secrets masked, and where each comes from.
    Config,
    /// Prints the OpenAPI document of the API.
    Openapi,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (config, effective) = Config::load(arguments.config.as_deref(), std::path::Path::new("."))?;
    match arguments.command {
        Command::Migrate => {
            telemetry::start(config.log_format, &config.log)?;
            let ran = task_manager::migrate(&config).await?;
            tracing::info!(migrations = ?ran, "the tables are up to date");
        }
        #[expect(clippy::print_stdout, reason = "it is what the command is for")]
        Command::Config => print!("{effective}"),
        #[expect(clippy::print_stdout, reason = "it is what the command is for")]
        Command::Openapi => println!("{}", task_manager::openapi_document().to_pretty_json()?),
    }
    Ok(())
}
