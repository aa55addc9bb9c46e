//! Finds the data folder of a standalone server.
//!
//! # Invariants
//! - All data of a server is in one folder, which contains nothing else.
//! - Data of an earlier version, which used the current folder itself, is found.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::console::note;

/// The default folder, in the current one.
const DEFAULT: &str = "task-data";
const DATABASE: &str = "tasks.sqlite";
/// The files that identify a folder with data or settings.
const FILES: [&str; 4] = [DATABASE, "jwt.key", "task_manager.toml", "data_processor.toml"];

#[derive(Debug, Args)]
pub(crate) struct DataFolder {
    /// The folder for all data of the server (`tasks.sqlite`, `jwt.key`, `local_storage/`) and for
    /// settings in `task_manager.toml` and `data_processor.toml`. By default `task-data`, or the
    /// current folder if it contains these files already.
    #[arg(long, value_name = "DIR", env = "TASKCTL_DATA")]
    data: Option<PathBuf>,
    /// The folder of `task_manager.toml` and `data_processor.toml`, if they are not in the data
    /// folder.
    #[arg(long, value_name = "DIR")]
    settings: Option<PathBuf>,
}

/// The folders of a standalone server.
#[derive(Debug)]
pub(crate) struct Folders {
    /// The data of the server.
    pub(crate) data: PathBuf,
    settings: Option<PathBuf>,
}

impl Folders {
    /// A settings file, if it exists.
    pub(crate) fn settings_file(&self, name: &str) -> Option<PathBuf> {
        let folder = self.settings.as_ref().unwrap_or(&self.data);
        Some(folder.join(name)).filter(|path| path.exists())
    }
}

impl DataFolder {
    /// Resolves the folders. Prints a note if the data is in the current one without that being
    /// requested.
    pub(crate) fn resolve(self) -> Folders {
        let data = self.data.unwrap_or_else(|| {
            let current = Path::new(".");
            if !is_current(current) {
                return PathBuf::from(DEFAULT);
            }
            // A killed server leaves a part of its database in files beside it.
            let files = found(current).join(", ").replace(DATABASE, "tasks.sqlite*");
            note(&format!(
                "Using the data in the current folder. To separate it, stop the server, move \
                 {files} and local_storage into {DEFAULT}, and start it again."
            ));
            current.to_owned()
        });
        Folders { data, settings: self.settings }
    }
}

/// Whether the data is in the folder `current` itself, rather than in a separate one. The database
/// decides, so that an incomplete move hides nothing.
fn is_current(current: &Path) -> bool {
    let own = current.join(DEFAULT);
    match (current.join(DATABASE).exists(), own.join(DATABASE).exists()) {
        (true, is_in_own) => !is_in_own,
        (false, true) => false,
        (false, false) => found(&own).is_empty() && !found(current).is_empty(),
    }
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
            // As the note advises.
            let moved = folder.path().join(DEFAULT);
            std::fs::create_dir(&moved).unwrap();
            assert!(is_current(folder.path()), "an empty folder hides {file}");
            std::fs::rename(folder.path().join(file), moved.join(file)).unwrap();
            assert!(!is_current(folder.path()), "{file}");
        }
    }

    #[test]
    fn settings_are_in_the_data_folder_unless_another_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (data, settings) = (folder.path().join("data"), folder.path().join("settings"));
        for folder in [&data, &settings] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("task_manager.toml"), "").unwrap();
        }
        let file = |settings: Option<PathBuf>, name| {
            Folders { data: data.clone(), settings }.settings_file(name)
        };
        assert_eq!(file(None, "task_manager.toml"), Some(data.join("task_manager.toml")));
        let named = file(Some(settings.clone()), "task_manager.toml");
        assert_eq!(named, Some(settings.join("task_manager.toml")));
        assert_eq!(file(Some(settings), "data_processor.toml"), None);
    }

    #[test]
    fn an_incomplete_move_hides_no_database() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(DEFAULT);
        std::fs::create_dir(&own).unwrap();
        std::fs::write(folder.path().join(DATABASE), "").unwrap();
        std::fs::write(own.join("jwt.key"), "").unwrap();
        assert!(is_current(folder.path()));
    }
}
