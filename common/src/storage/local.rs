//! The storage in a local folder.

pub(super) mod segment_writer;
pub(super) mod segments;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{ObjectKey, STAGED, Storage};

/// Where a staged file is kept, and where it goes when it is complete.
#[derive(Debug, Clone)]
pub(super) struct StagingFolder {
    /// The folder of the storage.
    root: PathBuf,
    /// The folder of the staged file.
    path: PathBuf,
    /// The complete file.
    target: PathBuf,
}

impl StagingFolder {
    /// Creates the folder if it is missing.
    fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)
    }

    /// Makes the names of new files in the folder durable, and its own.
    fn sync(&self) -> io::Result<()> {
        for folder in [&self.path, &self.root.join(STAGED), &self.root] {
            sync_folder(folder)?;
        }
        Ok(())
    }
}

impl Storage {
    pub(super) fn local_path(&self, key: ObjectKey) -> PathBuf {
        self.folder.join(key.to_string())
    }

    pub(super) fn staging_folder(&self, key: ObjectKey) -> StagingFolder {
        StagingFolder {
            root: self.folder.clone(),
            path: self.folder.join(STAGED).join(key.task_id().to_string()),
            target: self.local_path(key),
        }
    }
}

/// Makes the names of the files in `folder` durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
