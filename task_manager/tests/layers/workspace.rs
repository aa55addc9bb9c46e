//! The crates of the workspace according to cargo, and their sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::code::Code;

pub struct Workspace {
    root: PathBuf,
    packages: Vec<Value>,
}

impl Workspace {
    pub fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        Self {
            root: metadata["workspace_root"].as_str().unwrap().into(),
            packages: metadata["packages"].as_array().unwrap().clone(),
        }
    }

    /// Each crate with all crates that it uses, including those for tests and builds.
    pub fn crates(&self) -> BTreeMap<String, Vec<String>> {
        let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
        let uses = |package: &Value| {
            package["dependencies"].as_array().unwrap().iter().map(name).collect()
        };
        self.packages.iter().map(|package| (name(package), uses(package))).collect()
    }

    /// The sources of all libraries and programs by their paths, without those of unit tests.
    pub fn sources(&self) -> Vec<(String, String)> {
        let targets =
            self.packages.iter().flat_map(|package| package["targets"].as_array().unwrap());
        let is_shipped = |target: &&Value| {
            let kinds = target["kind"].as_array().unwrap();
            kinds.iter().any(|kind| kind == "lib" || kind == "bin")
        };
        let mut files: Vec<PathBuf> = targets
            .filter(is_shipped)
            .map(|target| target["src_path"].as_str().unwrap().into())
            .collect();
        let mut sources = BTreeMap::new();
        while let Some(file) = files.pop() {
            let source = std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let code = Code::parse(&source).unwrap();
            files.extend(code.modules.iter().map(|module| file_of(&file, module)));
            let name = file.strip_prefix(&self.root).unwrap().display().to_string();
            sources.insert(name, source);
        }
        sources.into_iter().collect()
    }
}

/// The file of a module that the source `file` declares.
fn file_of(file: &Path, module: &str) -> PathBuf {
    let stem = file.file_stem().unwrap();
    let folder = file.parent().unwrap();
    let folder = match stem.to_str() {
        Some("lib" | "main") => folder.to_owned(),
        _ => folder.join(stem),
    };
    folder.join(module).with_extension("rs")
}
