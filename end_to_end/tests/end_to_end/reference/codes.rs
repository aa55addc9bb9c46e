//! The codes of problem documents. The sources are searched for them: wherever one is made, its
//! status, code and title follow each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const CRATES: [&str; 2] = ["task_manager/src", "data_processor/src"];

/// Every code with its status and titles as a table in Markdown.
pub fn table(root: &Path) -> String {
    let mut codes = BTreeMap::<_, BTreeSet<_>>::new();
    for folder in CRATES {
        let mut sources = Vec::new();
        collect(&root.join(folder), &mut sources);
        let constants: Vec<_> = sources.iter().filter_map(|source| constant(source)).collect();
        assert!(constants.len() <= 1, "it is ambiguous which of {constants:?} is meant");
        for source in &sources {
            for (status, code, title) in problems(source) {
                let code = code.or(constants.first().copied()).unwrap();
                codes.entry((code.to_owned(), status)).or_default().insert(title.to_owned());
            }
        }
    }
    let mut table = "| code | status | title |\n|---|---|---|\n".to_owned();
    for ((code, status), titles) in codes {
        let titles: Vec<_> = titles.into_iter().collect();
        table.push_str(&format!("| `{code}` | {status} | {} |\n", titles.join("; ")));
    }
    table
}

/// The sources in a folder, without their tests.
fn collect(folder: &Path, sources: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            sources.push(source.split("#[cfg(test)]").next().unwrap().to_owned());
        }
    }
}

/// The only code that is a constant.
fn constant(source: &str) -> Option<&str> {
    let (_, rest) = source.split_once("const CODE: &str = \"")?;
    rest.split('"').next()
}

/// Status, code and title; a code that is not a literal is the constant.
fn problems(source: &str) -> impl Iterator<Item = (u16, Option<&str>, &str)> {
    let starts = source.match_indices(|letter: char| !letter.is_ascii_alphanumeric());
    starts.filter_map(|(at, letter)| problem(&source[at + letter.len()..]))
}

fn problem(source: &str) -> Option<(u16, Option<&str>, &str)> {
    let (status, rest) = source.split_at_checked(3)?;
    let status = status.parse().ok().filter(|status| (400..600).contains(status))?;
    let rest = rest.strip_prefix(',')?.trim_start();
    let (code, rest) = match literal(rest) {
        Some((code, rest)) => (Some(code), rest),
        None => (None, &rest[rest.find(',').filter(|end| rest[..*end].ends_with("CODE"))?..]),
    };
    let (title, _) = literal(rest.strip_prefix(',')?.trim_start())?;
    Some((status, code, title))
}

/// A quoted text, and the rest.
fn literal(source: &str) -> Option<(&str, &str)> {
    source.strip_prefix('"')?.split_once('"')
}

#[test]
fn problems_are_found_however_they_are_laid_out() {
    let source =
        "(400, \"a\", \"A b\", x), P::new(\n  500,\n  m::CODE,\n  \"C\",\n) 499, 1400, \"d\"";
    let found: Vec<_> = problems(source).collect();
    assert_eq!(found, [(400, Some("a"), "A b"), (500, None, "C")]);
}
