//! `taskctl list --watch`: the list as a live table on a terminal, otherwise a line for each change.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use common::clock::now;
use common::task::{TaskId, TaskList, TaskState, TaskView};
use console::Term;

use crate::console::is_colored;
use crate::failure::Failure;
use crate::interrupt::or_interrupted;
use crate::session::Session;
use crate::tasks::{ListArgs, fetch};
use crate::view;

/// The interval between requests.
const INTERVAL: Duration = Duration::from_secs(1);
/// The lines of a terminal that the table leaves free: the status below it, and the cursor's.
const FREE_LINES: usize = 2;

/// Shows the list until Ctrl-C.
///
/// # Errors
/// The server refuses, does not answer the first request, or Ctrl-C was pressed.
pub(crate) async fn watch(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let terminal = Term::stdout();
    let shown = async {
        match terminal.is_term() {
            true => show_table(session, args, &terminal).await,
            false => print_changes(session, args).await,
        }
    };
    let ended = or_interrupted(shown, String::new).await;
    if terminal.is_term() {
        // The terminal may be gone.
        let _ = terminal.show_cursor();
    }
    ended
}

async fn show_table(session: &Session, args: &ListArgs, terminal: &Term) -> Result<(), Failure> {
    let mut list = fetch(session, args).await?;
    let mut height = 0;
    let mut problem: Option<String> = None;
    // Fails only if the terminal does.
    let _ = terminal.hide_cursor();
    loop {
        let (rows, columns) = terminal.size();
        let room = usize::from(rows).saturating_sub(FREE_LINES).max(1);
        let text = frame(&list, problem.as_deref(), room, columns.into());
        let mut output = String::new();
        if height > 0 {
            let _ = write!(output, "\u{1b}[{height}A");
        }
        for line in text.lines() {
            // The rest of each line is cleared, and not the screen: nothing flickers.
            let _ = write!(output, "\r{line}\u{1b}[K\r\n");
        }
        output.push_str("\u{1b}[J");
        if terminal.write_str(&output).is_err() {
            return Err(Failure::reader_left());
        }
        height = text.lines().count();
        tokio::time::sleep(INTERVAL).await;
        problem = match fetch(session, args).await {
            Ok(new) => {
                list = new;
                None
            }
            Err(failure) if failure.is_transient() => Some("server not reachable, waiting…".into()),
            Err(failure) => return Err(failure),
        };
    }
}

/// The table, cut to `room` lines, with a line about it below.
fn frame(list: &TaskList, problem: Option<&str>, room: usize, width: usize) -> String {
    let table = view::rows_of_table(list, width, is_colored());
    let all = list.items.len();
    let shown = all.min(room.saturating_sub(1));
    let mut lines: Vec<_> = table.lines().take(room).map(str::to_owned).collect();
    lines.push(match problem {
        Some(problem) => problem.to_owned(),
        None => {
            let count = |state| list.items.iter().filter(|task| task.state == state).count();
            let states = TaskState::ALL.into_iter().filter(|state| count(*state) > 0);
            let states: Vec<_> = states.map(|state| format!("{} {state}", count(state))).collect();
            let cut = match all - shown {
                0 => String::new(),
                more => format!(" ({more} more below)"),
            };
            let time = now().format("%H:%M:%S UTC");
            let counts = states.join(", ");
            let separator = if counts.is_empty() { "" } else { "; " };
            format!("{counts}{cut}{separator}{time}, Ctrl-C ends it")
        }
    });
    lines.join("\n")
}

/// Prints each task, and then each change of a state.
async fn print_changes(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let mut states: HashMap<TaskId, TaskState> = HashMap::new();
    let mut list = fetch(session, args).await?;
    loop {
        let is_new =
            |task: &&TaskView| states.get(&task.task_id).is_none_or(|state| *state != task.state);
        // The oldest first, since later changes are below.
        let lines: Vec<_> = list.items.iter().rev().filter(is_new).map(view::task_line).collect();
        for line in lines {
            if !session.console.line(&line) {
                return Err(Failure::reader_left());
            }
        }
        states = list.items.iter().map(|task| (task.task_id, task.state)).collect();
        tokio::time::sleep(INTERVAL).await;
        match fetch(session, args).await {
            Ok(new) => list = new,
            Err(failure) if failure.is_transient() => {}
            Err(failure) => return Err(failure),
        }
    }
}
