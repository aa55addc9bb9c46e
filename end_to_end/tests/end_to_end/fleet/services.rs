//! MariaDB, RabbitMQ and a server of S3, started by the scripts of the project.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A set of services.
pub struct Services {
    pub database: SocketAddr,
    pub broker: SocketAddr,
    /// The broker with TLS.
    pub amqps_url: String,
    /// The server of S3 that all tests share.
    pub s3_url: String,
    /// A separate set of the test.
    own: Option<Own>,
}

/// Dropping it wipes it, even if its start failed.
struct Own(TempDir);

impl Services {
    /// The set that all tests share, which must be running.
    pub fn shared() -> Self {
        Self::named(None)
    }

    /// A set that the test may stop and kill.
    pub fn own() -> Self {
        let own = Own(tempfile::tempdir().unwrap());
        run(Some(own.0.path()), &["start"]);
        Self::named(Some(own))
    }

    fn named(own: Option<Own>) -> Self {
        let names = run(folder(own.as_ref()), &["env"]);
        let url = |name: &str| names.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let address = |name: &str| {
            let url = url(name);
            let (_, address) = url.split_once('@').unwrap();
            address.split('/').next().unwrap().parse().unwrap()
        };
        let amqps_url = url("TEST_AMQPS_URL=").to_owned();
        let s3_url = url("TEST_S3_URL=").to_owned();
        let (database, broker) = (address("TEST_DATABASE_URL="), address("TEST_AMQP_URL="));
        Self { database, broker, amqps_url, s3_url, own }
    }

    /// Runs a command of `scripts/services.sh` on the set; returns its output.
    pub fn run(&self, arguments: &[&str]) -> String {
        run(folder(self.own.as_ref()), arguments)
    }

    /// Whether the test may stop and kill them.
    pub fn are_own(&self) -> bool {
        self.own.is_some()
    }

    /// Like [`run`](Self::run), but ignores failures: for the cleanup of a test.
    pub fn try_run(&self, arguments: &[&str]) {
        let _ = command(folder(self.own.as_ref()), arguments).output();
    }

    /// The result of a query: tab-separated columns, without a header.
    pub fn sql(&self, database: &str, query: &str) -> String {
        let arguments = ["mariadb", "--batch", "--skip-column-names", database, "-e", query];
        self.run(&arguments).trim().to_owned()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A panic here would hide the failure of the test.
        let _ = command(Some(self.0.path()), &["wipe"]).output();
    }
}

fn folder(own: Option<&Own>) -> Option<&Path> {
    own.map(|own| own.0.path())
}

fn command(folder: Option<&Path>, arguments: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(root.join("scripts/services.sh"));
    command.args(arguments).current_dir(root);
    if let Some(folder) = folder {
        command.env("SERVICES_DIR", folder).env_remove("SERVICES_PORT_BASE");
    }
    command
}

fn run(folder: Option<&Path>, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "services.sh {arguments:?} failed; run the tests by `make test`, or `make services` first\n{stdout}{stderr}"
    );
    stdout.into_owned()
}
