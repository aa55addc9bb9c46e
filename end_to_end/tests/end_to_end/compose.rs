//! `compose.yaml` as its users run it: started from scratch, loaded, scaled, upgraded, and its
//! parts killed, restarted and disconnected. Every accepted task is checked.
//!
//! It needs a Docker engine and the images, and is run by `make test-compose` only.

mod checks;
mod cluster;
mod stack;

use std::time::{Duration, Instant};

use common::task::{TaskId, TaskState};

use self::checks::{everything_is_right, is_healthy};
use self::stack::{Stack, docker};
use super::api::Api;
use super::fleet::LONGER_THAN_A_LEASE;
use super::fleet::load::Load;
use super::long_task::start_long_task;

const USER: &str = "tester";
const PASSWORD: &str = "Pa55word!";
const TWO_WORKERS: &[(&str, usize)] = &[("data_processor", 2)];
/// Longer than any run.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Docker engine and images: make test-compose"]
async fn the_compose_stack_survives_faults() {
    tokio::time::timeout(DEADLINE, run()).await.unwrap();
}

async fn run() {
    let mut test = Test::start();
    test.log_in().await;
    test.the_main_job();
    test.a_worker_is_killed_during_a_task().await;
    test.a_service_is_restarted("broker").await;
    test.a_service_is_restarted("database").await;
    test.a_worker_is_cut_off().await;
    test.workers_come_and_go().await;
    test.the_task_manager_is_replaced().await;
    test.everything_is_restarted_in_no_order().await;
    test.everything_is_checked().await;
    test.down_and_up_keeps_everything().await;
    test.down_with_volumes_leaves_nothing();
}

struct Test {
    stack: Stack,
    api: Api,
    /// Everything accepted.
    load: Load,
    since: Instant,
}

impl Test {
    /// Starts from scratch.
    fn start() -> Self {
        let since = Instant::now();
        let stack = Stack::new();
        stack.up(TWO_WORKERS);
        let api = Api::new(stack.url.clone());
        let mut test = Self { stack, api, load: Load::default(), since };
        test.tell("up from nothing");
        test
    }

    #[expect(clippy::print_stdout, reason = "figures for whoever runs the test")]
    fn tell(&mut self, what: &str) {
        println!("{what}: {:.1} s", self.since.elapsed().as_secs_f64());
        self.since = Instant::now();
    }

    async fn log_in(&mut self) {
        self.api = self.api.clone().logged_in_as(USER, PASSWORD).await;
    }

    /// The result must equal the one that the command line computes locally.
    fn the_main_job(&mut self) {
        let taskctl = |arguments: &[&str]| self.stack.taskctl(PASSWORD, arguments);
        taskctl(&["login", USER]);
        taskctl(&["fake-songs", "--rows", "200000", "--output", "plays.csv"]);
        let sums = taskctl(&["upload", "plays.csv", "--output", "-"]);
        assert!(sums.starts_with("Song,Date,Number of Plays\n"), "{sums}");
        assert_eq!(sums, taskctl(&["run", "csv_aggregation", "plays.csv"]));
        self.tell("the main job by taskctl in a container");
    }

    async fn a_worker_is_killed_during_a_task(&mut self) {
        self.stack.slow_workers(true);
        let (id, plays) = start_long_task(&self.api).await;
        docker(&["kill", &self.stack.worker_of(id).await]);
        self.stack.slow_workers(false);
        let uploading = Load::start(&self.api, 100);
        self.load.extend(uploading.done().await);
        self.load.add(id, plays);
        self.load.is_processed(&self.api).await;
        assert_eq!(self.api.task(id).await.failures, 1);
        self.stack.up(TWO_WORKERS);
        self.tell("a worker killed during a task");
    }

    async fn a_service_is_restarted(&mut self, service: &str) {
        let uploading = Load::start(&self.api, 200);
        uploading.left(150).await;
        self.stack.compose(&["restart", service]);
        self.load.extend(uploading.done().await);
        self.load.is_processed(&self.api).await;
        self.tell(&format!("the {service} restarted"));
    }

    async fn a_worker_is_cut_off(&mut self) {
        let network = self.stack.network();
        self.stack.slow_workers(true);
        let (id, plays) = start_long_task(&self.api).await;
        let worker = self.stack.worker_of(id).await;
        docker(&["network", "disconnect", &network, &worker]);
        self.stack.slow_workers(false);
        let uploading = Load::start(&self.api, 100);
        tokio::time::sleep(LONGER_THAN_A_LEASE).await;
        docker(&["network", "connect", &network, &worker]);
        self.load.extend(uploading.done().await);
        self.load.add(id, plays);
        self.load.is_processed(&self.api).await;
        assert_eq!(self.api.task(id).await.failures, 1);
        is_healthy(&worker).await;
        self.tell("a worker cut off the network and healed");
    }

    async fn workers_come_and_go(&mut self) {
        let uploading = Load::start(&self.api, 200);
        self.stack.up(&[("data_processor", 4)]);
        assert_eq!(self.stack.containers("data_processor").len(), 4);
        let (id, plays) = start_long_task(&self.api).await;
        self.stack.up(TWO_WORKERS);
        assert_eq!(self.stack.containers("data_processor").len(), 2);
        self.load.extend(uploading.done().await);
        self.load.add(id, plays);
        self.load.is_processed(&self.api).await;
        assert_eq!(self.api.task(id).await.failures, 0, "draining a worker is not a failure");
        self.tell("scaled to four and back");
    }

    async fn the_task_manager_is_replaced(&mut self) {
        let uploading = Load::start(&self.api, 1_000);
        uploading.left(950).await;
        self.stack.upgrade_task_manager();
        self.load.extend(uploading.done().await);
        self.load.is_processed(&self.api).await;
        self.tell("the task manager replaced by a new image");
    }

    /// Like a machine failure: nothing waits for its dependencies.
    async fn everything_is_restarted_in_no_order(&mut self) {
        let uploading = Load::start(&self.api, 200);
        uploading.left(150).await;
        let services = ["data_processor", "task_manager", "broker", "database"];
        let containers: Vec<_> =
            services.iter().flat_map(|service| self.stack.containers(service)).collect();
        for verb in ["kill", "start"] {
            let mut command = vec![verb];
            command.extend(containers.iter().map(String::as_str));
            docker(&command);
        }
        self.load.extend(uploading.done().await);
        self.load.is_processed(&self.api).await;
        for container in &containers {
            is_healthy(container).await;
        }
        self.tell("everything killed and started, the database last");
    }

    async fn everything_is_checked(&mut self) {
        everything_is_right(&self.stack, &self.api, &self.load).await;
        let what = format!("{} tasks checked", self.load.len());
        self.tell(&what);
    }

    async fn down_and_up_keeps_everything(&mut self) {
        let tasks = self.tasks().await;
        self.stack.compose(&["down"]);
        self.stack.up(TWO_WORKERS);
        // With the earlier token.
        assert_eq!(self.tasks().await, tasks);
        self.load.results_are_right(&self.api).await;
        self.tell("down and up, with everything kept");
    }

    /// The parts of each task that must not change.
    async fn tasks(&self) -> Vec<(TaskId, TaskState, u32)> {
        let tasks = self.api.tasks().await;
        tasks.iter().map(|task| (task.task_id, task.state, task.attempt)).collect()
    }

    fn down_with_volumes_leaves_nothing(&mut self) {
        assert_ne!(self.stack.leftovers(), "");
        self.stack.compose(&["down", "--volumes"]);
        assert_eq!(self.stack.leftovers(), "");
        self.tell("down with volumes, and nothing left");
    }
}
