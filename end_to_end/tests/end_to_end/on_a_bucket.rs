//! Everything that has files, on a bucket of S3.

use std::time::Duration;

use common::task::{TaskId, TaskState};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::{Method, StatusCode};
use sha2::{Digest, Sha256};

use super::api::{Api, eventually};
use super::fleet::Fleet;
use super::fleet::relay::Relay;
use super::fleet::services::Services;
use super::people::People;
use super::plays::{Plays, SAMPLE, SAMPLE_SUMS};
use super::process::{Process, taskctl};
use super::resumable::random_bytes;
use super::resumable::upload::{Sent, Upload};
use super::s3::S3Bucket;
use super::standalone::Standalone;

/// Several parts of a multipart upload.
const SIZE: usize = 30_000_000;

async fn fleet_on_a_bucket() -> Fleet {
    let mut fleet = Fleet::prepare(Services::shared()).await;
    fleet.s3 = Some(S3Bucket::create(&fleet.services));
    fleet.open().await;
    fleet.add_manager().await;
    fleet.add_worker_of_all(2).await;
    fleet
}

/// Deletes all tasks, and waits until nothing is left.
async fn delete_everything(api: &Api, bucket: &S3Bucket) {
    for task in api.tasks().await {
        let path = format!("/v1/tasks/{}", task.task_id);
        let response = api.request(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    eventually("the bucket is empty", async || bucket.files().await.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_aggregated_and_downloaded() {
    let fleet = fleet_on_a_bucket().await;
    let (api, bucket) = (&fleet.api, fleet.s3.as_ref().unwrap());
    let content = format!("{SAMPLE}Umbrella,2020-01-01,many\n");
    let small = api.accept("&on_bad_row=skip", content).await;
    assert_eq!(api.result(small).await, SAMPLE_SUMS);
    let rejected = api.get(&format!("/v1/data_processor/rejected/{small}")).await;
    assert!(rejected.text().await.unwrap().contains("many"));
    let path = format!("/v1/data_processor/download/{small}");
    let part = api.request(Method::GET, &path).header("range", "bytes=10-").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.text().await.unwrap(), SAMPLE_SUMS[10..]);

    let plays = Plays::random(&mut StdRng::seed_from_u64(3), 100_000, 10);
    let large = api.accept("", plays.body()).await;
    assert!(api.task(large).await.size.unwrap() > SIZE as u64 / 2);
    assert_eq!(api.result(large).await, plays.sums());

    let attempt = |id: TaskId| format!("processed_data/{id}/1");
    let mut expected = vec![
        format!("raw_data/{small}"),
        format!("raw_data/{large}"),
        format!("{}.csv", attempt(small)),
        format!("{}.rejected.csv", attempt(small)),
        format!("{}.csv", attempt(large)),
    ];
    expected.sort();
    assert_eq!(bucket.files().await, expected);
    delete_everything(api, bucket).await;
}

/// A client of tus whose connections break, to two task managers in turn, of which one is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_continues_at_another_task_manager() {
    let mut fleet = fleet_on_a_bucket().await;
    let line = Relay::start(vec![fleet.address_of_manager(0), fleet.address_of_manager(1)]).await;
    line.cut_each_after(3_000_000);
    let mut client = fleet.api.clone();
    client.url = format!("http://{}", line.address);
    let (content, sent) = (random_bytes(5, SIZE), Sent::default());
    let mut upload = Upload::create(&client, content.clone(), &sent).await;
    let (id, ()) = tokio::join!(upload.send(0, || SIZE), async {
        eventually("half of it is sent", async || (sent.bytes() > SIZE / 2).then_some(())).await;
        fleet.kill_manager(0);
        line.lead_to(vec![fleet.address_of_manager(1)]);
    });
    assert!(upload.resumed >= SIZE / 3_000_000, "it resumed {} times", upload.resumed);
    let task = fleet.api.wait_for_end(id).await;
    assert_eq!(task.state, TaskState::Processed, "{:?}", task.error);
    assert_eq!(task.result.unwrap()["sha256"], hex::encode(Sha256::digest(&content)));
    let bucket = fleet.s3.as_ref().unwrap();
    assert_eq!(bucket.files().await, [format!("raw_data/{id}")]);

    let upload = Upload::create(&fleet.api, content, &Sent::default()).await;
    let abandoned =
        fleet.api.request(Method::DELETE, upload.path()).header("Tus-Resumable", "1.0.0");
    assert_eq!(abandoned.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    delete_everything(&fleet.api, bucket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_are_killed_resumed_and_stopped() {
    let fleet = fleet_on_a_bucket().await;
    let (api, bucket) = (&fleet.api, fleet.s3.as_ref().unwrap());
    let people = People::random(&mut StdRng::seed_from_u64(9), 100_000);
    let running = async |id: TaskId| {
        eventually("rows are loaded", async || {
            let task = api.task(id).await;
            assert!(!task.state.is_ended(), "{:?}", task.error);
            task.result.is_some_and(|result| result["rows_loaded"] != 0).then_some(())
        })
        .await;
    };
    let id = people.upload(api).await.task.task_id;
    running(id).await;
    assert_eq!(api.interrupt(id, "kill").await.status(), StatusCode::OK);
    assert_eq!(api.interrupt(id, "resume").await.status(), StatusCode::OK);
    api.wait_for_state(id, TaskState::Processed).await;
    people.assert_loaded(api, id).await;

    let stopped = people.upload(api).await.task.task_id;
    running(stopped).await;
    assert_eq!(api.interrupt(stopped, "stop").await.status(), StatusCode::ACCEPTED);
    api.wait_for_state(stopped, TaskState::Stopped).await;
    delete_everything(api, bucket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_server_uses_a_bucket_and_redirects_downloads_to_it() {
    let bucket = S3Bucket::create(&Services::shared());
    let data = tempfile::tempdir().unwrap();
    let settings = format!("{}presigned_downloads = true\n", bucket.toml());
    std::fs::write(data.path().join("task_manager.toml"), settings).unwrap();
    let mut server = Standalone::start(data.path()).await;
    let (input, output) = (data.path().join("songs.csv"), data.path().join("sums.csv"));
    std::fs::write(&input, SAMPLE).unwrap();
    let mut command = taskctl();
    command.args(["--server", &server.api.url, "upload", "--wait"]);
    command.arg(&input).arg("--output").arg(&output);
    let status = Process::spawn(&mut command).exit(Duration::from_secs(60)).await;
    assert!(status.success(), "{status}");
    assert_eq!(std::fs::read_to_string(output).unwrap(), SAMPLE_SUMS);
    assert!(!data.path().join("local_storage").exists());
    let id = server.api.tasks().await[0].task_id;
    // The server forgets nothing, and removes no unfinished file of others at its start.
    server.crash().await;
    let response = server.api.download(id).await;
    assert!(response.url().as_str().contains("X-Amz-Signature"), "{}", response.url());
    assert_eq!(response.text().await.unwrap(), SAMPLE_SUMS);
    delete_everything(&server.api, &bucket).await;
}
