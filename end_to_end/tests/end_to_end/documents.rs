//! The commands in the documents work as written, and print what the documents show.
//!
//! bash runs every `sh` block: in order, in one shell, and in a folder with the files that the
//! document takes for granted. A block after a line `<!-- not tested here: REASON -->` is skipped;
//! one after `<!-- these commands fail -->` need not succeed. If the next block has no language, it
//! is the expected output, where `…` stands for anything.

mod files;
mod steps;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use self::steps::{Step, steps};
use super::fleet::services::Services;
use super::fleet::{self, Fleet};
use super::process::{built, without_settings};
use super::standalone::Standalone;

/// Where the documents say that the server is.
const ADDRESS: &str = "127.0.0.1:5000";
/// Where they say that a mail server is.
const MAIL_PORT: &str = "2525";
/// A refused request makes the test fail; `curl` alone would succeed.
const PRELUDE: &str = r#"set -euo pipefail
exec 2>&1
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
curl() {
    case " $*" in *" -f"*) command curl "$@" ;; *) command curl --fail-with-body "$@" ;; esac
}
"#;
/// Between the outputs of two steps.
const SEPARATOR: char = '\u{1e}';
/// No document takes longer, in seconds.
const DEADLINE: &str = "300";

const SONGS: &str = "Song,Date,Number of Plays\nUmbrella,2020-01-02,200\n";
const PEOPLE: &str = "name,email\nAda Lovelace,ada@example.org\n";
const VISITS: &str = "City,Visits\nBerlin,3\n";
const MESSAGES: &str = "{\"message\": \"one\"}\n{\"message\": \"two\"}\n";

/// A document, and the files that it takes for granted.
type Document = (&'static str, &'static [(&'static str, &'static str)]);

/// Documents for which a standalone server must be running.
const WITH_SERVER: &[Document] = &[
    ("README.md", &[("people.csv", PEOPLE)]),
    ("docs/clients.md", &[]),
    ("docs/csv-dialects.md", &[]),
    ("docs/csv-preview.md", &[("songs.csv", SONGS)]),
    ("docs/data-upload.md", &[("people.csv", PEOPLE)]),
    ("docs/file-statistics.md", &[("notes.md", "# Notes\n")]),
    ("docs/messages.md", &[("messages.ndjson", MESSAGES)]),
    ("docs/uploads.md", &[]),
    ("docs/user-events.md", &[]),
    ("examples/README.md", &[("songs.csv", SONGS)]),
    ("taskctl/README.md", &[("visits.csv", VISITS), ("plays.csv", SONGS)]),
];
/// Documents that start a server themselves.
const WITHOUT_SERVER: &[Document] = &[("docs/tour.md", &[]), ("docs/tutorial.md", &[])];
/// Documents for which a fleet must be running.
const WITH_FLEET: &[Document] = &[("docs/install.md", &[]), ("docs/operations.md", &[])];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs what scripts/install-docs-tools.sh installs: make test-docs"]
async fn commands_about_a_server_work() {
    for document in WITH_SERVER {
        let data = tempfile::tempdir().unwrap();
        let server = Standalone::start(data.path()).await;
        let address = server.api.url.strip_prefix("http://").unwrap().to_owned();
        Shell::new(document, &address).run().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs what scripts/install-docs-tools.sh installs: make test-docs"]
async fn commands_that_start_a_server_work() {
    for document in WITHOUT_SERVER {
        Shell::new(document, &free_address()).run().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs what scripts/install-docs-tools.sh installs: make test-docs"]
async fn commands_about_a_fleet_work() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_manager().await;
    for document in WITH_FLEET {
        let empty = Fleet::prepare(Services::shared()).await;
        let mut shell = Shell::new(document, &fleet.front.address.to_string());
        shell.use_fleet(&fleet, &empty);
        let _server = Standalone::start(&shell.folder.path().join("task-data")).await;
        shell.run().await;
    }
}

#[test]
fn every_document_with_commands_is_tested() {
    let tested: Vec<_> =
        [WITH_SERVER, WITHOUT_SERVER, WITH_FLEET].concat().iter().map(|(path, _)| *path).collect();
    for path in files::documents(&root()) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(
            tested.contains(&path),
            !steps(&text).is_empty(),
            "{path}: name it above, or mark its commands as not tested"
        );
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = files::documents(&root());
    let broken: Vec<_> =
        documents.iter().flat_map(|path| files::broken_links(&root(), path)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// An address of this machine where nothing listens.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The shell in which the commands of a document are run.
struct Shell {
    document: &'static str,
    folder: TempDir,
    /// What is written in the document, and what to use instead.
    replacements: Vec<(String, String)>,
    variables: Vec<(String, String)>,
}

impl Shell {
    /// A shell for a document whose server is, or will be, at this address.
    fn new((document, files): &Document, address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in *files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        for name in ["examples", "scripts"] {
            symlink(root().join(name), folder.path().join(name)).unwrap();
        }
        let mut replacements = vec![(ADDRESS.to_owned(), address.to_owned())];
        let mail = free_address();
        let (_, mail_port) = mail.split_once(':').unwrap();
        for before in [":", "PORT="] {
            let port = |port| format!("{before}{port}");
            replacements.push((port(MAIL_PORT), port(mail_port)));
        }
        let url = format!("http://{address}");
        let path = std::env::var_os("PATH").unwrap();
        let variables = [
            ("PATH", &format!("{}:{}", built().display(), path.display())),
            ("HOME", &folder.path().display().to_string()),
            ("SERVER", &url),
            ("TASKCTL_SERVER", &url),
            ("TASK_MANAGER_LISTEN", &address.to_owned()),
            // A schedule that is due during the test would add tasks.
            ("TASK_MANAGER_RUN_SCHEDULES", &"false".to_owned()),
            // So that the mail server prints mails immediately.
            ("PYTHONUNBUFFERED", &"1".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.clone())).to_vec();
        Self { document, folder, replacements, variables }
    }

    /// Replaces the fleet of the document by `fleet`, and the one that it restores by `empty`.
    fn use_fleet(&mut self, fleet: &Fleet, empty: &Fleet) {
        let folder = |name: &str| self.folder.path().join(name).display().to_string();
        let etc = folder("etc");
        let credentials = format!("{etc}/credentials/task_manager");
        fs::create_dir_all(&credentials).unwrap();
        fs::write(format!("{credentials}/database_url"), fleet.database_url()).unwrap();
        let settings = root().join("systemd/settings/task_manager.toml");
        fs::copy(settings, format!("{etc}/task_manager.toml")).unwrap();
        let worker = free_address();
        let replacements = [
            ("127.0.0.1:5001", worker.clone()),
            ("http://manager-1:5000,http://manager-2:5000", fleet.manager_urls()),
            ("mysql://tasks:PASSWORD@HOST/tasks", fleet.database_url()),
            ("mysql://tasks:PASSWORD@HOST/restored", empty.database_url()),
            ("amqp://tasks:PASSWORD@broker/%2f", fleet.broker_url()),
            ("TOKEN=SECRET", format!("TOKEN={}", fleet::TOKEN)),
            ("/etc/task-platform", etc),
            ("/mnt/bucket", fleet.bucket()),
            ("/mnt/restored", empty.bucket()),
            ("/backups", folder("backups")),
        ];
        self.replacements.extend(replacements.map(|(from, to)| (from.to_owned(), to)));
        let variables = [
            ("DATA_PROCESSOR_LISTEN", worker),
            ("DATA_PROCESSOR_QUEUE_PREFIX", fleet.prefix.clone()),
        ];
        self.variables.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    }

    /// Runs the commands, and compares what they print.
    async fn run(self) {
        let ran = tokio::task::spawn_blocking(move || self.run_steps()).await;
        ran.unwrap_or_else(|error| resume_unwind(error.into_panic()));
    }

    fn run_steps(&self) {
        let steps = steps(&fs::read_to_string(root().join(self.document)).unwrap());
        let mut command = Command::new("timeout");
        without_settings(&mut command);
        command.args(["--kill-after=10", DEADLINE, "bash", "-c", &self.script(&steps)]);
        command.current_dir(self.folder.path()).envs(self.variables.iter().cloned());
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let document = self.document;
        assert!(output.status.success(), "{document}: {}\n{printed}", output.status);
        for (step, printed) in steps.iter().zip(printed.split(SEPARATOR)) {
            let Step { commands, expected, .. } = step;
            assert!(
                step.is_printed_in(printed),
                "{document}: these commands print something else\n{commands}\n\
                 ---- expected\n{}\n---- printed\n{printed}",
                expected.as_deref().unwrap_or_default()
            );
        }
    }

    fn script(&self, steps: &[Step]) -> String {
        let mut script = PRELUDE.to_owned();
        for Step { commands, may_fail, .. } in steps {
            let (before, after) = if *may_fail { ("set +e\n", "set -e\n") } else { ("", "") };
            let separator = format!("printf '{SEPARATOR}'\n");
            script.extend([before, commands, after, &separator]);
        }
        self.replacements.iter().fold(script, |script, (from, to)| script.replace(from, to))
    }
}
