//! A task that keeps a worker busy during a test.

use common::task::{Progress, TaskId, TaskState};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::api::{Api, eventually};
use super::plays::Plays;

/// How often the rows of the first file are repeated: some seconds of work.
const TIMES: u32 = 1_000;

/// Uploads a file that keeps a worker busy for several seconds; returns when a worker is running it
/// with most of it remaining. Earlier attempts that were too short leave processed tasks.
pub async fn start_long_task(api: &Api) -> (TaskId, Plays) {
    let mut random = StdRng::seed_from_u64(7);
    let mut times = TIMES;
    loop {
        let plays = Plays::random(&mut random, 20_000, times);
        let id = api.accept("", plays.body()).await;
        let task = eventually("a worker is running it", async || {
            Some(api.task(id).await).filter(|task| {
                task.state == TaskState::Processing && task.progress.as_ref().is_some_and(is_early)
                    || task.state.is_ended()
            })
        })
        .await;
        if task.state == TaskState::Processing {
            return (id, plays);
        }
        assert_eq!(task.state, TaskState::Processed, "{:?}", task.error);
        // A faster machine gets a longer file.
        times *= 4;
    }
}

/// Whether three quarters remain.
fn is_early(progress: &Progress) -> bool {
    progress.total.is_some_and(|total| progress.done < total / 4)
}
