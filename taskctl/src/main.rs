//! `taskctl`, the command line of the platform.

mod fake_songs;
mod local;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "taskctl", version)]
struct Cli {
    /// Print JSON instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Process a file right here, without a server.
    Run(run::RunArgs),
    /// Write a CSV file of made-up plays of songs.
    FakeSongs(fake_songs::FakeSongsArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Run(args) => run::run(args, cli.json),
        Command::FakeSongs(args) => fake_songs::fake_songs(args),
    }
}
