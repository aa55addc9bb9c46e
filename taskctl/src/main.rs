//! `taskctl`, the command line of the platform.
//!
//! A command is a variant of the enums below and a separate file. The commands for a server share a
//! [`Session`]; each of them ends with an exit code (`failure`).

mod admin;
mod console;
mod counts;
mod data_folder;
mod destination;
mod download;
mod exclusive_file;
mod failure;
mod fake_file;
mod fake_people;
mod fake_songs;
mod file_name;
mod interrupt;
mod kind_options;
mod local;
mod login;
mod numbers;
mod outcome;
mod pace;
mod part_file;
mod patience;
mod problem_text;
mod progress;
mod question;
mod repeats;
mod rows;
mod run;
mod saving;
mod session;
mod several;
mod standalone;
mod tasks;
mod tokens;
mod upload;
mod view;
mod wait;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use common::command_line;
use common::task::TaskId;
use tikv_jemallocator::Jemalloc;

use crate::console::Console;
use crate::failure::Failure;
use crate::session::Session;

/// Returns freed memory to the system, where that of glibc keeps it: docs/adr/0024-allocator.md.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Uploads files to a task manager, watches their processing and fetches the results; or
/// processes a file locally.
///
/// Exit codes: 0 done, 1 the task failed or the server refused, 2 wrong usage, 3 no server
/// answers, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "taskctl", version = common::version!())]
#[command(
    after_help = "`taskctl help KIND` describes a kind of task and its options: csv_aggregation, \
    data_upload, csv_preview, file_statistics."
)]
struct Cli {
    /// The URL of the server.
    #[arg(long, global = true, value_name = "URL", env = "TASKCTL_SERVER")]
    #[arg(default_value = session::DEFAULT_SERVER)]
    server: String,
    /// A PEM file of certificates to trust beside the system's, for an https server.
    #[arg(long, global = true, value_name = "FILE", env = "TASKCTL_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Print the API's JSON on standard output, as one document, instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Print only what was asked for: results, ids of tasks, and errors.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole platform in one process: API, database, queue and worker.
    Standalone(standalone::StandaloneArgs),
    /// Create administrators of a standalone server.
    #[command(subcommand)]
    Admin(admin::Admin),
    #[command(flatten)]
    Remote(Remote),
    /// Process a file locally, without a server.
    Run(run::RunArgs),
    /// Generate a CSV file of plays of songs.
    FakeSongs(fake_songs::FakeSongsArgs),
    /// Generate a CSV file of people with their e-mail addresses.
    FakePeople(fake_people::FakePeopleArgs),
    /// Write completions, manual pages and the reference into a folder, for packages.
    #[command(hide = true)]
    PackageFiles {
        /// The folder.
        folder: PathBuf,
    },
}

/// The commands for a server.
#[derive(Debug, Subcommand)]
enum Remote {
    /// Sign up, if the server requires a login.
    Register(login::UserArgs),
    /// Log in: the token is saved for later commands.
    ///
    /// It is saved in ~/.config/taskctl/tokens.json, which only the user can read. The variable
    /// TASKCTL_TOKEN overrides it.
    Login(login::UserArgs),
    /// Log out: revoke the token.
    Logout,
    /// Upload a file for processing.
    ///
    /// After any interruption (also of this program) the same command continues the upload where
    /// the server has it.
    Upload(upload::UploadArgs),
    /// Show a task.
    Status {
        /// The id of the task.
        id: TaskId,
    },
    /// Wait until a task has ended, and show its progress.
    Watch {
        /// The id of the task.
        id: TaskId,
    },
    /// Fetch the result of a task.
    ///
    /// After any interruption the same command continues the download. The file gets its name when
    /// it is complete.
    Download(download::DownloadArgs),
    /// Write the rows that a data upload has loaded, in the order of the file.
    Rows(rows::RowsArgs),
    /// Write the rows that a task has rejected, with the reasons.
    Rejected(rows::RowsArgs),
    /// List the tasks, newest first.
    List(tasks::ListArgs),
    /// Stop a task: its data is rolled back.
    Stop {
        /// The id of the task.
        id: TaskId,
    },
    /// Kill a task: its durable data is kept, and it can be resumed.
    Kill {
        /// The id of the task.
        id: TaskId,
    },
    /// Queue a killed or failed task again.
    Resume {
        /// The id of the task.
        id: TaskId,
    },
    /// Run an ended task again: a new task reads the stored file, which is not uploaded again.
    RunAgain(tasks::RunAgainArgs),
    /// Delete an ended task with all its data.
    Delete {
        /// The id of the task.
        id: TaskId,
    },
}

fn main() -> ExitCode {
    let cli = parse().unwrap_or_else(|error| error.exit());
    if cli.quiet {
        console::be_quiet();
    }
    match cli.command {
        Command::Standalone(args) => standalone::standalone(args, Console::new(cli.json)),
        Command::Admin(command) => admin::admin(command, Console::new(cli.json)),
        Command::Remote(command) => {
            run_remote(&cli.server, cli.ca_file.as_deref(), cli.json, command)
        }
        Command::Run(args) => run::run(args, cli.json),
        Command::FakeSongs(args) => fake_songs::fake_songs(args),
        Command::FakePeople(args) => fake_people::fake_people(args),
        Command::PackageFiles { folder } => package_files(&folder, Console::new(cli.json)),
    }
}

/// The command line, with the kinds of tasks as topics of `help`.
fn command() -> clap::Command {
    Cli::command().subcommands(kind_options::topics())
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    if let Some((name, topic)) = matches.subcommand()
        && let Some(used) = kind_options::use_of_topic(name, topic)
    {
        used?;
        // As `taskctl help KIND`.
        command.try_get_matches_from_mut(["taskctl", "help", name])?;
    }
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn package_files(folder: &Path, console: Console) -> ExitCode {
    match command_line::write_package_files(command(), folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::local(format!("Cannot write: {error}.")).report(console),
    }
}

/// Runs a command against the server and reports its failure.
fn run_remote(server: &str, ca_file: Option<&Path>, json: bool, command: Remote) -> ExitCode {
    let console = Console::new(json);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::local(format!("Cannot start: {error}.")).report(console),
    };
    let code = runtime.block_on(async {
        let session = Session::new(server, ca_file, console)?;
        match command {
            Remote::Register(args) => login::register(&session, args).await,
            Remote::Login(args) => login::login(&session, args).await,
            Remote::Logout => login::logout(&session).await,
            Remote::Upload(args) => upload::upload(&session, args).await,
            Remote::Status { id } => tasks::status(&session, id).await,
            Remote::Watch { id } => wait::watch(&session, id).await,
            Remote::Download(args) => download::download(&session, args).await,
            Remote::Rows(args) => rows::rows(&session, args).await,
            Remote::Rejected(args) => rows::rejected(&session, args).await,
            Remote::List(args) => tasks::list(&session, args).await,
            Remote::Stop { id } => tasks::act(&session, id, "stop").await,
            Remote::Kill { id } => tasks::act(&session, id, "kill").await,
            Remote::Resume { id } => tasks::act(&session, id, "resume").await,
            Remote::RunAgain(args) => tasks::run_again(&session, args).await,
            Remote::Delete { id } => tasks::delete(&session, id).await,
        }
    });
    // A hanging read or write must not keep the program from ending.
    runtime.shutdown_background();
    code.unwrap_or_else(|failure: Failure| failure.report(console))
}
