//! Reports how a task ended, and the exit code for it.

use std::process::ExitCode;

use common::plural::plural;
use common::task::{TaskKind, TaskState, TaskView};

use crate::console::{Console, complain};
use crate::counts::counted;
use crate::failure::FAILED;
use crate::problem_text::problem_text;
use crate::saving::Saved;
use crate::session::Session;
use crate::view;

/// Reports how the task ended, with its `name` if it is one of several, and where the result was `saved` (with `--json`, only the task's
/// document); success only if the task is processed.
pub(crate) fn conclude(
    console: Console,
    session: &Session,
    task: &TaskView,
    saved: Option<&Saved>,
    name: Option<&str>,
) -> ExitCode {
    let hints = hints(session, task, saved.is_some());
    let sentence = view::outcome_sentence(task);
    let mut lines = vec![match name {
        Some(name) => format!("{name}: {sentence}"),
        None => sentence,
    }];
    lines.extend(task.error.as_ref().map(problem_text));
    lines.extend(saved.map(Saved::sentence));
    lines.extend(hints);
    let text = lines.join("\n");

    if task.state == TaskState::Processed {
        console.say(&text);
        return ExitCode::SUCCESS;
    }
    if !console.is_json() {
        complain(&text);
    }
    ExitCode::from(FAILED)
}

/// The commands that can be used on the task now, one per line.
pub(crate) fn hints(session: &Session, task: &TaskView, has_result: bool) -> Vec<String> {
    let mut hints = Vec::new();
    if task.state == TaskState::Processed && task.links.download.is_some() && !has_result {
        hints.push(format!(
            "Fetch the result with `{}`.",
            session.command("download", task.task_id)
        ));
    }
    if view::result_count(task, "rows_loaded").is_some_and(|rows| rows > 0) {
        hints.push(format!("Read the rows with `{}`.", session.command("rows", task.task_id)));
    }
    if let Some(rows) = view::result_count(task, "rows_rejected").filter(|rows| *rows > 0) {
        let command = session.command("rejected", task.task_id);
        let them = plural(rows, "it", "them");
        let rows = counted(rows, "row was", "rows were");
        hints.push(format!("{rows} rejected; fetch {them} with `{command}`."));
    }
    if let Some(advice) = advice(session, task) {
        hints.push(advice);
    } else if task.links.resume.is_some() {
        let command = session.command("resume", task.task_id);
        hints.push(format!("Queue it again with `{command}`."));
    }
    hints
}

/// What to do about a task that failed because of its file or its parameters: a repeat would fail
/// again.
fn advice(session: &Session, task: &TaskView) -> Option<String> {
    let error = task.error.as_ref().filter(|error| error.status == 422)?;
    let again = |options: &str| session.program(&format!("run-again {}{options}", task.task_id));
    let other = match (task.links.run_again.is_some(), error.code.as_str()) {
        (true, "bad_rows") => {
            let command = again(" --on-bad-row skip");
            format!(", or leave these rows out with `{command}`")
        }
        (true, "missing_column") if task.kind == TaskKind::CsvAggregation => {
            let command = again(" --group-by COLUMN --sum COLUMN");
            return Some(format!("Name the columns of the file with `{command}`."));
        }
        _ => String::new(),
    };
    Some(format!("Correct the file and upload it again{other}."))
}
