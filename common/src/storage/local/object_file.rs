//! Writes a file that appears when it is complete.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::appender::Appender;
use super::{LocalFolder, blocking, sync_folder};
use crate::storage::{ObjectKey, StorageError};

/// A file under a temporary name, `name#N`, beside its final one. It is created by the first write.
#[derive(Debug)]
pub(in crate::storage) struct ObjectFile {
    key: ObjectKey,
    target: PathBuf,
    file: Option<Appender>,
    temporary: Temporary,
}

/// Removes the temporary name when dropped.
#[derive(Debug, Default)]
struct Temporary(Option<PathBuf>);

impl LocalFolder {
    pub(in crate::storage) fn write(&self, key: ObjectKey) -> ObjectFile {
        let temporary = Temporary::default();
        ObjectFile { key, target: self.path(key), file: None, temporary }
    }
}

impl ObjectFile {
    pub(in crate::storage) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.file().await?.write(bytes).await
    }

    /// Makes the file durable and visible.
    pub(in crate::storage) async fn finish(mut self) -> Result<(), StorageError> {
        self.file().await?.sync().await?;
        let Self { key, target, temporary, .. } = self;
        let published = blocking(move || temporary.publish(&target, is_create_only(key)));
        match published.await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(StorageError::AlreadyExists(key))
            }
            published => Ok(published?),
        }
    }

    pub(in crate::storage) async fn abort(mut self) -> io::Result<()> {
        match self.temporary.0.take() {
            Some(path) => blocking(move || std::fs::remove_file(path)).await,
            None => Ok(()),
        }
    }

    async fn file(&mut self) -> io::Result<&mut Appender> {
        if self.file.is_none() {
            let target = self.target.clone();
            let (file, path) = blocking(move || create_temporary(&target)).await?;
            self.temporary.0 = Some(path);
            self.file = Some(Appender::new(file));
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Outputs are written once per attempt; an input may be written again after an interrupted upload.
fn is_create_only(key: ObjectKey) -> bool {
    matches!(key, ObjectKey::Output { .. })
}

fn create_temporary(target: &Path) -> io::Result<(File, PathBuf)> {
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut number = 1_u64;
    loop {
        let mut path = OsString::from(target);
        path.push(format!("#{number}"));
        match File::create_new(&path) {
            Ok(file) => return Ok((file, path.into())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

impl Temporary {
    fn publish(mut self, target: &Path, create_only: bool) -> io::Result<()> {
        let Some(path) = self.0.as_deref() else { return Ok(()) };
        match create_only {
            true => rename_to_new(path, target)?,
            false => std::fs::rename(path, target)?,
        }
        self.0 = None;
        // The folder of a task's outputs may be new.
        for folder in target.ancestors().skip(1).take(2) {
            sync_folder(folder)?;
        }
        Ok(())
    }
}

/// Renames a file unless the new name exists.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => std::fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links. Then two attempts of one number at the same moment,
        // which do not exist, could replace each other's file.
        Err(_) if to.try_exists()? => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(from, to),
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        let remove = move || {
            let _ = std::fs::remove_file(path);
        };
        // Removing a large file takes some time.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
