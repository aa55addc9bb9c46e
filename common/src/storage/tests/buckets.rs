//! Buckets.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::bench::*;
use super::relay::{Plan, Relay};
use crate::storage::*;
use crate::task::TaskId;

const LARGE: usize = 30 << 20;

/// Connections that break after less than a part.
const BREAKING: Plan = Plan { bytes: 3 << 20, cuts: 5, request: "", delay: Duration::ZERO };

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_cost_a_range_and_not_the_file() {
    let bench = Bench::bucket();
    let key = input();
    let content = pattern(LARGE);
    write(&bench.storage, key, content.clone()).await;
    let relay = Relay::start(&endpoint(), BREAKING).await;
    let read = read(&bench.at(relay.url.clone()), key, None).await;
    assert!(read == content);
    assert_eq!(relay.cuts(), BREAKING.cuts);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_despite_broken_connections() {
    let bench = Bench::bucket();
    let content = pattern(LARGE);
    for key in [input(), output(TaskId::new(), 1)] {
        let relay = Relay::start(&endpoint(), BREAKING).await;
        write(&bench.at(relay.url.clone()), key, content.clone()).await;
        assert!(read(&bench.storage, key, None).await == content);
        assert_eq!(relay.cuts(), BREAKING.cuts);
    }
}

/// Every connection breaks once the request is sent, and mostly before its answer arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_not_taken_for_the_output_of_another() {
    let bench = Bench::bucket();
    for size in [100, 9 << 20] {
        for cuts in 1..6 {
            let plan = Plan { bytes: 1, cuts, ..BREAKING };
            let relay = Relay::start(&endpoint(), plan).await;
            let key = output(TaskId::new(), 1);
            write(&bench.at(relay.url.clone()), key, pattern(size)).await;
            assert!(read(&bench.storage, key, None).await == pattern(size));
            assert_eq!(relay.cuts(), cuts);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_bucket_is_waited_for() {
    let bench = Bench::bucket();
    let plan = Plan { cuts: 0, delay: Duration::from_millis(5), ..BREAKING };
    let relay = Relay::start(&endpoint(), plan).await;
    let storage = bench.at(relay.url.clone());
    let key = input();
    write(&storage, key, pattern(9 << 20)).await;
    assert!(read(&storage, key, None).await == pattern(9 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_files_survive_broken_connections() {
    let bench = Bench::bucket();
    let key = input();
    let content = pattern(LARGE);
    let mut staged = None;
    for (number, piece) in content.chunks(7 << 20).enumerate() {
        let relay = Relay::start(&endpoint(), Plan { bytes: 1 << 20, ..BREAKING }).await;
        let by = StagingWriter { number: number as u32, takes_over: false };
        let storage = bench.at(relay.url.clone());
        let mut writer = storage.stage(key, staged.as_ref(), by, None).await.unwrap();
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        staged = Some(writer.checkpoint().await.unwrap());
    }
    let relay = Relay::start(&endpoint(), Plan { bytes: 1, ..BREAKING }).await;
    bench.at(relay.url.clone()).complete(key, &staged.unwrap()).await.unwrap();
    assert!(read(&bench.storage, key, None).await == content);
    bench.has_only(&[key]).await;
}

/// The answers to the requests that this project writes by itself are lost.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_to_special_requests_are_asked_for_again() {
    let bench = Bench::bucket();
    let (output, first, whole) = (output(TaskId::new(), 1), input(), input());
    for request in ["<CompleteMultipartUpload", "x-amz-copy-source-range", "uploads=&prefix="] {
        let relay =
            Relay::start(&endpoint(), Plan { bytes: 1, cuts: 2, request, ..BREAKING }).await;
        let storage = bench.at(relay.url.clone());
        write(&storage, output, pattern(LARGE)).await;
        write(&storage, first, pattern(LARGE)).await;
        let parts = [(first, LARGE as u64), (first, LARGE as u64)];
        storage.concatenate(whole, &parts).await.unwrap();
        storage.discard_staged(input(), None).await.unwrap();
        assert_eq!(relay.cuts(), 2, "{request}");
        assert!(read(&bench.storage, output, None).await == pattern(LARGE));
        assert!(read(&bench.storage, whole, None).await == pattern(LARGE).repeat(2));
        bench.has_only(&[output, first, whole]).await;
        for key in [output, first, whole] {
            storage.delete(key).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_replaced_is_not_read_in_two_versions() {
    let bench = Bench::bucket();
    let key = input();
    write(&bench.storage, key, pattern(LARGE)).await;
    let opened = bench.storage.open(key, None).await.unwrap();
    write(&bench.storage, key, vec![1; LARGE]).await;
    let read: Result<Vec<Bytes>, _> = opened.into_stream().await.unwrap().try_collect().await;
    let error = read.unwrap_err().to_string();
    assert!(error.contains("replaced"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_of_killed_processes_are_listed_and_discarded() {
    let bench = Bench::bucket();
    let key = output(TaskId::new(), 3);
    let mut writer = bench.storage.create(key);
    writer.write(pattern(LARGE)).await.unwrap();
    writer.write(Bytes::from_static(b"x")).await.unwrap();
    // As if the process was killed.
    std::mem::forget(writer);
    let listed = bench.storage.list_unfinished(Duration::ZERO);
    let unfinished: Vec<_> = listed.try_collect().await.unwrap();
    assert_eq!(unfinished.iter().map(|file| file.key).collect::<Vec<_>>(), [key]);
    for _ in 0..2 {
        bench.storage.discard(&unfinished[0]).await.unwrap();
    }
    bench.has_only(&[]).await;
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_not_ready() {
    let bench = Bench::bucket();
    let nothing = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = bench.at(format!("http://{}", nothing.local_addr().unwrap()));
    let start = std::time::Instant::now();
    let error = silent.check().await.unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(20), "{error}");
}

#[tokio::test]
async fn a_presigned_url_needs_no_access_key() {
    let bench = Bench::bucket();
    let key = output(TaskId::new(), 1);
    write(&bench.storage, key, "a,b\n").await;
    let disposition = "attachment; filename=\"a b.csv\"; filename*=UTF-8''a%20b.csv";
    let valid_for = Duration::from_secs(60);
    let signed = bench.storage.presigned(key, disposition, "text/csv; charset=utf-8", valid_for);
    let url = signed.await.unwrap().unwrap();
    assert!(url.contains("X-Amz-Expires=60"), "{url}");
    let http = crate::client::plain_http().unwrap().build().unwrap();
    let response = http.get(&url).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-disposition"), disposition);
    assert_eq!(header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(response.text().await.unwrap(), "a,b\n");

    let folder = Bench::folder();
    let signed = folder.storage.presigned(key, disposition, "text/csv", valid_for).await;
    assert_eq!(signed.unwrap(), None);
}
