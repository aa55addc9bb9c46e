//! Reports how a task ended, and the exit code for it.

use std::process::ExitCode;

use common::task::{TaskState, TaskView};

use crate::console::{Console, note};
use crate::counts::counted;
use crate::failure::FAILED;
use crate::problem_text::problem_text;
use crate::saving::Saved;
use crate::session::Session;
use crate::view;

/// Reports how the task ended and where the result was `saved` (with `--json`, only the task's
/// document); success only if the task is processed.
pub(crate) fn conclude(
    console: Console,
    session: &Session,
    task: &TaskView,
    saved: Option<&Saved>,
) -> ExitCode {
    let hints = hints(session, task, saved.is_some());
    let mut lines = vec![view::outcome_sentence(task)];
    lines.extend(task.error.as_ref().map(problem_text));
    lines.extend(saved.map(Saved::sentence));
    lines.extend(hints);
    let text = lines.join("\n");

    if task.state == TaskState::Processed {
        console.say(&text);
        return ExitCode::SUCCESS;
    }
    if !console.is_json() {
        note(&text);
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
        let rows = counted(rows, "row was", "rows were");
        hints.push(format!("{rows} rejected; fetch them with `{command}`."));
    }
    if task.links.resume.is_some() {
        let command = session.command("resume", task.task_id);
        hints.push(format!("Queue it again with `{command}`."));
    }
    hints
}
