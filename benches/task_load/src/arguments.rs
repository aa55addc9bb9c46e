//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Sends small tasks and measures them; prints a line of JSON.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// The URL of the task manager.
    #[arg(long, default_value = "http://127.0.0.1:5000")]
    pub server: String,
    /// The owner of the tasks; by default a new user.
    #[arg(long)]
    pub user: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tasks accepted and finished per second
    Throughput(Load),
    /// The latency at a steady rate, from the scheduled time of a task to its result
    ///
    /// The time of the result is that of the server-sent event. Messages that are drawn again are
    /// delayed by four seconds on purpose and are left out.
    Latency(Pace),
    /// The latency of listing tasks and of showing one
    Reads(Reads),
    /// Files accepted per second
    Uploads(Uploads),
}

/// The kind of the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `message_validation`, one per request
    Message,
    /// `user_event`, `--bulk` per request
    Event,
}

#[derive(Debug, Args)]
pub struct Load {
    /// The number of tasks.
    #[arg(long, default_value_t = 20_000)]
    pub tasks: u64,
    /// The number of concurrent clients; each sends one request at a time.
    #[arg(long, default_value_t = 100)]
    pub clients: u64,
    #[arg(long, value_enum, default_value = "message")]
    pub kind: Kind,
    /// The number of events per request (1 to 10,000); messages are always sent one by one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub bulk: u64,
    /// Exits when the tasks are accepted.
    #[arg(long)]
    pub no_wait: bool,
    /// How long the tasks may take to finish after they are accepted, in seconds.
    #[arg(long, default_value_t = 300)]
    pub deadline: u64,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct Pace {
    /// Tasks per second.
    #[arg(long, default_value_t = 50)]
    pub rate: u32,
    /// The duration in seconds.
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,
}

#[derive(Debug, Args)]
pub struct Reads {
    /// How many times each is read; slow reads end after 15 seconds.
    #[arg(long, default_value_t = 500)]
    pub times: usize,
    /// Also shows this task, in addition to the newest one. Can be repeated.
    #[arg(long)]
    pub task: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Uploads {
    /// The number of files.
    #[arg(long, default_value_t = 1_000)]
    pub files: u64,
    /// The size of each file in bytes.
    #[arg(long, default_value_t = 1_000_000)]
    pub size: usize,
    /// The number of concurrent clients; each uploads one file at a time.
    #[arg(long, default_value_t = 8)]
    pub clients: u64,
    #[arg(long, value_enum, default_value = "body")]
    pub protocol: Protocol,
}

/// How a file is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// As the body of a `POST`
    Body,
    /// By tus 1.0.0: a `POST` without bytes, then a `PATCH`
    Tus,
    /// By tus 1.0.0: a `POST` with all bytes
    TusAtOnce,
}
