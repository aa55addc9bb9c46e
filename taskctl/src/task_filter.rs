//! The options that select tasks, for lists and for actions on all of them.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use common::clock::now;
use common::task::{TaskKind, TaskState, UnknownName};
use serde_json::{Map, Value, json};

use crate::kind_options::any_kind;

/// Selects tasks.
#[derive(Debug, Clone, Args)]
pub(crate) struct TaskFilter {
    /// Only tasks in this state; repeat it, or separate several by commas. Other names are
    /// accepted too: done, completed, running, waiting, cancelled.
    #[arg(long, short = 't', value_delimiter = ',', value_parser = state())]
    state: Vec<TaskState>,
    /// Only tasks of this kind; repeat it, or separate several by commas.
    #[arg(long, short, value_delimiter = ',', value_parser = any_kind())]
    kind: Vec<TaskKind>,
    /// Only tasks whose file name contains this.
    #[arg(long)]
    text: Option<String>,
    /// Only tasks created since then: `90m`, `2h` or `3d` ago, a day such as 2026-03-01, or a time
    /// such as 2026-03-01T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<DateTime<Utc>>,
}

impl TaskFilter {
    /// Whether it selects all tasks.
    pub(crate) fn is_empty(&self) -> bool {
        self.parameters().is_empty()
    }

    /// The parameters of the API that select the tasks.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let states = self.state.iter().map(|state| ("state", state.to_string()));
        let kinds = self.kind.iter().map(|kind| ("kind", kind.to_string()));
        let text = self.text.iter().map(|text| ("text", text.clone()));
        let from = self
            .since
            .iter()
            .map(|since| ("from", since.to_rfc3339_opts(SecondsFormat::AutoSi, true)));
        states.chain(kinds).chain(text).chain(from).collect()
    }

    /// The same as an object.
    pub(crate) fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in self.parameters() {
            match name {
                "state" | "kind" => {
                    let values = object.entry(name).or_insert_with(|| json!([]));
                    if let Some(values) = values.as_array_mut() {
                        values.push(value.into());
                    }
                }
                _ => drop(object.insert(name.to_owned(), value.into())),
            }
        }
        object
    }
}

/// Parses the name of a state, or one that people type for it.
fn state() -> impl TypedValueParser<Value = TaskState> {
    let name = |state: TaskState| PossibleValue::new(state.as_str()).aliases(other_names(state));
    PossibleValuesParser::new(TaskState::ALL.map(name)).try_map(|text| {
        let other = TaskState::ALL.into_iter().find(|it| other_names(*it).contains(&text.as_str()));
        other.map_or_else(|| text.parse().map_err(|error: UnknownName| error.to_string()), Ok)
    })
}

fn other_names(state: TaskState) -> &'static [&'static str] {
    match state {
        TaskState::Initializing => &["uploading", "receiving"],
        TaskState::Queued => &["waiting", "pending"],
        TaskState::Processing => &["running", "active", "started"],
        TaskState::Processed => {
            &["done", "completed", "complete", "succeeded", "success", "finished", "ok"]
        }
        TaskState::Failed => &["error", "failure"],
        TaskState::Stopping => &["cancelling", "canceling"],
        TaskState::Stopped => &["cancelled", "canceled"],
        TaskState::Killed => &["aborted"],
    }
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let since = chrono::TimeDelta::from_std(ago).ok();
        let since = since.and_then(|ago| now().checked_sub_signed(ago));
        return since.ok_or_else(|| "it is too long ago".to_owned());
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(time.to_utc()),
        Err(_) => Err("it takes a duration (90m, 2h, 3d), a day (2026-03-01) or a time \
                       (2026-03-01T08:00:00Z)"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn filter(args: &[&str]) -> Result<TaskFilter, clap::Error> {
        let command = TaskFilter::augment_args(clap::Command::new("x").no_binary_name(true));
        TaskFilter::from_arg_matches(&command.try_get_matches_from(args)?)
    }

    #[test]
    fn states_have_the_names_that_people_type() {
        let states = "done,cancelled,running,failed,queued,completed";
        let filter = filter(&["--state", states]).unwrap();
        let object = Value::Object(filter.object());
        let states = ["processed", "stopped", "processing", "failed", "queued", "processed"];
        assert_eq!(object, json!({"state": states}));
        assert!(self::filter(&["--state", "sleeping"]).is_err());
    }

    #[test]
    fn the_period_begins_at_a_time_or_some_time_ago() {
        let time = |text| since(text).unwrap().to_rfc3339();
        assert_eq!(time("2026-03-01"), "2026-03-01T00:00:00+00:00");
        assert_eq!(time("2026-03-01T08:00:00+02:00"), "2026-03-01T06:00:00+00:00");
        let two_hours_ago = since("2h").unwrap();
        let ago = now() - two_hours_ago;
        assert!((7_200..7_210).contains(&ago.num_seconds()), "{ago}");
        assert!(since("yesterday").is_err());
    }

    #[test]
    fn no_option_selects_all_tasks() {
        assert!(filter(&[]).unwrap().is_empty());
        let all = filter(&["--kind", "csv_preview", "--text", "x"]).unwrap();
        assert_eq!(Value::Object(all.object()), json!({"kind": ["csv_preview"], "text": "x"}));
    }
}
