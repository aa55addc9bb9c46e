//! The tests that the targets of the Makefile select by their names exist: cargo succeeds if a name
//! selects none.

use std::fs;
use std::path::Path;

/// Where cargo looks for the selected tests.
const SELECTS: &str = "--test end_to_end ";

/// The modules and functions of these tests, as cargo writes their paths.
fn paths(folder: &Path, module: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let inner = format!("{module}::{name}");
        if path.is_dir() {
            paths(&path, &inner, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let names =
                source.lines().filter_map(|line| line.split_once("fn ")?.1.split('(').next());
            found.extend(names.map(|name| format!("{inner}::{name}")));
        }
    }
}

#[test]
fn every_selected_test_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    paths(&root.join("tests"), "", &mut found);
    let makefile = fs::read_to_string(root.join("../Makefile")).unwrap();
    let selections = makefile.lines().filter_map(|line| Some(line.split_once(SELECTS)?.1));
    let names: Vec<_> = selections
        .flat_map(str::split_whitespace)
        .filter(|word| !word.starts_with('-'))
        .map(|word| word.trim_end_matches('\''))
        .collect();
    assert!(names.len() > 5, "the names are read: {names:?}");
    let missing: Vec<_> =
        names.iter().filter(|name| !found.iter().any(|path| path.contains(**name))).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}
