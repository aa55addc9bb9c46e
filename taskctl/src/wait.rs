//! Waits until a task has ended.
//!
//! The task is polled, so a restart of the server needs no new subscription. If the server is down,
//! the client waits for it, since the task continues when the server is up again.

use std::process::ExitCode;
use std::time::Duration;

use common::client::ClientError;
use common::task::{TaskId, TaskState, TaskView};
use reqwest::Method;
use tokio::time::Instant;

use crate::console::note;
use crate::failure::Failure;
use crate::interrupt::or_interrupted;
use crate::outcome;
use crate::progress::WaitingBar;
use crate::question::{Answer, ask, can_ask};
use crate::session::{Session, task_path};
use crate::several::Several;
use crate::task_refs::Tasks;

/// How long to wait for a server that is down.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The interval between polls.
const POLL: Duration = Duration::from_millis(300);
/// A poll that takes longer counts as unanswered.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// `taskctl watch`.
pub(crate) async fn watch(session: &Session, tasks: &Tasks) -> Result<ExitCode, Failure> {
    let ids = tasks.resolve(session).await?;
    let mut several = Several::new(session.console, ids.len());
    for id in ids {
        let watched = async {
            // A missing server or an unknown task is reported immediately.
            let _: TaskView = session.client.get(&task_path(id)).await?;
            until_ended(session, id, PATIENCE).await
        };
        let name = id.to_string();
        let Some(task) = several.tried(&name, watched.await)? else { continue };
        let name = several.is_many().then_some(name.as_str());
        let code = outcome::conclude(session.console, session, &task, None, name);
        several.add(&task, code);
    }
    Ok(several.finish())
}

/// Returns the task when it has ended in any state.
///
/// # Errors
/// The server refuses, is down for longer than `patience`, or Ctrl-C was pressed.
pub(crate) async fn until_ended(
    session: &Session,
    id: TaskId,
    patience: Duration,
) -> Result<TaskView, Failure> {
    or_interrupted(poll(session, id, patience), || {
        format!(
            "Not waiting any longer. Task {id} continues on the server; see its state with \
             `{}`.",
            session.command("status", id)
        )
    })
    .await
}

/// Like [`until_ended`], but on a terminal Ctrl-C asks what to do with the task. After a stop or
/// kill, waits for its end; another Ctrl-C leaves it running.
pub(crate) async fn until_ended_or_interrupted(
    session: &Session,
    id: TaskId,
    patience: Duration,
) -> Result<TaskView, Failure> {
    if !can_ask() {
        return until_ended(session, id, patience).await;
    }
    tokio::select! {
        task = poll(session, id, patience) => return task,
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
    let verb = match ask().await {
        Answer::Stop => "stop",
        Answer::Kill => "kill",
        Answer::Leave => {
            return Err(Failure::interrupted(format!(
                "Task {id} continues on the server; see its state with `{}`.",
                session.command("status", id)
            )));
        }
    };
    let request = session.client.request(Method::POST, &format!("{}/{verb}", task_path(id)));
    if let Err(error) = session.client.json::<TaskView>(request).await {
        let task: TaskView = session.client.get(&task_path(id)).await?;
        if task.state != TaskState::Processed {
            return Err(error.into());
        }
        note("It ended before it could be interrupted.");
    }
    until_ended(session, id, patience).await
}

async fn poll(session: &Session, id: TaskId, patience: Duration) -> Result<TaskView, Failure> {
    let mut bar = WaitingBar::start();
    let mut away_since = None;
    loop {
        let request = session.client.request(Method::GET, &task_path(id)).timeout(POLL_TIMEOUT);
        match session.client.json::<TaskView>(request).await {
            Ok(task) => {
                away_since = None;
                bar.show(&task);
                if task.state.is_ended() {
                    return Ok(task);
                }
            }
            Err(error) if error.is_transient() => {
                let since = *away_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= patience {
                    return Err(gave_up(session, id, patience, &error));
                }
                bar.server_down();
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(POLL).await;
    }
}

fn gave_up(session: &Session, id: TaskId, patience: Duration, error: &ClientError) -> Failure {
    Failure::lost(format!(
        "The server has sent no usable answer for {} s: {error}.\nTask {id} is safe there and \
         continues when the server is up again; wait for it with `{}`.",
        patience.as_secs(),
        session.command("watch", id)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use crate::console::Console;

    #[tokio::test]
    async fn waiting_for_an_unreachable_server_ends_with_a_hint() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let session = Session::new(&Connection::to(&server), Console::new(true)).unwrap();
        let id = TaskId::new();

        let started = Instant::now();
        let failure = until_ended(&session, id, Duration::from_secs(1)).await.unwrap_err();

        assert!(started.elapsed() >= Duration::from_secs(1));
        let text = format!("{failure:?}");
        assert!(text.contains("code: 3"), "{text}");
        assert!(text.contains(&format!("--server {server} watch {id}")), "{text}");
    }
}
