//! Both migration folders have the same names and result in the same columns.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot continue fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn folder(database: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database)
}

fn names(database: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder(database)).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The columns by table: name, class of type, and whether it may be null.
fn columns(database: &str) -> BTreeMap<String, Vec<(String, &'static str, bool)>> {
    let mut tables: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for name in names(database) {
        let sql = std::fs::read_to_string(folder(database).join(name).join("up.sql")).unwrap();
        let mut columns: Option<(String, Vec<_>)> = None;
        let mut altered = String::new();
        for line in sql.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                columns = Some((rest.trim_end_matches(" (").to_owned(), Vec::new()));
            } else if let Some(rest) = line.strip_prefix("ALTER TABLE ") {
                let (table, added) = rest.split_once(' ').unwrap();
                altered = table.to_owned();
                tables.get_mut(table).unwrap().extend(added_column(added));
            } else if line.starts_with("ADD COLUMN ") {
                tables.get_mut(&altered).unwrap().extend(added_column(line));
            } else if line.starts_with(')') {
                tables.extend(columns.take());
            } else if let Some((_, columns)) = &mut columns {
                columns.extend(column(line));
            }
        }
    }
    tables
}

fn added_column(clause: &str) -> Option<(String, &'static str, bool)> {
    column(clause.strip_prefix("ADD COLUMN ")?.trim_end_matches(';'))
}

fn column(line: &str) -> Option<(String, &'static str, bool)> {
    let (name, rest) = line.trim_end_matches(',').split_once(' ')?;
    if name != name.to_lowercase() || name == "--" {
        return None;
    }
    let kind = match rest.split([' ', '(']).next()? {
        // SQLite's row number, which always has 64 bits.
        "INTEGER" if rest.starts_with("INTEGER PRIMARY KEY") => "big integer",
        "BLOB" | "BINARY" => "bytes",
        "TEXT" | "VARCHAR" | "CHAR" | "MEDIUMTEXT" => "text",
        "INTEGER" | "INT" => "integer",
        "BIGINT" => "big integer",
        "BOOLEAN" => "boolean",
        "TIMESTAMP" | "DATETIME" => "time",
        other => panic!("an unknown type: {other}"),
    };
    Some((name.to_owned(), kind, !rest.contains("NOT NULL")))
}

#[test]
fn both_databases_have_the_same_migrations_and_columns() {
    assert_eq!(names("sqlite"), names("mysql"));
    let sqlite = columns("sqlite");
    assert!(sqlite["tasks"].len() > 20, "the columns are read: {sqlite:?}");
    assert_eq!(sqlite, columns("mysql"));
}

#[test]
fn a_mysql_migration_step_is_one_statement() {
    for name in names("mysql") {
        let sql = std::fs::read_to_string(folder("mysql").join(&name).join("up.sql")).unwrap();
        let code = sql.lines().filter(|line| !line.starts_with("--"));
        assert_eq!(code.filter(|line| line.ends_with(';')).count(), 1, "{name}");
    }
}
