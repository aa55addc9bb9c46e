//! The commands of the documents work as they stand there.
//!
//! Every block of `sh` in a document below is run by bash, in order and in one shell, in a folder with the
//! files that the document takes for granted, against a server of its own. A block behind a line
//! `<!-- not tested here: REASON -->` is left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::standalone::Standalone;

/// What a block is left out by.
const NOT_TESTED: &str = "<!-- not tested here: ";
/// Where the documents say that the server is.
const ADDRESS: &str = "http://127.0.0.1:5000";
/// A document in which the server has refused something is wrong, and `curl` alone does not fail then.
const PRELUDE: &str = r#"set -euo pipefail
curl() {
    case " $*" in *" -f"*) command curl "$@" ;; *) command curl --fail-with-body "$@" ;; esac
}
"#;

const SONGS: &str = "Song,Date,Number of Plays\nUmbrella,2020-01-02,200\n";
const PEOPLE: &str = "name,email\nAda Lovelace,ada@example.org\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The blocks of `sh` that are to be run, and the blocks without a language, as expected outputs.
fn blocks(document: &str) -> (Vec<String>, Vec<String>) {
    let (mut scripts, mut outputs) = (Vec::new(), Vec::new());
    let mut lines = document.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let block = format!("{}\n", block.join("\n"));
            match language {
                "sh" if !before.starts_with(NOT_TESTED) => scripts.push(block),
                "" => outputs.push(block),
                _ => {}
            }
        }
        before = line;
    }
    (scripts, outputs)
}

/// Runs the blocks of a document; what they print.
fn run(scripts: &[String], server: &str, folder: &Path) -> Output {
    let programs = super::process::built();
    let script = format!("PATH={}:$PATH\n{PRELUDE}{}", programs.display(), scripts.concat())
        .replace(ADDRESS, server)
        .replace("examples/", &format!("{}/examples/", root().display()));
    Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder)
        .env("TASKCTL_SERVER", server)
        .env("SERVER", server)
        .env("HOME", folder)
        .output()
        .unwrap()
}

/// Runs a document with these files in its folder; what it prints, and what it says is printed.
async fn check(document: &str, files: &[(&str, &str)]) -> (String, Vec<String>) {
    let (scripts, outputs) = blocks(&std::fs::read_to_string(root().join(document)).unwrap());
    assert!(!scripts.is_empty(), "{document} has no commands");
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let server = Standalone::start(data.path()).await;
    let (url, place) = (server.api.url.clone(), folder.path().to_owned());
    let ran = tokio::task::spawn_blocking(move || run(&scripts, &url, &place)).await.unwrap();
    let (printed, said) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{document}: {}\n{printed}\n{said}", ran.status);
    (printed.into_owned(), outputs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs bash, curl, jq, Python and Node.js: make test-docs"]
async fn the_commands_of_the_readme_work() {
    let (printed, outputs) = check("README.md", &[("people.csv", PEOPLE)]).await;
    assert!(printed.contains(&outputs[0]), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs bash, curl, jq, Python and Node.js: make test-docs"]
async fn the_commands_of_the_guides_work() {
    let visits = "City,Visits\nBerlin,3\n";
    let messages = "{\"message\": \"one\"}\n{\"message\": \"two\"}\n";
    for (document, files) in [
        ("docs/csv-preview.md", &[("songs.csv", SONGS)][..]),
        ("docs/file-statistics.md", &[("notes.md", "# Notes\n")]),
        ("docs/messages.md", &[("messages.ndjson", messages)]),
        ("docs/user-events.md", &[]),
        ("taskctl/README.md", &[("visits.csv", visits), ("plays.csv", SONGS)]),
    ] {
        check(document, files).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs bash, curl, jq, Python and Node.js: make test-docs"]
async fn the_examples_save_the_sums() {
    let (printed, _) = check("examples/README.md", &[("songs.csv", SONGS)]).await;
    assert_eq!(printed.matches("processed").count(), 2, "one for each client: {printed}");
}

#[test]
fn blocks_are_found_in_order_and_left_out_where_a_document_says_so() {
    let document = "```sh\na\nb\n```\n\ntext\n\n```\nout\n```\n\n\
                    <!-- not tested here: it never ends -->\n```sh\nc\n```\n```json\n{}\n```\n";
    let (scripts, outputs) = blocks(document);
    assert_eq!((scripts, outputs), (vec!["a\nb\n".to_owned()], vec!["out\n".to_owned()]));
}
