//! Acks of many deliveries together.

use super::super::super::{Delivery, ack_all};
use super::fixture::{Bench, KIND, broker_url};
use super::{assert_nothing_comes, message, next};

#[tokio::test]
async fn acks_of_many_leave_those_that_were_not_acked() {
    let bench = Bench::new(&broker_url());
    let publisher = bench.queue.publisher();
    let sent: Vec<_> = (0..10).map(|_| (KIND, message())).collect();
    assert!(publisher.publish(&sent).await.iter().all(Result::is_ok));
    let mut consumer = bench.queue.consumer(&[KIND], 10);
    let mut deliveries = Vec::new();
    for _ in &sent {
        deliveries.push(next(&mut consumer).await);
    }
    // The first five, then others with a gap, then one of the gap: 5 and 8 stay.
    let mut rest = deliveries.split_off(5);
    ack_all(deliveries).await;
    ack_all(vec![rest.remove(4), rest.remove(1)]).await;
    ack_all(vec![rest.remove(1)]).await;
    drop((rest, consumer));

    let mut consumer = bench.queue.consumer(&[KIND], 10);
    let mut again = vec![next(&mut consumer).await, next(&mut consumer).await];
    again.sort_by_key(|delivery| delivery.message().task_id);
    let messages: Vec<_> = again.iter().map(Delivery::message).collect();
    assert_eq!(messages, [sent[5].1, sent[8].1]);
    assert_nothing_comes(&mut consumer).await;
    ack_all(again).await;
    bench.finish().await;
}
