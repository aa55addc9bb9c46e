//! TLS to the real broker.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::tls::Trust;

#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
fn amqps_url() -> String {
    std::env::var("TEST_AMQPS_URL").expect("start the services first: make services")
}

/// The certificate of the authority that signed the broker's.
fn ca_file() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(root.join("scripts/services.sh"));
    let output = command.arg("ca-file").current_dir(root).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn queue(url: &str, trust: Trust) -> Queue {
    let prefix = format!("test-{}", uuid::Uuid::new_v4());
    Queue::Amqp(AmqpQueue::new(url.to_owned().into(), &prefix).unwrap().trusting(trust))
}

async fn refusal(url: &str, trust: Trust) -> String {
    let check = queue(url, trust).publisher();
    timeout(BOUND, check.check()).await.unwrap().unwrap_err().to_string()
}

#[tokio::test]
async fn messages_travel_with_tls() {
    let trust = Trust::with_file(Some(&ca_file())).unwrap();
    let bench = Bench::new(&amqps_url());
    let Queue::Amqp(queue) = bench.queue.clone() else { unreachable!("it is a broker's") };
    let queue = Queue::Amqp(queue.trusting(trust));
    let publisher = queue.publisher();
    let batch: Vec<_> = (0..500).map(|_| (KIND, message())).collect();
    assert!(publisher.publish(&batch).await.iter().all(Result::is_ok));
    let mut consumer = queue.consumer(&[KIND], 50);
    for (_, message) in &batch {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message(), *message);
        delivery.ack().await;
    }
    drop(consumer);
    eventually("no consumer", || async { bench.consumers(KIND).await == 0 }).await;
    assert_eq!(publisher.depth(KIND).await.unwrap(), 0);
    bench.finish().await;
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused_with_the_name_of_the_setting() {
    let refused = refusal(&amqps_url(), Trust::default()).await;
    assert!(refused.contains("name the authority's certificate"), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&other, key.cert.pem()).unwrap();
    let refused = refusal(&amqps_url(), Trust::with_file(Some(&other)).unwrap()).await;
    assert!(refused.contains("other.pem (`ca_file`)"), "{refused}");
    assert!(!refused.contains("tasks:tasks"), "{refused}");

    let trust = Trust::with_file(Some(&ca_file())).unwrap();
    let by_another_name = amqps_url().replace("localhost", "127.0.0.2");
    let refused = refusal(&by_another_name, trust).await;
    assert!(!refused.contains("tasks:tasks"), "{refused}");
}
