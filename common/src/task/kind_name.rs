//! The name of a kind of task, which may be unknown to this version.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TaskKind;

/// The name of a kind of task. During an upgrade of a fleet, or after a downgrade, tasks may have
/// kinds that only another version knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KindName {
    /// A kind of this version.
    Known(TaskKind),
    /// The name of a kind of another version.
    Unknown(String),
}

impl KindName {
    /// The name on the wire, in the database and of the queue.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(kind) => kind.as_str(),
            Self::Unknown(name) => name,
        }
    }

    /// The kind, if this version has it.
    #[must_use]
    pub fn known(&self) -> Option<TaskKind> {
        match self {
            Self::Known(kind) => Some(*kind),
            Self::Unknown(_) => None,
        }
    }
}

impl From<TaskKind> for KindName {
    fn from(kind: TaskKind) -> Self {
        Self::Known(kind)
    }
}

impl From<String> for KindName {
    fn from(name: String) -> Self {
        match name.parse() {
            Ok(kind) => Self::Known(kind),
            Err(_) => Self::Unknown(name),
        }
    }
}

impl PartialEq<TaskKind> for KindName {
    fn eq(&self, kind: &TaskKind) -> bool {
        self.known() == Some(*kind)
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_names_of_any_version_round_trip() {
        for (name, known) in [("user_event", Some(TaskKind::UserEvent)), ("thumbnail", None)] {
            let kind = KindName::from(name.to_owned());
            assert_eq!((kind.known(), kind.to_string().as_str()), (known, name));
            assert_eq!(serde_json::to_value(&kind).unwrap(), name);
            assert_eq!(serde_json::from_value::<KindName>(name.into()).unwrap(), kind);
        }
    }
}
