//! The source of the bytes of a file.

use bytes::Bytes;

use crate::error::Error;

/// A file that arrives in chunks.
pub trait FileSource: Send {
    /// The next bytes of the file, at least one; none at its end. Cancel-safe.
    ///
    /// # Errors
    /// The file did not arrive completely.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;
}
