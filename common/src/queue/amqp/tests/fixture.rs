//! A separate installation in the broker, and the operations of an operator on it.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use uuid::Uuid;

use super::super::AmqpQueue;
use crate::queue::{LOG_DIRECTIVES, Queue};
use crate::task::TaskKind;

pub(super) const KIND: TaskKind = TaskKind::CsvAggregation;

/// The URL of the test broker.
#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
pub(super) fn broker_url() -> String {
    std::env::var("TEST_AMQP_URL").expect("start the services first: make services")
}

pub(super) struct Bench {
    pub(super) queue: Queue,
    prefix: String,
}

impl Bench {
    pub(super) fn new(url: &str) -> Self {
        let prefix = format!("test-{}", Uuid::new_v4());
        let queue = AmqpQueue::new(url.to_owned().into(), &prefix).unwrap();
        Self { queue: Queue::Amqp(queue), prefix }
    }

    /// The same queues, reached by another URL.
    pub(super) fn queue_at(&self, url: &str) -> Queue {
        Queue::Amqp(AmqpQueue::new(url.to_owned().into(), &self.prefix).unwrap())
    }

    /// The number of consumers of the queue of `kind`; 0 if it does not exist.
    pub(super) async fn consumers(&self, kind: TaskKind) -> u32 {
        let (_connection, channel) = operator().await;
        let queue = format!("{}.{kind}", self.prefix);
        let passive = QueueDeclareOptions::durable().passive();
        let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        queue.map_or(0, |queue| queue.consumer_count())
    }

    pub(super) fn queue_name(&self) -> String {
        format!("{}.csv_aggregation", self.prefix)
    }

    pub(super) async fn delete_queue(&self) {
        let (_connection, channel) = operator().await;
        let options = QueueDeleteOptions::default();
        channel.queue_delete(self.queue_name().into(), options).await.unwrap();
    }

    pub(super) async fn publish_raw(&self, body: &[u8]) {
        let (_connection, channel) = operator().await;
        channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let queue = self.queue_name();
        let sent = channel.basic_publish("".into(), queue.into(), options, body, properties);
        sent.await.unwrap().await.unwrap();
    }

    /// Deletes the queues.
    pub(super) async fn finish(self) {
        let (_connection, channel) = operator().await;
        for kind in TaskKind::ALL {
            let queue = format!("{}.{kind}", self.prefix);
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
    }
}

async fn operator() -> (Connection, Channel) {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&broker_url(), properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// The log of all tests: a log of a single thread would miss lines occasionally.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: OnceLock<Log> = OnceLock::new();

impl Log {
    pub(super) fn of_all_tests() -> &'static Self {
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            tracing_subscriber::fmt()
                .with_env_filter(format!("{LOG_DIRECTIVES},info"))
                .with_writer(move || writer.clone())
                .init();
            log
        })
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
