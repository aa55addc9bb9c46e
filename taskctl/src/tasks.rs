//! The commands on tasks: status, list, stop, kill, resume, run-again, delete.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use common::task::{AcceptedTask, TaskId, TaskKind, TaskList, TaskState, TaskView};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::failure::Failure;
use crate::kind_options::KindOptions;
use crate::problem_text::problem_text;
use crate::session::{Session, task_path};
use crate::{outcome, view};

/// The largest page of the API.
const LARGEST_PAGE: u32 = 10_000;

/// The arguments of `taskctl list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only tasks in this state, for example `processing`.
    #[arg(long)]
    state: Option<TaskState>,
    /// Only tasks of this kind.
    #[arg(long)]
    kind: Option<TaskKind>,
    /// Only tasks whose file name contains this.
    #[arg(long)]
    text: Option<String>,
    /// At most this many tasks.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// The arguments of `taskctl run-again`.
#[derive(Debug, Args)]
pub(crate) struct RunAgainArgs {
    /// The id of the earlier task.
    id: TaskId,
    /// Parameters that replace those of their names; the others stay.
    #[command(flatten)]
    options: KindOptions,
}

/// `taskctl status`.
pub(crate) async fn status(session: &Session, id: TaskId) -> Result<ExitCode, Failure> {
    let task: TaskView = session.client.get(&task_path(id)).await?;
    session.console.answer(&task, || {
        let mut lines = vec![view::details(&task)];
        lines.extend(task.error.as_ref().map(problem_text));
        lines.extend(outcome::hints(session, &task, false));
        lines.join("\n")
    });
    Ok(ExitCode::SUCCESS)
}

/// `taskctl list`: as many pages as the limit needs.
pub(crate) async fn list(session: &Session, args: ListArgs) -> Result<ExitCode, Failure> {
    let mut list = TaskList { items: Vec::new(), next_page_token: None };
    loop {
        let missing = args.limit - u32::try_from(list.items.len()).unwrap_or(args.limit);
        let mut query = vec![("page_size", missing.min(LARGEST_PAGE).to_string())];
        query.extend(args.state.map(|state| ("state", state.to_string())));
        query.extend(args.kind.map(|kind| ("kind", kind.to_string())));
        query.extend(args.text.clone().map(|text| ("text", text)));
        query.extend(list.next_page_token.take().map(|token| ("page_token", token)));

        let request = session.client.request(Method::GET, "/v1/tasks").query(&query);
        let page: TaskList = session.client.json(request).await?;
        list.items.extend(page.items);
        list.next_page_token = page.next_page_token;
        if list.next_page_token.is_none() || list.items.len() >= args.limit as usize {
            break;
        }
    }
    session.console.answer(&list, || view::table(&list));
    Ok(ExitCode::SUCCESS)
}

/// `taskctl stop`, `kill` and `resume`.
pub(crate) async fn act(session: &Session, id: TaskId, verb: &str) -> Result<ExitCode, Failure> {
    let request = session.client.request(Method::POST, &format!("{}/{verb}", task_path(id)));
    let task: TaskView = session.client.json(request).await?;
    session.console.answer(&task, || format!("Task {id}: {}", view::state_phrase(&task)));
    Ok(ExitCode::SUCCESS)
}

/// `taskctl run-again`.
pub(crate) async fn run_again(session: &Session, args: RunAgainArgs) -> Result<ExitCode, Failure> {
    let RunAgainArgs { id, options } = args;
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in options.params {
        parameters.entry(name).or_default().push(value);
    }
    // So that a repeat after a lost answer creates no second task.
    let request = session
        .client
        .request(Method::POST, &format!("{}/run_again", task_path(id)))
        .header("Idempotency-Key", Uuid::new_v4().to_string())
        .json(&json!({"parameters": parameters}));
    let accepted: AcceptedTask = session.client.json(request).await?;
    session.console.answer(&accepted, || {
        let task = &accepted.task;
        format!("Task {}: {}", task.task_id, view::state_phrase(task))
    });
    Ok(ExitCode::SUCCESS)
}

/// `taskctl delete`: the API returns no content, so there is no JSON either.
pub(crate) async fn delete(session: &Session, id: TaskId) -> Result<ExitCode, Failure> {
    let request = session.client.request(Method::DELETE, &task_path(id));
    session.client.send(request).await?;
    session.console.say(&format!("Task {id} is deleted."));
    Ok(ExitCode::SUCCESS)
}
