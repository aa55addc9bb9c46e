//! `taskctl stop`, `kill`, `resume` and `delete`: on named tasks one after another, or with `--all`
//! by one request, which the server carries out as a task of its own.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use common::bulk_action::{BulkAction, BulkActionResult};
use common::client::IDEMPOTENCY_KEY;
use common::plural::plural;
use common::task::{AcceptedTask, TaskId, TaskState, TaskView};
use indicatif::HumanCount;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::console::complain;
use crate::counts::counted;
use crate::failure::{FAILED, Failure};
use crate::problem_text::{printable, problem_text};
use crate::question::{can_ask, confirm};
use crate::repeats::Repeats;
use crate::session::{Session, task_path};
use crate::several::Several;
use crate::task_filter::TaskFilter;
use crate::task_refs::{TaskRef, resolve_all};
use crate::{view, wait};

/// The tasks of an action.
#[derive(Debug, Clone, Args)]
pub(crate) struct ActionArgs {
    /// The ids of the tasks, or their beginnings (6 characters or more).
    #[arg(required_unless_present_any = ["last", "all"], value_name = "ID")]
    ids: Vec<TaskRef>,
    /// The newest task instead of ids.
    #[arg(long, short, conflicts_with_all = ["ids", "all"])]
    last: bool,
    /// All tasks that match the filters, or all tasks. They are counted first, and you are asked.
    #[arg(long, short, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    filter: TaskFilter,
    /// With --all: do not ask.
    #[arg(long, short)]
    yes: bool,
    /// With --all: only count the tasks.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// How many tasks an action is for.
#[derive(Debug, Serialize, Deserialize)]
struct Matches {
    matched: u64,
    possible: u64,
}

/// `taskctl stop`, `kill`, `resume` and `delete`.
pub(crate) async fn act(
    session: &Session,
    action: BulkAction,
    args: ActionArgs,
) -> Result<ExitCode, Failure> {
    if args.all {
        return act_on_all(session, action, &args).await;
    }
    if !args.filter.is_empty() || args.yes || args.dry_run {
        return Err(Failure::usage(
            "Filters, --yes and --dry-run can be used together with --all only.",
        ));
    }
    let ids = resolve_all(session, &args.ids, args.last).await?;
    let mut several = Several::new(session.console, ids.len());
    for id in ids {
        let name = id.to_string();
        match action {
            // The API returns no content.
            BulkAction::Delete => {
                let deleted = several.tried(&name, delete(session, id).await)?;
                if deleted.is_some() {
                    several.add(&json!({"task_id": id, "deleted": true}), ExitCode::SUCCESS);
                }
            }
            _ => {
                let Some(task) = several.tried(&name, change(session, id, action).await)? else {
                    continue;
                };
                session.console.say(&format!("Task {id}: {}", view::state_phrase(&task)));
                several.add(&task, ExitCode::SUCCESS);
            }
        }
    }
    Ok(several.finish())
}

async fn change(session: &Session, id: TaskId, action: BulkAction) -> Result<TaskView, Failure> {
    let path = format!("{}/{}", task_path(id), verb(action));
    Ok(session.client.json(session.client.request(Method::POST, &path)).await?)
}

async fn delete(session: &Session, id: TaskId) -> Result<(), Failure> {
    let request = session.client.request(Method::DELETE, &task_path(id));
    session.client.send(request).await?;
    session.console.say(&format!("Task {id} is deleted."));
    Ok(())
}

async fn act_on_all(
    session: &Session,
    action: BulkAction,
    args: &ActionArgs,
) -> Result<ExitCode, Failure> {
    let request = |dry_run: bool| {
        let body = json!({
            "action": action, "filter": args.filter.object(), "dry_run": dry_run
        });
        session.client.request(Method::POST, "/v1/tasks/actions").json(&body)
    };
    let matches: Matches = session.client.json(request(true)).await?;
    let Matches { matched, possible } = matches;
    let summary = match matched {
        0 => "No task matches.".to_owned(),
        _ => {
            let tasks = counted(matched, "task", "tasks");
            let which = match (matched == possible, possible) {
                (true, 1) => "which".to_owned(),
                (true, _) => "all of which".to_owned(),
                (false, 0) => "none of which".to_owned(),
                (false, _) => format!("of which {}", HumanCount(possible)),
            };
            let matches = plural(matched, "matches", "match");
            format!("{tasks} {matches}, {which} can be {}.", done(action))
        }
    };
    if args.dry_run || possible == 0 {
        session.console.answer(&matches, || summary);
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        if session.console.is_json() || !can_ask() {
            return Err(Failure::usage(format!(
                "{summary} Nothing was done: confirm it with --yes, or see the count only with \
                 --dry-run."
            )));
        }
        complain(&format!("{summary}\n{}", effect(action)));
        let question = format!("{} {}?", capital(verb(action)), counted(possible, "task", "tasks"));
        if !confirm(&question).await {
            return Err(Failure::local("Nothing was done."));
        }
    }
    let mut repeats = Repeats::new();
    let mut accepted: AcceptedTask = loop {
        let request = request(false).header(IDEMPOTENCY_KEY, repeats.key());
        match session.client.json(request).await {
            Err(error) if repeats.again(&error).await => {}
            answer => break answer?,
        }
    };
    let id = accepted.task.task_id;
    accepted.task = wait::until_ended(session, id, wait::PATIENCE).await?;
    let (text, code) = outcome(action, &accepted.task);
    match code {
        _ if session.console.is_json() => session.console.document(&accepted.task),
        FAILED => complain(&text),
        _ => session.console.say(&text),
    }
    Ok(ExitCode::from(code))
}

/// How the action ended, and the exit code for it.
fn outcome(action: BulkAction, task: &TaskView) -> (String, u8) {
    let result = task.result.clone().and_then(|result| serde_json::from_value(result).ok());
    let result: Option<BulkActionResult> = result;
    let (TaskState::Processed, Some(result)) = (task.state, result) else {
        let mut text = view::outcome_sentence(task);
        if let Some(error) = &task.error {
            text.push('\n');
            text.push_str(&problem_text(error));
        }
        return (text, FAILED);
    };
    let mut text = format!("{} {}", capital(done(action)), counted(result.done, "task", "tasks"));
    if result.not_possible == 0 {
        return (text + ".", 0);
    }
    text += &format!("; it was not possible for {}:", HumanCount(result.not_possible));
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for error in &result.errors {
        *reasons.entry(&error.reason).or_default() += 1;
    }
    for (reason, count) in reasons {
        text += &format!("\n  {}: {reason}", counted(count, "task", "tasks"));
    }
    let more = result.not_possible.saturating_sub(result.errors.len() as u64);
    if more > 0 {
        text += &format!("\n  … and {} more", HumanCount(more));
    }
    // Others than those that were counted as possible are no failure.
    (printable(&text), 0)
}

fn verb(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Stop => "stop",
        BulkAction::Kill => "kill",
        BulkAction::Resume => "resume",
        BulkAction::Delete => "delete",
    }
}

fn done(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Stop => "stopped",
        BulkAction::Kill => "killed",
        BulkAction::Resume => "resumed",
        BulkAction::Delete => "deleted",
    }
}

fn effect(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Stop => "Everything that they wrote is rolled back.",
        BulkAction::Kill => "What is durable is kept, and they can be resumed.",
        BulkAction::Resume => "They are queued again.",
        BulkAction::Delete => "Their files, results and rows are removed for good.",
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
