//! Appends to a file from async code, without waiting for each write.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

/// How many bytes are gathered for a write, and in how many pieces at most. One write is in
/// progress while the next is gathered, so twice this bounds the memory of a writer.
const WRITE_SIZE: usize = 1 << 20;
const WRITE_PIECES: usize = 1024;

/// After how many bytes the disk starts writing in the background, so that the final flush does not
/// have to wait for all bytes of a large file.
const SYNC_SIZE: u64 = 64 << 20;

/// Appends to a file at its position.
#[derive(Debug)]
pub(super) struct Appender {
    file: Arc<File>,
    gathered: Vec<Bytes>,
    gathered_size: usize,
    /// The write in progress.
    writing: Option<JoinHandle<io::Result<()>>>,
    /// The flush to disk in progress.
    syncing: Option<JoinHandle<io::Result<()>>>,
    /// The bytes written since the last flush to disk began.
    unsynced: u64,
    /// Whether the file has nothing to flush to disk.
    is_durable: bool,
    failed: bool,
}

impl Appender {
    pub(super) fn new(file: File) -> Self {
        Self {
            file: Arc::new(file),
            gathered: Vec::new(),
            gathered_size: 0,
            writing: None,
            syncing: None,
            unsynced: 0,
            is_durable: true,
            failed: false,
        }
    }

    /// Appends `bytes`; waits while the disk is slower. If the future is dropped before it
    /// completes, nothing of `bytes` has been appended.
    pub(super) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        if self.gathered_size >= WRITE_SIZE || self.gathered.len() >= WRITE_PIECES {
            self.start_write().await?;
        }
        // Nothing is awaited from here, so that a cancelled call has not taken the bytes.
        if !bytes.is_empty() {
            self.gathered_size += bytes.len();
            self.gathered.push(bytes);
        }
        Ok(())
    }

    /// Makes everything that was appended durable.
    pub(super) async fn sync(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.start_write().await?;
        }
        self.finish_write().await?;
        self.finish_sync().await?;
        if !self.is_durable {
            self.start_sync();
            self.finish_sync().await?;
            self.is_durable = true;
        }
        Ok(())
    }

    /// Starts to write what was gathered, after the write before.
    async fn start_write(&mut self) -> io::Result<()> {
        self.finish_write().await?;
        if self.unsynced >= SYNC_SIZE && self.syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.finish_sync().await?;
            self.start_sync();
        }
        // Nothing is awaited from here, so that a cancelled call loses no bytes.
        self.unsynced += std::mem::take(&mut self.gathered_size) as u64;
        self.is_durable = false;
        let pieces = std::mem::take(&mut self.gathered);
        let file = Arc::clone(&self.file);
        self.writing = Some(spawn_blocking(move || write_all(&file, &pieces)));
        Ok(())
    }

    fn start_sync(&mut self) {
        let file = Arc::clone(&self.file);
        self.syncing = Some(spawn_blocking(move || file.sync_data()));
        self.unsynced = 0;
    }

    async fn finish_write(&mut self) -> io::Result<()> {
        finish(&mut self.writing, &mut self.failed).await
    }

    async fn finish_sync(&mut self) -> io::Result<()> {
        finish(&mut self.syncing, &mut self.failed).await
    }
}

/// Waits for `work`. After a failure the content of the file is unknown, so every later call fails.
async fn finish(
    work: &mut Option<JoinHandle<io::Result<()>>>,
    failed: &mut bool,
) -> io::Result<()> {
    if *failed {
        return Err(io::Error::other("an earlier write failed"));
    }
    let Some(running) = work else { return Ok(()) };
    let outcome = running.await.map_err(io::Error::other).flatten();
    *work = None;
    *failed = outcome.is_err();
    outcome
}

fn write_all(mut file: &File, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
