//! What is remembered of an unfinished upload, so that a later command continues it.
//!
//! # Invariants
//! - There is one file per upload (server, user, path, kind and parameters), which only the user
//!   can read. It is replaced atomically.
//! - Its lock is held while the upload runs, so two commands never continue the same upload.
//! - It is written before the first request, and removed when the server has accepted the file or
//!   no longer has the upload.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::clock::now;
use common::config::variable;
use common::task::{TaskId, TaskKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::input::Version;
use crate::exclusive_file;

/// Only the user may read what is uploaded where.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// The server decides whether it still has an upload; a record is removed this long after the end
/// that it knows of, since the uploads of other files are not asked for.
const GRACE: Duration = Duration::from_hours(7 * 24);
/// How long an upload lasts until the server says so.
const FIRST_LIFETIME: Duration = Duration::from_hours(24);

/// What identifies an upload, besides the content of its file.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) server: String,
    /// The user's id, if the command has a token.
    pub(super) user: Option<String>,
    /// The absolute path.
    pub(super) file: PathBuf,
    pub(super) kind: TaskKind,
    pub(super) params: Vec<(String, String)>,
}

impl Identity {
    /// The name of its record.
    fn name(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &[u8]| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        add(self.server.as_bytes());
        add(self.user.as_deref().unwrap_or_default().as_bytes());
        add(self.file.as_os_str().as_encoded_bytes());
        add(self.kind.as_str().as_bytes());
        for (name, value) in &self.params {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        let name = hex::encode(hash.finalize());
        name.get(..32).unwrap_or(&name).to_owned()
    }
}

/// An unfinished upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// For people who read the record; its name says it already.
    server: String,
    file: String,
    pub(super) version: Version,
    /// The Idempotency-Key of the request that creates the task.
    pub(super) key: Uuid,
    /// One, or several that are sent in parallel.
    pub(super) parts: Vec<PartRecord>,
    /// Whether the parts are complete and may have been joined.
    pub(super) is_joining: bool,
    /// When the server removes the upload if no more bytes arrive.
    pub(super) expires_at: DateTime<Utc>,
}

/// A part of the file, and its upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PartRecord {
    /// Where it begins in the file.
    pub(super) from: u64,
    pub(super) length: u64,
    /// None until the server has created it.
    pub(super) upload: Option<TaskId>,
}

impl Record {
    /// The record of an upload that was not created yet, in `parts` of about the same size.
    pub(super) fn new(identity: &Identity, version: Version, parts: u64) -> Self {
        let parts = ranges(version.size, parts);
        Self {
            server: identity.server.clone(),
            file: identity.file.to_string_lossy().into_owned(),
            version,
            key: Uuid::new_v4(),
            parts: parts.map(|(from, length)| PartRecord { from, length, upload: None }).collect(),
            is_joining: false,
            expires_at: now() + FIRST_LIFETIME,
        }
    }

    /// The uploads that the server has created.
    pub(super) fn uploads(&self) -> impl Iterator<Item = TaskId> {
        self.parts.iter().filter_map(|part| part.upload)
    }
}

/// Where `parts` parts of a file of `size` bytes begin, and their lengths.
fn ranges(size: u64, parts: u64) -> impl Iterator<Item = (u64, u64)> {
    let parts = parts.clamp(1, size.max(1));
    let start =
        move |number: u64| (u128::from(size) * u128::from(number) / u128::from(parts)) as u64;
    (0..parts).map(move |number| (start(number), start(number + 1) - start(number)))
}

/// The place of one record.
#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
    lock_path: PathBuf,
    /// Held until it is dropped.
    _lock: File,
}

impl Slot {
    /// Locks the place of the record of `identity`; `None` if another process has it.
    ///
    /// # Errors
    /// There is no folder for it, or it cannot be used.
    pub(super) fn open(identity: &Identity) -> io::Result<Option<Self>> {
        let folder = folder().ok_or_else(|| io::Error::other("there is no home folder (HOME)"))?;
        Self::open_in(&folder, identity)
    }

    fn open_in(folder: &Path, identity: &Identity) -> io::Result<Option<Self>> {
        create_folder(folder)?;
        remove_expired(folder);
        Self::named(folder, &identity.name())
    }

    fn named(folder: &Path, name: &str) -> io::Result<Option<Self>> {
        let path = folder.join(name).with_extension("json");
        let lock_path = path.with_extension("lock");
        let lock = exclusive_file::open(&lock_path, FILE_MODE)?;
        Ok(lock.map(|lock| Self { path, lock_path, _lock: lock }))
    }

    /// The record, if there is a readable one.
    pub(super) fn load(&self) -> Option<Record> {
        load(&self.path)
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(&self, record: &Record) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // With permissions for the user only.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// Removes the record.
    pub(super) fn forget(&self) {
        // What cannot be removed now is removed when it has expired.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.path.exists() {
            // Its lock is still held.
            let _ = std::fs::remove_file(&self.lock_path);
        }
    }
}

/// `~/.local/state/taskctl/uploads`, or under `XDG_STATE_HOME`.
fn folder() -> Option<PathBuf> {
    let folder = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = folder.or_else(|| Some(std::env::home_dir()?.join(".local").join("state")))?;
    Some(folder.join("taskctl").join("uploads"))
}

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, FOLDER_MODE);
    builder.recursive(true).create(folder)
}

/// Removes the records of uploads that have ended long ago.
fn remove_expired(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let is_record = path.extension().is_some_and(|extension| extension == "json");
        let Some(name) = name.filter(|_| is_record) else { continue };
        // Looked at without its lock first, which another command may want.
        if is_expired(&path)
            && let Ok(Some(slot)) = Slot::named(folder, name)
            && is_expired(&path)
        {
            slot.forget();
        }
    }
}

fn is_expired(path: &Path) -> bool {
    let end = load(path).map(|record| record.expires_at);
    // An unreadable one is of another version.
    let end = end.or_else(|| Some(path.metadata().ok()?.modified().ok()?.into()));
    end.is_some_and(|end| end + GRACE < now())
}

fn load(path: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::*;

    fn identity(file: &str) -> Identity {
        Identity {
            server: "http://127.0.0.1:5000".to_owned(),
            user: None,
            file: PathBuf::from(file),
            kind: TaskKind::CsvAggregation,
            params: vec![("group_by".to_owned(), "Song".to_owned())],
        }
    }

    fn record(file: &str) -> Record {
        let content = tempfile::NamedTempFile::new().unwrap();
        let version = Input::open(content.path()).unwrap().version;
        Record::new(&identity(file), version, 1)
    }

    fn open(folder: &Path, file: &str) -> Option<Slot> {
        Slot::open_in(folder, &identity(file)).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_record_is_found_by_its_identity_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let saved = record("/x.csv");
        open(folder, "/x.csv").unwrap().save(&saved).unwrap();
        assert_eq!(open(folder, "/x.csv").unwrap().load(), Some(saved));
        assert_eq!(open(folder, "/y.csv").unwrap().load(), None);
        open(folder, "/x.csv").unwrap().forget();
        assert_eq!(open(folder, "/x.csv").unwrap().load(), None);
        assert!(names(folder).is_empty(), "{:?}", names(folder));
    }

    #[test]
    fn every_part_of_the_identity_counts() {
        let first = identity("/x.csv");
        let name = first.name();
        let server = Identity { server: "http://other".to_owned(), ..first.clone() };
        let user = Identity { user: Some("me".to_owned()), ..first.clone() };
        let kind = Identity { kind: TaskKind::CsvPreview, ..first.clone() };
        let params = vec![("group_b".to_owned(), "ySong".to_owned())];
        let params = Identity { params, ..first.clone() };
        for other in [server, user, kind, params, identity("/y.csv")] {
            assert_ne!(other.name(), name, "{other:?}");
        }
    }

    #[test]
    fn one_process_at_a_time_continues_an_upload() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), "/x.csv").unwrap();
        assert!(open(folder.path(), "/x.csv").is_none());
        assert!(open(folder.path(), "/y.csv").is_some());
        drop(first);
        assert!(open(folder.path(), "/x.csv").is_some());
    }

    #[cfg(unix)]
    #[test]
    fn records_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let slot = open(&state, "/x.csv").unwrap();
        slot.save(&record("/x.csv")).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        assert_eq!((mode(&slot.path), mode(&slot.lock_path)), (0o600, 0o600));
    }

    #[test]
    fn expired_records_are_removed_unless_they_are_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let old = Record { expires_at: now() - GRACE - GRACE, ..record("/old.csv") };
        open(folder, "/old.csv").unwrap().save(&old).unwrap();
        let used = open(folder, "/used.csv").unwrap();
        used.save(&old).unwrap();
        let recent = Record { expires_at: now(), ..record("/recent.csv") };
        open(folder, "/recent.csv").unwrap().save(&recent).unwrap();

        drop(open(folder, "/new.csv"));

        assert!(!folder.join(identity("/old.csv").name()).with_extension("json").exists());
        assert!(used.load().is_some());
        assert_eq!(open(folder, "/recent.csv").unwrap().load(), Some(recent));
        assert_eq!(names(folder).len(), 4, "{:?}", names(folder));
    }

    #[test]
    fn an_unreadable_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let slot = open(folder.path(), "/x.csv").unwrap();
        for content in ["", "{", "{\"identity\": 1}"] {
            std::fs::write(&slot.path, content).unwrap();
            assert_eq!(slot.load(), None);
        }
    }

    #[test]
    fn parts_cover_the_file() {
        for (size, parts, expected) in [
            (10, 1, vec![(0, 10)]),
            (10, 3, vec![(0, 3), (3, 3), (6, 4)]),
            (2, 5, vec![(0, 1), (1, 1)]),
            (0, 5, vec![(0, 0)]),
            (u64::MAX, 2, vec![(0, u64::MAX / 2), (u64::MAX / 2, u64::MAX / 2 + 1)]),
        ] {
            assert_eq!(ranges(size, parts).collect::<Vec<_>>(), expected, "{size} in {parts}");
        }
    }
}
