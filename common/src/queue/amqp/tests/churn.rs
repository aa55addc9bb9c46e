//! Consumers that are paused, dropped and resumed at any moment leave no consumer at the broker.

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::timeout_at;

use super::*;

/// Longer than a subscription takes, so that pauses hit every step of it.
const LONGEST_MOMENT: Duration = Duration::from_millis(12);

/// The consumed kinds: several, so that a subscription has more steps.
const KINDS: [TaskKind; 2] = [KIND, TaskKind::FileStatistics];

/// Consumes for a random time.
async fn take(consumer: &mut Consumer, random: &mut StdRng) -> Vec<Delivery> {
    let until = Instant::now() + LONGEST_MOMENT.mul_f64(random.random_range(0.0..1.0));
    let mut taken = Vec::new();
    while let Ok(delivery) = timeout_at(until, consumer.next()).await {
        taken.push(delivery);
    }
    taken
}

async fn settle(deliveries: Vec<Delivery>, random: &mut StdRng) {
    if random.random_bool(0.5) {
        crate::queue::ack_all(deliveries).await;
    }
}

async fn publish_many(publisher: &Publisher) {
    let batch: Vec<_> = (0..300).map(|_| (KIND, message())).collect();
    assert!(publisher.publish(&batch).await.iter().all(Result::is_ok));
}

/// Waits until the broker has `count` consumers of each queue.
async fn consumers_become(bench: &Bench, count: u32) {
    for kind in KINDS {
        let what = format!("{count} consumers of {kind}");
        eventually(&what, || async { bench.consumers(kind).await == count }).await;
    }
}

#[tokio::test]
async fn a_pause_at_any_moment_leaves_no_consumer_behind() {
    let relay = Relay::start().await;
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    let mut consumer = bench.queue_at(&relay.url()).consumer(&KINDS, 4);
    let mut random = StdRng::seed_from_u64(21);
    let mut pauses = Vec::new();
    for round in 0..1_000 {
        // So that a message is always waiting.
        if round % 250 == 0 {
            publish_many(&publisher).await;
        }
        let taken = take(&mut consumer, &mut random).await;
        let pausing = consumer.pause();
        match random.random_bool(0.5) {
            true => pausing.await,
            false => pauses.push(pausing),
        }
        settle(taken, &mut random).await;
        consumer.resume();
    }
    consumer.pause().await;
    join_all(pauses).await;
    consumers_become(&bench, 0).await;
    eventually("one connection", || async { relay.open() == 1 }).await;
    publish_many(&publisher).await;
    let waiting = settled_depth(&publisher).await;

    // It still consumes, with one consumer.
    consumer.resume();
    next(&mut consumer).await.ack().await;
    consumers_become(&bench, 1).await;
    drop(consumer);
    eventually("no connection", || async { relay.open() == 0 }).await;
    consumers_become(&bench, 0).await;
    let left = settled_depth(&publisher).await;
    assert_eq!(left, waiting - 1, "nothing was unacked that came back with the connection's end");
    assert_last_is_delivered(&bench).await;
    bench.finish().await;
}

#[tokio::test]
async fn a_drop_at_any_moment_leaves_no_consumer_behind() {
    let relay = Relay::start().await;
    let bench = Bench::new(&broker_url());
    publish_many(&bench.queue.publisher()).await;
    let mut random = StdRng::seed_from_u64(21);
    for _ in 0..200 {
        let mut consumer = bench.queue_at(&relay.url()).consumer(&KINDS, 4);
        let taken = take(&mut consumer, &mut random).await;
        drop(consumer);
        settle(taken, &mut random).await;
    }
    eventually("no connection", || async { relay.open() == 0 }).await;
    consumers_become(&bench, 0).await;
    assert_last_is_delivered(&bench).await;
    bench.finish().await;
}

/// The number of waiting messages, once it is stable.
async fn settled_depth(publisher: &Publisher) -> u64 {
    let mut depth = publisher.depth(KIND).await.unwrap();
    for _ in 0..40 {
        sleep(Duration::from_millis(500)).await;
        let now = publisher.depth(KIND).await.unwrap();
        if now == depth {
            break;
        }
        depth = now;
    }
    depth
}

/// Consumes all messages, up to one that is published now.
async fn assert_last_is_delivered(bench: &Bench) {
    let last = publish_new(&bench.queue.publisher()).await;
    let mut consumer = bench.queue.consumer(&KINDS, 4);
    loop {
        let delivery = next(&mut consumer).await;
        let is_last = delivery.message() == last;
        delivery.ack().await;
        if is_last {
            return;
        }
    }
}
