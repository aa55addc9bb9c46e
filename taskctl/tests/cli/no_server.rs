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
        let said = match args.contains(&"--json") {
            true => run.json()["detail"].as_str().unwrap().to_owned(),
            false => run.stderr.clone(),
        };
        let expected = format!(
            "No server answers at {server}. Start one with `taskctl standalone` (or `make run` in \
             the source folder), or name another with --server URL."
        );
        assert!(said.contains(&expected), "{args:?}: {run:?}");
    }
}

#[tokio::test]
async fn every_failure_is_one_document_with_json() {
    let folder = tempfile::tempdir().unwrap();
    let server = nowhere().await;
    for (args, code, name) in [
        (vec!["list"], 3, "unreachable"),
        (vec!["list", "--state", "asleep"], 2, "usage"),
        (vec!["upload", "nothing.csv"], 1, "failed"),
        (vec!["fly"], 2, "usage"),
        (vec!["list", "--watch"], 2, "usage"),
        (vec!["download", ID, "--output", "-"], 2, "usage"),
    ] {
        let args = [args, vec!["--json"]].concat();
        let run = taskctl(&server, folder.path(), &args).await;
        assert_eq!((run.code, run.json()["code"].as_str()), (code, Some(name)), "{args:?}");
        assert_eq!(run.stderr, "", "{args:?}");
    }
    let run = taskctl(&server, folder.path(), &["version", "--json"]).await;
    assert!(run.code == 0 && run.json()["version"].is_string(), "{run:?}");
}

#[tokio::test]
async fn the_flag_overrides_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let (flag, variable) = (nowhere().await, nowhere().await);
    let run = taskctl(&variable, folder.path(), &["list", "--server", &flag]).await;
    assert!(run.stderr.contains(&format!("No server answers at {flag}.")), "{}", run.stderr);
}

#[tokio::test]
async fn usage_errors_exit_with_2_and_files_with_1() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "Song,Date,Number of Plays\n").unwrap();
    let server = nowhere().await;
    for (args, words) in [
        (vec!["fly"], "unrecognized subcommand"),
        (vec!["status", "seven"], "invalid value 'seven'"),
        (vec!["list", "--state", "asleep"], "possible values: initializing"),
        (vec!["list", "--since", "soon"], "it takes a duration"),
        (vec!["list", "--server", "http://a", "--context", "b"], "cannot be used with"),
        (vec!["list", "--context", "nowhere"], "There is no context `nowhere`"),
        (vec!["--server", "http://a", "run", "csv_preview", "plays.csv"], "uses no server"),
        (vec!["run", "csv_preview", "plays.csv", "--server", "http://a"], "unexpected argument"),
        (vec!["list", "--limit", "0"], "invalid value '0'"),
        (vec!["upload", "nothing.csv"], "Cannot upload nothing.csv: No such file"),
        (vec!["upload", "."], "Cannot upload .: it is not a regular file."),
        (vec!["upload", "plays.csv", "--param", "skip"], "NAME=VALUE"),
        (vec!["upload", "plays.csv", "--kind", "magic"], "possible values: csv_aggregation"),
        (vec!["upload", "plays.csv", "--kind", "user_event"], "takes no file"),
        (vec!["run", "report_email", "plays.csv"], "takes no file"),
        (
            vec!["upload", "file_statistics", "plays.csv", "--sum", "Plays"],
            "--sum is an option of csv_aggregation, not of file_statistics: it takes none.",
        ),
        (vec!["run", "data_upload", "plays.csv", "-g", "x"], "it takes --on-bad-row, --delimiter,"),
        (vec!["upload", "plays.csv", "--on-bad-row", "ignore"], "possible values: fail, skip"),
        (vec!["upload", "csv_aggregation"], "Name the file: `taskctl upload csv_aggregation FILE`"),
        (vec!["upload", "plays.csv", "plays.csv", "--output", "x.csv"], "need a folder"),
        (vec!["csv_aggregation", "plays.csv"], "taskctl upload csv_aggregation FILE"),
        (
            vec!["upload", "plays.csv", "--output", "no/such/x.csv"],
            "the folder no/such does not exist",
        ),
        (vec!["--server", "ftp://127.0.0.1", "list"], "`ftp` URLs are not supported"),
        (vec!["--server", "here", "list"], "cannot be used"),
    ] {
        let run = taskctl(&server, folder.path(), &args).await;
        let is_usage = !words.starts_with("Cannot") && !words.contains("does not exist");
        assert_eq!(run.code, if is_usage { 2 } else { 1 }, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }
}

#[tokio::test]
async fn the_help_describes_commands_and_their_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = nowhere().await;
    let help = taskctl(&server, folder.path(), &["--help"]).await.text();
    for words in ["List the tasks, newest first [alias: ls]", "--server <URL>", "data_upload"] {
        assert!(help.contains(words), "{words}: {help}");
    }
    for (command, has_server) in [("list", true), ("run", false), ("fake-songs", false)] {
        let help = taskctl(&server, folder.path(), &[command, "--help"]).await.text();
        assert_eq!(help.contains("--server"), has_server, "{command}: {help}");
    }
}

#[tokio::test]
async fn kinds_are_topics_of_help() {
    let folder = tempfile::tempdir().unwrap();
    let server = nowhere().await;
    for args in [vec!["help", "csv_aggregation"], vec!["csv_aggregation"]] {
        let run = taskctl(&server, folder.path(), &args).await;
        assert_eq!(run.code, 0, "{run:?}");
        for words in ["taskctl run csv_aggregation FILE", "--group-by <COLUMN>", "fail, skip"] {
            assert!(run.text().contains(words), "{words}: {}", run.text());
        }
    }
    let run = taskctl(&server, folder.path(), &["help", "file_statistics"]).await;
    assert!(run.code == 0 && !run.text().contains("--group-by"), "{run:?}");
}
