//! A process of a real program with its output; dropping it kills the process.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::api::eventually_within;

/// Variables that begin so are settings.
const SETTINGS: [&str; 3] = ["DATA_PROCESSOR_", "TASK_MANAGER_", "TASKCTL_"];

/// A command line of the `taskctl` that cargo built beside this test.
pub fn taskctl() -> Command {
    program("taskctl")
}

/// A command line of the program `name` that cargo built beside this test.
pub fn program(name: &str) -> Command {
    program_in(&built(), name)
}

/// The folder of the programs that cargo built beside this test.
pub fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // .../target/debug/deps/end_to_end-1234
    test.ancestors().nth(2).unwrap().to_owned()
}

/// A command line of the program `name` in a folder.
pub fn program_in(folder: &Path, name: &str) -> Command {
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: build it with cargo build --workspace", path.display());
    let mut command = Command::new(path);
    without_settings(&mut command);
    command
}

/// Takes the settings of the person who runs the tests from the environment of a command.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if SETTINGS.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}

/// The limit of a start, even on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running process. Dropping it kills it; if the test fails, its output is printed.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::default();
        collect(child.stdout.take().unwrap(), &lines);
        collect(child.stderr.take().unwrap(), &lines);
        Self { child, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `pick` returns for the first matching line of its output.
    pub fn find(&self, pick: impl Fn(&str) -> Option<String>) -> Option<String> {
        self.lines.lock().unwrap().iter().find_map(|line| pick(line))
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub async fn exit(&mut self, deadline: Duration) -> ExitStatus {
        let child = &mut self.child;
        eventually_within(deadline, "the process ends", async || child.try_wait().unwrap()).await
    }

    /// Sends it SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it the signal of this name.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &self.pid().to_string()]);
        assert!(kill.status().unwrap().success());
    }

    /// Waits until it logs its address.
    pub async fn url(&mut self) -> String {
        eventually_within(START, "the process listens", async || {
            if let Some(status) = self.ended() {
                panic!("the process ended early: {status}");
            }
            self.find(|line| {
                let (_, url) = line.split_once("listening on ")?;
                Some(url.trim().to_owned())
            })
        })
        .await
    }

    /// Kills it with SIGKILL.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[expect(clippy::print_stdout, reason = "the test runner shows it beside the failure")]
impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let lines = self.lines.lock().unwrap();
        if thread::panicking() {
            println!("---- process {} said\n{}\n----", self.pid(), lines.join("\n"));
        } else {
            let panic = lines.iter().find(|line| line.contains("panicked at"));
            assert_eq!(panic, None, "the process panicked");
        }
    }
}

fn collect(from: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
}
