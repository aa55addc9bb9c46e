//! Where output goes: to a file that appears when it is complete, or to a stream.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::Failure;

/// Where the user wants the output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// In this file, which may exist.
    File(PathBuf),
    /// On a device or pipe that exists; there is nothing to rename.
    Device(PathBuf),
    /// On standard output.
    Stdout,
}

impl Destination {
    /// What a command line names, `-` for standard output.
    ///
    /// # Errors
    /// It is no place for a file.
    pub(crate) fn named(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let refused = |why: String| {
            Err(Failure::usage(format!("Cannot write to {}: {why}.", path.display())))
        };
        match path.metadata() {
            Ok(found) if found.is_dir() => refused("it is a folder".to_owned()),
            // The file behind a symbolic link is replaced, not the link.
            Ok(found) if found.is_file() => match path.canonicalize() {
                Ok(path) => Ok(Self::File(path)),
                Err(error) => refused(error.to_string()),
            },
            Ok(_) => Ok(Self::Device(path.to_owned())),
            Err(_) if folder(path).is_dir() => Ok(Self::File(path.to_owned())),
            Err(_) => refused(format!("there is no folder {}", folder(path).display())),
        }
    }

    /// Opens it. A file is written under another name, which [`Part::keep`] ends.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(&self) -> Result<(Box<dyn Write + Send>, Option<Part>), Failure> {
        match self {
            Self::File(path) => {
                let (file, part) = Part::create(path.clone())?;
                Ok((Box::new(file), Some(part)))
            }
            Self::Device(path) => match File::options().write(true).open(path) {
                Ok(device) => Ok((Box::new(device), None)),
                Err(error) => Err(cannot_write(path, &error)),
            },
            Self::Stdout => Ok((Box::new(io::stdout()), None)),
        }
    }
}

/// A file on its way, under a temporary name beside its own. It is deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    temporary: TempPath,
    target: PathBuf,
}

impl Part {
    /// Begins the file `target`.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn create(target: PathBuf) -> Result<(File, Self), Failure> {
        // With the permissions of any new file, not those of a temporary one.
        let made = tempfile::Builder::new()
            .prefix(".taskctl-")
            .suffix(".part")
            .make_in(folder(&target), |path| File::create_new(path));
        match made {
            Ok(made) => {
                let (file, temporary) = made.into_parts();
                Ok((file, Self { temporary, target }))
            }
            Err(error) => Err(cannot_write(&target, &error)),
        }
    }

    /// Gives the complete file its name and returns it.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(crate) fn keep(self) -> Result<PathBuf, Failure> {
        match self.temporary.persist(&self.target) {
            Ok(()) => Ok(self.target),
            Err(error) => Err(cannot_write(&self.target, &error.error)),
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("Cannot write to {}: {error}.", path.display()))
}
