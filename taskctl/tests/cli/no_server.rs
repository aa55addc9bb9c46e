//! Wrong usage, and missing servers.

use crate::fake_api::{ID, nowhere, taskctl};

#[tokio::test]
async fn every_command_explains_how_to_start_a_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "Song,Date,Number of Plays\n").unwrap();
    let server = nowhere().await;
    for args in [
        vec!["status", ID],
        vec!["--json", "list"],
        vec!["stop", ID],
        vec!["watch", ID],
        vec!["delete", ID],
        vec!["download", ID],
        vec!["upload", "plays.csv", "--wait"],
    ] {
        let run = taskctl(&server, folder.path(), &args).await;
        assert_eq!(run.code, 3, "{args:?}: {run:?}");
        assert_eq!(run.text(), "", "{args:?}");
        let expected = format!(
            "No server answers at {server}. Start one with `taskctl standalone` (or `make run` in \
             the source folder), or name another with --server URL."
        );
        assert!(run.stderr.contains(&expected), "{args:?}: {}", run.stderr);
    }
}

#[tokio::test]
async fn the_flag_overrides_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let (flag, variable) = (nowhere().await, nowhere().await);
    let run = taskctl(&variable, folder.path(), &["list", "--server", &flag]).await;
    assert!(run.stderr.contains(&format!("No server answers at {flag}.")), "{}", run.stderr);
}

#[tokio::test]
async fn usage_errors_exit_with_2_and_a_message() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "Song,Date,Number of Plays\n").unwrap();
    let server = nowhere().await;
    for (args, words) in [
        (vec!["fly"], "unrecognized subcommand"),
        (vec!["status", "seven"], "invalid value 'seven'"),
        (vec!["list", "--state", "done"], "`done` is not one of initializing"),
        (vec!["list", "--limit", "0"], "invalid value '0'"),
        (vec!["upload", "nothing.csv"], "Cannot upload nothing.csv: No such file"),
        (vec!["upload", "."], "Cannot upload .: it is not a regular file."),
        (vec!["upload", "plays.csv", "--param", "skip"], "NAME=VALUE"),
        (vec!["upload", "plays.csv", "--kind", "magic"], "`magic` is not one of csv_aggregation"),
        (
            vec!["upload", "plays.csv", "--output", "no/such/x.csv"],
            "the folder no/such does not exist",
        ),
        (vec!["upload", "plays.csv", "--output", "."], "Cannot write to .: it is a folder."),
        (vec!["--json", "download", ID, "--output", "-"], "Standard output takes either"),
        (vec!["--server", "ftp://127.0.0.1", "list"], "`ftp` URLs are not supported"),
        (vec!["--server", "here", "list"], "cannot be used"),
    ] {
        let run = taskctl(&server, folder.path(), &args).await;
        assert_eq!(run.code, 2, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }
}
