//! Tests with a real broker, whose URL is in `TEST_AMQP_URL`; `make test` starts one.

mod acks;
mod churn;
mod confirm_timeouts;
mod fixture;
mod relay;
mod tls;

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use self::fixture::{Bench, KIND, Log, broker_url};
use self::relay::{Reach, Relay};
use super::super::{Consumer, Delivery, Message, Publisher, Queue, QueueError, conformance};
use super::*;
use crate::task::{TaskId, TaskKind};

/// How long a test waits for a condition.
const DEADLINE: Duration = Duration::from_secs(20);
/// Longer than a publisher may take in any case.
const BOUND: Duration = Duration::from_secs(7);

fn message() -> Message {
    Message { task_id: TaskId::new(), dispatch: 1 }
}

async fn publish(publisher: &Publisher, message: Message) -> Result<(), QueueError> {
    let mut confirms = timeout(BOUND, publisher.publish(&[(KIND, message)])).await.unwrap();
    assert_eq!(confirms.len(), 1);
    confirms.remove(0)
}

async fn publish_new(publisher: &Publisher) -> Message {
    let message = message();
    publish(publisher, message).await.unwrap();
    message
}

async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(DEADLINE, consumer.next()).await.expect("a delivery in time")
}

async fn assert_nothing_comes(consumer: &mut Consumer) {
    let silence = Duration::from_millis(300);
    assert!(timeout(silence, consumer.next()).await.is_err(), "an unexpected delivery");
}

/// Polls until the condition is true.
async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn depth_becomes(publisher: &Publisher, depth: u64) {
    let what = format!("a depth of {depth}");
    eventually(&what, || async { publisher.depth(KIND).await.unwrap() == depth }).await;
}

#[tokio::test]
async fn conforms() {
    let benches = std::sync::Mutex::new(Vec::new());
    conformance::run(|| async {
        let bench = Bench::new(&broker_url());
        let queue = bench.queue.clone();
        benches.lock().unwrap().push(bench);
        queue
    })
    .await;
    for bench in benches.into_inner().unwrap() {
        bench.finish().await;
    }
}

#[tokio::test]
async fn a_large_batch_is_confirmed_and_kept_in_order() {
    let bench = Bench::new(&broker_url());
    let batch: Vec<_> = (0..500).map(|_| (KIND, message())).collect();
    let confirms = bench.queue.publisher().publish(&batch).await;
    assert!(confirms.iter().all(Result::is_ok));
    let mut consumer = bench.queue.consumer(&[KIND], 50);
    for (_, message) in &batch {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message(), *message);
        delivery.ack().await;
    }
    bench.finish().await;
}

#[tokio::test]
async fn a_message_for_a_deleted_queue_fails_and_the_queue_is_recreated() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    publish_new(&publisher).await;
    bench.delete_queue().await;
    assert_eq!(publisher.depth(KIND).await.unwrap(), 0);

    let error = publish(&publisher, message()).await.unwrap_err().to_string();
    assert!(error.contains(&bench.queue_name()), "{error}");
    publish_new(&publisher).await;
    depth_becomes(&publisher, 1).await;
    bench.finish().await;
}

#[tokio::test]
async fn a_consumer_survives_the_deletion_of_its_queue() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    publish_new(&publisher).await;
    let mut consumer = bench.queue.consumer(&[KIND], 5);
    next(&mut consumer).await.ack().await;
    bench.delete_queue().await;

    // The consumer recreates the queue: a publisher detects the deletion only with its next
    // message.
    assert_nothing_comes(&mut consumer).await;
    let again = message();
    eventually("a confirm", || async { publish(&publisher, again).await.is_ok() }).await;
    assert_eq!(next(&mut consumer).await.message(), again);
    bench.finish().await;
}

#[tokio::test]
async fn publisher_and_consumer_recover_and_unacked_messages_return() {
    let relay = Relay::start().await;
    let bench = Bench::new(&relay.url());
    let publisher = bench.queue.publisher();
    let first = publish_new(&publisher).await;
    let mut consumer = bench.queue.consumer(&[KIND], 1);
    let lost = next(&mut consumer).await;
    assert_eq!(lost.message(), first);

    relay.set(Reach::Refuses);
    eventually("the end of the connection", || async { publisher.check().await.is_err() }).await;
    // Acks on a dead connection have no effect, and neither wait nor fail.
    timeout(BOUND, lost.ack()).await.unwrap();
    assert_nothing_comes(&mut consumer).await;

    relay.set(Reach::Passes);
    eventually("a connection", || async { publisher.check().await.is_ok() }).await;
    let again = next(&mut consumer).await;
    assert_eq!(again.message(), first);
    again.ack().await;
    let second = publish_new(&publisher).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message(), second);
    delivery.ack().await;
    depth_becomes(&publisher, 0).await;
    bench.finish().await;
}

#[tokio::test]
async fn a_pause_returns_waiting_deliveries_and_keeps_taken_ones() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    let mut sent = Vec::new();
    for _ in 0..6 {
        sent.push(publish_new(&publisher).await);
    }
    let mut paused = bench.queue.consumer(&[KIND], 3);
    let taken = next(&mut paused).await;
    assert_eq!(taken.message(), sent[0]);
    // Three are delivered; the other three stay in the queue.
    depth_becomes(&publisher, 3).await;

    paused.pause().await;
    depth_becomes(&publisher, 5).await;
    assert!(paused.try_next().is_none());
    taken.ack().await;
    assert_nothing_comes(&mut paused).await;
    depth_becomes(&publisher, 5).await;

    let mut other = bench.queue.consumer(&[KIND], 10);
    let mut received = HashSet::new();
    for _ in 0..5 {
        let delivery = next(&mut other).await;
        received.insert(delivery.message());
        delivery.ack().await;
    }
    assert_eq!(received, sent.into_iter().skip(1).collect(), "everything but what was acked");
    drop(other);

    paused.resume();
    let late = publish_new(&publisher).await;
    let delivery = next(&mut paused).await;
    assert_eq!(delivery.message(), late);
    delivery.ack().await;
    bench.finish().await;
}

#[tokio::test]
async fn a_pause_under_load_leaves_no_delivery_behind() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    let batch: Vec<_> = (0..300).map(|_| (KIND, message())).collect();
    assert!(publisher.publish(&batch).await.iter().all(Result::is_ok));
    let mut consumer = bench.queue.consumer(&[KIND], 8);
    let mut left = 300;
    for round in 0..24 {
        // Keeps its channel open, so that a late delivery would stay there.
        let held = next(&mut consumer).await;
        let mut acks = Vec::new();
        for _ in 0..round % 8 {
            acks.push(next(&mut consumer).await.ack());
            left -= 1;
        }
        // Acks free prefetch, so deliveries are in flight when the consumer is paused.
        tokio::join!(futures_util::future::join_all(acks), consumer.pause());
        depth_becomes(&publisher, left - 1).await;
        assert!(consumer.try_next().is_none());
        held.ack().await;
        left -= 1;
        depth_becomes(&publisher, left).await;
        consumer.resume();
    }
    bench.finish().await;
}

#[tokio::test]
async fn a_resumed_consumer_adapts_its_prefetch() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    let batch: Vec<_> = (0..20).map(|_| (KIND, message())).collect();
    assert!(publisher.publish(&batch).await.iter().all(Result::is_ok));
    let mut consumer = bench.queue.consumer(&[KIND], 6);
    let mut held = vec![next(&mut consumer).await];
    depth_becomes(&publisher, 14).await;
    consumer.pause().await;
    depth_becomes(&publisher, 19).await;
    for delivery in held.drain(..) {
        delivery.ack().await;
    }

    consumer.resume();
    held.push(next(&mut consumer).await);
    assert!(consumer.try_next().is_none(), "it prefetches more only when it waits");
    depth_becomes(&publisher, 18).await;
    for _ in 1..6 {
        held.push(next(&mut consumer).await);
    }
    assert_nothing_comes(&mut consumer).await;
    depth_becomes(&publisher, 13).await;
    bench.finish().await;
}

#[tokio::test]
async fn messages_arrive_while_the_prefetch_is_raised() {
    const MESSAGES: usize = 300;
    let bench = Bench::new(&broker_url());
    let batch: Vec<_> = (0..MESSAGES).map(|_| (KIND, message())).collect();
    // With several kinds, so that raising the prefetch takes longer than the next delivery.
    let mut consumer = bench.queue.consumer(&TaskKind::ALL, 64);
    consumer.pause().await;
    consumer.resume();
    assert!(bench.queue.publisher().publish(&batch).await.iter().all(Result::is_ok));
    let mut taken = HashSet::new();
    while taken.len() < MESSAGES {
        let delivery = next(&mut consumer).await;
        taken.insert(delivery.message().task_id);
        delivery.ack().await;
    }
    bench.finish().await;
}

#[tokio::test]
async fn a_consumer_pauses_and_resumes_in_any_state_of_the_connection() {
    let relay = Relay::start().await;
    let bench = Bench::new(&relay.url());
    let publisher = bench.queue.publisher();
    let mut consumer = bench.queue.consumer(&[KIND], 2);
    // Before there is a connection.
    consumer.pause().await;
    consumer.resume();
    let first = publish_new(&publisher).await;
    let held = next(&mut consumer).await;
    assert_eq!(held.message(), first);

    relay.set(Reach::IsSilent);
    timeout(BOUND, consumer.pause()).await.expect("a pause in time");
    relay.set(Reach::Passes);
    consumer.resume();
    let again = next(&mut consumer).await;
    assert_eq!(again.message(), first, "the silent connection was given up");
    again.ack().await;
    held.ack().await;

    // The connection ends during the pause.
    consumer.pause().await;
    relay.set(Reach::Refuses);
    relay.set(Reach::Passes);
    consumer.resume();
    let second = message();
    eventually("a confirm", || async { publish(&publisher, second).await.is_ok() }).await;
    assert_eq!(next(&mut consumer).await.message(), second);
    bench.finish().await;
}

#[tokio::test]
async fn unreadable_messages_are_dropped() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    let mut consumer = bench.queue.consumer(&[KIND], 1);
    let before = publish_new(&publisher).await;
    for body in [&b""[..], b"{", b"{\"task_id\":7}", &[0xff; 5000]] {
        bench.publish_raw(body).await;
    }
    let after = publish_new(&publisher).await;
    for message in [before, after] {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message(), message);
        delivery.ack().await;
    }
    // Nothing returns to the queue when the consumer is dropped.
    drop(consumer);
    let mut other = bench.queue.consumer(&[KIND], 10);
    assert_nothing_comes(&mut other).await;
    assert_eq!(publisher.depth(KIND).await.unwrap(), 0);
    bench.finish().await;
}

#[tokio::test]
async fn publishing_fails_in_time_without_a_broker_and_recovers() {
    for reach in [Reach::Refuses, Reach::IsSilent] {
        let relay = Relay::start().await;
        relay.set(reach);
        let bench = Bench::new(&relay.url());
        let publisher = bench.queue.publisher();
        assert!(publish(&publisher, message()).await.is_err());
        assert!(timeout(BOUND, publisher.check()).await.unwrap().is_err());
        assert!(timeout(BOUND, publisher.depth(KIND)).await.unwrap().is_err());

        relay.set(Reach::Passes);
        eventually("a connection", || async { publisher.check().await.is_ok() }).await;
        publish_new(&publisher).await;
        bench.finish().await;
    }
}

#[tokio::test]
async fn a_silent_broker_is_given_up_in_time() {
    let relay = Relay::start().await;
    let bench = Bench::new(&relay.url());
    let publisher = bench.queue.publisher();
    publish_new(&publisher).await;
    relay.set(Reach::IsSilent);
    assert!(publish(&publisher, message()).await.is_err());
    // Long before heartbeats are missed.
    let known = Instant::now();
    eventually("the end of the connection", || async { publisher.check().await.is_err() }).await;
    assert!(known.elapsed() < Duration::from_secs(5));
    relay.set(Reach::Passes);
    eventually("a connection", || async { publisher.check().await.is_ok() }).await;
    publish_new(&publisher).await;
    bench.finish().await;
}

#[tokio::test]
async fn a_blocking_broker_is_distinguished_from_a_missing_one() {
    let relay = Relay::start().await;
    let bench = Bench::new(&relay.url());
    let publisher = bench.queue.publisher();
    publish_new(&publisher).await;

    relay.block("low on memory");
    eventually("the block", || async { publisher.check().await.is_err() }).await;
    let error = publish(&publisher, message()).await.unwrap_err().to_string();
    assert!(error.contains("the broker has blocked publishing: low on memory"), "{error}");

    relay.unblock();
    eventually("the end of the block", || async { publisher.check().await.is_ok() }).await;
    publish_new(&publisher).await;
    assert_eq!(relay.connections(), 1, "the connection was kept");
    bench.finish().await;
}

#[tokio::test]
async fn publishers_share_a_connection_until_the_last_is_dropped() {
    let relay = Relay::start().await;
    let bench = Bench::new(&relay.url());
    let publishers = [bench.queue.publisher(), bench.queue.clone().publisher()];
    for publisher in &publishers {
        publish_new(publisher).await;
    }
    assert_eq!(relay.connections(), 1);
    drop(publishers);
    eventually("the end of the connection", || async { relay.open() == 0 }).await;
    publish_new(&bench.queue.publisher()).await;
    assert_eq!(relay.connections(), 2);
    bench.finish().await;
}

#[tokio::test]
async fn an_outage_is_logged_once_and_without_the_password() {
    let log = Log::of_all_tests();
    let relay = Relay::start().await;
    let bench = Bench::new(&relay.url());
    let publisher = bench.queue.publisher();
    publish_new(&publisher).await;

    let before = relay.connections();
    relay.set(Reach::Refuses);
    eventually("a few tries", || async { relay.connections() >= before + 4 }).await;
    relay.set(Reach::Passes);
    eventually("a connection", || async { publisher.check().await.is_ok() }).await;

    let log = log.text();
    assert!(!log.contains("lapin"), "{log}");
    assert!(!log.contains(&relay.credentials()), "{log}");
    let lines: Vec<_> = log.lines().filter(|line| line.contains(&relay.address())).collect();
    let [away, back] = lines[..] else { panic!("{lines:#?}") };
    assert!(away.contains("is down, publishing waits for it"), "{away}");
    assert!(back.contains("is up again, publishing continues"), "{back}");
    bench.finish().await;
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let new = |url: &str, prefix: &str| AmqpQueue::new(url.to_owned().into(), prefix);
    assert!(new("amqp://broker", "tasks").is_ok());
    for (url, prefix) in [
        ("https://me:geheim@broker", "tasks"),
        ("amqp://broker", ""),
        ("amqp://broker", "amq.tasks"),
        ("amqp://broker", &"p".repeat(101)),
    ] {
        assert!(new(url, prefix).is_err(), "{url} {prefix}");
    }
    let shown = format!("{:?}", Queue::Amqp(new("amqp://me:geheim@broker", "tasks").unwrap()));
    assert!(!shown.contains("geheim"), "{shown}");
}
