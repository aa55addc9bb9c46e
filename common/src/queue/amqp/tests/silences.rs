//! A queue that seems deaf is looked at before it is deleted.

use std::sync::Arc;

use super::super::link::Link;
use super::super::silence::Silences;
use super::*;

/// Counts the queue as deaf, and has it replaced where it is.
async fn replace(queue: &Queue) {
    let Queue::Amqp(queue) = queue else { unreachable!("it is a broker's") };
    let silences = Silences::default();
    for _ in 0..10 {
        silences.silent(KIND);
    }
    let link = Arc::new(Link::open(&queue.place, "operator").await.unwrap());
    silences.replace_deaf_queues(&link, &queue.place).await.unwrap();
}

#[tokio::test]
async fn a_responsive_queue_is_not_deleted() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    let sent = [publish_new(&publisher).await, publish_new(&publisher).await];
    replace(&bench.queue).await;
    depth_becomes(&publisher, 2).await;
    let mut consumer = bench.queue.consumer(&[KIND], 2);
    let mut received = HashSet::new();
    for _ in 0..2 {
        let delivery = next(&mut consumer).await;
        received.insert(delivery.message());
        delivery.ack().await;
    }
    assert_eq!(received, HashSet::from(sent));

    // Nor is an empty one that is read.
    replace(&bench.queue).await;
    let last = publish_new(&publisher).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message(), last);
    delivery.ack().await;
    assert_eq!(bench.consumers(KIND).await, 1, "its consumer was not cancelled");
    bench.finish().await;
}
