//! A connection that breaks again and again.

use std::net::SocketAddr;
use std::path::Path;

use super::upload::{Sent, Upload};
use super::{assert_arrived, random_bytes};
use crate::end_to_end::api::Api;
use crate::end_to_end::fleet::Fleet;
use crate::end_to_end::fleet::relay::Relay;
use crate::end_to_end::fleet::services::Services;
use crate::end_to_end::standalone::Standalone;

const SIZE: usize = 20_000_000;
/// Each connection breaks after so many bytes.
const BREAKS_AFTER: usize = 700_000;

/// A line to the servers, to each in turn, whose connections break.
pub async fn breaking_line(servers: Vec<SocketAddr>) -> Relay {
    let line = Relay::start(servers).await;
    line.cut_each_after(BREAKS_AFTER);
    line
}

/// Uploads a file in one request, which breaks again and again.
async fn upload_over_breaking_connections(api: &Api, servers: Vec<SocketAddr>, bucket: &Path) {
    let line = breaking_line(servers).await;
    let mut client = api.clone();
    client.url = format!("http://{}", line.address);
    let content = random_bytes(1, SIZE);
    let mut upload = Upload::create(&client, content.clone(), &Sent::default()).await;
    let id = upload.send(0, || SIZE).await;
    assert!(upload.resumed >= SIZE / BREAKS_AFTER, "it resumed {} times", upload.resumed);
    api.wait_for_end(id).await;
    assert_arrived(api, bucket, id, &content).await;
    assert_eq!(api.tasks().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_arrives_over_breaking_connections() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let bucket = data.path().join("local_storage");
    upload_over_breaking_connections(&server.api, vec![server.address()], &bucket).await;
    let id = server.api.tasks().await[0].task_id;
    server.wait_for_files(vec![format!("raw_data/{id}")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_arrives_over_breaking_connections_to_two_managers_in_turn() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_manager().await;
    fleet.add_worker(1).await;
    let managers = vec![fleet.address_of_manager(0), fleet.address_of_manager(1)];
    let bucket = fleet.bucket();
    upload_over_breaking_connections(&fleet.api, managers, bucket.as_ref()).await;
    fleet.has_only_wanted_files().await;
}
