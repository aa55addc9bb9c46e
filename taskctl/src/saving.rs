//! Saves a download while it arrives: to a file that appears when it is complete, so that a partial
//! result is never taken for a complete one, or to a stream.

use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWrite, AsyncWriteExt};

use crate::destination::{Destination, cannot_write, exists_already};
use crate::failure::Failure;
use crate::part_file::PartFile;

/// The target of a result.
#[derive(Debug)]
pub(crate) enum Target {
    /// The destination given by `--output`.
    Given(Destination),
    /// A file named by the server.
    ServersName {
        /// Its folder.
        folder: PathBuf,
        /// Whether an existing file may be replaced.
        replace: bool,
    },
}

impl Target {
    /// The destination of `--output`, checked before any request is sent. In a folder, the file is
    /// named by the server and replaces none.
    ///
    /// # Errors
    /// It cannot be written to.
    pub(crate) fn named(output: &Path) -> Result<Self, Failure> {
        match output.is_dir() {
            true => Ok(Self::ServersName { folder: output.to_owned(), replace: false }),
            false => Destination::named(output).map(Self::Given),
        }
    }

    /// Whether there is room for several results.
    pub(crate) fn takes_several(&self) -> bool {
        matches!(self, Self::ServersName { .. })
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
        /// Its name; dropped before the file, whose lock is held until then.
        part: PartFile,
        /// Receives the bytes.
        file: File,
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
    /// Opens `target`, and returns how many bytes of the result it has already, from an earlier
    /// download. `suggested` is the server's name for the file; `identity` identifies the bytes of
    /// the result, if the server says so.
    ///
    /// # Errors
    /// It cannot be written to, or is a file that must not be replaced.
    pub(crate) async fn open(
        target: &Target,
        suggested: String,
        identity: Option<&str>,
    ) -> Result<(Self, u64), Failure> {
        let (path, replace) = match target {
            Target::Given(Destination::Stdout) => {
                return Ok((Self::Stream(Box::new(tokio::io::stdout())), 0));
            }
            Target::Given(Destination::Device(path)) => {
                let device = File::options().write(true).open(path).await;
                let device = device.map_err(|error| cannot_write(path, &error))?;
                return Ok((Self::Stream(Box::new(device)), 0));
            }
            Target::Given(Destination::File(path)) => (path.clone(), true),
            Target::ServersName { folder, replace } => (folder.join(suggested), *replace),
        };
        if !replace && path.symlink_metadata().is_ok() {
            return Err(exists_already(&path));
        }
        let (mut file, part) = PartFile::open(path, identity)?;
        let kept = file.seek(SeekFrom::End(0));
        let kept = kept.map_err(|error| cannot_write(part.target(), &error))?;
        Ok((Self::File { part, file: File::from_std(file), replace }, kept))
    }

    /// The file with the bytes so far, if a later download can continue it.
    pub(crate) fn continuable(&self) -> Option<&Path> {
        match self {
            Self::File { part, .. } => part.continuable(),
            Self::Stream(_) => None,
        }
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
            Self::File { part, mut file, replace } => {
                let synced = async {
                    file.flush().await?;
                    file.sync_all().await
                };
                synced.await.map_err(|error| cannot_write(part.target(), &error))?;
                let path = part.complete(replace)?;
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
