//! Where the bytes of a result go: to a file that appears when it is complete, or to a stream.
//!
//! A file is written under another name beside its target and renamed in the end, so that a
//! half-fetched result is never taken for a whole one.

use std::io;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWrite, AsyncWriteExt};

use crate::failure::Failure;

/// Where the user wants a result.
#[derive(Debug)]
pub(crate) enum Target {
    /// In this file, which may exist.
    File(PathBuf),
    /// On a device or pipe that exists; there is nothing to rename.
    Device(PathBuf),
    /// On standard output.
    Stdout,
    /// In the current folder under the name that the server gives.
    ServersName {
        /// Whether an existing file may be replaced.
        replace: bool,
    },
}

impl Target {
    /// What `--output` asks for, checked before anything is sent.
    ///
    /// # Errors
    /// It cannot be written to.
    pub(crate) fn named(output: &Path) -> Result<Self, Failure> {
        if output == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let shown = output.display();
        match std::fs::metadata(output) {
            Ok(found) if found.is_dir() => {
                Err(Failure::usage(format!("--output {shown} is a folder; name a file in it.")))
            }
            // Behind a symbolic link, the file that it leads to is replaced, not the link.
            Ok(found) if found.is_file() => output
                .canonicalize()
                .map(Self::File)
                .map_err(|error| Failure::usage(format!("Cannot write to {shown}: {error}."))),
            Ok(_) => Ok(Self::Device(output.to_owned())),
            Err(_) if folder_of(output).is_dir() => Ok(Self::File(output.to_owned())),
            Err(_) => Err(Failure::usage(format!(
                "Cannot write to {shown}: there is no folder {}.",
                folder_of(output).display()
            ))),
        }
    }

    /// Whether standard output takes the bytes.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Takes the bytes of a result while they arrive.
pub(crate) enum Sink {
    /// A file not yet under its name.
    File {
        /// Under its temporary name.
        file: File,
        /// Deletes the file unless it is renamed.
        temporary: TempPath,
        /// The name that it gets.
        target: PathBuf,
        /// Whether an existing file may be replaced.
        replace: bool,
    },
    /// A stream, which cannot start again.
    Stream(Box<dyn AsyncWrite + Unpin>),
}

/// A result that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The file, where it is one.
    pub(crate) path: Option<PathBuf>,
    /// Its size in bytes.
    pub(crate) size: u64,
}

impl Saved {
    /// Where the result is, in words.
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
            Target::Stdout => return Ok(Self::Stream(Box::new(tokio::io::stdout()))),
            Target::Device(path) => {
                let device = File::options().write(true).open(path).await;
                let device = device.map_err(|error| cannot_write(path, &error))?;
                return Ok(Self::Stream(Box::new(device)));
            }
            Target::File(path) => (path.clone(), true),
            Target::ServersName { replace } => (PathBuf::from(suggested), *replace),
        };
        if !replace && path.symlink_metadata().is_ok() {
            return Err(exists_already(&path));
        }
        // Made as any other new file, so that its permissions are the usual ones.
        let made = tempfile::Builder::new()
            .prefix(".taskctl-")
            .suffix(".part")
            .make_in(folder_of(&path), |path| std::fs::File::create_new(path));
        let (file, temporary) = made.map_err(|error| cannot_write(&path, &error))?.into_parts();
        Ok(Self::File { file: File::from_std(file), temporary, target: path, replace })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::File { file, target, .. } => {
                file.write_all(bytes).await.map_err(|error| cannot_write(target, &error))
            }
            Self::Stream(stream) => {
                stream.write_all(bytes).await.map_err(|error| stream_broke(&error))
            }
        }
    }

    /// Forgets everything written: the result is sent again from its first byte.
    ///
    /// # Errors
    /// What went into a stream cannot be taken back.
    pub(crate) async fn restart(&mut self) -> Result<(), Failure> {
        match self {
            Self::File { file, target, .. } => {
                let emptied = async {
                    file.flush().await?;
                    file.set_len(0).await?;
                    file.rewind().await.map(drop)
                };
                emptied.await.map_err(|error| cannot_write(target, &error))
            }
            Self::Stream(_) => Err(Failure::lost(
                "The connection broke, and the server sends the result only from its first byte \
                 again, but what was written cannot be taken back. Fetch it to a file with \
                 --output FILE.",
            )),
        }
    }

    /// Ends the writing: a file gets its name now. `size` bytes were written.
    ///
    /// # Errors
    /// The last bytes cannot be written, or the name was taken meanwhile.
    pub(crate) async fn finish(self, size: u64) -> Result<Saved, Failure> {
        match self {
            Self::File { mut file, temporary, target, replace } => {
                file.flush().await.map_err(|error| cannot_write(&target, &error))?;
                let renamed = if replace {
                    temporary.persist(&target)
                } else {
                    temporary.persist_noclobber(&target)
                };
                match renamed {
                    Ok(()) => Ok(Saved { path: Some(target), size }),
                    Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                        Err(exists_already(&target))
                    }
                    Err(failed) => Err(cannot_write(&target, &failed.error)),
                }
            }
            Self::Stream(mut stream) => {
                stream.flush().await.map_err(|error| stream_broke(&error))?;
                Ok(Saved { path: None, size })
            }
        }
    }
}

fn exists_already(path: &Path) -> Failure {
    Failure::local(format!(
        "{} exists already. Replace it with --force, or choose another name with --output FILE.",
        path.display()
    ))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("Cannot write to {}: {error}.", path.display()))
}

fn stream_broke(error: &io::Error) -> Failure {
    Failure::local(format!("Cannot write the result: {error}."))
}
