//! The real `taskctl standalone` on a data folder.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::api::{Api, eventually_within};
use super::bucket;
use super::process::{Process, taskctl};

/// The limit of a start or a graceful shutdown, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server that can be killed and restarted on the same folder.
pub struct Standalone {
    process: Process,
    data: PathBuf,
    settings: Vec<(&'static str, &'static str)>,
    /// Its client.
    pub api: Api,
}

impl Standalone {
    /// Starts one on `data` with the default settings; files without a task are swept each second.
    pub async fn start(data: &Path) -> Self {
        Self::start_with(data, &[]).await
    }

    /// Starts one with these environment variables.
    pub async fn start_with(data: &Path, settings: &[(&'static str, &'static str)]) -> Self {
        Self::start_at("127.0.0.1:0", data, settings).await
    }

    async fn start_at(
        address: &str,
        data: &Path,
        settings: &[(&'static str, &'static str)],
    ) -> Self {
        let mut command = taskctl();
        command.args(["standalone", "--listen", address, "--data"]).arg(data);
        // A test at the full hour would get unexpected tasks.
        command.env("TASK_MANAGER_RUN_SCHEDULES", "false");
        command.env("TASK_MANAGER_SWEEP_INTERVAL", "1s").envs(settings.iter().copied());
        let mut process = Process::spawn(&mut command);
        let url = process.url().await;
        Self { process, data: data.to_owned(), settings: settings.to_vec(), api: Api::new(url) }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.api.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Kills it and starts another one on the same folder.
    pub async fn crash(&mut self) {
        self.kill9();
        self.start_again().await;
    }

    /// Kills it and starts another one on the same folder and address, where a page expects it.
    pub async fn crash_in_place(&mut self) {
        let address = self.address().to_string();
        self.kill9();
        *self = Self::start_at(&address, &self.data, &self.settings).await;
    }

    /// A line of its output that contains all `parts`.
    pub fn said(&self, parts: &[&str]) -> Option<String> {
        let fits = |line: &str| parts.iter().all(|part| line.contains(part));
        self.process.find(|line| fits(line).then(|| line.to_owned()))
    }

    /// How many lines of its output contain `part`.
    pub fn count_said(&self, part: &str) -> usize {
        let count = Cell::new(0);
        self.process.find(|line| {
            count.set(count.get() + usize::from(line.contains(part)));
            None
        });
        count.get()
    }

    /// Kills it.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Shuts it down gracefully.
    pub async fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.process.terminate();
        self.process.exit(deadline).await
    }

    /// Starts another one on the same folder, after this one has ended.
    pub async fn start_again(&mut self) {
        *self = Self::start_with(&self.data, &self.settings).await;
    }

    /// Its peak memory in bytes.
    #[cfg(target_os = "linux")]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// Every file in the bucket, by its relative path, including unfinished ones.
    pub fn files(&self) -> Vec<String> {
        bucket::files(&self.data)
    }

    /// Waits until the bucket contains exactly these files.
    pub async fn wait_for_files(&self, mut expected: Vec<String>) {
        expected.sort();
        let what = format!("the bucket contains {expected:?}");
        eventually_within(DEADLINE, &what, async || (self.files() == expected).then_some(())).await;
    }
}
