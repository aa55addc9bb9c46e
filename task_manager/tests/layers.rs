//! Enforces the seams and ranks of ARCHITECTURE.md by reading the sources.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot continue fails")]

#[path = "layers/code.rs"]
mod code;
#[path = "layers/workspace.rs"]
mod workspace;

use code::Code;
use workspace::Workspace;

/// Dependencies that are restricted to a few paths, and these paths: `x.rs` and `x/` are files and
/// folders of this name anywhere, others are paths from the root.
const SEAMS: [(Dependency, &[&str]); 9] = [
    (
        Dependency::Crate("axum"),
        &["task_manager/src/api.rs", "task_manager/src/api/", "data_processor/src/health.rs"],
    ),
    (
        Dependency::Crate("diesel"),
        &["task_manager/src/db.rs", "task_manager/src/db/", "store.rs", "store/"],
    ),
    (Dependency::Crate("lapin"), &["common/src/queue/amqp.rs", "common/src/queue/amqp/"]),
    (Dependency::Crate("lettre"), &["data_processor/src/mail.rs", "data_processor/src/mail/"]),
    (Dependency::Crate("object_store"), &["common/src/storage.rs", "common/src/storage/"]),
    (Dependency::Crate("opentelemetry"), &["common/src/traces.rs", "common/src/traces/"]),
    (Dependency::Crate("opentelemetry_sdk"), &["common/src/traces.rs", "common/src/traces/"]),
    (Dependency::Path("DbConnection::Sqlite"), &["task_manager/src/db/dialect.rs"]),
    (Dependency::Text("processed_data"), &["common/src/storage/key.rs"]),
];

/// The crates of the workspace that each crate may use.
const CRATE_USES: [(&str, &[&str]); 11] = [
    ("common", &[]),
    ("csv_aggregation", &["csv_input", "csv_structure"]),
    ("csv_input", &[]),
    ("csv_structure", &[]),
    ("text_statistics", &[]),
    ("task_manager", &["common", "csv_input"]),
    ("data_processor", &["common", "csv_aggregation", "csv_input", "text_statistics"]),
    ("taskctl", &["common", "csv_aggregation", "task_manager", "data_processor"]),
    ("end_to_end", &["common"]),
    ("task_load", &[]),
    ("text_count", &["text_statistics"]),
];

/// The modules of a crate, lowest rank first: a module uses modules of lower ranks only. Modules of
/// the highest rank may use each other.
type Ranks = &'static [&'static [&'static str]];

/// The folder of a crate's sources, and its ranks.
const RANKS: [(&str, Ranks); 3] = [
    (
        "task_manager/src/",
        &[
            &["db", "folding", "log_fields", "log_once", "metrics", "strict_json"],
            &["backfill", "error", "group_commit", "locks", "paging", "passes"],
            &["audit", "file_source", "idempotency", "tasks"],
            &["accounts", "backlog", "kinds", "results", "workers"],
            &["views"],
            &["dispatch", "live"],
            &["lifecycle"],
            &["api"],
            &["app", "background", "config", "lib", "main"],
        ],
    ),
    (
        "data_processor/src/",
        &[
            &["backoff", "budget", "dialect", "file_statistics", "metrics"],
            &["aggregation", "csv_preview", "mail", "row_loading", "task_manager"],
            &["problems"],
            &["config"],
            &["processor"],
            &["processors"],
            &["worker"],
            &["health", "lib", "main"],
        ],
    ),
    (
        "engines/csv_aggregation/src/",
        &[
            &["control", "csv_line", "options", "radix", "text", "words"],
            &["error", "watch"],
            &["read"],
            &["group"],
            &["spill"],
            &["collect"],
            &["write"],
            &["run"],
            &["bench", "lib", "tests"],
        ],
    ),
];

/// The forbidden uses in a file, given by its path from the root.
fn upward_uses(file: &str, source: &str) -> Vec<String> {
    let crate_of = |(folder, ranks): &(&str, Ranks)| Some((file.strip_prefix(folder)?, *ranks));
    let Some((place, ranks)) = RANKS.iter().find_map(crate_of) else { return Vec::new() };
    let rank = |module: &str| ranks.iter().position(|modules| modules.contains(&module));
    let code = Code::parse(source).unwrap_or_else(|error| panic!("{file}: {error}"));
    let module = place.split('/').next().unwrap().trim_end_matches(".rs");
    let Some(own) = rank(module) else {
        return vec![format!("{file}: the module `{module}` has no rank: add it to RANKS")];
    };
    let mut wrong = Vec::new();
    if code.has_words("super::super") {
        wrong.push(format!("{file}: name modules from the root by `crate::`, not `super::super`"));
    }
    let uses = code.uses.iter().filter(|(other, _)| other != module);
    wrong.extend(uses.filter_map(|(other, line)| match rank(other) {
        Some(rank) if rank < own || own == ranks.len() - 1 => None,
        Some(rank) => Some(format!(
            "{file}:{line}: `{module}` has rank {own} and must not use `{other}` of rank {rank}"
        )),
        None => Some(format!("{file}:{line}: the module `{other}` has no rank: add it to RANKS")),
    }));
    wrong
}

/// A dependency, by its trace in code.
#[derive(Debug, Clone, Copy)]
enum Dependency {
    /// A crate is used.
    Crate(&'static str),
    /// Consecutive names.
    Path(&'static str),
    /// Part of a name or a literal.
    Text(&'static str),
}

impl Dependency {
    fn is_in(self, code: &Code) -> bool {
        match self {
            Self::Crate(name) => {
                [format!("{name}::"), format!("use {name};"), format!("use {name} as")]
                    .iter()
                    .any(|words| code.has_words(words))
            }
            Self::Path(path) => code.has_words(path),
            Self::Text(text) => code.has_text(text),
        }
    }
}

fn is_at(file: &str, place: &str) -> bool {
    let (folders, name) = file.rsplit_once('/').unwrap_or_default();
    match place.strip_suffix('/') {
        Some(folder) if folder.contains('/') => file.starts_with(place),
        Some(folder) => folders.split('/').any(|other| other == folder),
        None if place.contains('/') => file == place,
        None => name == place,
    }
}

fn strangers(file: &str, source: &str) -> Vec<String> {
    let code = Code::parse(source).unwrap_or_else(|error| panic!("{file}: {error}"));
    let is_stranger = |(knowledge, places): &&(Dependency, &[&str])| {
        knowledge.is_in(&code) && !places.iter().any(|place| is_at(file, place))
    };
    SEAMS.iter().filter(is_stranger).map(|(word, _)| format!("{file} knows {word:?}")).collect()
}

#[test]
fn only_the_seams_use_their_libraries() {
    let files = Workspace::read().sources();
    assert!(files.len() > 200, "{} files are not all", files.len());
    let strangers: Vec<_> =
        files.iter().flat_map(|(file, source)| strangers(file, source)).collect();
    assert!(strangers.is_empty(), "{strangers:#?}");
}

#[test]
fn modules_use_lower_ranks_only() {
    let sources = Workspace::read().sources();
    let wrong: Vec<_> =
        sources.iter().flat_map(|(file, source)| upward_uses(file, source)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_use_of_a_higher_rank_is_reported_with_its_line() {
    let store = "task_manager/src/tasks/store.rs";
    let up =
        "task_manager/src/tasks/store.rs:2: `tasks` has rank 2 and must not use `api` of rank 7";
    for source in [
        "\nuse crate::api::problem;",
        "use crate::db;\nuse crate::{db::Id, api};",
        "fn f() {\ncrate::api::router() }",
        "macro_rules! m { () => {\n$crate::api::x } }",
    ] {
        assert_eq!(upward_uses(store, source), [up], "{source}");
    }
    for source in [
        "use crate::{db::{Id, api}, paging};",
        "pub(crate) use crate::tasks::limits;",
        "#[cfg(test)] mod tests { use crate::api; }",
    ] {
        assert_eq!(upward_uses(store, source), [""; 0], "{source}");
    }
    assert_eq!(upward_uses("task_manager/src/tasks.rs", "use crate::views;").len(), 1);
    assert_eq!(upward_uses("task_manager/src/new.rs", "").len(), 1, "a module without a rank");
    assert_eq!(upward_uses("task_manager/src/tasks/a/b.rs", "use super::super::c;").len(), 1);
    assert_eq!(upward_uses("task_manager/src/app.rs", "use crate::background;"), [""; 0]);
}

#[test]
fn sources_are_read_without_their_unit_tests() {
    let file = "common/src/queue.rs";
    for source in [
        "use lapin::Connection;",
        "#[cfg(test)] mod tests; use lapin::Connection;",
        "#[cfg(test)]\nmod tests { fn f() {} }\n\nfn g() { lapin::connect() }",
        "#[cfg(test)] #[path = \"x.rs\"] pub(crate) mod sink;\nmod a { use super::{b, lapin::C}; }",
        "#[cfg(test)] use a::b; use lapin;",
        "use lapin as broker;",
        "#[derive(lapin::Thing)] struct A;",
        "fn f() { select! { x = lapin::connect() => {} } }",
        "struct A { #[cfg(test)] a: u8, b: lapin::Connection }",
        "#[cfg(test)] const A: [u8; 2] = [1, 2]; type B = lapin::Channel;",
        "#[cfg(not(test))] use lapin::Connection;",
    ] {
        assert_eq!(strangers(file, source), [format!("{file} knows Crate(\"lapin\")")], "{source}");
    }
    for source in [
        "#[cfg(test)] mod tests { use lapin::Connection; }",
        "#[cfg(test)] use lapin::Connection;",
        "#[cfg(test)] fn f<A, B>(a: A, b: B) -> lapin::Connection { lapin::connect() }",
        "#[cfg(test)] impl<A, B> C for lapin::D<A, B> { fn f() -> u8 { 1 } }",
        "struct A { #[cfg(test)] b: lapin::Connection, c: u8 }",
        "//! Not `lapin::Connection`.\n/// Nor lapin::Channel.\nfn f() {} // lapin::x",
        "use my_lapin::Connection; fn f(lapin: u8) -> u8 { lapin }",
    ] {
        assert_eq!(strangers(file, source), [""; 0], "{source}");
    }
}

#[test]
fn an_allowed_path_matches_whole_names() {
    let uses_diesel = "use diesel::prelude::*;";
    for (file, is_known) in [
        ("task_manager/src/tasks/store.rs", true),
        ("task_manager/src/tasks/store/lists.rs", true),
        ("task_manager/src/db/batch.rs", true),
        ("task_manager/src/tasks/restore.rs", false),
        ("task_manager/src/restore/tasks.rs", false),
        ("taskctl/src/db.rs", false),
    ] {
        assert_eq!(strangers(file, uses_diesel).is_empty(), is_known, "{file}");
    }
}

#[test]
fn crate_dependencies_point_one_way() {
    let crates = Workspace::read().crates();
    let known = CRATE_USES.map(|(name, _)| name);
    for (name, uses) in &crates {
        let arrows = CRATE_USES.iter().find(|(known, _)| known == name);
        let Some((_, allowed)) = arrows else { panic!("{name} is missing in CRATE_USES") };
        for other in uses.iter().filter(|other| known.contains(&other.as_str())) {
            assert!(allowed.contains(&other.as_str()), "{name} must not use {other}");
        }
    }
    assert_eq!(crates.len(), CRATE_USES.len(), "CRATE_USES has crates that do not exist");
}

#[test]
fn every_file_name_is_descriptive() {
    for (name, _) in Workspace::read().sources() {
        let file = name.rsplit('/').next().unwrap();
        assert!(!["mod.rs", "utils.rs", "helpers.rs", "prelude.rs"].contains(&file), "{name}");
    }
}
