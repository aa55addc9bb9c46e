//! Which folder holds the data of a standalone server.
//!
//! # Invariants
//! - Everything that a server makes is in one folder, which is none of anything else.
//! - Data of an earlier version, which used the current folder itself, is found again.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::console::note;

/// The folder in the current one that is used unless another is named.
const DEFAULT: &str = "task-data";
/// The files by which a folder is known as one with data or settings.
const FILES: [&str; 4] = ["tasks.sqlite", "jwt.key", "task_manager.toml", "data_processor.toml"];

#[derive(Debug, Args)]
pub(crate) struct DataFolder {
    /// The folder for everything that the server keeps: `tasks.sqlite`, `jwt.key`,
    /// `local_storage/`; and for settings in `task_manager.toml` and `data_processor.toml`.
    /// Unless set: `task-data`, or the current folder where these files are in it already.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataFolder {
    /// The folder. It says so where it is the current one without having been named.
    pub(crate) fn path(self) -> PathBuf {
        self.data.unwrap_or_else(|| {
            let current = Path::new(".");
            if !is_current(current) {
                return PathBuf::from(DEFAULT);
            }
            note(&format!(
                "Using the data in the current folder. To keep it apart, end the server, move {} \
                 and local_storage into {DEFAULT}, and start it again.",
                found(current).join(", ")
            ));
            current.to_owned()
        })
    }
}

/// Whether the data is in the folder `current` itself, not in one of its own.
fn is_current(current: &Path) -> bool {
    found(&current.join(DEFAULT)).is_empty() && !found(current).is_empty()
}

fn found(folder: &Path) -> Vec<&'static str> {
    FILES.into_iter().filter(|file| folder.join(file).exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_an_earlier_version_is_found() {
        for file in FILES {
            let folder = tempfile::tempdir().unwrap();
            assert!(!is_current(folder.path()), "an empty folder has none");
            std::fs::write(folder.path().join(file), "").unwrap();
            assert!(is_current(folder.path()), "{file}");
            // As the note says.
            let moved = folder.path().join(DEFAULT);
            std::fs::create_dir(&moved).unwrap();
            assert!(is_current(folder.path()), "an empty folder hides {file}");
            std::fs::rename(folder.path().join(file), moved.join(file)).unwrap();
            assert!(!is_current(folder.path()), "{file}");
        }
    }
}
