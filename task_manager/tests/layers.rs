//! Who may know what: the seams of ARCHITECTURE.md, held by reading the sources.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

/// A word that stands for a piece of knowledge, and the files that may have it.
const SEAMS: [(&str, &[&str]); 7] = [
    (
        "axum::",
        &[
            "/app.rs",
            "/router.rs",
            "/error.rs",
            "/http/",
            "routes.rs",
            "data_processor/src/health.rs",
        ],
    ),
    ("diesel::", &["task_manager/src/db.rs", "task_manager/src/db/", "store.rs", "/store/"]),
    ("lapin::", &["common/src/queue/amqp.rs", "common/src/queue/amqp/"]),
    ("lettre::", &["data_processor/src/mail.rs", "data_processor/src/mail/"]),
    ("object_store::", &["common/src/storage.rs"]),
    ("DbConnection::Sqlite", &["task_manager/src/db/dialect.rs"]),
    ("processed_data", &["common/src/storage.rs"]),
];

/// Which crate of ours may use which.
const ARROWS: [(&str, &[&str]); 5] = [
    ("common", &[]),
    ("text_statistics", &[]),
    ("task_manager", &["common"]),
    ("data_processor", &["common", "text_statistics"]),
    ("taskctl", &["common", "task_manager", "data_processor"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut folders: Vec<_> = ARROWS.iter().map(|(name, _)| root.join(name).join("src")).collect();
    let mut sources = Vec::new();
    // Unit tests may play anything.
    let is_test = |name: &str| name.contains("/tests/") || name.ends_with("/tests.rs");
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                if !is_test(&name) {
                    sources.push((name, std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
    }
    sources
}

/// The code of a source: comments and unit tests may speak of anything.
fn code(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn only_the_seams_know_what_is_behind_them() {
    let mut strangers = Vec::new();
    for (name, source) in sources() {
        let code = code(&source);
        for (word, friends) in SEAMS {
            if code.contains(word) && !friends.iter().any(|friend| name.contains(friend)) {
                strangers.push(format!("{name} knows {word}"));
            }
        }
    }
    assert!(strangers.is_empty(), "{strangers:#?}");
}

#[test]
fn crates_point_one_way() {
    for (name, allowed) in ARROWS {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for (other, _) in ARROWS {
            let uses = manifest.lines().any(|line| line.starts_with(&format!("{other}.workspace")));
            assert!(!uses || allowed.contains(&other), "{name} must not use {other}");
        }
    }
}

#[test]
fn there_is_no_file_that_says_nothing_by_its_name() {
    for (name, _) in sources() {
        let file = name.rsplit('/').next().unwrap();
        assert!(!["mod.rs", "utils.rs", "helpers.rs", "prelude.rs"].contains(&file), "{name}");
    }
}
