//! Writes a segment of a staged file.

use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::staged::StagingWriter;
use super::segments::{Segment, Segments, missing_bytes, try_lock, until_unlocked};
use super::{StagingFolder, blocking};

/// How many bytes are gathered for a write, and in how many pieces at most. One write is in
/// progress while the next is gathered, so twice this bounds the memory of a writer.
const WRITE_SIZE: usize = 1 << 20;
const WRITE_PIECES: usize = 1024;

/// After how many bytes the disk starts writing in the background, so that a checkpoint does not
/// have to wait for all bytes of a large file.
const SYNC_SIZE: u64 = 64 << 20;

/// Appends to the last segment of a staged file.
#[derive(Debug)]
pub(in crate::storage) struct SegmentWriter {
    folder: StagingFolder,
    file: Arc<File>,
    /// All segments; the last is the one being written, and counts the bytes given to `writing`.
    segments: Segments,
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
    /// Whether the name of the file, which may be new, is on disk.
    has_durable_name: bool,
    failed: bool,
}

/// Opens the last of `segments`, or starts a new one.
pub(in crate::storage) async fn open(
    folder: StagingFolder,
    mut segments: Segments,
    writer: StagingWriter,
) -> io::Result<SegmentWriter> {
    let mut continued = None;
    if let (false, Some(last)) = (writer.takes_over, segments.0.last().copied()) {
        let folder = folder.clone();
        continued = until_unlocked(move || match try_continue(&folder, last)? {
            Last::Opened(file) => Ok(Some(Some(file))),
            Last::TakenOver => Ok(Some(None)),
            Last::Locked => Ok(None),
        })
        .await?
        .flatten();
    }
    let is_new = continued.is_none();
    let file = match continued {
        Some(file) => file,
        None => {
            segments.0.push(Segment { writer: writer.number, length: 0 });
            let folder = folder.clone();
            blocking(move || start(&folder, writer.number)).await?
        }
    };
    if !writer.takes_over {
        let (folder, segments) = (folder.clone(), segments.clone());
        blocking(move || remove_unacknowledged(&folder, &segments, writer.number)).await?;
    }
    Ok(SegmentWriter {
        folder,
        file: Arc::new(file),
        segments,
        gathered: Vec::new(),
        gathered_size: 0,
        writing: None,
        syncing: None,
        unsynced: 0,
        is_durable: !is_new,
        has_durable_name: !is_new,
        failed: false,
    })
}

/// The last segment, for a writer that does not take over.
enum Last {
    Opened(File),
    /// Another writer has it open.
    Locked,
    /// Another writer took over without a checkpoint, so its predecessor may still be running.
    TakenOver,
}

fn try_continue(folder: &StagingFolder, last: Segment) -> io::Result<Last> {
    if folder.writers()?.into_iter().any(|writer| writer > last.writer) {
        return Ok(Last::TakenOver);
    }
    let mut file = File::options().read(true).write(true).open(folder.segment(last.writer))?;
    if !try_lock(&file) {
        return Ok(Last::Locked);
    }
    if file.metadata()?.len() < last.length {
        return Err(missing_bytes());
    }
    file.set_len(last.length)?;
    file.seek(SeekFrom::Start(last.length))?;
    Ok(Last::Opened(file))
}

fn start(folder: &StagingFolder, writer: u32) -> io::Result<File> {
    folder.create()?;
    let file = File::create_new(folder.segment(writer))?;
    try_lock(&file);
    Ok(file)
}

/// Removes the segments of earlier writers of which no byte was acknowledged.
fn remove_unacknowledged(
    folder: &StagingFolder,
    segments: &Segments,
    number: u32,
) -> io::Result<()> {
    for writer in folder.writers()? {
        if writer < number && !segments.contains(writer) {
            std::fs::remove_file(folder.segment(writer))?;
        }
    }
    Ok(())
}

impl SegmentWriter {
    pub(in crate::storage) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
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

    pub(in crate::storage) async fn checkpoint(&mut self) -> io::Result<Segments> {
        if !self.gathered.is_empty() {
            self.start_write().await?;
        }
        self.finish_write().await?;
        self.finish_sync().await?;
        if !self.is_durable {
            let file = Arc::clone(&self.file);
            let folder = (!self.has_durable_name).then(|| self.folder.clone());
            self.syncing = Some(spawn_blocking(move || {
                file.sync_data()?;
                folder.map_or(Ok(()), |folder| folder.sync())
            }));
            self.unsynced = 0;
            self.finish_sync().await?;
            self.is_durable = true;
            self.has_durable_name = true;
        }
        Ok(self.segments.clone())
    }

    /// Starts to write what was gathered, after the write before.
    async fn start_write(&mut self) -> io::Result<()> {
        self.finish_write().await?;
        if self.unsynced >= SYNC_SIZE && self.syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.finish_sync().await?;
            let file = Arc::clone(&self.file);
            self.syncing = Some(spawn_blocking(move || file.sync_data()));
            self.unsynced = 0;
        }
        // Nothing is awaited from here, so that a cancelled call loses no bytes.
        let size = std::mem::take(&mut self.gathered_size) as u64;
        let pieces = std::mem::take(&mut self.gathered);
        self.is_durable = false;
        self.unsynced += size;
        if let Some(segment) = self.segments.0.last_mut() {
            segment.length += size;
        }
        let file = Arc::clone(&self.file);
        self.writing = Some(spawn_blocking(move || write_all(&file, &pieces)));
        Ok(())
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
