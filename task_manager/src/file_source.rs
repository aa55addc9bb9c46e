//! Where the bytes of a file come from.

use bytes::Bytes;

use crate::error::Error;

/// A file that arrives piece by piece.
pub trait FileSource: Send {
    /// The next bytes of the file, at least one; none at its end. Cancel-safe: no byte is lost.
    ///
    /// # Errors
    /// The file does not arrive whole.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;
}
