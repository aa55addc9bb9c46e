//! MariaDB and RabbitMQ, by the scripts of the project.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A set of services.
pub struct Services {
    pub database: SocketAddr,
    pub broker: SocketAddr,
    /// Where a set of the test's own is kept.
    folder: Option<TempDir>,
}

impl Services {
    /// The set that all tests share; it must run.
    pub fn shared() -> Self {
        Self::named(None)
    }

    /// A set that the test may stop and kill.
    pub fn own() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(Some(folder.path()), &["start"]);
        Self::named(Some(folder))
    }

    fn named(folder: Option<TempDir>) -> Self {
        let names = run(folder.as_ref().map(TempDir::path), &["env"]);
        let address = |name: &str| {
            let url = names.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let (_, address) = url.split_once('@').unwrap();
            address.split('/').next().unwrap().parse().unwrap()
        };
        Self { database: address("TEST_DATABASE_URL="), broker: address("TEST_AMQP_URL="), folder }
    }

    /// Runs a command of `scripts/services.sh` on the set; answers what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        run(self.folder.as_ref().map(TempDir::path), arguments)
    }

    /// What a query answers: columns apart by tabs, without a header.
    pub fn sql(&self, database: &str, query: &str) -> String {
        let arguments = ["mariadb", "--batch", "--skip-column-names", database, "-e", query];
        self.run(&arguments).trim().to_owned()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if self.folder.is_some() {
            self.run(&["wipe"]);
        }
    }
}

fn run(folder: Option<&Path>, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(root.join("scripts/services.sh"));
    command.args(arguments).current_dir(root);
    if let Some(folder) = folder {
        command.env("SERVICES_DIR", folder);
    }
    let output = command.output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "services.sh {arguments:?} failed; run the tests by `make test`, or `make services` first\n{stdout}{stderr}"
    );
    stdout.into_owned()
}
