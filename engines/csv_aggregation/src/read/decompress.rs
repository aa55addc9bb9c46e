//! Input that is compressed by gzip or zstd, unpacked on a thread of its own beside the work.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use csv_input::{Compression, InputError};

use crate::control::Interrupted;
use crate::error::AggregationError;
use crate::watch::Watch;

/// As much is unpacked at once, and so many such blocks wait at most.
const BLOCK: usize = 256 << 10;
const WAITING: usize = 4;

/// The input while it counts what is read of it, and sees an interrupt with every piece. Its errors
/// hold an [`AggregationError`].
pub(crate) struct Counted<'a, R> {
    input: R,
    watch: &'a Watch<'a>,
}

impl<'a, R: Read> Counted<'a, R> {
    /// An interrupt is seen between two reads.
    const PIECE: usize = 64 << 10;

    pub(crate) fn new(input: R, watch: &'a Watch<'a>) -> Self {
        Self { input, watch }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = buffer.len().min(Self::PIECE);
        loop {
            match self.input.read(&mut buffer[..end]) {
                Ok(length) => {
                    let go_on = self.watch.read(length as u64);
                    return match go_on {
                        Ok(()) => Ok(length),
                        Err(end) => Err(io::Error::other(AggregationError::from(end))),
                    };
                }
                // A signal came between.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(io::Error::other(AggregationError::from(InputError::Read(error))));
                }
            }
        }
    }
}

/// What `packed` holds. The thread that unpacks it ends when the reader is dropped; no more than
/// `limit` bytes come out of it.
pub(crate) fn decompressed<'scope>(
    scope: &'scope Scope<'scope, '_>,
    packed: impl Read + Send + 'scope,
    compression: Compression,
    limit: u64,
) -> Decompressed {
    let (sender, blocks) = sync_channel(WAITING);
    scope.spawn(move || match compression {
        Compression::Gzip => {
            let packed = BufReader::with_capacity(BLOCK, packed);
            send(flate2::bufread::MultiGzDecoder::new(packed), compression, limit, &sender);
        }
        Compression::Zstd => match zstd::Decoder::new(packed) {
            Ok(unpacked) => send(unpacked, compression, limit, &sender),
            // Nobody listens any more when the work is to end.
            Err(error) => drop(sender.send(Err(failed(error, compression)))),
        },
    });
    Decompressed { blocks, block: Cursor::default() }
}

type Block = Result<Vec<u8>, io::Error>;

/// Sends what `unpacked` gives block by block, the last of them empty.
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
            // What came before an error is good.
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

/// Either the input failed, and the error says so, or it does not hold what it seems to.
fn failed(error: io::Error, compression: Compression) -> io::Error {
    match error.downcast::<AggregationError>() {
        Ok(error) => io::Error::other(error),
        Err(error) => {
            io::Error::other(AggregationError::Unpack { compression, reason: error.to_string() })
        }
    }
}

/// Reads the blocks that the thread sends.
pub(crate) struct Decompressed {
    blocks: Receiver<Block>,
    block: Cursor<Vec<u8>>,
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.block.read(buffer)?;
        if length > 0 || buffer.is_empty() {
            return Ok(length);
        }
        // A thread that is gone without a last block has told why to another reader.
        let gone = |_| io::Error::other(AggregationError::Interrupted(Interrupted));
        let block = self.blocks.recv().map_err(gone)??;
        self.block = Cursor::new(block);
        self.block.read(buffer)
    }
}
