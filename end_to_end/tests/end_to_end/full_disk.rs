//! A task that finds no space waits for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::task::TaskState;

use super::api::eventually_within;
use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::standalone::Standalone;

/// A waiting task is tried again every 30 seconds.
const DEADLINE: Duration = Duration::from_secs(120);
const SIZE: usize = 1 << 20;

/// A disk in memory, which is unmounted when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None if this user may not mount disks.
    #[allow(clippy::print_stdout, reason = "says what was not tested")]
    fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"]).arg(folder);
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(folder.to_owned()));
        }
        println!("NOT TESTED: this user may not mount a disk");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_task_waits_while_the_disk_is_full() {
    let (data, mount) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(disk) = SmallDisk::mount(mount.path()) else { return };
    let storage: &'static str = mount.path().to_str().unwrap().to_owned().leak();
    let settings = [("TASK_MANAGER_STORAGE", storage)];
    let server = Standalone::start_with(data.path(), &settings).await;
    // The input takes the last free page of the disk, so that none is left for the result.
    let id = server.api.accept("", SAMPLE).await;
    assert_eq!(server.api.result(id).await, SAMPLE_SUMS, "with space");
    let filler = disk.0.join("filler");
    let mut free = SIZE;
    while free > 0 && std::fs::write(&filler, vec![0; free]).is_err() {
        free -= 4096;
    }
    std::fs::write(&filler, vec![0; free.saturating_sub(4096)]).unwrap();
    let id = server.api.accept("&on_bad_row=skip", SAMPLE).await;

    let waiting = ["the task waits, and no failure is counted", "no space left"];
    eventually_within(DEADLINE, "the task waits", async || server.said(&waiting)).await;
    assert_eq!(server.api.wait_for_state(id, TaskState::Queued).await.failures, 0);
    std::fs::remove_file(&filler).unwrap();
    let done = eventually_within(DEADLINE, "the task is processed", async || {
        Some(server.api.task(id).await).filter(|task| task.state == TaskState::Processed)
    });
    assert_eq!(done.await.failures, 0);
    assert_eq!(server.api.result(id).await, SAMPLE_SUMS);
}
