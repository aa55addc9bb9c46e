//! `taskctl admin`: commands that work directly on the data folder of a standalone server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use common::password::new_password;
use serde_json::json;

use crate::console::Console;
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::standalone;

/// The commands for the administrator of the machine.
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Create an administrator of a standalone server, which may be running. For a fleet:
    /// `task_manager admin create`.
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The name: 5 to 15 letters and digits.
    #[arg(long)]
    username: String,
    #[command(flatten)]
    data: DataFolder,
    /// A file whose first line is the password; else it is asked for on a terminal, or is the first
    /// line of the standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// `taskctl admin`.
pub(crate) fn admin(command: Admin, console: Console) -> ExitCode {
    let Admin::Create(args) = command;
    match create(args) {
        Ok(name) => {
            let text = format!("{name} is an administrator.");
            console.answer(&json!({"username": name}), || text);
            ExitCode::SUCCESS
        }
        Err(error) => Failure::local(format!("{error:#}.")).report(console),
    }
}

fn create(args: CreateArgs) -> anyhow::Result<String> {
    let config = standalone::config(&args.data.resolve())?;
    let password = new_password(args.password_file.as_deref())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(task_manager::create_administrator(&config, &args.username, password))
}
