//! Compressed files.

use std::io::Write;

use common::task::TaskState;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::standalone::Standalone;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_files_are_aggregated() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    for file in [gzip(SAMPLE.as_bytes()), zstd::encode_all(SAMPLE.as_bytes(), 0).unwrap()] {
        let id = server.api.accept("", file).await;
        assert_eq!(server.api.result(id).await, SAMPLE_SUMS);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_decompressed_fails_its_task() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("DATA_PROCESSOR_UNPACKED_LIMIT", "1MiB")];
    let server = Standalone::start_with(data.path(), &settings).await;
    let cut = gzip(SAMPLE.as_bytes());
    let bomb = gzip(&vec![b' '; 2 << 20]);
    for (file, code) in [(&cut[..cut.len() - 9], "cannot_unpack"), (&bomb, "unpacked_too_large")] {
        let id = server.api.accept("", file.to_vec()).await;
        let task = server.api.wait_for_end(id).await;
        assert_eq!((task.state, task.attempt), (TaskState::Failed, 1));
        assert_eq!(task.error.unwrap().code, code);
    }
}
