//! `taskctl`, the command line of the platform.
//!
//! A command is a variant of the enums below and a separate file. The commands for a server share a
//! [`Session`]; each of them ends with an exit code (`failure`).

mod admin;
mod bulk;
mod connection;
mod console;
mod contexts;
mod counts;
mod credentials;
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
mod keys;
mod kind_options;
mod live_list;
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
mod task_filter;
mod task_refs;
mod tasks;
mod upload;
mod view;
mod wait;
mod whoami;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use common::bulk_action::BulkAction;
use common::command_line;
use serde_json::json;
use tikv_jemallocator::Jemalloc;

use crate::connection::Connection;
use crate::console::{Console, note};
use crate::contexts::ContextCommand;
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
    /// Print one JSON document on standard output instead of text, for errors too.
    #[arg(long, global = true)]
    json: bool,
    /// Print only what was asked for: results, ids of tasks, and errors.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(flatten)]
    connection: Connection,
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
    /// List, choose and change contexts: servers by names, each with its token.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Process a file locally, without a server.
    Run(run::RunArgs),
    /// Generate a CSV file of plays of songs.
    FakeSongs(fake_songs::FakeSongsArgs),
    /// Generate a CSV file of people with their e-mail addresses.
    FakePeople(fake_people::FakePeopleArgs),
    /// Print the version.
    Version,
    /// Write completions, manual pages and the reference into a folder, for packages.
    #[command(hide = true)]
    PackageFiles {
        /// The folder.
        folder: PathBuf,
    },
}

/// The commands for a server.
#[derive(Debug, Clone, Subcommand)]
enum Remote {
    /// Sign up, if the server requires a login.
    Register(login::UserArgs),
    /// Log in: the token is saved for later commands.
    ///
    /// It is saved in ~/.config/taskctl/tokens.json, which only the user can read: with the context
    /// in use, or else for the server. The variable TASKCTL_TOKEN overrides it.
    Login(login::UserArgs),
    /// Log out: revoke the token.
    Logout,
    /// Show the user that the server sees.
    Whoami,
    /// List, make and revoke your API keys, with which programs log in.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Upload files for processing.
    ///
    /// After any interruption (also of this program) the same command continues the upload where
    /// the server has it.
    Upload(upload::UploadArgs),
    /// Show tasks.
    Status(task_refs::Tasks),
    /// Wait until tasks have ended, and show their progress.
    Watch(task_refs::Tasks),
    /// Fetch the results of tasks.
    ///
    /// After any interruption the same command continues the download. The file gets its name when
    /// it is complete.
    Download(download::DownloadArgs),
    /// Write the rows that a data upload has loaded, in the order of the file.
    Rows(rows::RowsArgs),
    /// Write the rows that a task has rejected, with the reasons.
    Rejected(rows::RowsArgs),
    /// List the tasks, newest first.
    #[command(visible_alias = "ls")]
    List(tasks::ListArgs),
    /// Stop tasks: their data is rolled back.
    Stop(bulk::ActionArgs),
    /// Kill tasks: their durable data is kept, and they can be resumed.
    Kill(bulk::ActionArgs),
    /// Queue killed or failed tasks again.
    Resume(bulk::ActionArgs),
    /// Run an ended task again: a new task reads the stored file, which is not uploaded again.
    RunAgain(tasks::RunAgainArgs),
    /// Delete ended tasks with all their data.
    #[command(visible_alias = "rm")]
    Delete(bulk::ActionArgs),
}

fn main() -> ExitCode {
    let (cli, connection) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return misuse(&error),
    };
    if cli.quiet {
        console::be_quiet();
    }
    let console = Console::new(cli.json);
    match cli.command {
        Command::Standalone(args) => standalone::standalone(args, console),
        Command::Admin(command) => admin::admin(command, console),
        Command::Remote(command) => run_remote(&connection, console, &command),
        Command::Context(command) => contexts::context(command, console),
        Command::Run(args) => run::run(&args, console),
        Command::FakeSongs(args) => fake_songs::fake_songs(args, console),
        Command::FakePeople(args) => fake_people::fake_people(args, console),
        Command::Version => {
            let version = common::version!();
            console.answer(&json!({"version": version}), || format!("taskctl {version}"));
            ExitCode::SUCCESS
        }
        Command::PackageFiles { folder } => package_files(&folder, console),
    }
}

/// The command line: the commands for a server and those below them take its options, and the kinds
/// of tasks are topics of `help`.
fn command() -> clap::Command {
    let remote = Remote::augment_subcommands(clap::Command::new("remote"));
    remote
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .fold(Cli::command(), |command, name| {
            command.mut_subcommand(name, |remote| {
                Connection::augment_args(remote.mut_subcommands(Connection::augment_args))
            })
        })
        .subcommands(kind_options::topics())
}

/// The command, and the server's options before and behind its name.
fn parse() -> Result<(Cli, Connection), clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let (name, inner) = matches.subcommand().unwrap_or(("", &matches));
    if let Some(used) = kind_options::use_of_topic(name, inner) {
        used?;
        // As `taskctl help KIND`.
        command.try_get_matches_from_mut(["taskctl", "help", name])?;
    }
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    if matches!(cli.command, Command::Remote(_)) {
        let mut connection = Connection::from_arg_matches(inner)?.or(cli.connection.clone());
        if let Some((_, below)) = inner.subcommand() {
            connection = Connection::from_arg_matches(below)?.or(connection);
        }
        return Ok((cli, connection));
    }
    if cli.connection.is_given() {
        let text = format!("`{name}` uses no server: leave out --server, --context and --ca-file");
        return Err(command.error(ErrorKind::ArgumentConflict, text));
    }
    Ok((cli, Connection::default()))
}

/// Prints the help, the version, or what is wrong with the command line.
fn misuse(error: &clap::Error) -> ExitCode {
    let mut options = std::env::args().take_while(|argument| argument != "--");
    if error.use_stderr() && options.any(|argument| argument == "--json") {
        let text = error.to_string();
        let text = text.trim().trim_start_matches("error: ");
        return Failure::usage(text).report(Console::new(true));
    }
    // A closed pipe is not a failure.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

fn package_files(folder: &Path, console: Console) -> ExitCode {
    match command_line::write_package_files(command(), folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::local(format!("Cannot write: {error}.")).report(console),
    }
}

/// Runs a command against the server and reports its failure.
fn run_remote(connection: &Connection, console: Console, command: &Remote) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::local(format!("Cannot start: {error}.")).report(console),
    };
    let code = runtime.block_on(async {
        let session = Session::new(connection, console)?;
        let failure = match run_on(&session, command.clone()).await {
            Err(failure) if failure.is_about_token() => failure,
            done => return done,
        };
        let Some(session) = session.without_token().await else { return Err(failure) };
        note(
            "The saved token is of an earlier server at this address, and this one requires no \
             login; continuing without it. `taskctl logout` removes it.",
        );
        run_on(&session, command.clone()).await
    });
    // A hanging read or write must not keep the program from ending.
    runtime.shutdown_background();
    code.unwrap_or_else(|failure: Failure| failure.report(console))
}

async fn run_on(session: &Session, command: Remote) -> Result<ExitCode, Failure> {
    match command {
        Remote::Register(args) => login::register(session, args).await,
        Remote::Login(args) => login::login(session, args).await,
        Remote::Logout => login::logout(session).await,
        Remote::Whoami => whoami::whoami(session).await,
        Remote::Keys(command) => keys::keys(session, command).await,
        Remote::Upload(args) => upload::upload(session, args).await,
        Remote::Status(tasks) => tasks::status(session, &tasks).await,
        Remote::Watch(tasks) => wait::watch(session, &tasks).await,
        Remote::Download(args) => download::download(session, args).await,
        Remote::Rows(args) => rows::rows(session, args).await,
        Remote::Rejected(args) => rows::rejected(session, args).await,
        Remote::List(args) => tasks::list(session, args).await,
        Remote::Stop(args) => bulk::act(session, BulkAction::Stop, args).await,
        Remote::Kill(args) => bulk::act(session, BulkAction::Kill, args).await,
        Remote::Resume(args) => bulk::act(session, BulkAction::Resume, args).await,
        Remote::RunAgain(args) => tasks::run_again(session, args).await,
        Remote::Delete(args) => bulk::act(session, BulkAction::Delete, args).await,
    }
}
