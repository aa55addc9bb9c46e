//! Reads a result on a thread of its own.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use common::storage::{ObjectKey, Storage, StorageError};
use csv_input::{Dialect, InputError, Position, Records};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::io::{StreamReader, SyncIoBridge};
use tokio_util::sync::CancellationToken;
use tracing::{Span, error};

use super::ReadError;
use crate::error::Error;

/// How many files are read at a time: each takes a thread and several megabytes.
const READERS: usize = 4;
/// How long a request waits until fewer files are read.
const WAIT: Duration = Duration::from_secs(10);

/// The results in the storage. Clones share the limit of readers.
#[derive(Debug, Clone)]
pub struct ResultFiles {
    storage: Storage,
    readers: Arc<Semaphore>,
}

/// The file that a reader reads.
pub(super) type Input = Box<dyn Read + Send>;

impl ResultFiles {
    pub fn new(storage: Storage) -> Self {
        Self { storage, readers: Arc::new(Semaphore::new(READERS)) }
    }

    /// Runs `work` on the records of a result, the first of which is its header.
    ///
    /// # Errors
    /// Those of `work`, the file is gone, or too many others are being read.
    pub async fn read<T: Send + 'static>(
        &self,
        key: ObjectKey,
        work: impl FnOnce(Records<Input>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Error> {
        let reader = timeout(WAIT, Arc::clone(&self.readers).acquire_owned()).await;
        let reader = reader.map_err(|_| Error::Overloaded)?.map_err(|_| Error::Internal)?;
        let stream = self.storage.open(key, None).await?.into_stream().await?;
        let ended = CancellationToken::new();
        let _end_when_dropped = ended.clone().drop_guard();
        let span = Span::current();
        let reading = tokio::task::spawn_blocking(move || {
            let _reader = reader;
            let input = SyncIoBridge::new(StreamReader::new(stream));
            let input: Input = Box::new(Interruptible { input, ended });
            span.in_scope(|| {
                work(Records::new(input, Position { offset: 0, line: 1 }, Dialect::default()))
            })
        });
        let read = reading.await.map_err(|error| {
            error!(%error, "reading a result ended unexpectedly");
            Error::Internal
        })?;
        read.map_err(|error| match error {
            ReadError::Refused(error) => error,
            ReadError::Input(InputError::Read(error)) => StorageError::Io(error).into(),
            ReadError::Input(error) => damaged(key, &error.to_string()),
            ReadError::Damaged(reason) => damaged(key, &reason),
        })
    }
}

fn damaged(key: ObjectKey, reason: &str) -> Error {
    error!(%key, "a result cannot be read: {reason}");
    Error::Internal
}

/// A reader that fails once nobody needs its bytes.
struct Interruptible<R> {
    input: R,
    ended: CancellationToken,
}

impl<R: Read> Read for Interruptible<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended.is_cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.input.read(buffer)
    }
}
