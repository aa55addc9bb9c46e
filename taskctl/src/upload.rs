//! `taskctl upload`: uploads a file, and optionally waits for the result and fetches it.

mod form;
mod input;
mod progress;
mod record;
mod remembered;
mod resumable;
mod tus;

use std::path::{Path, PathBuf};
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
use crate::kind_options::{self, KindOptions};
use crate::patience::GiveUp;
use crate::saving::Target;
use crate::session::Session;
use crate::several::Several;
use crate::{outcome, view, wait};

/// A file up to this size in bytes is sent by one request.
const SMALL: u64 = 512 * 1024;
/// How much of the file is read at a time.
const CHUNK: usize = 256 * 1024;

/// The arguments of `taskctl upload`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UploadArgs {
    /// The files to upload. The name of a kind of task before them has the effect of --kind.
    #[arg(required = true, value_name = "[KIND] FILE")]
    files: Vec<PathBuf>,
    /// The kind of task; by default csv_aggregation.
    #[arg(long, short, value_name = "KIND", value_parser = kind_options::file_kind())]
    kind: Option<TaskKind>,
    #[command(flatten)]
    options: KindOptions,
    /// Wait until the task has ended.
    #[arg(long, short)]
    wait: bool,
    /// Wait, and save the result here: a file, a folder, or `-` for standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Upload so many parts of the file at a time, which helps where a single connection is slow.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=16))]
    parallel: u8,
    #[command(flatten)]
    give_up: GiveUp,
}

/// How files are uploaded.
#[derive(Debug)]
struct Plan {
    kind: TaskKind,
    params: Vec<(String, String)>,
    parallel: u8,
    give_up: GiveUp,
}

/// `taskctl upload`.
pub(crate) async fn upload(session: &Session, args: UploadArgs) -> Result<ExitCode, Failure> {
    let (kind, files) = kind_and_files(args.kind, args.files)?;
    if kind == TaskKind::DataUpload && args.output.is_some() {
        return Err(Failure::usage(
            "A data_upload has no result file. Wait for it with --wait, and fetch the rows that it \
             loaded with `taskctl rows ID --output FILE`.",
        ));
    }
    if let Some(instead) = kind.created_by() {
        let text = format!("{kind} takes no file; such tasks are created by {instead}.");
        return Err(Failure::usage(text));
    }
    args.options.check(kind)?;
    let target = args.output.as_deref().map(Target::named).transpose()?;
    if files.len() > 1 && target.as_ref().is_some_and(|target| !target.takes_several()) {
        return Err(Failure::usage(
            "Several results need a folder: name an existing one with --output FOLDER.",
        ));
    }
    let console = match &target {
        Some(target) => console_for(session.console, target)?,
        None => session.console,
    };
    let inputs: Vec<_> = files.iter().map(|file| Input::open(file)).collect::<Result<_, _>>()?;
    let plan =
        Plan { kind, params: args.options.params, parallel: args.parallel, give_up: args.give_up };
    let is_waiting = args.wait || target.is_some();

    let mut several = Several::new(console, inputs.len());
    let mut accepted = Vec::new();
    for input in &inputs {
        let sent = send(session, &plan, input).await;
        let name = view::printable_line(&input.name);
        let Some(task) = several.tried(&name, sent)? else { continue };
        if is_waiting && !console.is_json() {
            note(&announcement(&task));
        } else if !console.is_json() {
            let hint = session.command("status", task.task.task_id);
            console.id(&task.task.task_id);
            console.say(&format!("{}\nSee its state with `{hint}`.", announcement(&task)));
        }
        accepted.push((name, task));
    }
    for (name, mut accepted) in accepted {
        if !is_waiting {
            several.add(&accepted, ExitCode::SUCCESS);
            continue;
        }
        let id = accepted.task.task_id;
        accepted.task = wait::until_ended_or_interrupted(session, id, wait::PATIENCE).await?;
        let saved = match &target {
            Some(target) if accepted.task.state == TaskState::Processed => {
                let saved =
                    download::fetch(session, id, download::Part::Result, target, plan.give_up);
                let Some(saved) = several.tried(&name, saved.await)? else { continue };
                Some(saved)
            }
            _ => None,
        };
        let code = {
            let name = several.is_many().then_some(name.as_str());
            outcome::conclude(console, session, &accepted.task, saved.as_ref(), name)
        };
        several.add(&accepted, code);
    }
    Ok(several.finish())
}

/// Uploads a file.
async fn send(session: &Session, plan: &Plan, input: &Input) -> Result<AcceptedTask, Failure> {
    if input.size() <= SMALL {
        let sending = Arc::new(Sending::default());
        return or_interrupted(form::send(session, plan, input, &sending), || {
            format!("The upload was interrupted. {}", sending.fate())
        })
        .await;
    }
    let progress = Progress::prepare(input);
    let sending = resumable::send(session, plan, input, &progress);
    let accepted = or_interrupted(sending, || progress.interruption()).await;
    progress.finish();
    accepted
}

/// The kind, which may be named before the files.
fn kind_and_files(
    kind: Option<TaskKind>,
    mut files: Vec<PathBuf>,
) -> Result<(TaskKind, Vec<PathBuf>), Failure> {
    let named = files.first().and_then(|first| kind_options::named_file_kind(first.to_str()?));
    match (kind, named) {
        (Some(kind), _) => Ok((kind, files)),
        (None, Some(kind)) if files.len() > 1 => {
            files.remove(0);
            Ok((kind, files))
        }
        (None, Some(kind)) if !Path::new(kind.as_str()).exists() => {
            Err(Failure::usage(format!("Name the file: `taskctl upload {kind} FILE`.")))
        }
        (None, _) => Ok((TaskKind::CsvAggregation, files)),
    }
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
