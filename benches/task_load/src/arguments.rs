//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Sends small tasks and measures how they fare; prints a line of JSON.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Where the task manager listens.
    #[arg(long, default_value = "http://127.0.0.1:5000")]
    pub server: String,
    /// The user whose tasks they are; a new one where absent.
    #[arg(long)]
    pub user: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How many tasks a second are accepted, and finished
    Throughput(Load),
    /// How long a task takes at a steady rate, from when it was to be sent to its result
    ///
    /// The result is what the server-sent event of the task shows. Messages that are drawn again wait four
    /// seconds on purpose and are left out.
    Latency(Pace),
    /// How long it takes to list tasks and to show one
    Reads(Reads),
}

/// The kind of the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `message_validation`, a request each
    Message,
    /// `user_event`, as many a request as `--bulk` says
    Event,
}

#[derive(Debug, Args)]
pub struct Load {
    /// How many tasks.
    #[arg(long, default_value_t = 20_000)]
    pub tasks: u64,
    /// How many clients send at once, each a request after the other.
    #[arg(long, default_value_t = 100)]
    pub clients: u64,
    #[arg(long, value_enum, default_value = "message")]
    pub kind: Kind,
    /// Sends so many events a request (1 to 10,000); only events come in lists.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub bulk: u64,
    /// Ends when the tasks are accepted.
    #[arg(long)]
    pub no_wait: bool,
    /// The longest that the tasks may take to finish after they are accepted, in seconds.
    #[arg(long, default_value_t = 300)]
    pub deadline: u64,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct Pace {
    /// Tasks a second.
    #[arg(long, default_value_t = 50)]
    pub rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,
}

#[derive(Debug, Args)]
pub struct Reads {
    /// How often each; what is slow, for 15 seconds only.
    #[arg(long, default_value_t = 500)]
    pub times: usize,
    /// Shows this task too; the newest is always shown. Repeats.
    #[arg(long)]
    pub task: Vec<String>,
}
