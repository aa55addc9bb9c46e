//! Who listens, and what they have been shown.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::NaiveDateTime;
use common::task::{TaskId, UserId};
use tokio::sync::broadcast;

use super::{Change, OVERLAP, OwnedTask, Polled};
use crate::paging::Cursor;

/// How many changes a slow listener may lag behind before it is sent the present state instead.
const BUFFER: usize = 2_048;
/// How many tasks are read to be shown at once between two polls. Where more change, the next poll takes
/// them together, each as it is by then.
const AT_ONCE: usize = 100;

/// Who listens.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    listeners: HashMap<UserId, Listeners>,
    /// How many tasks were read since the last poll.
    read_since_poll: usize,
}

/// The listeners of one user.
#[derive(Debug)]
struct Listeners {
    sender: broadcast::Sender<Arc<Change>>,
    seen: Arc<Seen>,
}

/// What a user's listeners have been shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Where the next poll begins.
    pub(super) since: Option<Cursor>,
    /// When what was shown had changed, as far as it may be found again.
    recent: HashMap<TaskId, NaiveDateTime>,
}

impl Subscribers {
    pub(super) fn listen(&mut self, user: UserId) -> broadcast::Receiver<Arc<Change>> {
        let none_yet = || Listeners { sender: broadcast::channel(BUFFER).0, seen: Arc::default() };
        self.listeners.entry(user).or_insert_with(none_yet).sender.subscribe()
    }

    /// Those of `changed` that somebody wants to see, as far as they may be read at once.
    pub(super) fn wanted(&mut self, changed: &[OwnedTask]) -> HashMap<UserId, Vec<TaskId>> {
        let mut wanted: HashMap<UserId, Vec<TaskId>> = HashMap::new();
        for (owner, id) in changed {
            if self.listeners.contains_key(owner) && self.read_since_poll < AT_ONCE {
                self.read_since_poll += 1;
                wanted.entry(*owner).or_default().push(*id);
            }
        }
        wanted
    }

    /// Who listens, and what they have been shown, before a poll.
    pub(super) fn begin_poll(&mut self) -> Vec<(UserId, Arc<Seen>)> {
        self.listeners.retain(|_, listeners| listeners.sender.receiver_count() > 0);
        self.read_since_poll = 0;
        let seen = |(user, listeners): (&UserId, &Listeners)| (*user, Arc::clone(&listeners.seen));
        self.listeners.iter().map(seen).collect()
    }

    /// Shows a user's listeners what they have not seen: what was read earlier may come later.
    pub(super) fn show(&mut self, user: UserId, changes: Vec<Change>) {
        let Some(Listeners { sender, seen }) = self.listeners.get_mut(&user) else { return };
        let seen = Arc::make_mut(seen);
        for change in changes {
            if !seen.has(change.task.task_id, change.changed_at) {
                seen.recent.insert(change.task.task_id, change.changed_at);
                // Nobody may be listening any more; then nobody misses it.
                let _ = sender.send(Arc::new(change));
            }
        }
    }

    /// Notes where the next poll of a user's tasks begins.
    pub(super) fn note(&mut self, user: UserId, polled: Polled) {
        let Some(Listeners { seen, .. }) = self.listeners.get_mut(&user) else { return };
        let seen = Arc::make_mut(seen);
        seen.since = Some(polled.next);
        // No later poll finds what changed before. What changed in the future, by a clock that was set
        // back since, would hide what comes.
        let found = polled.next.time.min(polled.now - OVERLAP)..=polled.now + OVERLAP;
        seen.recent.retain(|_, changed_at| found.contains(changed_at));
    }
}

impl Seen {
    /// Whether the task was shown as it was then, or later.
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
    fn what_was_read_earlier_is_not_shown_later() {
        let (user, id) = (UserId(Uuid::new_v4()), TaskId::new());
        let mut subscribers = Subscribers::default();
        let mut receiver = subscribers.listen(user);
        for seconds in [10, 12, 11, 12, 13] {
            subscribers.show(user, vec![change(id, time(seconds))]);
        }
        assert_eq!(shown(&mut receiver), [10, 12, 13].map(time));
        subscribers.show(user, vec![change(TaskId::new(), time(11))]);
        assert_eq!(shown(&mut receiver), [time(11)], "each task has its own time");
    }

    #[test]
    fn a_clock_that_was_set_back_hides_no_change() {
        let (user, id) = (UserId(Uuid::new_v4()), TaskId::new());
        let mut subscribers = Subscribers::default();
        let mut receiver = subscribers.listen(user);
        subscribers.show(user, vec![change(id, time(4_000))]);
        let next = Cursor { time: time(95), id: Uuid::nil() };
        subscribers.note(user, Polled { now: time(100), next });
        subscribers.show(user, vec![change(id, time(101))]);
        assert_eq!(shown(&mut receiver), [4_000, 101].map(time));
    }

    #[test]
    fn a_few_of_those_that_are_listened_to_are_read_at_once() {
        let [listening, other] = [(); 2].map(|()| UserId(Uuid::new_v4()));
        let mut subscribers = Subscribers::default();
        let receiver = subscribers.listen(listening);
        let changed: Vec<_> = (0..AT_ONCE + 5).map(|_| (listening, TaskId::new())).collect();
        assert!(subscribers.wanted(&[(other, TaskId::new())]).is_empty());
        assert_eq!(subscribers.wanted(&changed)[&listening].len(), AT_ONCE);
        assert!(subscribers.wanted(&changed).is_empty());
        assert_eq!(subscribers.begin_poll().len(), 1);
        assert_eq!(subscribers.wanted(&changed[..2])[&listening].len(), 2);
        drop(receiver);
        assert!(subscribers.begin_poll().is_empty());
        assert!(subscribers.wanted(&changed).is_empty());
    }
}
