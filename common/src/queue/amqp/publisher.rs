//! Publishing: a task of its own keeps the one connection; publishers use what it has.

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

use super::link::{Link, OwnedChannel, declare};
use super::outage::{Outage, in_words, no_answer};
use super::silence::Silences;
use super::{PATIENCE, Place};
use crate::queue::{Message, QueueError};
use crate::task::TaskKind;

/// Tells the broker to write the message to disk.
const PERSISTENT: u8 = 2;
/// How often the connection is looked at, where no event told that it ended.
const LOOK: Duration = Duration::from_secs(1);

/// Publishes.
#[derive(Clone)]
pub(in crate::queue) struct AmqpPublisher {
    place: Place,
    supervision: Arc<Supervision>,
}

/// The task that keeps the connection, from the first use on.
#[derive(Default)]
pub(super) struct Supervision(OnceLock<Supervisor>);

struct Supervisor {
    state: watch::Receiver<State>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
enum State {
    /// The first try is under way.
    Connecting,
    Up(Arc<Uplink>),
    Blocked(String),
    Away(String),
}

impl fmt::Debug for AmqpPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl AmqpPublisher {
    pub(super) fn new(place: Place, supervision: Arc<Supervision>) -> Self {
        Self { place, supervision }
    }

    pub(in crate::queue) async fn publish(
        &self,
        messages: &[(TaskKind, Message)],
    ) -> Vec<Result<(), QueueError>> {
        let deadline = Instant::now() + PATIENCE;
        match self.uplink(deadline).await {
            Ok(uplink) => uplink.publish(&self.place, messages, deadline).await,
            Err(error) => vec![Err(error); messages.len()],
        }
    }

    pub(in crate::queue) async fn depth(&self, kind: TaskKind) -> Result<u64, QueueError> {
        Ok(self.queue(kind).await?.map_or(0, |queue| queue.message_count().into()))
    }

    pub(in crate::queue) async fn consumers(&self, kind: TaskKind) -> Result<u64, QueueError> {
        Ok(self.queue(kind).await?.map_or(0, |queue| queue.consumer_count().into()))
    }

    /// The queue of a kind as it is now; none where it is not declared.
    async fn queue(&self, kind: TaskKind) -> Result<Option<lapin::Queue>, QueueError> {
        let deadline = Instant::now() + PATIENCE;
        let uplink = self.uplink(deadline).await?;
        match timeout_at(deadline, uplink.queue(&self.place.queue_name(kind))).await {
            Ok(Ok(queue)) => Ok(Some(queue)),
            Ok(Err(error)) if is_not_found(&error) => Ok(None),
            Ok(Err(error)) => Err(QueueError(in_words(&error))),
            Err(_) => Err(QueueError(no_answer())),
        }
    }

    pub(in crate::queue) async fn check(&self) -> Result<(), QueueError> {
        self.uplink(Instant::now() + PATIENCE).await.map(drop)
    }

    /// The connection as it is now; waits only for the very first one.
    async fn uplink(&self, deadline: Instant) -> Result<Arc<Uplink>, QueueError> {
        let supervisor = self.supervision.0.get_or_init(|| start(self.place.clone()));
        let mut state = supervisor.state.clone();
        let known = state.wait_for(|state| !matches!(state, State::Connecting));
        let state = match timeout_at(deadline, known).await {
            Ok(Ok(state)) => state.clone(),
            _ => State::Connecting,
        };
        Err(QueueError(match state {
            State::Up(uplink) => return Ok(uplink),
            State::Blocked(reason) => format!("the broker has blocked publishing: {reason}"),
            State::Away(reason) => reason,
            State::Connecting => no_answer(),
        }))
    }
}

fn start(place: Place) -> Supervisor {
    let (sender, state) = watch::channel(State::Connecting);
    let task = tokio::spawn(supervise(place, sender));
    Supervisor { state, _task: AbortOnDropHandle::new(task) }
}

/// Keeps a connection for ever.
async fn supervise(place: Place, state: watch::Sender<State>) {
    let mut outage = Outage::new(place.clone(), "publishing");
    let silences = Arc::new(Silences::default());
    loop {
        let reason = match Uplink::open(&place, &silences).await {
            Ok(uplink) => {
                let uplink = Arc::new(uplink);
                let reason = match silences.replace_deaf_queues(&uplink.link, &place).await {
                    Ok(()) => {
                        outage.is_over();
                        attend(&uplink, &state).await
                    }
                    Err(reason) => reason,
                };
                uplink.link.cut();
                reason
            }
            Err(reason) => reason,
        };
        state.send_replace(State::Away(reason.clone()));
        tokio::time::sleep(outage.goes_on(&reason)).await;
    }
}

/// Follows a connection to its end; answers why it ended.
async fn attend(uplink: &Arc<Uplink>, state: &watch::Sender<State>) -> String {
    let mut events = pin!(uplink.link.connection.events_listener());
    let mut looks = interval(LOOK);
    state.send_replace(State::Up(Arc::clone(uplink)));
    let mut told = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = uplink.faulty.notified() => return no_answer(),
            _ = looks.tick() => None,
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                warn!("the broker has blocked publishing: {reason}");
                state.send_replace(State::Blocked(reason));
            }
            Some(Event::ConnectionUnblocked) => {
                info!("the broker takes messages again");
                state.send_replace(State::Up(Arc::clone(uplink)));
            }
            Some(Event::Error(error)) => told = Some(in_words(&error)),
            _ => {}
        }
        if !uplink.is_alive() {
            return told.unwrap_or_else(|| "the connection ended".to_owned());
        }
    }
}

/// A connection that publishes.
struct Uplink {
    link: Arc<Link>,
    /// In confirm mode.
    channel: OwnedChannel,
    /// The kinds whose queues are there, as far as this connection knows.
    declared: Mutex<HashSet<TaskKind>>,
    /// One batch at a time: lapin hands a returned message out with the next confirm, which may
    /// be that of another message.
    turn: AsyncMutex<()>,
    /// Rings when the broker does not answer.
    faulty: Notify,
    /// Outlives the connection.
    silences: Arc<Silences>,
}

/// Why a message is not in its queue.
enum Fault {
    Silence,
    Refused,
    Library(lapin::Error),
}

impl Uplink {
    async fn open(place: &Place, silences: &Arc<Silences>) -> Result<Self, String> {
        let link = Arc::new(Link::open(place, "publisher").await?);
        let setup = async {
            let channel = link.channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok::<_, lapin::Error>(channel)
        };
        match timeout_at(Instant::now() + PATIENCE, setup).await {
            Ok(Ok(channel)) => Ok(Self {
                link,
                channel,
                declared: Mutex::default(),
                turn: AsyncMutex::default(),
                faulty: Notify::new(),
                silences: Arc::clone(silences),
            }),
            Ok(Err(error)) => Err(in_words(&error)),
            Err(_) => {
                link.cut();
                Err(no_answer())
            }
        }
    }

    fn is_alive(&self) -> bool {
        self.link.connection.status().connected() && self.channel.status().connected()
    }

    fn declared(&self) -> MutexGuard<'_, HashSet<TaskKind>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(
        &self,
        place: &Place,
        messages: &[(TaskKind, Message)],
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return vec![Err(QueueError(no_answer())); messages.len()];
        };
        // Whoever had the turn before may have taken almost all of the time.
        let deadline = Instant::now() + PATIENCE;
        let kinds: HashSet<_> = messages.iter().map(|(kind, _)| *kind).collect();
        for kind in kinds {
            if let Err(fault) = self.ensure_queue(place, kind, deadline).await {
                let error = self.explain(fault);
                return vec![Err(error); messages.len()];
            }
        }
        let bodies: Vec<_> = messages.iter().map(|(_, message)| body(message)).collect();
        let confirms = join_all(messages.iter().zip(&bodies).map(|((kind, _), body)| async {
            let publish = self.publish_one(place.queue_name(*kind), body);
            timeout_at(deadline, publish).await.unwrap_or(Err(Fault::Silence))
        }))
        .await;
        self.listen(messages, &confirms);
        // All the returned ones first: each may have come with any confirm.
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
                    // Somebody deleted the queue: it is declared again with the next batch.
                    self.declared().remove(kind);
                    let queue = place.queue_name(*kind);
                    Err(QueueError(format!("the queue {queue} was not there")))
                }
                Ok(_) => Ok(()),
            });
        }
        results
    }

    /// Notes which queues confirmed something and which did not.
    fn listen(
        &self,
        messages: &[(TaskKind, Message)],
        confirms: &[Result<Option<BasicReturnMessage>, Fault>],
    ) {
        let outcomes = || messages.iter().map(|(kind, _)| *kind).zip(confirms);
        let heard: HashSet<_> =
            outcomes().filter(|(_, confirm)| confirm.is_ok()).map(|(kind, _)| kind).collect();
        let silent: HashSet<_> = outcomes()
            .filter(|(_, confirm)| matches!(confirm, Err(Fault::Silence)))
            .map(|(kind, _)| kind)
            .collect();
        for kind in &heard {
            self.silences.heard(*kind);
        }
        // One that reads nothing, because it is short of memory, cannot confirm anything either.
        if !self.link.connection.status().blocked() {
            for kind in silent.difference(&heard) {
                self.silences.silent(*kind);
            }
        }
    }

    /// Publishes and waits for the confirm; answers the message that was returned with it.
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
        place: &Place,
        kind: TaskKind,
        deadline: Instant,
    ) -> Result<(), Fault> {
        if self.declared().contains(&kind) {
            return Ok(());
        }
        // On a channel of its own, which is what ends where the queue has other arguments.
        let declaration = async {
            let channel = self.link.channel().await?;
            declare(&channel, &place.queue_name(kind)).await
        };
        match timeout_at(deadline, declaration).await {
            Ok(declared) => declared.map_err(Fault::Library)?,
            Err(_) => return Err(Fault::Silence),
        }
        self.declared().insert(kind);
        Ok(())
    }

    async fn queue(&self, queue: &str) -> lapin::Result<lapin::Queue> {
        // The channel ends where the queue is not there.
        let channel = self.link.channel().await?;
        let passive = QueueDeclareOptions::durable().passive();
        channel.queue_declare(queue.into(), passive, FieldTable::default()).await
    }

    fn explain(&self, fault: Fault) -> QueueError {
        QueueError(match fault {
            Fault::Refused => "the broker refused the message".to_owned(),
            Fault::Library(error) => in_words(&error),
            Fault::Silence if self.link.connection.status().blocked() => {
                "the broker has blocked publishing".to_owned()
            }
            Fault::Silence => {
                self.faulty.notify_one();
                no_answer()
            }
        })
    }
}

/// What travels.
fn body(message: &Message) -> Vec<u8> {
    // A struct of an id and a number always becomes JSON.
    serde_json::to_vec(message).unwrap_or_default()
}

fn is_not_found(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}
