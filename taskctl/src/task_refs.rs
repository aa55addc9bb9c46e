//! Tasks on the command line: ids, beginnings of ids, or the newest task.

use std::str::FromStr;

use clap::Args;
use common::task::{TaskId, TaskList};
use reqwest::Method;

use crate::failure::Failure;
use crate::session::Session;

/// The shortest beginning of an id, as in the API.
const SHORTEST: usize = 6;
/// The length of an id.
const WHOLE: usize = 36;
/// How many candidates are requested. Others than those that match have the text in their file's
/// name.
const CANDIDATES: &str = "1000";
/// How many candidates an error names.
const NAMED: usize = 5;

/// An id, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TaskRef {
    /// A whole id.
    Id(TaskId),
    /// The beginning of one, with its hyphens.
    Prefix(String),
}

impl FromStr for TaskRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let is_part = |(at, c): (usize, char)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        };
        match (SHORTEST..WHOLE).contains(&text.len()) && text.char_indices().all(is_part) {
            true => Ok(Self::Prefix(text.to_ascii_lowercase())),
            false => Err(format!(
                "it is neither the id of a task nor the beginning of one ({SHORTEST} characters or \
                 more)"
            )),
        }
    }
}

/// One task.
#[derive(Debug, Clone, Args)]
pub(crate) struct OneTask {
    /// The id of the task, or its beginning (6 characters or more).
    #[arg(required_unless_present = "last")]
    id: Option<TaskRef>,
    /// The newest task instead of an id.
    #[arg(long, short, conflicts_with = "id")]
    last: bool,
}

/// One or several tasks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Tasks {
    /// The ids of the tasks, or their beginnings (6 characters or more).
    #[arg(required_unless_present = "last", value_name = "ID")]
    ids: Vec<TaskRef>,
    /// The newest task instead of ids.
    #[arg(long, short, conflicts_with = "ids")]
    last: bool,
}

impl OneTask {
    /// The id of the task.
    ///
    /// # Errors
    /// No task or several tasks match, or the server refuses.
    pub(crate) async fn resolve(&self, session: &Session) -> Result<TaskId, Failure> {
        match &self.id {
            Some(task) => resolve(session, task).await,
            None => newest(session).await,
        }
    }
}

impl Tasks {
    /// The ids of the tasks, each once.
    ///
    /// # Errors
    /// See [`OneTask::resolve`].
    pub(crate) async fn resolve(&self, session: &Session) -> Result<Vec<TaskId>, Failure> {
        resolve_all(session, &self.ids, self.last).await
    }
}

/// The ids of tasks, each once, or that of the `last` one.
///
/// # Errors
/// See [`OneTask::resolve`].
pub(crate) async fn resolve_all(
    session: &Session,
    tasks: &[TaskRef],
    last: bool,
) -> Result<Vec<TaskId>, Failure> {
    if last {
        return Ok(vec![newest(session).await?]);
    }
    let mut ids = Vec::new();
    for task in tasks {
        let id = resolve(session, task).await?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

async fn resolve(session: &Session, task: &TaskRef) -> Result<TaskId, Failure> {
    let prefix = match task {
        TaskRef::Id(id) => return Ok(*id),
        TaskRef::Prefix(prefix) => prefix,
    };
    let found = list(session, &[("text", prefix), ("page_size", CANDIDATES)]).await?;
    let ids = found.items.into_iter().map(|task| task.task_id);
    let ids: Vec<_> = ids.filter(|id| id.to_string().starts_with(prefix)).collect();
    match *ids {
        [id] => Ok(id),
        [] => Err(Failure::local(format!("There is no task whose id begins with {prefix}."))),
        _ => {
            let named: Vec<_> = ids.iter().take(NAMED).map(ToString::to_string).collect();
            let more = match ids.len() - named.len() {
                0 => String::new(),
                more => format!("\n  … and {more} more"),
            };
            Err(Failure::local(format!(
                "{} tasks have ids that begin with {prefix}; add characters:\n  {}{more}",
                ids.len(),
                named.join("\n  ")
            )))
        }
    }
}

async fn newest(session: &Session) -> Result<TaskId, Failure> {
    let list = list(session, &[("page_size", "1")]).await?;
    let newest = list.items.first().map(|task| task.task_id);
    newest.ok_or_else(|| Failure::local("There are no tasks."))
}

async fn list(session: &Session, query: &[(&str, &str)]) -> Result<TaskList, Failure> {
    let request = session.client.request(Method::GET, "/v1/tasks").query(query);
    Ok(session.client.json(request).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_or_its_beginning_is_accepted() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(id.parse(), Ok(TaskRef::Id(id.parse().unwrap())));
        for prefix in ["01890a", "01890a5d-", "01890A5D-AC96"] {
            assert_eq!(prefix.parse(), Ok(TaskRef::Prefix(prefix.to_lowercase())));
        }
        for other in ["", "01890", "seven", "01890a5da", "01890a5d-ac96-774b-bcce-b302099a80570"] {
            assert!(other.parse::<TaskRef>().is_err(), "{other}");
        }
    }
}
