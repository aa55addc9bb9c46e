//! The stack of `compose.yaml` as a separate project for the test: its own containers, network,
//! volumes and secrets, on a free port.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use common::task::TaskId;
use tempfile::TempDir;
use uuid::Uuid;

use crate::end_to_end::api::eventually;

/// The timeout of a command in seconds: longer than any start or stop.
const DEADLINE: &str = "300";
/// The label of everything that compose creates.
const PROJECT: &str = "com.docker.compose.project";

/// Dropping it removes everything.
pub struct Stack {
    /// The URL of the API.
    pub url: String,
    project: String,
    /// Files added to `compose.yaml`.
    additions: &'static [&'static str],
    folder: TempDir,
}

impl Stack {
    /// Only `compose.yaml`, not started.
    pub fn new() -> Self {
        Self::with(&[], |port| vec![format!("API_PORT={port}")])
    }

    /// With additions from the folder `docker`, and settings that depend on the port of the API.
    pub fn with(
        additions: &'static [&'static str],
        settings: impl FnOnce(u16) -> Vec<String>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = format!("tasks-test-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let stack = Self { url, project, additions, folder };
        let bucket = stack.folder.path().join("bucket");
        let made =
            Command::new(root().join("scripts/make-env.sh")).args([&stack.env(), &bucket]).status();
        assert!(made.unwrap().success());
        let mut settings = settings(port);
        settings.push(format!("BUCKET={}", bucket.display()));
        let mut env = OpenOptions::new().append(true).open(stack.env()).unwrap();
        env.write_all(settings.join("\n").as_bytes()).unwrap();
        stack
    }

    fn env(&self) -> PathBuf {
        self.folder.path().join("env")
    }

    fn compose_command(&self, arguments: &[&str]) -> Command {
        let mut command = bounded(&root().join("scripts/compose.sh"));
        command.current_dir(root()).arg("--project-name").arg(&self.project);
        command.arg("--env-file").arg(self.env()).args(["--file", "compose.yaml"]);
        for addition in self.additions {
            command.arg("--file").arg(format!("docker/{addition}"));
        }
        command.args(arguments);
        command
    }

    /// Runs a command of compose; returns what it printed.
    pub fn compose(&self, arguments: &[&str]) -> String {
        run(self.compose_command(arguments), "")
    }

    /// Starts all services with these numbers of containers; waits until the API is ready.
    pub fn up(&self, scale: &[(&str, usize)]) {
        let scale: Vec<_> =
            scale.iter().map(|(service, count)| format!("--scale={service}={count}")).collect();
        let mut command = vec!["up", "--detach", "--no-build"];
        command.extend(scale.iter().map(String::as_str));
        self.compose(&command);
    }

    /// Runs the command line of the project in a separate container.
    pub fn taskctl(&self, input: &str, arguments: &[&str]) -> String {
        let command = [&["run", "--rm", "-T", "taskctl"][..], arguments].concat();
        run(self.compose_command(&command), input)
    }

    /// Replaces the task manager by one of another image, and waits until it is ready.
    pub fn upgrade_task_manager(&self) {
        let mut build = bounded(Path::new("docker"));
        build.args(["build", "--tag", &self.next_image(), "-"]);
        let tag = image_tag();
        run(build, &format!("FROM task-platform/task_manager:{tag}\nLABEL version=next\n"));
        let mut up = self.compose_command(&["up", "--detach", "--no-build", "--no-deps"]);
        up.arg("task_manager").env("IMAGE_TAG", &self.project);
        run(up, "");
        let image = docker(&[
            "inspect",
            "--format",
            "{{.Config.Image}}",
            &self.containers("task_manager")[0],
        ]);
        assert_eq!(image, self.next_image());
    }

    fn next_image(&self) -> String {
        format!("task-platform/task_manager:{}", self.project)
    }

    /// The ids of the containers of a service.
    pub fn containers(&self, service: &str) -> Vec<String> {
        self.compose(&["ps", "--quiet", service]).lines().map(str::to_owned).collect()
    }

    /// Limits each worker to a third of a processor, to prolong tasks, or removes the limit.
    pub fn slow_workers(&self, are_slow: bool) {
        let quota = if are_slow { "--cpu-quota=33000" } else { "--cpu-quota=-1" };
        for worker in self.containers("data_processor") {
            docker(&["update", quota, &worker]);
        }
    }

    /// The name of the network created by compose.
    pub fn network(&self) -> String {
        format!("{}_default", self.project)
    }

    /// The result of a query, without a header.
    pub fn sql(&self, query: &str) -> String {
        let client = "MYSQL_PWD=$MYSQL_PASSWORD exec mysql --user=tasks --batch --skip-column-names \
                      --execute \"$1\" tasks";
        let command = ["exec", "-T", "database", "sh", "-c", client, "sh", query];
        self.compose(&command)
    }

    /// Columns of each queue of the broker, one queue per line.
    pub fn queues(&self, columns: &[&str]) -> Vec<String> {
        let command = ["exec", "-T", "broker", "rabbitmqctl", "--quiet", "--no-table-headers"];
        let printed = self.compose(&[&command[..], &["list_queues"], columns].concat());
        printed.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// Every complete file in the bucket, by its relative path.
    pub fn files(&self) -> Vec<String> {
        let find = ["exec", "-T", "task_manager", "find", "/data", "-type", "f", "-printf", "%P\n"];
        let mut files: Vec<_> = self.compose(&find).lines().map(str::to_owned).collect();
        files.retain(|name| !name.contains('#'));
        files.sort_unstable();
        files
    }

    /// The container of the worker that is running the task.
    pub async fn worker_of(&self, id: TaskId) -> String {
        let hex = id.0.simple().to_string();
        eventually("a worker has the task", async || {
            let query = format!(
                "SELECT name FROM workers JOIN tasks ON tasks.worker = workers.id \
                 WHERE tasks.id = UNHEX('{hex}') AND tasks.state = 'processing'"
            );
            // The name consists of the host's name, which is the start of the container's id, and a
            // number.
            let name = self.sql(&query);
            let (host, _) = name.rsplit_once('-')?;
            self.containers("data_processor").into_iter().find(|id| id.starts_with(host))
        })
        .await
    }

    /// Everything that exists of the project: containers, networks and volumes.
    pub fn leftovers(&self) -> String {
        let filter = format!("label={PROJECT}={}", self.project);
        let list = |kind: &[&str]| docker(&[kind, &["--quiet", "--filter", &filter]].concat());
        [list(&["ps", "--all"]), list(&["network", "ls"]), list(&["volume", "ls"])].concat()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // A panic here would hide the failure of the test.
        if thread::panicking() {
            let logs = self.compose_command(&["logs", "--no-color", "--tail", "60"]).output();
            show(&logs.map(|logs| text(&logs)).unwrap_or_default());
        }
        let _ = self.compose_command(&["down", "--volumes", "--remove-orphans"]).output();
        let _ = Command::new("docker").args(["image", "rm", &self.next_image()]).output();
    }
}

#[expect(clippy::print_stdout, reason = "the test runner shows it beside the failure")]
fn show(text: &str) {
    println!("{text}");
}

/// Runs a command of the engine; returns what it printed.
pub fn docker(arguments: &[&str]) -> String {
    let mut command = bounded(Path::new("docker"));
    command.args(arguments);
    run(command, "")
}

/// The tested images: compose reads the same variable.
#[expect(clippy::disallowed_methods, reason = "chosen by whoever runs the test")]
fn image_tag() -> String {
    std::env::var("IMAGE_TAG").unwrap_or_else(|_| "latest".into())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn bounded(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg(DEADLINE).arg(program);
    command
}

fn run(mut command: Command, input: &str) -> String {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // Fails if the command reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn text(output: &Output) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|part| String::from_utf8_lossy(part));
    format!("{stdout}{stderr}")
}
