//! The tasks that a list or a report covers.

use chrono::NaiveDateTime;
use common::task::spec::TaskSpec;
use common::task::{TaskId, TaskKind, TaskState, UserId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::db::{Condition, Id, Parameter, TaskExpressions, moment};
use crate::folding::fold;

/// The shortest prefix of an id that finds tasks.
const SHORTEST_PREFIX: usize = 6;

/// The name of a parameter of tasks (`TaskSpec::parameter_names`), which may be part of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ParameterName(&'static str);

// Not derived: the derived code would accept texts that live for ever only.
impl<'de> Deserialize<'de> for ParameterName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl TryFrom<String> for ParameterName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = TaskSpec::parameter_names().find(|known| *known == name);
        known.map(Self).ok_or_else(|| {
            let names: Vec<_> = TaskSpec::parameter_names().collect();
            format!("`{name}` is not one of {}", names.join(", "))
        })
    }
}

/// Selects tasks; each field that is given narrows the selection. Bulk actions store it with their
/// tasks: fields have defaults, and are never renamed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Any of these.
    pub state: Vec<TaskState>,
    /// Any of these.
    pub kind: Vec<TaskKind>,
    /// Not of this kind.
    pub except: Option<TaskKind>,
    /// Part of the file's name, in any spelling (`folding`), or an id or the start of one.
    pub text: Option<String>,
    /// The code of the error of failed tasks.
    pub error_code: Option<String>,
    /// Names and values of parameters, all of which apply. A list contains the value.
    pub parameters: Vec<(ParameterName, String)>,
    /// Created at or after.
    pub from: Option<NaiveDateTime>,
    /// Created before.
    pub to: Option<NaiveDateTime>,
}

impl Filter {
    /// The condition on `tasks`; without an owner, on the tasks of all users.
    pub(super) fn condition(&self, owner: Option<UserId>, sql: &TaskExpressions) -> Condition {
        let mut condition = Condition::default();
        // Not `NOT deleted`: databases would use the index on deleted tasks, then read every row.
        condition.add("COALESCE(tasks.deleted, 1) = 0");
        if let Some(owner) = owner {
            condition.add_with("tasks.owner = ?", &[Parameter::Id(Id(owner.0))]);
        }
        if !self.state.is_empty() {
            let names = quoted(self.state.iter().map(|state| state.as_str()));
            condition.add(&format!("tasks.state IN ({names})"));
        }
        if !self.kind.is_empty() {
            let names = quoted(self.kind.iter().map(|kind| kind.as_str()));
            condition.add(&format!("tasks.kind IN ({names})"));
        }
        if let Some(kind) = self.except {
            condition.add(&format!("tasks.kind <> '{}'", kind.as_str()));
        }
        if let Some(code) = &self.error_code {
            let has_code = format!("tasks.state = 'failed' AND {} = ?", sql.error_code);
            condition.add_with(&has_code, &[Parameter::Text(code)]);
        }
        for (ParameterName(name), value) in &self.parameters {
            // The fields of other kinds, such as the text of a message, are no parameters.
            condition.add("tasks.kind IN ('csv_aggregation', 'csv_preview', 'data_upload')");
            let has_value = sql.has_parameter.replace("NAME", name);
            condition.add_with(&has_value, &[Parameter::Text(value), Parameter::Text(value)]);
        }
        if let Some(text) = &self.text {
            contains(&mut condition, text);
        }
        if let Some(from) = self.from {
            let from = moment(from);
            condition.add_with("tasks.created_at >= ?", &[Parameter::Text(from.as_str())]);
        }
        if let Some(to) = self.to {
            let to = moment(to);
            condition.add_with("tasks.created_at < ?", &[Parameter::Text(to.as_str())]);
        }
        condition
    }
}

/// Names of states or kinds as a list of literals.
fn quoted(names: impl Iterator<Item = &'static str>) -> String {
    names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn contains(condition: &mut Condition, text: &str) {
    if let Ok(id) = text.parse::<TaskId>() {
        return condition.add_with("tasks.id = ?", &[Parameter::Id(Id(id.0))]);
    }
    // A task of an older version may not have its key yet (`file_names`).
    let in_name = "INSTR(COALESCE(tasks.file_name_key, LOWER(tasks.file_name)), ?) > 0";
    let folded = fold(text);
    match with_prefix(text) {
        Some((first, last)) => condition.add_with(
            &format!("{in_name} OR tasks.id BETWEEN ? AND ?"),
            &[Parameter::Text(&folded), Parameter::Id(first), Parameter::Id(last)],
        ),
        None => condition.add_with(in_name, &[Parameter::Text(&folded)]),
    }
}

/// The smallest and the largest id that start with `text`.
fn with_prefix(text: &str) -> Option<(Id, Id)> {
    let is_part = |(index, character): (usize, char)| match index {
        8 | 13 | 18 | 23 => character == '-',
        _ => character.is_ascii_hexdigit(),
    };
    let is_prefix = (SHORTEST_PREFIX..36).contains(&text.len()) && text.char_indices().all(is_part);
    let digits = text.replace('-', "");
    let padded = |digit: &str| {
        let missing = 32_usize.saturating_sub(digits.len());
        Uuid::try_parse(&format!("{digits}{}", digit.repeat(missing))).ok().map(Id)
    };
    if is_prefix { padded("0").zip(padded("f")) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_an_id_is_a_range() {
        let range = |text| with_prefix(text).map(|(first, last)| (first.0, last.0));
        let ids = |first: u128, last: u128| Some((Uuid::from_u128(first), Uuid::from_u128(last)));
        let from_019 = ids(0x0199_aa3e << 96, (0x0199_aa3f << 96) - 1);
        assert_eq!(range("0199aa3e"), from_019);
        assert_eq!(range("0199aa3e-"), from_019);
        assert_eq!(range("0199AA"), ids(0x0001_99aa << 104, (0x0001_99ab << 104) - 1));
        let all_but_one = "0199aa3e-7c1f-7d05-9c4e-5b1f3d8f2a1";
        assert_eq!(
            range(all_but_one).map(|(first, last)| last.as_u128() - first.as_u128()),
            Some(15)
        );
        for other in ["0199a", "0199aa3e7", "songs.csv", "0199aa3g", "", "äöüäöü"] {
            assert_eq!(range(other), None, "{other}");
        }
    }
}
