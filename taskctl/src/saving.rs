//! Saves a download while it arrives: to a file that appears when it is complete, so that a partial
//! result is never taken for a complete one, or to a stream.

use std::io;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWrite, AsyncWriteExt};

use crate::destination::{Destination, Part, cannot_write, exists_already};
use crate::failure::Failure;

/// The target of a result.
#[derive(Debug)]
pub(crate) enum Target {
    /// The destination given by `--output`.
    Given(Destination),
    /// A file in the current folder, named by the server.
    ServersName {
        /// Whether an existing file may be replaced.
        replace: bool,
    },
}

impl Target {
    /// The destination of `--output`, checked before any request is sent.
    ///
    /// # Errors
    /// It cannot be written to.
    pub(crate) fn named(output: &Path) -> Result<Self, Failure> {
        Destination::named(output).map(Self::Given)
    }

    /// Whether the bytes go to standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Given(Destination::Stdout))
    }
}

/// Receives the bytes of a result.
pub(crate) enum Sink {
    /// An incomplete file.
    File {
        /// Receives the bytes.
        file: File,
        /// The temporary file.
        part: Part,
        /// Whether an existing file may be replaced.
        replace: bool,
    },
    /// A stream, which cannot start again.
    Stream(Box<dyn AsyncWrite + Unpin>),
}

/// A complete result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The file, if it is one.
    pub(crate) path: Option<PathBuf>,
    /// Its size in bytes.
    pub(crate) size: u64,
}

impl Saved {
    /// A sentence on where the result is.
    pub(crate) fn sentence(&self) -> String {
        match &self.path {
            Some(path) => format!("Saved {} to {}.", HumanBytes(self.size), path.display()),
            None => format!("Wrote {}.", HumanBytes(self.size)),
        }
    }
}

impl Sink {
    /// Opens `target`; `suggested` is the server's name for the file.
    ///
    /// # Errors
    /// It cannot be written to, or is a file that must not be replaced.
    pub(crate) async fn open(target: &Target, suggested: String) -> Result<Self, Failure> {
        let (path, replace) = match target {
            Target::Given(Destination::Stdout) => {
                return Ok(Self::Stream(Box::new(tokio::io::stdout())));
            }
            Target::Given(Destination::Device(path)) => {
                let device = File::options().write(true).open(path).await;
                let device = device.map_err(|error| cannot_write(path, &error))?;
                return Ok(Self::Stream(Box::new(device)));
            }
            Target::Given(Destination::File(path)) => (path.clone(), true),
            Target::ServersName { replace } => (PathBuf::from(suggested), *replace),
        };
        if !replace && path.symlink_metadata().is_ok() {
            return Err(exists_already(&path));
        }
        let (file, part) = Part::create(path)?;
        Ok(Self::File { file: File::from_std(file), part, replace })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::File { file, part, .. } => {
                file.write_all(bytes).await.map_err(|error| cannot_write(part.target(), &error))
            }
            Self::Stream(stream) => {
                stream.write_all(bytes).await.map_err(|error| stream_broke(&error))
            }
        }
    }

    /// Discards everything written: the result is sent again from its first byte.
    ///
    /// # Errors
    /// A stream cannot be restarted.
    pub(crate) async fn restart(&mut self) -> Result<(), Failure> {
        match self {
            Self::File { file, part, .. } => {
                let emptied = async {
                    file.flush().await?;
                    file.set_len(0).await?;
                    file.rewind().await.map(drop)
                };
                emptied.await.map_err(|error| cannot_write(part.target(), &error))
            }
            Self::Stream(_) => Err(Failure::lost(
                "The connection broke, and the server sends the result only from its first byte \
                 again, but the output already written cannot be discarded. Fetch it to a file with \
                 --output FILE.",
            )),
        }
    }

    /// Completes the output: a file gets its final name. `size` bytes were written.
    ///
    /// # Errors
    /// The last bytes cannot be written, or the name was taken in the meantime.
    pub(crate) async fn finish(self, size: u64) -> Result<Saved, Failure> {
        match self {
            Self::File { mut file, part, replace } => {
                file.flush().await.map_err(|error| cannot_write(part.target(), &error))?;
                let path = if replace { part.keep()? } else { part.keep_new()? };
                Ok(Saved { path: Some(path), size })
            }
            Self::Stream(mut stream) => {
                stream.flush().await.map_err(|error| stream_broke(&error))?;
                Ok(Saved { path: None, size })
            }
        }
    }
}

fn stream_broke(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::reader_left(),
        _ => Failure::local(format!("Cannot write the result: {error}.")),
    }
}
