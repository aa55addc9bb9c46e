//! Subscribers, and what they have received.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::NaiveDateTime;
use common::task::{TaskId, UserId};
use tokio::sync::broadcast;

use super::{Change, OVERLAP, OwnedTask, Polled};
use crate::paging::Cursor;

/// How many changes a slow subscriber may lag behind before it gets the current state instead.
const BUFFER: usize = 2_048;
/// How many tasks are read immediately between two polls. If more change, the next poll reads them
/// together, each in its current state.
const IMMEDIATE: usize = 100;

/// The subscribers of all users.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    channels: HashMap<UserId, Channel>,
    /// How many tasks were read since the last poll.
    read_since_poll: usize,
}

/// The subscribers of one user.
#[derive(Debug)]
struct Channel {
    sender: broadcast::Sender<Arc<Change>>,
    received: Arc<Received>,
}

/// What the subscribers of a user have received.
#[derive(Debug, Clone, Default)]
pub(super) struct Received {
    /// Where the next poll begins.
    pub(super) since: Option<Cursor>,
    /// The times of the changes that a poll may find again.
    recent: HashMap<TaskId, NaiveDateTime>,
}

impl Subscribers {
    pub(super) fn subscribe(&mut self, user: UserId) -> broadcast::Receiver<Arc<Change>> {
        let new = || Channel { sender: broadcast::channel(BUFFER).0, received: Arc::default() };
        self.channels.entry(user).or_insert_with(new).sender.subscribe()
    }

    /// Those of `changed` with subscribers, up to the number that may be read immediately.
    pub(super) fn admit(&mut self, changed: &[OwnedTask]) -> HashMap<UserId, Vec<TaskId>> {
        let mut wanted: HashMap<UserId, Vec<TaskId>> = HashMap::new();
        for (owner, id) in changed {
            if self.channels.contains_key(owner) && self.read_since_poll < IMMEDIATE {
                self.read_since_poll += 1;
                wanted.entry(*owner).or_default().push(*id);
            }
        }
        wanted
    }

    /// The subscribed users and what they have received, before a poll.
    pub(super) fn begin_poll(&mut self) -> Vec<(UserId, Arc<Received>)> {
        self.channels.retain(|_, channel| channel.sender.receiver_count() > 0);
        self.read_since_poll = 0;
        let received =
            |(user, channel): (&UserId, &Channel)| (*user, Arc::clone(&channel.received));
        self.channels.iter().map(received).collect()
    }

    /// Sends the subscribers of a user what they have not received: changes may arrive out of
    /// order.
    pub(super) fn publish(&mut self, user: UserId, changes: Vec<Change>) {
        let Some(Channel { sender, received }) = self.channels.get_mut(&user) else { return };
        let received = Arc::make_mut(received);
        for change in changes {
            if !received.has(change.task.task_id, change.changed_at) {
                received.recent.insert(change.task.task_id, change.changed_at);
                // The last subscriber may be gone.
                let _ = sender.send(Arc::new(change));
            }
        }
    }

    /// Sets the start of the next poll of a user's tasks.
    pub(super) fn note(&mut self, user: UserId, polled: Polled) {
        let Some(Channel { received, .. }) = self.channels.get_mut(&user) else { return };
        let received = Arc::make_mut(received);
        received.since = Some(polled.next);
        // No later poll finds earlier changes. Changes in the future, from a clock that was set
        // back since, would hide new ones.
        let found = polled.next.time.min(polled.now - OVERLAP)..=polled.now + OVERLAP;
        received.recent.retain(|_, changed_at| found.contains(changed_at));
    }
}

impl Received {
    /// Whether this state of the task or a later one was sent.
    pub(super) fn has(&self, id: TaskId, changed_at: NaiveDateTime) -> bool {
        self.recent.get(&id).is_some_and(|shown| *shown >= changed_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn time(seconds: u64) -> NaiveDateTime {
        DateTime::UNIX_EPOCH.naive_utc() + Duration::from_secs(seconds)
    }

    fn change(id: TaskId, changed_at: NaiveDateTime) -> Change {
        let task = json!({
            "task_id": id, "kind": "user_event", "state": "processing", "attempt": 1, "failures": 0,
            "max_attempts": 5, "created_at": time(0).and_utc(), "timestamp": time(0).and_utc(),
            "links": { "self": "/" },
        });
        Change { changed_at, task: serde_json::from_value(task).unwrap() }
    }

    /// When the changes had happened that were shown since.
    fn shown(receiver: &mut broadcast::Receiver<Arc<Change>>) -> Vec<NaiveDateTime> {
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|change| change.changed_at).collect()
    }

    #[test]
    fn older_states_are_not_sent_after_newer_ones() {
        let (user, id) = (UserId(Uuid::new_v4()), TaskId::new());
        let mut subscribers = Subscribers::default();
        let mut receiver = subscribers.subscribe(user);
        for seconds in [10, 12, 11, 12, 13] {
            subscribers.publish(user, vec![change(id, time(seconds))]);
        }
        assert_eq!(shown(&mut receiver), [10, 12, 13].map(time));
        subscribers.publish(user, vec![change(TaskId::new(), time(11))]);
        assert_eq!(shown(&mut receiver), [time(11)], "each task has its own time");
    }

    #[test]
    fn a_clock_set_back_hides_no_change() {
        let (user, id) = (UserId(Uuid::new_v4()), TaskId::new());
        let mut subscribers = Subscribers::default();
        let mut receiver = subscribers.subscribe(user);
        subscribers.publish(user, vec![change(id, time(4_000))]);
        let next = Cursor { time: time(95), id: Uuid::nil() };
        subscribers.note(user, Polled { now: time(100), next });
        subscribers.publish(user, vec![change(id, time(101))]);
        assert_eq!(shown(&mut receiver), [4_000, 101].map(time));
    }

    #[test]
    fn a_few_subscribed_tasks_are_read_immediately() {
        let [subscribed, other] = [(); 2].map(|()| UserId(Uuid::new_v4()));
        let mut subscribers = Subscribers::default();
        let receiver = subscribers.subscribe(subscribed);
        let changed: Vec<_> = (0..IMMEDIATE + 5).map(|_| (subscribed, TaskId::new())).collect();
        assert!(subscribers.admit(&[(other, TaskId::new())]).is_empty());
        assert_eq!(subscribers.admit(&changed)[&subscribed].len(), IMMEDIATE);
        assert!(subscribers.admit(&changed).is_empty());
        assert_eq!(subscribers.begin_poll().len(), 1);
        assert_eq!(subscribers.admit(&changed[..2])[&subscribed].len(), 2);
        drop(receiver);
        assert!(subscribers.begin_poll().is_empty());
        assert!(subscribers.admit(&changed).is_empty());
    }
}
