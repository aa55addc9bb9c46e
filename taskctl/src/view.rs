//! Tasks as text: sentences, a list of details, a table.

use ::console::style;
use chrono::{DateTime, TimeDelta, Utc};
use common::task::{Progress, TaskList, TaskState, TaskView};
use indicatif::{HumanBytes, HumanCount};
use serde_json::Value;

use crate::counts::{self, Aggregated, counted};
use crate::problem_text::printable;

/// Longer file names are truncated in the table, so that a line fits into 120 columns.
const FILE_WIDTH: usize = 20;
/// The shortest beginning of an id, and the shortest name, in a narrow table.
const SHORTEST_ID: usize = 13;
const SHORTEST_NAME: usize = 8;

/// The state with its current details, for example
/// `processing, 12.00 MiB of 30.00 MiB (40 %), 5.10 MiB/s`.
pub(crate) fn state_phrase(task: &TaskView) -> String {
    let mut phrase = task.state.to_string();
    match (task.state, &task.progress) {
        (TaskState::Queued, _) => {
            if let Some(position) = queue_position_text(task) {
                phrase.push_str(&format!(", position {position}"));
            }
        }
        (TaskState::Processing | TaskState::Stopping, Some(progress)) => {
            let amount = |count| amount(count, &progress.unit);
            phrase.push_str(&format!(", {}", amount(progress.done)));
            if let Some(total) = progress.total {
                phrase.push_str(&format!(" of {}", amount(total)));
            }
            if let Some(percent) = percent(task) {
                phrase.push_str(&format!(" ({percent} %)"));
            }
            match loaded_phrase(task, progress) {
                Some(loaded) => phrase.push_str(&loaded),
                None => {
                    if let Some(rate) = progress.per_second.filter(|rate| *rate >= 1.0) {
                        // A rate below zero or beyond u64 does not occur; the cast would saturate.
                        phrase.push_str(&format!(", {}/s", amount(rate as u64)));
                    }
                }
            }
        }
        _ => {}
    }
    phrase
}

/// The progress of a load, for example `, 120,000 rows loaded, 12 rejected, 45,000 rows/s`.
fn loaded_phrase(task: &TaskView, progress: &Progress) -> Option<String> {
    let loaded = result_count(task, "rows_loaded")?;
    let rejected = result_count(task, "rows_rejected")?;
    let mut phrase =
        format!(", {} loaded, {} rejected", counts::rows(loaded), HumanCount(rejected));
    // The rate is in bytes; this converts it by the average size of a row so far.
    if let Some(rate) = progress.per_second.filter(|_| progress.done > 0) {
        let rate = rate * (loaded + rejected) as f64 / progress.done as f64;
        phrase.push_str(&format!(", {}/s", counts::rows(rate as u64)));
    }
    Some(phrase)
}

/// The progress of a task that is being processed or rolled back, if known.
pub(crate) fn done_of_total(task: &TaskView) -> Option<(u64, u64)> {
    let is_moving = matches!(task.state, TaskState::Processing | TaskState::Stopping);
    let progress = task.progress.as_ref().filter(|_| is_moving)?;
    Some((progress.done, progress.total?))
}

/// How an ended task ended, for example
/// `Aggregated 784,903 rows into 554,142 groups in 1.2 s.`
pub(crate) fn outcome_sentence(task: &TaskView) -> String {
    let id = task.task_id;
    match task.state {
        TaskState::Processed => match (aggregated(task), loaded(task), previewed(task)) {
            (Some(aggregated), ..) => format!("{}.", aggregated.phrase(&took(task))),
            (_, Some(loaded), _) => format!("Loaded {loaded}{}.", took(task)),
            (.., Some(previewed)) => format!("Found {previewed}{}.", took(task)),
            _ => format!("Processed {}{}.", processed(task), took(task)),
        },
        TaskState::Failed => format!("Task {id} failed{}.", took(task)),
        TaskState::Stopped => {
            format!("Task {id} was stopped; its data has been rolled back.")
        }
        TaskState::Killed => format!("Task {id} was killed; its durable data is kept."),
        _ => format!("Task {id}: {}.", state_phrase(task)),
    }
}

/// For example `99,990 rows (the last attempt from row 40,001 on)`.
fn loaded(task: &TaskView) -> Option<String> {
    let rows = counts::rows(result_count(task, "rows_loaded")?);
    Some(match result_count(task, "resumed_from_row") {
        Some(row) => format!("{rows} (the last attempt from row {} on)", HumanCount(row)),
        None => rows,
    })
}

fn aggregated(task: &TaskView) -> Option<Aggregated> {
    Some(Aggregated {
        rows_read: result_count(task, "rows_read")?,
        rows_rejected: result_count(task, "rows_rejected").unwrap_or(0),
        groups: result_count(task, "groups")?,
    })
}

/// For example `7 rows of 3 columns`.
fn previewed(task: &TaskView) -> Option<String> {
    let rows = counts::rows(result_count(task, "row_count")?);
    let columns = counted(result_count(task, "column_count")?, "column", "columns");
    Some(format!("{rows} of {columns}"))
}

fn processed(task: &TaskView) -> String {
    let name = task.file_name.as_deref();
    let name = name.map_or_else(|| task.task_id.to_string(), printable_line);
    let count = |field, one| result_count(task, field).map(|count| counted(count, one, field));
    match (count("lines", "line"), count("words", "word"), count("characters", "character")) {
        (Some(lines), Some(words), Some(characters)) => {
            format!("{name} with {lines}, {words} and {characters}")
        }
        _ => name,
    }
}

/// A count in the result of a task, by name.
pub(crate) fn result_count(task: &TaskView, name: &str) -> Option<u64> {
    task.result.as_ref()?.get(name)?.as_u64()
}

/// For example ` in 1.2 s`.
fn took(task: &TaskView) -> String {
    match (task.started_at, task.finished_at) {
        (Some(start), Some(end)) => {
            let milliseconds = (end - start).num_milliseconds().max(0);
            format!(" in {}", counts::seconds(milliseconds as f64 / 1000.0))
        }
        _ => String::new(),
    }
}

/// All details of a task except its error, one per line.
pub(crate) fn details(task: &TaskView) -> String {
    let time = |time: Option<DateTime<Utc>>| {
        let ago = |time| age(task.timestamp - time);
        time.map(|time| format!("{} ({} ago)", time.format("%Y-%m-%d %H:%M:%S UTC"), ago(time)))
    };
    let file = task.file_name.as_deref().map(|name| {
        let size = task.size.map(|size| format!(" ({})", HumanBytes(size)));
        format!("{}{}", printable_line(name), size.unwrap_or_default())
    });
    let attempt = match (task.attempt, task.failures) {
        (0, _) => None,
        (attempt, 0) => Some(attempt.to_string()),
        (attempt, failures) => {
            let failures = counted(u64::from(failures), "failure", "failures");
            Some(format!("{attempt} ({failures}, {} at most)", task.max_attempts))
        }
    };
    let worker = task.worker.as_ref().map(|worker| {
        let name = worker.name.as_deref();
        name.map_or_else(|| worker.worker_id.to_string(), printable_line)
    });
    let owner = task.owner.as_ref().map(|owner| {
        let name = owner.username.as_deref();
        name.map_or_else(|| owner.user_id.to_string(), printable_line)
    });
    let rows = [
        ("Task", Some(task.task_id.to_string())),
        ("State", Some(state_phrase(task))),
        ("Kind", Some(task.kind.to_string())),
        ("Owner", owner),
        ("File", file),
        ("Options", task.parameters.as_ref().and_then(fields_line)),
        ("Attempt", attempt),
        ("Worker", worker),
        ("Heartbeat", time(task.heartbeat_at)),
        ("Created", time(Some(task.created_at))),
        ("Queued", time(task.queued_at)),
        ("Started", time(task.started_at)),
        ("Finished", time(task.finished_at)),
        ("Duration", task.duration.map(counts::seconds)),
        ("Result", result_line(task)),
    ];
    let lines: Vec<_> = rows
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name:<9} {value}")))
        .collect();
    lines.join("\n")
}

/// A summary of an aggregation, or the fields of another result, for example
/// `rows loaded 3, rows rejected 0`.
fn result_line(task: &TaskView) -> Option<String> {
    if let Some(aggregated) = aggregated(task) {
        return Some(aggregated.phrase(""));
    }
    fields_line(task.result.as_ref()?)
}

/// The fields of an object on one line, without empty ones.
fn fields_line(object: &Value) -> Option<String> {
    let fields = object.as_object()?;
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let known = fields.iter().filter(|(_, value)| !value.is_null() && !is_empty(value));
    let words = known.map(|(name, value)| {
        let words = name.replace('_', " ");
        match value.as_u64() {
            Some(count) => format!("{words} {}", HumanCount(count)),
            None => format!("{words} {}", printable_line(&text_of(value))),
        }
    });
    Some(words.collect::<Vec<_>>().join(", ")).filter(|line| !line.is_empty())
}

/// A value as text: elements are separated by commas, and a refused recipient is followed by the
/// reason.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(elements) => elements.iter().map(text_of).collect::<Vec<_>>().join(", "),
        value => match (value["recipient"].as_str(), value["reason"].as_str()) {
            (Some(recipient), Some(reason)) => format!("{recipient} ({reason})"),
            _ => value.to_string(),
        },
    }
}

/// A line per task under a header, at most 120 columns wide, and if possible not wider than
/// `width`; and whether there are more.
pub(crate) fn table(list: &TaskList, width: usize, is_colored: bool) -> String {
    let mut text = rows_of_table(list, width, is_colored);
    if list.next_page_token.is_some() {
        text.push_str("\nThere are more tasks; show them with --limit N.");
    }
    text
}

/// The table without a line about more tasks.
pub(crate) fn rows_of_table(list: &TaskList, width: usize, is_colored: bool) -> String {
    if list.items.is_empty() {
        return "No tasks.".to_owned();
    }
    let header = ["ID", "STATE", "KIND", "FILE", "SIZE", "AGE", "PROGRESS"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(list.items.iter().map(cells));
    fit(&mut rows, width);
    // Sizes and ages are aligned at their units.
    let lines = aligned(&rows, &[4, 5]);
    if !is_colored {
        return lines;
    }
    let mut lines: Vec<_> = lines.lines().map(str::to_owned).collect();
    for (line, task) in lines.iter_mut().skip(1).zip(&list.items) {
        // The state follows the id, which has none of its letters in a row.
        *line = line.replacen(task.state.as_str(), &painted(task.state), 1);
    }
    lines.join("\n")
}

/// Shortens ids to beginnings that differ, and then names, if the rows are wider than `width`.
fn fit(rows: &mut [[String; 7]], width: usize) {
    let total = |rows: &[[String; 7]]| widths(rows).iter().sum::<usize>() + 2 * 6;
    if total(rows) <= width {
        return;
    }
    let mut ids: Vec<_> = rows.iter().skip(1).map(|row| row[0].clone()).collect();
    ids.sort_unstable();
    let common =
        |pair: &[String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    let shared = ids.windows(2).filter(|pair| pair[0] != pair[1]).map(common).max().unwrap_or(0);
    for row in rows.iter_mut().skip(1) {
        row[0].truncate(shared + 1.max(SHORTEST_ID.saturating_sub(shared)));
    }
    if total(rows) > width
        && rows.iter().skip(1).all(|row| row[6].is_empty())
        && let Some(header) = rows.first_mut()
    {
        header[6].clear();
    }
    let over = total(rows).saturating_sub(width);
    let name = widths(rows)[3].saturating_sub(over).max(SHORTEST_NAME);
    for row in rows.iter_mut().skip(1) {
        row[3] = shortened(&row[3], name);
    }
}

fn widths<const N: usize>(rows: &[[String; N]]) -> [usize; N] {
    std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    })
}

/// The name of a state in its colour.
fn painted(state: TaskState) -> String {
    let name = style(state.as_str()).for_stdout().force_styling(true);
    let name = match state {
        TaskState::Processed => name.green(),
        TaskState::Failed => name.red(),
        TaskState::Processing => name.cyan(),
        TaskState::Initializing | TaskState::Queued => name.yellow(),
        TaskState::Stopping | TaskState::Stopped | TaskState::Killed => name.dim(),
    };
    name.to_string()
}

/// A task on one line.
pub(crate) fn task_line(task: &TaskView) -> String {
    let name = printable_line(task.file_name.as_deref().unwrap_or(""));
    let line = format!(
        "{}  {:<12}  {:<17}  {name}",
        task.task_id,
        task.state.as_str(),
        task.kind.as_str()
    );
    line.trim_end().to_owned()
}

/// A time to the minute.
pub(crate) fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Rows of aligned cells; the columns at the indices `right` are right-aligned.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let widths = widths(rows);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            match right.contains(&column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn cells(task: &TaskView) -> [String; 7] {
    let progress = match task.state {
        TaskState::Queued => queue_position_text(task).map(|position| format!("#{position}")),
        TaskState::Processing => percent(task).map(|percent| format!("{percent} %")),
        _ => None,
    };
    [
        task.task_id.to_string(),
        task.state.to_string(),
        task.kind.to_string(),
        shortened(&printable_line(task.file_name.as_deref().unwrap_or("")), FILE_WIDTH),
        task.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default(),
        age(task.timestamp - task.created_at),
        progress.unwrap_or_default(),
    ]
}

fn shortened(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars().take(width - 1).chain(['…']).collect()
}

/// An external text on one line of a terminal.
pub(crate) fn printable_line(text: &str) -> String {
    printable(&text.replace('\n', "\u{fffd}"))
}

fn queue_position_text(task: &TaskView) -> Option<String> {
    let exact = task.queue_position.map(|position| HumanCount(position).to_string());
    exact.or_else(|| task.queue_position_over.map(|position| format!("{}+", HumanCount(position))))
}

fn percent(task: &TaskView) -> Option<u64> {
    let (done, total) = done_of_total(task).filter(|(_, total)| *total > 0)?;
    u64::try_from(u128::from(done.min(total)) * 100 / u128::from(total)).ok()
}

fn amount(count: u64, unit: &str) -> String {
    match unit {
        "bytes" => HumanBytes(count).to_string(),
        unit => {
            let unit = printable_line(unit);
            counted(count, unit.strip_suffix('s').unwrap_or(&unit), &unit)
        }
    }
}

/// The largest unit that fits, for example `5m`.
fn age(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(changes: serde_json::Value) -> TaskView {
        let mut task = json!({
            "task_id": "01890a5d-ac96-774b-bcce-b302099a8057", "kind": "csv_aggregation",
            "state": "processing", "attempt": 1, "failures": 0, "max_attempts": 5,
            "progress": null, "queue_position": null, "queue_position_over": null,
            "file_name": "plays.csv", "size": 31_457_280, "created_at": "2026-03-01T10:00:00Z",
            "queued_at": null, "started_at": null, "finished_at": null, "error": null,
            "result": null, "timestamp": "2026-03-01T10:05:30Z",
            "links": {"self": "/v1/tasks/x", "download": null, "rejected": null, "report": null,
                "events": null, "stop": null, "kill": null, "resume": null}
        });
        for (name, value) in changes.as_object().unwrap() {
            task[name] = value.clone();
        }
        serde_json::from_value(task).unwrap()
    }

    #[test]
    fn each_state_has_its_phrase() {
        let progress = json!({"done": 12_582_912, "total": 31_457_280, "unit": "bytes",
            "per_second": 5_242_880.0});
        assert_eq!(
            state_phrase(&task(json!({"progress": progress}))),
            "processing, 12.00 MiB of 30.00 MiB (40 %), 5.00 MiB/s"
        );
        assert_eq!(
            state_phrase(&task(json!({"state": "queued", "queue_position": 3}))),
            "queued, position 3"
        );
        assert_eq!(
            state_phrase(&task(json!({"state": "queued", "queue_position_over": 1000}))),
            "queued, position 1,000+"
        );
        let empty = json!({"done": 0, "total": 0, "unit": "rows", "per_second": null});
        assert_eq!(state_phrase(&task(json!({"progress": empty}))), "processing, 0 rows of 0 rows");
    }

    #[test]
    fn a_finished_aggregation_shows_its_counts() {
        let done = task(json!({
            "state": "processed", "started_at": "2026-03-01T10:00:01Z",
            "finished_at": "2026-03-01T10:00:02.234Z",
            "result": {"rows_read": 784_903, "rows_rejected": 0, "groups": 554_142, "output_size": 9}
        }));
        let sentence = "Aggregated 784,903 rows into 554,142 groups in 1.2 s.";
        assert_eq!(outcome_sentence(&done), sentence);
        let result = json!({"rows_read": 12, "rows_rejected": 10, "groups": 1, "output_size": 9});
        let rejected = task(json!({"state": "processed", "result": result}));
        let sentence = "Aggregated 2 of 12 rows into 1 group; 10 rejected.";
        assert_eq!(outcome_sentence(&rejected), sentence);
        let line = "Result    Aggregated 2 of 12 rows into 1 group; 10 rejected";
        assert!(details(&rejected).ends_with(line), "{}", details(&rejected));
    }

    #[test]
    fn finished_file_statistics_show_their_counts() {
        let result = json!({"lines": 2, "words": 1_234, "characters": 9_999});
        let done = task(json!({"state": "processed", "result": result}));
        let expected = "Processed plays.csv with 2 lines, 1,234 words and 9,999 characters.";
        assert_eq!(outcome_sentence(&done), expected);
        let result = json!({"lines": 1, "words": 1, "characters": 1});
        let one = task(json!({"state": "processed", "result": result}));
        let expected = "Processed plays.csv with 1 line, 1 word and 1 character.";
        assert_eq!(outcome_sentence(&one), expected);
        let result = json!({"lines": null, "words": null, "characters": null});
        let binary = task(json!({"state": "processed", "result": result}));
        assert_eq!(outcome_sentence(&binary), "Processed plays.csv.");
    }

    #[test]
    fn details_name_the_worker_and_the_options() {
        let worker = json!({"worker_id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "a"});
        let parameters = json!({"group_by": ["City", "Day"], "on_bad_row": "skip"});
        let shown = details(&task(json!({"worker": worker, "parameters": parameters,
            "heartbeat_at": "2026-03-01T10:05:18Z", "duration": 12.34})));
        for line in [
            "Options   group by City, Day, on bad row skip",
            "Worker    a",
            "Heartbeat 2026-03-01 10:05:18 UTC (12s ago)",
            "Duration  12.3 s",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
    }

    #[test]
    fn a_report_names_refused_recipients() {
        let refused = json!([{"recipient": "b@example.org", "reason": "no mailbox here"}]);
        let result = json!({"sent": true, "recipients": ["a@example.org", "b@example.org"],
            "refused": refused, "message_id": "<1@example.org>"});
        let line = details(&task(json!({"state": "processed", "result": result})));
        for part in [
            "recipients a@example.org, b@example.org",
            "refused b@example.org (no mailbox here)",
            "sent true",
        ] {
            assert!(line.contains(part), "{line}");
        }
        let result = json!({"sent": true, "recipients": ["a@example.org"], "refused": []});
        let line = details(&task(json!({"state": "processed", "result": result})));
        assert!(!line.contains("refused"), "{line}");
    }

    #[test]
    fn the_table_is_aligned_and_fits_the_terminal() {
        let long = "a very long name of a file that does not fit.csv";
        let list = TaskList {
            items: vec![
                task(
                    json!({"file_name": long, "state": "initializing", "size": 1_073_741_823_u64}),
                ),
                task(json!({"state": "queued", "queue_position_over": 1000, "size": 12})),
            ],
            next_page_token: None,
        };
        let table = table(&list, usize::MAX, false);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        for line in &lines {
            assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
        }
        for column in ["STATE", "KIND", "FILE"] {
            let at = lines[0].find(column).unwrap();
            assert_eq!(lines[2].as_bytes()[at - 1], b' ', "{table}");
            assert_ne!(lines[2].as_bytes()[at], b' ', "{table}");
        }
        assert!(lines[1].contains("a very long name of…"), "{table}");
        assert!(lines[2].ends_with("5m  #1,000+"), "{table}");
    }

    #[test]
    fn a_narrow_table_has_short_ids_and_names() {
        let other = json!({"task_id": "01890a5d-ac96-774c-bcce-b302099a8057", "state": "queued"});
        let list = TaskList { items: vec![task(json!({})), task(other)], next_page_token: None };
        let table = table(&list, 80, false);
        let ids: Vec<_> =
            table.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(ids, ["01890a5d-ac96-774b", "01890a5d-ac96-774c"]);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        let colored = self::table(&list, 80, true);
        assert!(colored.contains("\u{1b}["), "{colored}");
        assert_eq!(::console::strip_ansi_codes(&colored), table);
    }

    #[test]
    fn ages_are_shown_in_one_unit() {
        let ages = [-5, 59, 60, 3_599, 3_600, 86_399, 86_400, 864_000]
            .map(|seconds| age(TimeDelta::seconds(seconds)));
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "10d"]);
    }
}
