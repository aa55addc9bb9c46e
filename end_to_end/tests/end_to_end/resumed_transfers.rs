//! Uploads and downloads of `taskctl` that are interrupted in every way, and continue.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use common::task::{TaskId, TaskState, TaskView};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::api::{DEADLINE, eventually};
use super::bucket;
use super::fleet::relay::Relay;
use super::plays::Plays;
use super::process::{Process, taskctl};
use super::standalone::Standalone;

/// A standalone server behind a relay, and a user with a file.
struct Setup {
    server: Standalone,
    relay: Relay,
    plays: Plays,
    folder: TempDir,
    data: TempDir,
}

impl Setup {
    async fn start() -> Self {
        let (data, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let server = Standalone::start(data.path()).await;
        let relay = Relay::start(vec![address(&server)]).await;
        // 12 MB, and a result of 4 MB.
        let plays = Plays::random(&mut StdRng::seed_from_u64(21), 400_000, 1);
        plays.write(&folder.path().join("plays.csv"));
        Self { server, relay, plays, folder, data }
    }

    fn run(&self, args: &[&str]) -> Process {
        let mut command = taskctl();
        command.args(args).current_dir(self.folder.path());
        command.env("TASKCTL_SERVER", format!("http://{}", self.relay.address));
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        Process::spawn(&mut command)
    }

    /// Runs it to its end, which must be a success.
    async fn done(&self, args: &[&str]) -> Process {
        let mut process = self.run(args);
        let status = process.exit(DEADLINE).await;
        assert_eq!(status.code(), Some(0));
        process
    }

    /// Kills the server and starts it again behind the relay.
    async fn crash(&mut self) {
        self.server.crash().await;
        self.relay.lead_to(vec![address(&self.server)]);
    }

    /// Waits until the server has this percentage of the upload.
    async fn arrived(&self, percent: u64) -> TaskView {
        eventually("a part of the file has arrived", async || {
            let task = self.server.api.tasks().await.into_iter().next()?;
            let progress = task.progress.as_ref()?;
            let is_enough = progress.done * 100 >= progress.total? * percent;
            (task.state == TaskState::Initializing && is_enough).then_some(task)
        })
        .await
    }

    /// Waits for the result of the only task, which must be correct, and returns its id.
    async fn check_only_task(&self) -> TaskId {
        let tasks = self.server.api.tasks().await;
        let [task] = &tasks[..] else { panic!("one upload is one task: {tasks:?}") };
        let task = self.server.api.wait_for_end(task.task_id).await;
        assert_eq!(task.state, TaskState::Processed);
        let result = self.server.api.result(task.task_id).await;
        assert!(result == self.plays.sums(), "the result is wrong");
        task.task_id
    }

    fn records(&self) -> usize {
        let folder = self.folder.path().join("state/taskctl/uploads");
        std::fs::read_dir(folder).unwrap().count()
    }
}

fn address(server: &Standalone) -> SocketAddr {
    server.api.url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A line of the output of a process.
fn said(process: &Process, words: &str) -> bool {
    process.find(|line| line.contains(words).then(|| line.to_owned())).is_some()
}

const UPLOAD: [&str; 2] = ["upload", "plays.csv"];
const PARALLEL: [&str; 4] = ["upload", "plays.csv", "--parallel", "3"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_arrive_through_a_relay_that_cuts_every_connection() {
    let setup = Setup::start().await;
    setup.relay.cut_each_after(700_000);
    for parallel in ["1", "3"] {
        let args = ["upload", "plays.csv", "--output", "sums.csv", "--parallel", parallel];
        setup.done(&args).await;
        let sums = std::fs::read(setup.folder.path().join("sums.csv")).unwrap();
        assert!(sums == setup.plays.sums(), "the result is wrong");
    }
    assert_eq!(setup.server.api.tasks().await.len(), 2);
    assert_eq!(setup.records(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_continues_after_ctrl_c_and_after_sigkill() {
    let setup = Setup::start().await;
    setup.relay.delay(Duration::from_millis(20));
    let mut first = setup.run(&UPLOAD);
    let task = setup.arrived(10).await;
    first.signal("INT");
    assert_eq!(first.exit(Duration::from_secs(5)).await.code(), Some(130));
    let hint = "The same command continues it within 24 hours.";
    eventually("the hint", async || said(&first, hint).then_some(())).await;

    let mut second = setup.run(&UPLOAD);
    eventually("it continues", async || said(&second, ", from ").then_some(())).await;
    setup.arrived(40).await;
    second.kill9();

    setup.relay.heal();
    setup.done(&UPLOAD).await;
    assert_eq!(setup.check_only_task().await, task.task_id);
    assert_eq!(setup.records(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_continues_after_crashes_of_the_server() {
    for args in [&UPLOAD[..], &PARALLEL] {
        let mut setup = Setup::start().await;
        setup.relay.delay(Duration::from_millis(20));
        let mut upload = setup.run(args);
        let partial = args.len() > 2;
        for bytes in [1 << 20, 3 << 20] {
            if partial {
                staged(&setup, bytes).await;
            } else {
                setup.arrived(bytes * 100 / (12 << 20)).await;
            }
            setup.crash().await;
        }
        setup.relay.heal();
        assert_eq!(upload.exit(DEADLINE).await.code(), Some(0));
        assert!(said(&upload, "reconnecting"));
        setup.check_only_task().await;
    }
}

/// Waits until the server has stored so many bytes of partial uploads, which have no task.
async fn staged(setup: &Setup, bytes: u64) {
    eventually("the parts arrive", async || {
        let files = bucket::files(setup.data.path()).into_iter();
        let root = setup.data.path().join("local_storage");
        let sizes = files.map(|file| root.join(file).metadata().map_or(0, |found| found.len()));
        (sizes.sum::<u64>() >= bytes).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_parts_continue_after_sigkill() {
    let setup = Setup::start().await;
    setup.relay.delay(Duration::from_millis(20));
    let mut first = setup.run(&PARALLEL);
    staged(&setup, 3 << 20).await;
    first.kill9();

    setup.relay.heal();
    let second = setup.done(&PARALLEL).await;
    assert!(said(&second, ", from "));
    setup.check_only_task().await;
    assert_eq!(setup.records(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_interrupted_upload_of_a_changed_file_is_replaced() {
    let mut setup = Setup::start().await;
    setup.relay.delay(Duration::from_millis(20));
    let mut first = setup.run(&UPLOAD);
    setup.arrived(10).await;
    first.signal("INT");
    assert_eq!(first.exit(Duration::from_secs(5)).await.code(), Some(130));

    setup.relay.heal();
    setup.plays = Plays::random(&mut StdRng::seed_from_u64(22), 100_000, 1);
    setup.plays.write(&setup.folder.path().join("plays.csv"));
    let second = setup.done(&UPLOAD).await;
    assert!(said(&second, "plays.csv has changed since its upload was interrupted"));
    setup.check_only_task().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_upload_ends_with_the_reason() {
    let setup = Setup::start().await;
    setup.relay.delay(Duration::from_millis(20));
    let mut upload = setup.run(&UPLOAD);
    let task = setup.arrived(10).await;
    setup.server.api.interrupt(task.task_id, "stop").await;
    assert_eq!(upload.exit(DEADLINE).await.code(), Some(1));
    let reason = format!("The upload was stopped as task {}", task.task_id);
    eventually("the reason", async || said(&upload, &reason).then_some(())).await;
    assert_eq!(setup.records(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_parameter_or_file_is_refused_before_its_bytes_are_sent() {
    let setup = Setup::start().await;
    // All bytes would take minutes.
    setup.relay.delay(Duration::from_secs(2));
    let document = [b"%PDF-1.7\n".to_vec(), vec![b'x'; 20 << 20]].concat();
    std::fs::write(setup.folder.path().join("document.csv"), document).unwrap();
    for args in [
        &["upload", "plays.csv", "--param", "colour=red"][..],
        &["upload", "plays.csv", "--param", "colour=red", "--parallel", "3"],
        &["upload", "document.csv"],
    ] {
        let mut upload = setup.run(args);
        assert_eq!(upload.exit(DEADLINE).await.code(), Some(1), "{args:?}");
        let reason = if args[1] == "plays.csv" { "colour" } else { "PDF document" };
        eventually("the reason", async || said(&upload, reason).then_some(())).await;
        assert_eq!(setup.records(), 0, "{args:?}");
    }
    assert!(setup.server.api.tasks().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_given_up() {
    let setup = Setup::start().await;
    setup.relay.delay(Duration::from_millis(20));
    let mut upload = setup.run(&["upload", "plays.csv", "--give-up-after", "1s"]);
    setup.arrived(10).await;
    setup.relay.cut();
    assert_eq!(upload.exit(DEADLINE).await.code(), Some(3));
    let hint = "The same command continues it within 24 hours.";
    eventually("the hint", async || said(&upload, hint).then_some(())).await;
    setup.relay.heal();
    setup.done(&UPLOAD).await;
    setup.check_only_task().await;
}

fn part(folder: &Path) -> Option<u64> {
    let mut entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let part = entries.find(|entry| entry.path().extension().is_some_and(|it| it == "part"))?;
    Some(part.metadata().unwrap().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_continues_after_sigkill_and_a_crash_of_the_server() {
    let mut setup = Setup::start().await;
    setup.done(&["upload", "plays.csv", "--wait"]).await;
    let id = setup.check_only_task().await.to_string();
    let folder = setup.folder.path().to_owned();
    let grown = async |size: u64| {
        eventually("the part grows", async || part(&folder).filter(|now| *now > size)).await
    };
    setup.relay.delay(Duration::from_millis(20));
    let mut first = setup.run(&["download", &id]);
    let size = grown(500_000).await;
    first.kill9();

    let mut second = setup.run(&["download", &id]);
    grown(size + 500_000).await;
    setup.crash().await;
    setup.relay.heal();
    assert_eq!(second.exit(DEADLINE).await.code(), Some(0));
    assert!(said(&second, ", from "));
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    let sums = setup.plays.sums();
    let is_result = |path: &Path| std::fs::read(path).is_ok_and(|content| content == sums);
    assert_eq!(names.iter().filter(|path| is_result(path)).count(), 1, "{names:?}");
    assert_eq!(part(&folder), None);
}
