//! A fleet: real task managers and workers on a real MariaDB and RabbitMQ, each behind a TCP relay
//! that can cut connections. A separate broker or database of the test is reached directly: once it
//! has stopped, its port refuses connections.

pub mod load;
pub mod relay;
pub mod services;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::queue::{AmqpQueue, Queue};
use common::task::{TaskId, TaskKind};
use tempfile::TempDir;
use uuid::Uuid;

use self::relay::Relay;
use self::services::Services;
use super::api::{Api, eventually};
use super::bucket;
use super::process::{Process, built, program_in};
use super::s3::S3Bucket;

/// The secret that workers show.
pub const TOKEN: &str = "only-for-this-test";
const JWT_KEY: &str = "signs-the-tokens-of-this-test";

/// A fleet with its own database, queues and bucket.
pub struct Fleet {
    managers: Vec<Option<Manager>>,
    workers: Vec<Process>,
    /// In front of the running task managers, to each in turn.
    pub front: Relay,
    /// Between the task managers and the database.
    pub to_database: Relay,
    /// Between all programs and the broker.
    pub to_broker: Relay,
    /// A client of the front.
    pub api: Api,
    pub services: Services,
    /// Whether added task managers run schedules: a test at the full hour would get unexpected
    /// tasks.
    pub run_schedules: bool,
    /// The folder of the programs to start from now on.
    pub programs: PathBuf,
    database: String,
    /// What the names of its queues begin with.
    pub prefix: String,
    folder: TempDir,
    /// The bucket of the programs to start from now on, if it is not the folder.
    pub s3: Option<S3Bucket>,
    /// The certificate of the authority of broker and database, if TLS is used.
    ca_file: Option<String>,
}

impl Fleet {
    /// A fleet of one task manager and no worker.
    pub async fn start(services: Services) -> Self {
        Self::start_trusting(services, None).await
    }

    /// The same with TLS to broker and database, bypassing their relays.
    pub async fn start_with_tls(services: Services, ca_file: &str) -> Self {
        Self::start_trusting(services, Some(ca_file.to_owned())).await
    }

    async fn start_trusting(services: Services, ca_file: Option<String>) -> Self {
        let mut fleet = Self::prepare(services).await;
        fleet.ca_file = ca_file;
        fleet.open().await;
        fleet
    }

    /// An empty database and bucket, without queues and programs.
    pub async fn prepare(services: Services) -> Self {
        let name = Uuid::new_v4().simple().to_string();
        let database = format!("fleet_{name}");
        services.sql("mysql", &format!("CREATE DATABASE {database}"));
        let front = Relay::start(Vec::new()).await;
        Self {
            managers: Vec::new(),
            workers: Vec::new(),
            api: Api::new(format!("http://{}", front.address)),
            front,
            to_database: Relay::start(vec![services.database]).await,
            to_broker: Relay::start(vec![services.broker]).await,
            services,
            run_schedules: false,
            programs: built(),
            database,
            prefix: format!("fleet-{name}"),
            folder: tempfile::tempdir().unwrap(),
            s3: None,
            ca_file: None,
        }
    }

    /// Starts a first task manager, and logs in.
    pub async fn open(&mut self) {
        self.add_manager().await;
        self.api = self.api.clone().logged_in_as("tester", "Pa55word!").await;
    }

    /// Runs a script of the project on the database and the bucket of this fleet.
    pub fn run_script(&self, name: &str, arguments: &[&str]) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(root.join("scripts").join(name));
        let database = format!("mysql://tasks:tasks@{}/{}", self.services.database, self.database);
        command.args(arguments).env("TASK_MANAGER_DATABASE_URL", database);
        command.env("TASK_MANAGER_STORAGE", self.folder.path().join("local_storage"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts another task manager and adds it to the front; returns its number.
    pub async fn add_manager(&mut self) -> usize {
        self.join_manager(Process::spawn(&mut self.manager_command())).await
    }

    /// The command line of another task manager.
    pub fn manager_command(&self) -> Command {
        let mut command = program_in(&self.programs, "task_manager");
        let database = self.database_url();
        command.arg("serve").current_dir(self.folder.path()).envs([
            ("TASK_MANAGER_LISTEN", "127.0.0.1:0"),
            ("TASK_MANAGER_DATABASE_URL", &database),
            ("TASK_MANAGER_QUEUE_URL", &self.broker_url()),
            ("TASK_MANAGER_QUEUE_PREFIX", &self.prefix),
            ("TASK_MANAGER_SERVICE_TOKEN", TOKEN),
            ("TASK_MANAGER_JWT_KEY", JWT_KEY),
            ("TASK_MANAGER_SWEEP_INTERVAL", "1s"),
            ("TASK_MANAGER_RUN_SCHEDULES", &self.run_schedules.to_string()),
        ]);
        command.envs(self.ca_file.iter().map(|file| ("TASK_MANAGER_CA_FILE", file)));
        command.envs(self.s3.iter().flat_map(|bucket| bucket.variables("TASK_MANAGER")));
        command
    }

    /// Adds a started task manager to the front, as soon as it listens; returns its number.
    pub async fn join_manager(&mut self, mut process: Process) -> usize {
        let url = process.url().await;
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        self.managers.push(Some(Manager { process, address }));
        self.lead_to_managers();
        self.managers.len() - 1
    }

    fn lead_to_managers(&self) {
        self.front.lead_to(self.managers.iter().flatten().map(|manager| manager.address).collect());
    }

    /// Starts a worker with this many slots; returns its number.
    pub async fn add_worker(&mut self, slots: u32) -> usize {
        let front = self.front.address;
        self.add_worker_by(slots, front).await
    }

    /// Starts a worker that knows every task manager by its own address, in their order.
    pub async fn add_worker_of_all(&mut self, slots: u32) -> usize {
        let urls = self.manager_urls();
        self.add_worker_at(slots, &urls).await
    }

    /// Starts a worker that reaches the task manager by another relay.
    pub async fn add_worker_by(&mut self, slots: u32, front: SocketAddr) -> usize {
        self.add_worker_at(slots, &format!("http://{front}")).await
    }

    /// Starts a worker that reaches the task manager by this URL and trusts this file.
    pub async fn add_worker_with_tls(&mut self, slots: u32, url: &str, ca_file: &str) -> usize {
        self.ca_file = Some(ca_file.to_owned());
        self.add_worker_at(slots, url).await
    }

    async fn add_worker_at(&mut self, slots: u32, task_managers: &str) -> usize {
        let mut process = Process::spawn(&mut self.worker_command(slots, task_managers));
        process.url().await;
        self.workers.push(process);
        self.workers.len() - 1
    }

    /// The command line of a worker that reaches the task managers at these URLs.
    pub fn worker_command(&self, slots: u32, task_managers: &str) -> Command {
        let mut command = program_in(&self.programs, "data_processor");
        command.current_dir(self.folder.path()).envs([
            ("DATA_PROCESSOR_LISTEN", "127.0.0.1:0"),
            ("DATA_PROCESSOR_QUEUE_URL", self.broker_url().as_str()),
            ("DATA_PROCESSOR_QUEUE_PREFIX", &self.prefix),
            ("DATA_PROCESSOR_TASK_MANAGER_URL", task_managers),
            ("DATA_PROCESSOR_SERVICE_TOKEN", TOKEN),
            ("DATA_PROCESSOR_WORKER_SLOTS", &slots.to_string()),
            ("DATA_PROCESSOR_DRAIN_TIMEOUT", "100ms"),
        ]);
        command.envs(self.ca_file.iter().map(|file| ("DATA_PROCESSOR_CA_FILE", file)));
        command.envs(self.s3.iter().flat_map(|bucket| bucket.variables("DATA_PROCESSOR")));
        command
    }

    /// The URL of the broker, by the relay.
    pub fn broker_url(&self) -> String {
        if self.ca_file.is_some() {
            return self.services.amqps_url.clone();
        }
        let is_own = self.services.are_own();
        let address = if is_own { self.services.broker } else { self.to_broker.address };
        format!("amqp://tasks:tasks@{address}/%2f")
    }

    /// The URL of the database, by the relay.
    pub fn database_url(&self) -> String {
        let Some(ca_file) = &self.ca_file else {
            return format!("mysql://tasks:tasks@{}/{}", self.database_address(), self.database);
        };
        let query = format!("ssl_mode=verify_ca&ssl_ca={ca_file}");
        format!("mysql://tasks:tasks@{}/{}?{query}", self.services.database, self.database)
    }

    /// The folder of the bucket.
    pub fn bucket(&self) -> String {
        self.folder.path().join("local_storage").display().to_string()
    }

    /// The URLs of all task managers in their order, with commas between them.
    pub fn manager_urls(&self) -> String {
        let urls: Vec<_> = self.managers.iter().flatten().map(|manager| manager.url()).collect();
        urls.join(",")
    }

    fn database_address(&self) -> SocketAddr {
        let is_own = self.services.are_own();
        if is_own { self.services.database } else { self.to_database.address }
    }

    pub fn worker(&mut self, number: usize) -> &mut Process {
        &mut self.workers[number]
    }

    /// Sends a task manager the signal of this name.
    pub fn signal_manager(&self, number: usize, signal: &str) {
        self.managers[number].as_ref().unwrap().process.signal(signal);
    }

    /// The address of a task manager, bypassing the front.
    pub fn address_of_manager(&self, number: usize) -> SocketAddr {
        self.managers[number].as_ref().unwrap().address
    }

    /// A client of one task manager, bypassing the front.
    pub async fn api_of_manager(&self, number: usize) -> Api {
        let url = self.managers[number].as_ref().unwrap().url();
        Api::new(url).logged_in_as("tester", "Pa55word!").await
    }

    /// The number of consumers of the queue of `kind`.
    pub fn consumers(&self, kind: TaskKind) -> usize {
        let arguments = ["rabbitmqctl", "--quiet", "list_consumers", "queue_name"];
        let queue = self.queue_name(kind);
        self.services.run(&arguments).lines().filter(|line| line.trim() == queue).count()
    }

    /// The number of consuming connections of workers.
    pub fn consumer_connections(&self) -> usize {
        let arguments = ["rabbitmqctl", "--quiet", "list_connections", "client_properties"];
        let name = format!("{} consumer", self.prefix);
        self.services.run(&arguments).lines().filter(|line| line.contains(&name)).count()
    }

    /// The number of delivered but unacked messages.
    pub fn unacked(&self) -> u64 {
        let columns = ["name", "messages_unacknowledged"];
        let arguments = ["rabbitmqctl", "--quiet", "list_queues", columns[0], columns[1]];
        let queues = self.services.run(&arguments);
        let counts = queues.lines().filter(|line| line.starts_with(&self.prefix));
        counts.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum()
    }

    pub fn manager(&mut self, number: usize) -> &mut Process {
        &mut self.managers[number].as_mut().unwrap().process
    }

    /// The numbers of the task managers that were not killed.
    pub fn live_managers(&self) -> Vec<usize> {
        let live = |number: &usize| self.managers[*number].is_some();
        (0..self.managers.len()).filter(live).collect()
    }

    /// The numbers of the workers that have not ended.
    pub fn live_workers(&mut self) -> Vec<usize> {
        let workers = self.workers.iter_mut().enumerate();
        workers.filter_map(|(number, worker)| worker.ended().is_none().then_some(number)).collect()
    }

    /// Kills a task manager.
    pub fn kill_manager(&mut self, number: usize) {
        self.managers[number].take().unwrap().process.kill9();
        self.lead_to_managers();
    }

    /// Shuts a task manager down gracefully: removes it from the front, and lets requests in
    /// progress finish.
    pub async fn end_manager(&mut self, number: usize) {
        let mut manager = self.managers[number].take().unwrap();
        self.lead_to_managers();
        manager.process.terminate();
        let status = manager.process.exit(ORDERLY_END).await;
        assert!(status.success(), "{status}");
    }

    /// Shuts a worker down gracefully; it releases its tasks.
    pub async fn end_worker(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        worker.terminate();
        let status = worker.exit(ORDERLY_END).await;
        assert!(status.success(), "{status}");
    }

    /// The queue of this fleet, bypassing the relay.
    pub fn queue(&self) -> Queue {
        let url = format!("amqp://tasks:tasks@{}/%2f", self.services.broker);
        Queue::Amqp(AmqpQueue::new(url.into(), &self.prefix).unwrap())
    }

    /// The name of the queue of a kind.
    pub fn queue_name(&self, kind: TaskKind) -> String {
        format!("{}.{kind}", self.prefix)
    }

    /// The result of a query, as text.
    pub fn sql(&self, query: &str) -> String {
        self.services.sql(&self.database, query)
    }

    /// The number of the worker that is running the task.
    pub async fn worker_of(&self, id: TaskId) -> usize {
        let hex = id.0.simple().to_string();
        let name = eventually("a worker has the task", async || {
            let query = format!(
                "SELECT name FROM workers JOIN tasks ON tasks.worker = workers.id \
                 WHERE tasks.id = UNHEX('{hex}') AND tasks.state = 'processing'"
            );
            Some(self.sql(&query)).filter(|name| !name.is_empty())
        })
        .await;
        let pid: u32 = name.rsplit('-').next().unwrap().parse().unwrap();
        self.workers.iter().position(|worker| worker.pid() == pid).unwrap()
    }

    /// Waits until nothing is left in the outbox and the queues.
    pub async fn is_at_rest(&self) {
        eventually("the outbox is empty", async || {
            (self.sql("SELECT COUNT(*) FROM outbox") == "0").then_some(())
        })
        .await;
        self.has_empty_queues().await;
    }

    async fn has_empty_queues(&self) {
        let publisher = self.queue().publisher();
        for kind in TaskKind::ALL {
            eventually("the queue is empty", async || {
                publisher.depth(kind).await.ok().filter(|depth| *depth == 0)
            })
            .await;
        }
    }

    /// Shuts all workers down gracefully. Messages that one of them took and never acked would then
    /// be in the queue again.
    pub async fn ends_and_leaves_nothing(&mut self) {
        for number in self.live_workers() {
            self.end_worker(number).await;
        }
        let publisher = self.queue().publisher();
        for kind in TaskKind::ALL {
            assert_eq!(publisher.depth(kind).await.unwrap(), 0, "a {kind} was never acked");
        }
    }

    /// The outcomes of the task's attempts, in order.
    pub fn outcomes(&self, id: TaskId) -> Vec<String> {
        let id = id.0.simple();
        let outcomes = self.sql(&format!(
            "SELECT outcome FROM task_attempts WHERE task_id = UNHEX('{id}') ORDER BY attempt"
        ));
        outcomes.lines().map(str::to_owned).collect()
    }

    /// Waits until the bucket contains exactly the inputs of all tasks and the accepted outputs.
    /// Unfinished files of killed processes (`name#N`) stay for a day and do not count.
    pub async fn has_only_wanted_files(&self) {
        eventually("the bucket contains only the expected files", async || {
            (self.files() == bucket::wanted(&self.api).await).then_some(())
        })
        .await;
    }

    /// Every complete file in the bucket, by its relative path.
    pub fn files(&self) -> Vec<String> {
        let mut files = bucket::files(self.folder.path());
        files.retain(|name| !name.contains('#'));
        files
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // The programs first, since they would log missing services.
        self.managers.clear();
        self.workers.clear();
        if !self.services.are_own() {
            let drop_database = format!("DROP DATABASE {}", self.database);
            self.services.try_run(&["mariadb", "-e", &drop_database]);
            for kind in TaskKind::ALL {
                let queue = self.queue_name(kind);
                self.services.try_run(&["rabbitmqctl", "--quiet", "delete_queue", &queue]);
            }
        }
    }
}

/// The limit of a graceful shutdown, even on a busy machine.
const ORDERLY_END: Duration = Duration::from_secs(30);

/// A task manager and its address.
struct Manager {
    process: Process,
    address: SocketAddr,
}

impl Manager {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Longer than a lease of 30 s.
pub const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(33);
