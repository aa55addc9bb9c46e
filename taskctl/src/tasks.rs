//! The commands that show tasks, and `run-again`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use common::task::{AcceptedTask, TaskList, TaskView};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::console::{is_colored, is_quiet, output_width};
use crate::failure::Failure;
use crate::kind_options::KindOptions;
use crate::problem_text::problem_text;
use crate::session::{Session, task_path};
use crate::several::Several;
use crate::task_filter::TaskFilter;
use crate::task_refs::{OneTask, Tasks};
use crate::{live_list, numbers, outcome, view};

/// The largest page of the API.
const LARGEST_PAGE: u32 = 10_000;

/// The arguments of `taskctl list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: TaskFilter,
    /// At most this many tasks.
    #[arg(long, short = 'n', default_value = "50", value_name = "N")]
    #[arg(value_parser = numbers::within(1..=u32::MAX))]
    limit: u32,
    /// Show the list until Ctrl-C: as a live table on a terminal, otherwise a line for each change.
    #[arg(long, short)]
    watch: bool,
}

/// The arguments of `taskctl run-again`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunAgainArgs {
    #[command(flatten)]
    task: OneTask,
    /// Parameters that replace those of their names; the others stay.
    #[command(flatten)]
    options: KindOptions,
}

/// `taskctl status`.
pub(crate) async fn status(session: &Session, tasks: &Tasks) -> Result<ExitCode, Failure> {
    let ids = tasks.resolve(session).await?;
    let mut several = Several::new(session.console, ids.len());
    let mut is_first = true;
    for id in ids {
        let answer = session.client.get::<TaskView>(&task_path(id)).await.map_err(Failure::from);
        let Some(task) = several.tried(&id.to_string(), answer)? else { continue };
        if !session.console.is_json() {
            let mut lines = vec![view::details(&task)];
            lines.extend(task.error.as_ref().map(problem_text));
            lines.extend(outcome::hints(session, &task, false));
            let separator = if is_first { "" } else { "\n" };
            session.console.line(&format!("{separator}{}", lines.join("\n")));
            is_first = false;
        }
        several.add(&task, ExitCode::SUCCESS);
    }
    Ok(several.finish())
}

/// `taskctl list`.
pub(crate) async fn list(session: &Session, args: ListArgs) -> Result<ExitCode, Failure> {
    if args.watch {
        if session.console.is_json() {
            return Err(Failure::usage("--json prints one document, and --watch does not end."));
        }
        live_list::watch(session, &args).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let list = fetch(session, &args).await?;
    session.console.answer(&list, || match is_quiet() {
        true => {
            let ids: Vec<_> = list.items.iter().map(|task| task.task_id.to_string()).collect();
            ids.join("\n")
        }
        false => view::table(&list, output_width(), is_colored()),
    });
    Ok(ExitCode::SUCCESS)
}

/// The list, from as many pages as the limit needs.
pub(crate) async fn fetch(session: &Session, args: &ListArgs) -> Result<TaskList, Failure> {
    let mut list = TaskList { items: Vec::new(), next_page_token: None };
    loop {
        let missing = args.limit - u32::try_from(list.items.len()).unwrap_or(args.limit);
        let mut query = vec![("page_size", missing.min(LARGEST_PAGE).to_string())];
        query.extend(args.filter.parameters());
        query.extend(list.next_page_token.take().map(|token| ("page_token", token)));

        let request = session.client.request(Method::GET, "/v1/tasks").query(&query);
        let page: TaskList = session.client.json(request).await?;
        list.items.extend(page.items);
        list.next_page_token = page.next_page_token;
        if list.next_page_token.is_none() || list.items.len() >= args.limit as usize {
            return Ok(list);
        }
    }
}

/// `taskctl run-again`.
pub(crate) async fn run_again(session: &Session, args: RunAgainArgs) -> Result<ExitCode, Failure> {
    let RunAgainArgs { task, options } = args;
    let id = task.resolve(session).await?;
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
    let task = &accepted.task;
    session.console.id(&task.task_id);
    session.console.say(&format!("Task {}: {}", task.task_id, view::state_phrase(task)));
    if session.console.is_json() {
        session.console.document(&accepted);
    }
    Ok(ExitCode::SUCCESS)
}
