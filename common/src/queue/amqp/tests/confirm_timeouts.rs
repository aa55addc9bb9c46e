//! A queue that seems unresponsive is probed before it is deleted.

use std::sync::Arc;

use super::super::confirm_timeouts::ConfirmTimeouts;
use super::super::connection::Connection;
use super::*;

/// Counts the queue as unresponsive, and has it recreated if it is.
async fn recreate_if_unresponsive(queue: &Queue) {
    let Queue::Amqp(queue) = queue else { unreachable!("it is a broker's") };
    let confirm_timeouts = ConfirmTimeouts::default();
    for _ in 0..10 {
        confirm_timeouts.timed_out(KIND);
    }
    let connection = Arc::new(Connection::open(&queue.target, "operator").await.unwrap());
    confirm_timeouts.recreate_unresponsive_queues(&connection, &queue.target).await.unwrap();
}

#[tokio::test]
async fn a_responsive_queue_is_not_deleted() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    let sent = [publish_new(&publisher).await, publish_new(&publisher).await];
    recreate_if_unresponsive(&bench.queue).await;
    depth_becomes(&publisher, 2).await;
    let mut consumer = bench.queue.consumer(&[KIND], 2);
    let mut received = HashSet::new();
    for _ in 0..2 {
        let delivery = next(&mut consumer).await;
        received.insert(delivery.message());
        delivery.ack().await;
    }
    assert_eq!(received, HashSet::from(sent));

    // Nor is an empty one with a consumer.
    recreate_if_unresponsive(&bench.queue).await;
    let last = publish_new(&publisher).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message(), last);
    delivery.ack().await;
    assert_eq!(bench.consumers(KIND).await, 1, "its consumer was not cancelled");
    bench.finish().await;
}
