//! Three task managers behind the proxy and three nodes of RabbitMQ: a node dies, one is
//! disconnected, a task manager freezes. No task is lost, and clients that retry are served within
//! 30 s.
//!
//! It is run by `make test-cluster` only.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::checks::{everything_is_right, is_healthy};
use super::stack::{Stack, docker};
use crate::end_to_end::api::{Api, eventually};
use crate::end_to_end::fleet::load::Load;

const ADDITIONS: &[&str] = &["compose.proxy.yaml", "compose.cluster.yaml"];
const BROKERS: [&str; 3] = ["broker", "broker-2", "broker-3"];
const SCALE: &[(&str, usize)] = &[("task_manager", 3), ("data_processor", 2)];
/// How long a client waits for an answer before it retries.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nodes are down: longer than the others take to notice.
const OUTAGE: Duration = Duration::from_secs(40);
const LONGEST_REFUSAL: Duration = Duration::from_secs(30);
/// Longer than any run.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Docker engine and images: make test-cluster"]
async fn a_cluster_survives_the_loss_of_nodes() {
    tokio::time::timeout(DEADLINE, run()).await.unwrap();
}

async fn run() {
    let mut cluster = Cluster::start().await;
    cluster.the_leader_of_a_queue_is_killed().await;
    cluster.a_node_is_partitioned().await;
    cluster.a_task_manager_freezes().await;
    everything_is_right(&cluster.stack, &cluster.api, &cluster.load).await;
}

struct Cluster {
    stack: Stack,
    api: Api,
    /// Everything accepted.
    load: Load,
}

impl Cluster {
    async fn start() -> Self {
        let since = Instant::now();
        let stack = Stack::with(ADDITIONS, |port| {
            vec!["API_PORT=0".into(), format!("PROXY_PORT={port}"), "SITE=http://".into()]
        });
        stack.up(SCALE);
        let api = Api::new(stack.url.clone()).with_timeout(PATIENCE);
        eventually("the proxy serves", async || {
            let ready = api.try_get("/readyz").await?;
            (ready.status() == StatusCode::OK).then_some(())
        })
        .await;
        let api = api.logged_in_as("tester", "Pa55word!").await;
        // The first tasks create the queues.
        let load = Load::start(&api, 10).done().await;
        load.is_processed(&api).await;
        tell("up", since.elapsed(), Duration::ZERO);
        Self { stack, api, load }
    }

    async fn the_leader_of_a_queue_is_killed(&mut self) {
        let leader = self.leader();
        let container = self.container(&leader);
        self.load_during(&format!("the leader ({leader}) killed"), async |_| {
            docker(&["kill", &container]);
            tokio::time::sleep(OUTAGE).await;
            docker(&["start", &container]);
        })
        .await;
        is_healthy(&container).await;
        self.every_queue_is_on_every_node().await;
    }

    async fn a_node_is_partitioned(&mut self) {
        let leader = self.leader();
        let container = self.container(&leader);
        self.load_during(&format!("the leader ({leader}) cut off and healed"), async |stack| {
            let network = stack.network();
            docker(&["network", "disconnect", &network, &container]);
            tokio::time::sleep(OUTAGE).await;
            let aliases = ["--alias=brokers".to_owned(), format!("--alias={leader}")];
            docker(&["network", "connect", &aliases[0], &aliases[1], &network, &container]);
        })
        .await;
        is_healthy(&container).await;
        self.every_queue_is_on_every_node().await;
    }

    async fn a_task_manager_freezes(&mut self) {
        let frozen = self.stack.containers("task_manager")[0].clone();
        self.load_during("a task manager frozen", async |_| {
            docker(&["pause", &frozen]);
            tokio::time::sleep(OUTAGE).await;
            docker(&["unpause", &frozen]);
        })
        .await;
        is_healthy(&frozen).await;
    }

    /// Uploads before, during and after a fault.
    async fn load_during(&mut self, what: &str, fault: impl AsyncFnOnce(&Stack)) {
        let uploading = Load::start(&self.api, 500);
        uploading.left(450).await;
        fault(&self.stack).await;
        let more = Load::start(&self.api, 50).done().await;
        let load = uploading.done().await;
        let since = Instant::now();
        let slowest = load.slowest().max(more.slowest());
        self.load.extend(load);
        self.load.extend(more);
        self.load.is_processed(&self.api).await;
        tell(what, since.elapsed(), slowest);
        assert!(slowest < LONGEST_REFUSAL, "a file was accepted only after {slowest:?}");
    }

    /// The leader node of the queue of the tasks.
    fn leader(&self) -> String {
        let leaders = self.stack.queues(&["name", "leader"]);
        let of_tasks = leaders.iter().find(|line| line.contains("csv_aggregation")).unwrap();
        of_tasks.rsplit_once("rabbit@").unwrap().1.to_owned()
    }

    fn container(&self, service: &str) -> String {
        self.stack.containers(service)[0].clone()
    }

    async fn every_queue_is_on_every_node(&self) {
        eventually("every queue is on every node", async || {
            let queues = self.stack.queues(&["name", "online"]);
            let is_on_all = |line: &String| line.matches("rabbit@").count() == BROKERS.len();
            queues.iter().all(is_on_all).then_some(())
        })
        .await;
    }
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the test")]
fn tell(what: &str, rest: Duration, slowest: Duration) {
    let [rest, slowest] = [rest, slowest].map(|time| time.as_secs_f64());
    println!("{what}: slowest upload {slowest:.1} s, all done {rest:.1} s after the last one");
}
