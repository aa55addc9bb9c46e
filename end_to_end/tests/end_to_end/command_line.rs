//! The command line at work on a real server: kinds and their options, many tasks at once, contexts.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use super::process::taskctl;
use super::standalone::Standalone;

const VISITS: &str = "City,Visits\nBerlin,3\nRome,5\nBerlin,many\n";

/// A server, and a user's folder with files and contexts.
struct User {
    server: Standalone,
    folder: TempDir,
    _data: TempDir,
}

impl User {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Standalone::start(data.path()).await;
        let folder = tempfile::tempdir().unwrap();
        for name in ["one.csv", "two.csv"] {
            std::fs::write(folder.path().join(name), format!("{VISITS}{name},1\n")).unwrap();
        }
        let user = Self { server, folder, _data: data };
        let url = user.server.api.url.clone();
        user.text(&["context", "set", "here", "--server", &url]).await;
        user
    }

    async fn run(&self, args: &[&str]) -> Output {
        let mut command = taskctl();
        command.args(args).current_dir(self.folder.path());
        command.env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    }

    /// The output of a command that succeeds.
    async fn text(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The document of a command.
    async fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat()).await;
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn options_of_a_kind_say_what_to_do_with_several_files() {
    let user = User::start().await;
    let folder = user.folder.path();
    std::fs::create_dir(folder.join("sums")).unwrap();
    let args = ["--group-by", "City", "--sum", "Visits", "--on-bad-row", "skip", "-o", "sums"];
    let upload = ["upload", "csv_aggregation", "one.csv", "two.csv"];
    let text = user.text(&[&upload[..], &args].concat()).await;
    let sentence = "Aggregated 3 of 4 rows into 3 groups";
    assert_eq!(text.matches(sentence).count(), 2, "{text}");
    let mut sums: Vec<_> = std::fs::read_dir(folder.join("sums")).unwrap().collect();
    assert_eq!(sums.len(), 2);
    let sums = read(&sums.remove(0).unwrap().path());
    assert!(sums.starts_with("City,Visits\nBerlin,3\nRome,5\n"), "{sums}");

    let refused = user.json(&["upload", "one.csv", "--wait"]).await;
    let detail = refused["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("group_by=COLUMN"), "{detail}");
    let status = user.text(&["status", "--last"]).await;
    let id = refused["task_id"].as_str().unwrap();
    let advice = format!("taskctl run-again {id} --group-by COLUMN --sum COLUMN");
    assert!(status.contains(&advice) && !status.contains("Queue it again"), "{status}");
    let again = ["run-again", id, "-g", "City", "--sum", "Visits", "--on-bad-row", "skip", "-q"];
    let again = user.text(&again).await;
    user.text(&["watch", again.trim()]).await;
}

#[tokio::test]
async fn all_tasks_that_match_are_deleted_by_one_command() {
    let user = User::start().await;
    let ids = user.text(&["upload", "-q", "file_statistics", "one.csv", "two.csv"]).await;
    let ids: Vec<_> = ids.lines().collect();
    user.text(&["upload", "csv_preview", "one.csv", "--wait"]).await;
    user.text(&[&["watch"], &ids[..]].concat()).await;
    let found = user.json(&["status", &ids[0][..30]]).await;
    assert_eq!(found["task_id"], ids[0]);

    let all = ["delete", "--all", "--kind", "file_statistics", "--state", "done"];
    let counted = user.json(&[&all[..], &["--dry-run"]].concat()).await;
    assert_eq!((&counted["matched"], &counted["possible"]), (&2.into(), &2.into()));
    let refused = user.run(&all).await;
    assert_eq!(refused.status.code(), Some(2), "nobody is there to ask");
    assert_eq!(user.text(&[&all[..], &["--yes"]].concat()).await, "Deleted 2 tasks.\n");
    let left = user.json(&["list", "--since", "1h"]).await;
    let kinds: Vec<_> = left["items"].as_array().unwrap().iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["bulk_action", "csv_preview"]);
    let me = user.text(&["whoami"]).await;
    assert!(me.starts_with("local"), "{me}");
}
