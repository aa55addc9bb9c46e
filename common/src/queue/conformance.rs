//! The conformance suite that every queue must pass.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Consumer, Delivery, Message, Publisher, Queue};
use crate::task::{TaskId, TaskKind};

const KIND: TaskKind = TaskKind::CsvAggregation;
/// How long the suite waits for a condition.
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs the suite; `fresh` gives an empty queue each time.
///
pub(super) async fn run<F, Fut>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Queue>,
{
    delivers_each_message_once(&fresh().await).await;
    delivers_again_what_was_dropped_without_ack(&fresh().await).await;
    holds_at_most_prefetch_unacked(&fresh().await).await;
    takes_nothing_while_paused(&fresh().await).await;
    shares_the_messages_among_consumers(&fresh().await).await;
    counts_what_waits(&fresh().await).await;
    loses_nothing_when_a_wait_is_given_up(&fresh().await).await;
}

fn message() -> Message {
    Message { task_id: TaskId::new(), dispatch: 1 }
}

async fn publish(publisher: &Publisher, count: usize) -> Vec<Message> {
    let messages: Vec<_> = (0..count).map(|_| (KIND, message())).collect();
    for confirm in publisher.publish(&messages).await {
        assert!(confirm.is_ok(), "a message was not confirmed: {confirm:?}");
    }
    messages.into_iter().map(|(_, message)| message).collect()
}

async fn next(consumer: &mut Consumer) -> Delivery {
    match timeout(DEADLINE, consumer.next()).await {
        Ok(delivery) => delivery,
        Err(_) => unreachable!("no delivery within {DEADLINE:?}"),
    }
}

async fn assert_nothing_comes(consumer: &mut Consumer) {
    let silence = Duration::from_millis(300);
    assert!(timeout(silence, consumer.next()).await.is_err(), "an unexpected delivery");
}

async fn delivers_each_message_once(queue: &Queue) {
    let mut consumer = queue.consumer(&[KIND], 100);
    let sent = publish(&queue.publisher(), 50).await;
    let mut received = Vec::new();
    for _ in 0..50 {
        let delivery = next(&mut consumer).await;
        received.push(delivery.message());
        delivery.ack().await;
    }
    assert_eq!(received, sent, "an undisturbed queue keeps the order");
    assert_nothing_comes(&mut consumer).await;
}

async fn delivers_again_what_was_dropped_without_ack(queue: &Queue) {
    let sent = publish(&queue.publisher(), 2).await;
    let mut lost = queue.consumer(&[KIND], 2);
    let first = next(&mut lost).await;
    let second = next(&mut lost).await;
    second.ack().await;
    drop(first);
    drop(lost);

    let mut consumer = queue.consumer(&[KIND], 2);
    let again = next(&mut consumer).await;
    assert_eq!(again.message(), sent[0]);
    again.ack().await;
    assert_nothing_comes(&mut consumer).await;
}

async fn holds_at_most_prefetch_unacked(queue: &Queue) {
    publish(&queue.publisher(), 3).await;
    let mut consumer = queue.consumer(&[KIND], 2);
    let first = next(&mut consumer).await;
    let _second = next(&mut consumer).await;
    assert_nothing_comes(&mut consumer).await;
    first.ack().await;
    next(&mut consumer).await.ack().await;
}

async fn takes_nothing_while_paused(queue: &Queue) {
    let mut paused = queue.consumer(&[KIND], 2);
    paused.pause().await;
    let sent = publish(&queue.publisher(), 1).await;
    assert_nothing_comes(&mut paused).await;
    assert!(paused.try_next().is_none());

    let mut other = queue.consumer(&[KIND], 2);
    let delivery = next(&mut other).await;
    assert_eq!(delivery.message(), sent[0], "a paused consumer holds nothing back");
    delivery.ack().await;

    paused.resume();
    let sent = publish(&queue.publisher(), 1).await;
    drop(other);
    let delivery = next(&mut paused).await;
    assert_eq!(delivery.message(), sent[0]);
    delivery.ack().await;
}

async fn shares_the_messages_among_consumers(queue: &Queue) {
    let mut consumers = [queue.consumer(&[KIND], 1), queue.consumer(&[KIND], 1)];
    let sent: HashSet<_> = publish(&queue.publisher(), 20).await.into_iter().collect();
    let mut received = HashSet::new();
    for turn in 0..20 {
        let delivery = next(&mut consumers[turn % 2]).await;
        assert!(received.insert(delivery.message()), "a message came twice");
        delivery.ack().await;
    }
    assert_eq!(received, sent);
}

async fn counts_what_waits(queue: &Queue) {
    let publisher = queue.publisher();
    publish(&publisher, 3).await;
    assert!(publisher.check().await.is_ok());
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while publisher.depth(KIND).await.ok() != Some(3) {
        assert!(tokio::time::Instant::now() < deadline, "the depth did not become 3");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn loses_nothing_when_a_wait_is_given_up(queue: &Queue) {
    let publisher = queue.publisher();
    let mut consumer = queue.consumer(&[KIND], 40);
    let mut received = HashSet::new();
    let mut sent = HashSet::new();
    for _ in 0..20 {
        let given_up = timeout(Duration::from_micros(50), consumer.next());
        let (delivery, published) = tokio::join!(given_up, publish(&publisher, 1));
        sent.extend(published);
        if let Ok(delivery) = delivery {
            received.insert(delivery.message());
            delivery.ack().await;
        }
    }
    while received.len() < sent.len() {
        let delivery = next(&mut consumer).await;
        assert!(received.insert(delivery.message()), "a message came twice");
        delivery.ack().await;
    }
    assert_eq!(received, sent);
}
