//! Writes a segment of a staged file.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use bytes::Bytes;

use super::appender::Appender;
use super::segments::{Segment, Segments, missing_bytes, try_lock, until_unlocked};
use super::{StagingFolder, blocking};
use crate::storage::StagingWriter;

/// Appends to the last segment of a staged file.
#[derive(Debug)]
pub(in crate::storage) struct SegmentWriter {
    folder: StagingFolder,
    file: Appender,
    /// All segments; the last is the one being written.
    segments: Segments,
    /// Whether the name of the file, which may be new, is on disk.
    has_durable_name: bool,
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
    Ok(SegmentWriter { folder, file: Appender::new(file), segments, has_durable_name: !is_new })
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
        let size = bytes.len() as u64;
        self.file.write(bytes).await?;
        if let Some(segment) = self.segments.0.last_mut() {
            segment.length += size;
        }
        Ok(())
    }

    pub(in crate::storage) async fn checkpoint(&mut self) -> io::Result<Segments> {
        self.file.sync().await?;
        if !self.has_durable_name {
            let folder = self.folder.clone();
            blocking(move || folder.sync()).await?;
            self.has_durable_name = true;
        }
        Ok(self.segments.clone())
    }
}
