//! The engine of `file_statistics`: size, lines, words, characters, type and digest of any file, in
//! one pass.
//!
//! # Invariants
//! - The file is read once, sequentially, in bounded memory.
//! - No content is an error: a binary file has no text counts.
//! - An interrupt takes effect within a block of [`BLOCK`] bytes.
//!
//! # Not here
//! Tasks and storage: the caller opens the input. Text is counted by `text_statistics`.

mod content;
mod counter;
#[cfg(test)]
mod tests;
mod utf16;

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::{panic, thread};

use common::file_statistics::{Encoding, FileStatistics};
use sha2::digest::Output;
use sha2::{Digest, Sha256};

use self::content::Content;
use self::counter::Counter;

/// The size of a block that is read and processed at a time, in bytes.
pub const BLOCK: usize = 256 << 10;
/// The number of threads that can be used: one reads and counts, another one hashes.
pub const MAX_THREADS: usize = 2;
/// The number of blocks in memory: one is read and counted while others wait to be hashed.
const BLOCKS: usize = 4;

/// Why a file has no statistics.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The work was interrupted before it was done.
    #[error("interrupted")]
    Interrupted,
    /// The input cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Determines the statistics of the file `input` with the name `file_name`. Uses up to `threads`
/// threads, but no more than [`MAX_THREADS`]. After each block, `progress` is called with the
/// number of bytes processed, and may interrupt the work.
///
/// # Errors
/// The input cannot be read, or `progress` interrupted the work.
pub fn examine(
    mut input: impl Read,
    file_name: &str,
    threads: usize,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<FileStatistics, ExamineError> {
    let mut first = Vec::new();
    fill(&mut input, &mut first)?;
    let content = Content::recognise(&first, file_name);
    let counter = Counter::new(content.form());
    let mut work = Work { counter, content, size: 0, progress: &mut progress };
    let digest = if first.len() < BLOCK {
        work.add(&first)?;
        Sha256::digest(&first)
    } else if threads < MAX_THREADS {
        let mut digest = Sha256::new();
        let mut hash = |block: Vec<u8>| {
            digest.update(&block);
            Ok(block)
        };
        work.read(input, first, &mut hash)?;
        digest.finalize()
    } else {
        hash_in_parallel(|hash| work.read(input, first, hash))?
    };
    let size = work.size;
    let (encoding, counts) = work.counter.finish();
    let (content_type, is_text) = work.content.finish(encoding == Encoding::Utf8);
    let (encoding, counts) = if is_text { (encoding, counts) } else { (Encoding::Binary, None) };
    Ok(FileStatistics {
        file_name: file_name.to_owned(),
        size,
        lines: counts.map(|counts| counts.lines),
        words: counts.map(|counts| counts.words),
        characters: counts.map(|counts| counts.characters),
        content_type: content_type.into_owned(),
        encoding,
        sha256: hex::encode(digest),
    })
}

/// Reads the next block, which is shorter than [`BLOCK`] only at the end of the input.
fn fill(input: &mut impl Read, block: &mut Vec<u8>) -> io::Result<()> {
    block.clear();
    input.take(BLOCK as u64).read_to_end(block).map(drop)
}

struct Work<'a> {
    counter: Counter,
    content: Content,
    size: u64,
    progress: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl Work<'_> {
    fn add(&mut self, block: &[u8]) -> Result<(), ExamineError> {
        self.counter.add(block);
        self.content.add(block);
        self.size += block.len() as u64;
        match (self.progress)(self.size) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ExamineError::Interrupted),
        }
    }

    /// Counts the input, of which `first` is the first block, and passes the blocks to `hash`,
    /// which returns a buffer for the next one.
    fn read(
        &mut self,
        mut input: impl Read,
        first: Vec<u8>,
        hash: &mut dyn FnMut(Vec<u8>) -> io::Result<Vec<u8>>,
    ) -> Result<(), ExamineError> {
        let mut block = first;
        while !block.is_empty() {
            self.add(&block)?;
            block = hash(block)?;
            fill(&mut input, &mut block)?;
        }
        Ok(())
    }
}

/// Runs `work`, and hashes its blocks on another thread, since hashing takes longer than everything
/// else. `work` sends its blocks in order and gets used buffers back.
fn hash_in_parallel(
    work: impl FnOnce(&mut dyn FnMut(Vec<u8>) -> io::Result<Vec<u8>>) -> Result<(), ExamineError>,
) -> Result<Output<Sha256>, ExamineError> {
    thread::scope(|scope| {
        let (full, to_hash) = sync_channel::<Vec<u8>>(BLOCKS);
        let (used, to_fill) = sync_channel(BLOCKS);
        for _ in 1..BLOCKS {
            used.send(Vec::new()).map_err(|_| hasher_is_gone())?;
        }
        let hasher = scope.spawn(move || {
            let mut hash = Sha256::new();
            for block in to_hash {
                hash.update(&block);
                // At the end, the receiver is gone.
                let _ = used.send(block);
            }
            hash.finalize()
        });
        let send = |full: &SyncSender<_>, block| full.send(block).map_err(|_| hasher_is_gone());
        let worked = work(&mut |block| {
            send(&full, block)?;
            to_fill.recv().map_err(|_| hasher_is_gone())
        });
        // The hasher ends with its last block.
        drop(full);
        let digest = hasher.join().unwrap_or_else(|payload| panic::resume_unwind(payload));
        worked.map(|()| digest)
    })
}

fn hasher_is_gone() -> io::Error {
    io::Error::other("the thread that hashes has ended")
}
