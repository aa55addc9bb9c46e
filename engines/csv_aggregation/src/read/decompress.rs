//! Decompresses gzip and zstd input on a thread of its own, in parallel with the aggregation.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use csv_input::{Compression, InputError};

use crate::control::Interrupted;
use crate::error::AggregationError;
use crate::watch::Watch;

/// The size of a decompressed block in bytes.
const BLOCK: usize = 256 << 10;
/// How many decompressed blocks may be queued.
const QUEUED_BLOCKS: usize = 4;

/// Counts the bytes read from the input and checks for an interrupt with every read. Its I/O errors
/// wrap an [`AggregationError`].
pub(crate) struct Counted<'a, R> {
    input: R,
    watch: &'a Watch<'a>,
}

impl<'a, R: Read> Counted<'a, R> {
    /// The largest read in bytes: interrupts are checked between reads.
    const MAX_READ: usize = 64 << 10;

    pub(crate) fn new(input: R, watch: &'a Watch<'a>) -> Self {
        Self { input, watch }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = buffer.len().min(Self::MAX_READ);
        loop {
            match self.input.read(&mut buffer[..end]) {
                Ok(length) => {
                    return match self.watch.read(length as u64) {
                        Ok(()) => Ok(length),
                        Err(interrupted) => {
                            Err(io::Error::other(AggregationError::from(interrupted)))
                        }
                    };
                }
                // Interrupted by a signal: try again.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(io::Error::other(AggregationError::from(InputError::Read(error))));
                }
            }
        }
    }
}

/// Starts to decompress `compressed`, up to `limit` bytes of text. The thread that does it ends
/// when the returned reader is dropped.
pub(crate) fn decompressed<'scope>(
    scope: &'scope Scope<'scope, '_>,
    compressed: impl Read + Send + 'scope,
    compression: Compression,
    limit: u64,
) -> Decompressed {
    let (sender, blocks) = sync_channel(QUEUED_BLOCKS);
    scope.spawn(move || match compression {
        Compression::Gzip => {
            let compressed = BufReader::with_capacity(BLOCK, compressed);
            send(flate2::bufread::MultiGzDecoder::new(compressed), compression, limit, &sender);
        }
        Compression::Zstd => match zstd::Decoder::new(compressed) {
            Ok(text) => send(text, compression, limit, &sender),
            // Sending fails if the reader was dropped: the error is not needed then.
            Err(error) => drop(sender.send(Err(failed(error, compression)))),
        },
    });
    Decompressed { blocks, block: Cursor::default(), ended: false }
}

type Block = Result<Vec<u8>, io::Error>;

/// Sends `text` block by block. An empty block marks the end.
fn send(mut text: impl Read, compression: Compression, limit: u64, sender: &SyncSender<Block>) {
    let mut size = 0;
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        let read = (&mut text).take(BLOCK as u64).read_to_end(&mut block);
        size += block.len() as u64;
        let ended = block.is_empty() || read.is_err();
        let sent = if size > limit {
            sender.send(Err(io::Error::other(AggregationError::UnpackedTooLarge { limit })))
        } else if block.is_empty() {
            sender.send(read.map(|_| block).map_err(|error| failed(error, compression)))
        } else {
            // The text before an error is valid.
            sender.send(Ok(block)).and_then(|()| match read {
                Ok(_) => Ok(()),
                Err(error) => sender.send(Err(failed(error, compression))),
            })
        };
        if ended || size > limit || sent.is_err() {
            return;
        }
    }
}

/// The error of a failed decompression: that of the input if reading it failed, or else the
/// compressed data is invalid.
fn failed(error: io::Error, compression: Compression) -> io::Error {
    match error.downcast::<AggregationError>() {
        Ok(error) => io::Error::other(error),
        Err(error) => {
            io::Error::other(AggregationError::Unpack { compression, reason: error.to_string() })
        }
    }
}

/// Reads the decompressed blocks.
pub(crate) struct Decompressed {
    blocks: Receiver<Block>,
    block: Cursor<Vec<u8>>,
    /// Whether the last block was received. Readers may ask again at the end.
    ended: bool,
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.block.read(buffer)?;
        if length > 0 || buffer.is_empty() || self.ended {
            return Ok(length);
        }
        // The thread has ended without a last block: an earlier read has returned its error.
        let disconnected = |_| io::Error::other(AggregationError::Interrupted(Interrupted));
        let block = self.blocks.recv().map_err(disconnected)??;
        self.ended = block.is_empty();
        self.block = Cursor::new(block);
        self.block.read(buffer)
    }
}
