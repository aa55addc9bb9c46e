//! Publishing: a background task maintains the one connection that all publishers share.

use std::collections::HashSet;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation, ErrorKind, Event};
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::{Instant, interval, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::confirm_timeouts::ConfirmTimeouts;
use super::connection::{Connection, OwnedChannel, declare};
use super::outage::{Outage, in_words, no_answer};
use super::{BrokerTarget, PATIENCE};
use crate::queue::{Message, QueueError};
use crate::task::TaskKind;

/// The delivery mode that has the broker write the message to disk.
const PERSISTENT: u8 = 2;
/// How often the connection is checked, in case no event reports its end.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A handle that publishes.
#[derive(Clone)]
pub(in crate::queue) struct AmqpPublisher {
    target: BrokerTarget,
    supervision: Arc<Supervision>,
}

/// The task that maintains the connection, started at the first use.
#[derive(Default)]
pub(super) struct Supervision(OnceLock<Supervisor>);

struct Supervisor {
    state: watch::Receiver<State>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
enum State {
    /// The first attempt is in progress.
    Connecting,
    Up(Arc<PublisherConnection>),
    Blocked(String),
    Down(String),
}

impl fmt::Debug for AmqpPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl AmqpPublisher {
    pub(super) fn new(target: BrokerTarget, supervision: Arc<Supervision>) -> Self {
        Self { target, supervision }
    }

    pub(in crate::queue) async fn publish(
        &self,
        messages: &[(TaskKind, Message)],
    ) -> Vec<Result<(), QueueError>> {
        let deadline = Instant::now() + PATIENCE;
        match self.connection(deadline).await {
            Ok(connection) => connection.publish(&self.target, messages, deadline).await,
            Err(error) => vec![Err(error); messages.len()],
        }
    }

    pub(in crate::queue) async fn depth(&self, kind: TaskKind) -> Result<u64, QueueError> {
        Ok(self.queue(kind).await?.map_or(0, |queue| queue.message_count().into()))
    }

    pub(in crate::queue) async fn consumers(&self, kind: TaskKind) -> Result<u64, QueueError> {
        Ok(self.queue(kind).await?.map_or(0, |queue| queue.consumer_count().into()))
    }

    /// The current state of the queue of a kind; none if it is not declared.
    async fn queue(&self, kind: TaskKind) -> Result<Option<lapin::Queue>, QueueError> {
        let deadline = Instant::now() + PATIENCE;
        let connection = self.connection(deadline).await?;
        match timeout_at(deadline, connection.queue(&self.target.queue_name(kind))).await {
            Ok(Ok(queue)) => Ok(Some(queue)),
            Ok(Err(error)) if is_not_found(&error) => Ok(None),
            Ok(Err(error)) => Err(QueueError(in_words(&error))),
            Err(_) => Err(QueueError(no_answer())),
        }
    }

    pub(in crate::queue) async fn check(&self) -> Result<(), QueueError> {
        self.connection(Instant::now() + PATIENCE).await.map(drop)
    }

    /// The current connection; waits only for the first attempt.
    async fn connection(&self, deadline: Instant) -> Result<Arc<PublisherConnection>, QueueError> {
        let supervisor = self.supervision.0.get_or_init(|| start(self.target.clone()));
        let mut state = supervisor.state.clone();
        let known = state.wait_for(|state| !matches!(state, State::Connecting));
        let state = match timeout_at(deadline, known).await {
            Ok(Ok(state)) => state.clone(),
            _ => State::Connecting,
        };
        Err(QueueError(match state {
            State::Up(connection) => return Ok(connection),
            State::Blocked(reason) => format!("the broker has blocked publishing: {reason}"),
            State::Down(reason) => reason,
            State::Connecting => no_answer(),
        }))
    }
}

fn start(target: BrokerTarget) -> Supervisor {
    let (sender, state) = watch::channel(State::Connecting);
    let task = tokio::spawn(supervise(target, sender));
    Supervisor { state, _task: AbortOnDropHandle::new(task) }
}

/// Maintains the connection until dropped.
async fn supervise(target: BrokerTarget, state: watch::Sender<State>) {
    let mut outage = Outage::new(target.clone(), "publishing");
    let confirm_timeouts = Arc::new(ConfirmTimeouts::default());
    loop {
        let reason = match PublisherConnection::open(&target, &confirm_timeouts).await {
            Ok(publisher) => {
                let publisher = Arc::new(publisher);
                let reason = match confirm_timeouts
                    .recreate_unresponsive_queues(&publisher.connection, &target)
                    .await
                {
                    Ok(()) => {
                        outage.has_ended();
                        monitor(&publisher, &state).await
                    }
                    Err(reason) => reason,
                };
                publisher.connection.abort();
                reason
            }
            Err(reason) => reason,
        };
        state.send_replace(State::Down(reason.clone()));
        tokio::time::sleep(outage.retry_in(&reason)).await;
    }
}

/// Follows a connection to its end; returns why it ended.
async fn monitor(publisher: &Arc<PublisherConnection>, state: &watch::Sender<State>) -> String {
    let mut events = pin!(publisher.connection.lapin.events_listener());
    let mut checks = interval(CHECK_INTERVAL);
    state.send_replace(State::Up(Arc::clone(publisher)));
    let mut reported = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = publisher.unresponsive.notified() => return no_answer(),
            _ = checks.tick() => None,
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                warn!("the broker has blocked publishing: {reason}");
                state.send_replace(State::Blocked(reason));
            }
            Some(Event::ConnectionUnblocked) => {
                info!("the broker accepts messages again");
                state.send_replace(State::Up(Arc::clone(publisher)));
            }
            Some(Event::Error(error)) => reported = Some(in_words(&error)),
            _ => {}
        }
        if !publisher.is_alive() {
            return reported.unwrap_or_else(|| "the connection ended".to_owned());
        }
    }
}

/// A connection for publishing.
struct PublisherConnection {
    connection: Arc<Connection>,
    /// In confirm mode.
    channel: OwnedChannel,
    /// The kinds whose queues were declared on this connection.
    declared: Mutex<HashSet<TaskKind>>,
    /// Permits one batch at a time: lapin returns a message with the next confirm, which may belong
    /// to another message.
    batch_lock: AsyncMutex<()>,
    /// Notified when the broker does not answer.
    unresponsive: Notify,
    /// Outlives the connection.
    confirm_timeouts: Arc<ConfirmTimeouts>,
}

/// Why a message is not in its queue.
enum Fault {
    Timeout,
    Refused,
    Library(lapin::Error),
}

impl PublisherConnection {
    async fn open(
        target: &BrokerTarget,
        confirm_timeouts: &Arc<ConfirmTimeouts>,
    ) -> Result<Self, String> {
        let connection = Arc::new(Connection::open(target, "publisher").await?);
        let setup = async {
            let channel = connection.channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok::<_, lapin::Error>(channel)
        };
        match timeout_at(Instant::now() + PATIENCE, setup).await {
            Ok(Ok(channel)) => Ok(Self {
                connection,
                channel,
                declared: Mutex::default(),
                batch_lock: AsyncMutex::default(),
                unresponsive: Notify::new(),
                confirm_timeouts: Arc::clone(confirm_timeouts),
            }),
            Ok(Err(error)) => Err(in_words(&error)),
            Err(_) => {
                connection.abort();
                Err(no_answer())
            }
        }
    }

    fn is_alive(&self) -> bool {
        self.connection.lapin.status().connected() && self.channel.status().connected()
    }

    fn declared(&self) -> MutexGuard<'_, HashSet<TaskKind>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(
        &self,
        target: &BrokerTarget,
        messages: &[(TaskKind, Message)],
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let Ok(_guard) = timeout_at(deadline, self.batch_lock.lock()).await else {
            return vec![Err(QueueError(no_answer())); messages.len()];
        };
        // The batch before may have taken almost all of the time.
        let deadline = Instant::now() + PATIENCE;
        let kinds: HashSet<_> = messages.iter().map(|(kind, _)| *kind).collect();
        for kind in kinds {
            if let Err(fault) = self.ensure_queue(target, kind, deadline).await {
                let error = self.explain(fault);
                return vec![Err(error); messages.len()];
            }
        }
        let bodies: Vec<_> = messages.iter().map(|(_, message)| body(message)).collect();
        let confirms = join_all(messages.iter().zip(&bodies).map(|((kind, _), body)| async {
            let publish = self.publish_one(target.queue_name(*kind), body);
            timeout_at(deadline, publish).await.unwrap_or(Err(Fault::Timeout))
        }))
        .await;
        self.record_confirms(messages, &confirms);
        // Collects all returned messages first: each may have come with any confirm.
        let returned: HashSet<_> = confirms
            .iter()
            .filter_map(|confirm| confirm.as_ref().ok()?.as_ref())
            .map(|returned| returned.delivery.data.clone())
            .collect();
        let mut results = Vec::with_capacity(messages.len());
        for (((kind, _), body), confirm) in messages.iter().zip(&bodies).zip(confirms) {
            results.push(match confirm {
                Err(fault) => Err(self.explain(fault)),
                Ok(_) if returned.contains(body) => {
                    // The queue was deleted: it is declared again with the next batch.
                    self.declared().remove(kind);
                    let queue = target.queue_name(*kind);
                    Err(QueueError(format!("the queue {queue} does not exist")))
                }
                Ok(_) => Ok(()),
            });
        }
        results
    }

    /// Records which queues confirmed messages and which timed out.
    fn record_confirms(
        &self,
        messages: &[(TaskKind, Message)],
        confirms: &[Result<Option<BasicReturnMessage>, Fault>],
    ) {
        let outcomes = || messages.iter().map(|(kind, _)| *kind).zip(confirms);
        let confirmed: HashSet<_> =
            outcomes().filter(|(_, confirm)| confirm.is_ok()).map(|(kind, _)| kind).collect();
        let timed_out: HashSet<_> = outcomes()
            .filter(|(_, confirm)| matches!(confirm, Err(Fault::Timeout)))
            .map(|(kind, _)| kind)
            .collect();
        for kind in &confirmed {
            self.confirm_timeouts.confirmed(*kind);
        }
        // A broker that is short of memory reads nothing, so it cannot confirm anything either.
        if !self.connection.lapin.status().blocked() {
            for kind in timed_out.difference(&confirmed) {
                self.confirm_timeouts.timed_out(*kind);
            }
        }
    }

    /// Publishes and waits for the confirm; answers the message that was returned with it, if any.
    async fn publish_one(
        &self,
        queue: String,
        body: &[u8],
    ) -> Result<Option<BasicReturnMessage>, Fault> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into());
        let sent = self.channel.basic_publish("".into(), queue.into(), options, body, properties);
        match sent.await.map_err(Fault::Library)?.await.map_err(Fault::Library)? {
            Confirmation::Ack(returned) => Ok(returned),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(Fault::Refused),
        }
    }

    async fn ensure_queue(
        &self,
        target: &BrokerTarget,
        kind: TaskKind,
        deadline: Instant,
    ) -> Result<(), Fault> {
        if self.declared().contains(&kind) {
            return Ok(());
        }
        // On a separate channel, since an error closes it if the queue has other arguments.
        let declaration = async {
            let channel = self.connection.channel().await?;
            declare(&channel, &target.queue_name(kind)).await
        };
        match timeout_at(deadline, declaration).await {
            Ok(declared) => declared.map_err(Fault::Library)?,
            Err(_) => return Err(Fault::Timeout),
        }
        self.declared().insert(kind);
        Ok(())
    }

    async fn queue(&self, queue: &str) -> lapin::Result<lapin::Queue> {
        // The channel is closed if the queue does not exist.
        let channel = self.connection.channel().await?;
        let passive = QueueDeclareOptions::durable().passive();
        channel.queue_declare(queue.into(), passive, FieldTable::default()).await
    }

    fn explain(&self, fault: Fault) -> QueueError {
        QueueError(match fault {
            Fault::Refused => "the broker refused the message".to_owned(),
            Fault::Library(error) => in_words(&error),
            Fault::Timeout if self.connection.lapin.status().blocked() => {
                "the broker has blocked publishing".to_owned()
            }
            Fault::Timeout => {
                self.unresponsive.notify_one();
                no_answer()
            }
        })
    }
}

/// The body of a message.
fn body(message: &Message) -> Vec<u8> {
    // A struct of an id and a number always becomes JSON.
    serde_json::to_vec(message).unwrap_or_default()
}

fn is_not_found(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}
