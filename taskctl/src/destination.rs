//! Destinations of output: a file that appears when it is complete, or a stream.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::failure::Failure;

/// The destination of output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// This file, which may exist.
    File(PathBuf),
    /// An existing device or pipe, which needs no renaming.
    Device(PathBuf),
    /// Standard output.
    Stdout,
}

impl Destination {
    /// The destination named on the command line, `-` for standard output.
    ///
    /// # Errors
    /// It cannot be written to.
    pub(crate) fn named(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let refused = |why: String| {
            Err(Failure::local(format!("Cannot write to {}: {why}.", path.display())))
        };
        match path.metadata() {
            Ok(found) if found.is_dir() => refused("it is a folder".to_owned()),
            // Replaces the target of a symbolic link, not the link.
            Ok(found) if found.is_file() => match path.canonicalize() {
                Ok(path) => Ok(Self::File(path)),
                Err(error) => refused(error.to_string()),
            },
            Ok(_) => Ok(Self::Device(path.to_owned())),
            Err(_) if folder(path).is_dir() => Ok(Self::File(path.to_owned())),
            Err(_) => refused(format!("the folder {} does not exist", folder(path).display())),
        }
    }

    /// Opens it. A file is written under a temporary name until [`Part::keep`].
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

/// An incomplete file, under a temporary name beside its own. Dropping it deletes it.
#[derive(Debug)]
pub(crate) struct Part {
    temporary: TempPath,
    target: PathBuf,
}

impl Part {
    /// Creates the file `target`.
    ///
    /// # Errors
    /// It cannot be created.
    pub(crate) fn create(target: PathBuf) -> Result<(File, Self), Failure> {
        let (file, temporary) = temporary_beside(&target)?;
        Ok((file, Self { temporary, target }))
    }

    /// Renames the complete file to its final name, replacing an existing file, and returns the
    /// name.
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

/// Creates a temporary file in the folder of `target`.
///
/// # Errors
/// It cannot be created.
pub(crate) fn temporary_beside(target: &Path) -> Result<(File, TempPath), Failure> {
    // With the permissions of any new file, not those of a temporary one.
    let made = tempfile::Builder::new()
        .prefix(".taskctl-")
        .suffix(".part")
        .make_in(folder(target), |path| File::create_new(path));
    made.map(NamedTempFile::into_parts).map_err(|error| cannot_write(target, &error))
}

/// The error of a file that must not be replaced.
pub(crate) fn exists_already(path: &Path) -> Failure {
    Failure::local(format!(
        "{} exists already. Replace it with --force, or choose another name with --output FILE.",
        path.display()
    ))
}

/// The error of a file that cannot be written.
pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("Cannot write to {}: {error}.", path.display()))
}

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
