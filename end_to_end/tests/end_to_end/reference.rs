//! `docs/reference` is generated from the code.
//!
//! The parts between `<!-- generated: NAME -->` and `<!-- end -->` come from what the programs print
//! about themselves. `make reference` writes them, and the tests compare them.

mod api;
mod codes;

use std::fs;
use std::path::{Path, PathBuf};

use super::process::program;

/// If set, the files are written instead of compared.
const UPDATE: &str = "UPDATE_REFERENCE";
const PROGRAMS: [&str; 3] = ["taskctl", "task_manager", "data_processor"];

#[test]
fn the_reference_of_settings_is_generated() {
    let parts = PROGRAMS[1..].iter().map(|name| (*name, package_file(name, "settings.md")));
    check("settings.md", parts.collect());
}

#[test]
fn the_reference_of_the_command_line_is_generated() {
    let programs: Vec<_> =
        PROGRAMS.iter().map(|name| package_file(name, "command-line.md")).collect();
    check("command-line.md", vec![("programs", programs.join("\n"))]);
}

#[test]
fn the_reference_of_the_api_is_generated() {
    let output = program("task_manager").arg("openapi").output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let parts = vec![
        ("common answers", api::common_answers(&document)),
        ("requests", api::requests(&document)),
        ("error codes", codes::table(&root())),
    ];
    check("api.md", parts);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file that a program writes for packages.
fn package_file(name: &str, file: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = program(name).arg("package-files").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(folder.path().join(file)).unwrap()
}

/// Compares the generated parts of a file, or writes them.
fn check(file: &str, parts: Vec<(&str, String)>) {
    let path = root().join("docs/reference").join(file);
    let current = fs::read_to_string(&path).unwrap();
    let generated =
        parts.iter().fold(current.clone(), |text, (name, part)| fill(&text, name, part));
    if common::config::variable(UPDATE).is_some() {
        fs::write(path, generated).unwrap();
        return;
    }
    let differs = current.lines().zip(generated.lines()).find(|(current, new)| current != new);
    assert!(
        current == generated,
        "docs/reference/{file} does not match the code; run `make reference`. First difference: \
         {differs:#?}"
    );
}

/// Inserts a part between its marks.
fn fill(text: &str, name: &str, part: &str) -> String {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    format!("{before}{begin}\n{}\n\n<!-- end -->{after}", part.trim())
}

#[test]
fn a_part_is_replaced_between_its_marks() {
    let text = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb <!-- end -->\n";
    let filled = "a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb <!-- end -->\n";
    assert_eq!(fill(text, "x", "new\n"), filled);
    assert_eq!(fill(filled, "x", "new"), filled);
}
