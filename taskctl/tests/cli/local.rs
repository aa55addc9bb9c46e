//! Commands without a server: `fake-songs` and `run`.

use crate::fake_api::{nowhere, taskctl};

#[tokio::test]
async fn generated_plays_are_aggregated_locally() {
    let folder = tempfile::tempdir().unwrap();
    let server = nowhere().await;
    let args =
        ["fake-songs", "--songs", "5", "--days", "2", "--rows", "1000", "--output", "in.csv"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("Wrote 1,000 rows to in.csv."), "{}", run.stderr);

    let args = ["run", "csv_aggregation", "in.csv", "--output", "out.csv"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("Aggregated 1,000 rows into 10 groups in "), "{run:?}");
    let output = std::fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert_eq!(output.lines().count(), 11);

    let piped = taskctl(&server, folder.path(), &["run", "csv_aggregation", "in.csv"]).await;
    assert_eq!((piped.code, piped.text()), (0, output));

    let run = taskctl(&server, folder.path(), &[&["--json"], &args[..]].concat()).await;
    assert_eq!((run.code, run.json()["groups"].as_u64()), (0, Some(10)));
}

#[tokio::test]
async fn local_errors_match_those_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..100).map(|row| format!("song {row},2026-01-01,many\n")).collect();
    let content = format!("Song,Date,Number of Plays\n{rows}");
    std::fs::write(folder.path().join("in.csv"), content).unwrap();
    let server = nowhere().await;

    let args = ["run", "csv_aggregation", "in.csv", "--output", "out.csv"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 1, "{run:?}");
    for words in ["\n  line 2, column 3 (Number of Plays): ", "\n  … and 90 more\n"] {
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    assert!(!folder.path().join("out.csv").exists());

    let run = taskctl(&server, folder.path(), &[&["--json"], &args[..]].concat()).await;
    assert_eq!((run.code, run.json()["error_count"].as_u64()), (1, Some(100)));

    let args = ["run", "csv_aggregation", "in.csv", "--on-bad-row", "skip"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert!(run.stderr.contains("Aggregated 0 of 100 rows into 0 groups"), "{run:?}");

    let args = ["run", "csv_aggregation", "in.csv", "--param", "colour=red"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!((run.code, run.text().as_str()), (2, ""));
    assert!(run.stderr.contains("  colour: is not a parameter of csv_aggregation"), "{run:?}");
}

#[tokio::test]
async fn json_has_the_rows_unless_they_are_written_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let visits = "City,Visits\nBerlin,3\n\"Rom\ne\",5\nBerlin,x\n";
    std::fs::write(folder.path().join("visits.csv"), visits).unwrap();
    let people = "name,email\nAda,ada@example.org\nBob,bob\n";
    std::fs::write(folder.path().join("people.csv"), people).unwrap();
    let server = nowhere().await;
    let aggregation = ["run", "csv_aggregation", "visits.csv", "-g", "City", "--sum", "Visits"];
    let skipping = [&["--json"], &aggregation[..], &["--on-bad-row", "skip"]].concat();
    let run = taskctl(&server, folder.path(), &skipping).await;
    let expected = serde_json::json!({
        "rows_read": 3, "rows_rejected": 1, "groups": 2, "output_size": run.json()["output_size"],
        "dialect": {"delimiter": ",", "encoding": "utf-8"},
        "columns": ["City", "Visits"], "rows": [["Berlin", "3"], ["Rom\ne", "5"]]
    });
    assert_eq!((run.code, run.json()), (0, expected));
    let explained =
        taskctl(&server, folder.path(), &[&skipping[..], &["--explain"]].concat()).await;
    assert_eq!(explained.json()["rows"], run.json()["rows"], "{explained:?}");
    let run = taskctl(&server, folder.path(), &[&skipping[..], &["-o", "out.csv"]].concat()).await;
    assert_eq!((run.code, run.json().get("rows")), (0, None), "{run:?}");
    let run = taskctl(&server, folder.path(), &[&skipping[..], &["--output", "-"]].concat()).await;
    assert_eq!((run.code, run.json()["code"].as_str()), (2, Some("usage")));

    let run =
        taskctl(&server, folder.path(), &["--json", "run", "data_upload", "people.csv"]).await;
    assert_eq!(run.json()["rows"], serde_json::json!([["Ada", "ada@example.org"]]), "{run:?}");
}

#[tokio::test]
async fn an_aggregation_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let server = nowhere().await;
    let rows = ["fake-songs", "--songs", "1M", "--rows", "4e5", "-o", "in.csv", "--json"];
    let run = taskctl(&server, folder.path(), &rows).await;
    assert_eq!((run.code, run.json()["rows"].as_u64()), (0, Some(400_000)), "{run:?}");
    let args = ["run", "csv_aggregation", "in.csv", "-o", "out.csv", "--explain", "-t", "2"];
    let run = taskctl(&server, folder.path(), &[&args[..], &["--quiet"]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    for line in ["Rows      400,000", "Rejected  0", "Threads   2", "Spilled   nothing"] {
        assert!(run.stderr.lines().any(|shown| shown == line), "{line}: {}", run.stderr);
    }
    let limited = [&args[..], &["--memory-limit", "8MiB", "--json"]].concat();
    let explained = taskctl(&server, folder.path(), &limited).await.json();
    assert!(explained["explanation"]["bytes_spilled"].as_u64().unwrap() > 0, "{explained}");
    assert_eq!(explained["explanation"]["memory_limit"], 8 << 20);
    let args = ["run", "csv_preview", "in.csv", "--explain"];
    assert_eq!(taskctl(&server, folder.path(), &args).await.code, 2);
}

#[tokio::test]
async fn columns_are_named_by_options() {
    let folder = tempfile::tempdir().unwrap();
    let visits = "City,Day,Visits\nBerlin,1,3\nBerlin,2,4\nRome,1,5\n";
    std::fs::write(folder.path().join("visits.csv"), visits).unwrap();
    let server = nowhere().await;
    let run = async |options: &[&str]| {
        let args = [&["run", "csv_aggregation", "visits.csv"], options].concat();
        taskctl(&server, folder.path(), &args).await
    };
    let done = run(&["--group-by", "City", "--sum", "Visits"]).await;
    assert_eq!((done.code, done.text().as_str()), (0, "City,Visits\nBerlin,7\nRome,5\n"));
    let other_case = run(&["--group-by", "city", "--sum", "VISITS"]).await;
    assert_eq!(other_case.text(), "city,VISITS\nBerlin,7\nRome,5\n");
    let ordered = run(&["-g", "Day", "--param", "group_by=City", "--sum", "Visits"]).await;
    assert!(ordered.text().starts_with("Day,City,Visits\n1,Berlin,3\n"), "{ordered:?}");

    for (options, words) in [
        (&[][..], "with --group-by COLUMN and --sum COLUMN"),
        (&["--group-by", "City,Day", "--sum", "Visits"], "name each of them separately"),
        (&["--group-by", "City", "--sum", "City"], "--sum: the column `City` is named more"),
    ] {
        let run = run(options).await;
        assert!(run.code > 0 && run.stderr.contains(words), "{run:?}");
    }
}

#[tokio::test]
async fn csv_columns_are_printed_locally() {
    let folder = tempfile::tempdir().unwrap();
    let songs = "Song,Plays\nUmbrella,200\n\"In\nThe End\",\n";
    std::fs::write(folder.path().join("songs.csv"), songs).unwrap();
    std::fs::write(folder.path().join("archive.csv"), b"PK\x03\x04").unwrap();
    let server = nowhere().await;
    let run = taskctl(&server, folder.path(), &["run", "csv_preview", "songs.csv"]).await;
    let printed = "COLUMN  TYPE     VALUES  EMPTY  FIRST VALUE\n\
                   Song    text          2      0  Umbrella\n\
                   Plays   integer       1      1  200\n\
                   2 rows of 2 columns.\n";
    assert_eq!((run.code, run.text().as_str()), (0, printed), "{run:?}");
    let args = ["--json", "run", "csv_preview", "songs.csv"];
    let json = taskctl(&server, folder.path(), &args).await.json();
    assert_eq!(json["rows"][1], serde_json::json!(["In\nThe End", ""]));
    let run = taskctl(&server, folder.path(), &["run", "csv_preview", "archive.csv"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("unpack it and send the CSV file inside"), "{run:?}");
}

#[tokio::test]
async fn file_statistics_are_printed_locally() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.md"), "# Grüße\n\nvon\u{a0}zuhause\n").unwrap();
    std::fs::write(folder.path().join("blob"), b"\x00\x01").unwrap();
    let server = nowhere().await;
    let run = taskctl(&server, folder.path(), &["run", "file_statistics", "notes.md"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    for line in [
        "File         notes.md",
        "Size         24 bytes",
        "Lines        3",
        "Words        4",
        "Characters   21",
        "Content type text/markdown",
        "Encoding     utf-8",
    ] {
        assert!(run.text().lines().any(|printed| printed == line), "{line}: {}", run.text());
    }

    let args = ["--json", "run", "file_statistics", "blob", "--output", "blob.json"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!((run.code, &run.json()["size"]), (0, &2.into()), "{run:?}");
    let written = std::fs::read(folder.path().join("blob.json")).unwrap();
    let blob: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert_eq!((&blob["size"], &blob["encoding"]), (&2.into(), &"binary".into()));
    assert_eq!(blob["lines"], serde_json::Value::Null);

    let run = taskctl(&server, folder.path(), &["run", "file_statistics", "nothing"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    let args = ["run", "file_statistics", "blob", "--param", "sum=a"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert!(run.code == 2 && run.stderr.contains("it takes none"), "{run:?}");
}
