//! All documents of the repository, and their links to each other.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders with nothing that is ours.
const FOREIGN: [&str; 2] = ["target", "local_storage"];

/// The paths of all documents from the root of the repository.
pub fn documents(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(root, &mut found);
    let mut found: Vec<_> =
        found.iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect();
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !FOREIGN.contains(&name) && !name.starts_with('.') {
                collect(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The links of a document that lead to no file or no heading.
pub fn broken_links(root: &Path, document: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join(document)).unwrap();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let broken =
        links.filter(|link| !link.contains("://") && !leads_somewhere(root, document, link));
    broken.map(|link| format!("{}: {link}", document.display())).collect()
}

fn leads_somewhere(root: &Path, document: &Path, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = match file {
        "" => root.join(document),
        file => root.join(document).parent().unwrap().join(file),
    };
    path.exists() && (anchor.is_empty() || anchors(&path).iter().any(|found| found == anchor))
}

/// The anchors of the headings of a document, as GitHub makes them.
fn anchors(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|it| it.is_alphanumeric() || matches!(it, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}
