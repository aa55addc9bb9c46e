//! `taskctl upload`: uploads a file, and optionally waits for the result and fetches it.

mod form;
mod input;
mod progress;
mod record;
mod remembered;
mod resumable;
mod tus;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use common::task::{AcceptedTask, TaskKind, TaskState};
use indicatif::HumanCount;

use self::form::Sending;
use self::input::Input;
use self::progress::Progress;
use crate::console::note;
use crate::download::{self, console_for};
use crate::failure::Failure;
use crate::interrupt::or_interrupted;
use crate::parameter::parameter;
use crate::patience::GiveUp;
use crate::saving::Target;
use crate::session::Session;
use crate::{outcome, view, wait};

/// A file up to this size in bytes is sent by one request.
const SMALL: u64 = 512 * 1024;
/// How much of the file is read at a time.
const CHUNK: usize = 256 * 1024;

/// The arguments of `taskctl upload`.
#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// The file to upload.
    file: PathBuf,
    /// The kind of task.
    #[arg(long, default_value_t = TaskKind::CsvAggregation)]
    kind: TaskKind,
    /// A parameter of the task, for example `on_bad_row=skip`; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    /// Wait until the task has ended.
    #[arg(long)]
    wait: bool,
    /// Wait, and save the result here, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Upload so many parts of the file at a time, which helps where a single connection is slow.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=16))]
    parallel: u8,
    #[command(flatten)]
    give_up: GiveUp,
}

/// `taskctl upload`.
pub(crate) async fn upload(session: &Session, args: UploadArgs) -> Result<ExitCode, Failure> {
    if args.kind == TaskKind::DataUpload && args.output.is_some() {
        return Err(Failure::usage(
            "A data_upload has no result file. Wait for it with --wait, and fetch the rows that it \
             loaded with `taskctl rows ID --output FILE`.",
        ));
    }
    if let Some(instead) = args.kind.created_by() {
        let text = format!("{} takes no file; such tasks are created by {instead}.", args.kind);
        return Err(Failure::usage(text));
    }
    let target = args.output.as_deref().map(Target::named).transpose()?;
    let console = match &target {
        Some(target) => console_for(session.console, target)?,
        None => session.console,
    };
    let input = Input::open(&args.file)?;
    let mut accepted = if input.size() <= SMALL {
        let sending = Arc::new(Sending::default());
        or_interrupted(form::send(session, &args, &input, &sending), || {
            format!("The upload was interrupted. {}", sending.fate())
        })
        .await?
    } else {
        let progress = Progress::prepare(&input);
        let sending = resumable::send(session, &args, &input, &progress);
        let accepted = or_interrupted(sending, || progress.interruption()).await;
        progress.finish();
        accepted?
    };
    let id = accepted.task.task_id;

    if !args.wait && target.is_none() {
        console.answer(&accepted, || {
            format!(
                "{}\nSee its state with `{}`.",
                announcement(&accepted),
                session.command("status", id)
            )
        });
        return Ok(ExitCode::SUCCESS);
    }

    if !console.is_json() {
        note(&announcement(&accepted));
    }
    accepted.task = wait::until_ended_or_interrupted(session, id, wait::PATIENCE).await?;
    let saved = match &target {
        Some(target) if accepted.task.state == TaskState::Processed => {
            Some(download::fetch(session, id, download::Part::Result, target, args.give_up).await?)
        }
        _ => None,
    };
    if console.is_json() {
        console.document(&accepted);
    }
    Ok(outcome::conclude(console, session, &accepted.task, saved.as_ref()))
}

/// What a progress bar is of.
fn label(input: &Input) -> String {
    format!("Uploading {}", view::printable_line(&input.name))
}

fn announcement(accepted: &AcceptedTask) -> String {
    let id = accepted.task.task_id;
    let again = "The same file was uploaded before";
    match (accepted.resumed, accepted.resumed_from_row) {
        (false, _) => format!("Accepted as task {id}."),
        (true, None) => format!("{again}: task {id} is resumed."),
        (true, Some(row)) => format!("{again}: task {id} is resumed at row {}.", HumanCount(row)),
    }
}
