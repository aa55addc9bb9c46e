//! The names of files: by task and type for callers, paths for the storage.

use object_store::path::Path;

use crate::task::TaskId;

/// Inputs.
pub(super) const INPUTS: &str = "raw_data";
/// Outputs.
pub(super) const OUTPUTS: &str = "processed_data";
/// Staged files.
pub(super) const STAGED: &str = "uploads";

/// Names one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKey {
    /// The uploaded file of the task.
    Input(TaskId),
    /// The output of an attempt.
    Output {
        /// The task.
        task_id: TaskId,
        /// Its attempt.
        attempt: u32,
        /// Which of its files.
        part: OutputPart,
    },
}

/// The output files of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputPart {
    /// The result.
    Result,
    /// The rejected rows.
    Rejected,
}

impl OutputPart {
    pub(super) const ALL: [Self; 2] = [Self::Result, Self::Rejected];

    fn suffix(self) -> &'static str {
        match self {
            Self::Result => ".csv",
            Self::Rejected => ".rejected.csv",
        }
    }
}

impl ObjectKey {
    /// The task whose input it is.
    #[must_use]
    pub fn input(self) -> Option<TaskId> {
        match self {
            Self::Input(task_id) => Some(task_id),
            Self::Output { .. } => None,
        }
    }

    /// The task that the file belongs to.
    #[must_use]
    pub fn task_id(self) -> TaskId {
        match self {
            Self::Input(task_id) | Self::Output { task_id, .. } => task_id,
        }
    }

    pub(super) fn path(self) -> Path {
        Path::from(self.to_string())
    }

    /// The key of a path; none for a foreign path.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let key = match (parts.next()?, parts.next()?, parts.next()) {
            (INPUTS, task_id, None) => Self::Input(task_id.parse().ok()?),
            (OUTPUTS, task_id, Some(name)) => {
                let (attempt, _) = name.split_once('.')?;
                let part = OutputPart::ALL
                    .into_iter()
                    .find(|part| name.strip_prefix(attempt) == Some(part.suffix()))?;
                Self::Output {
                    task_id: task_id.parse().ok()?,
                    attempt: attempt.parse().ok()?,
                    part,
                }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(key)
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(task_id) => write!(f, "{INPUTS}/{task_id}"),
            Self::Output { task_id, attempt, part } => {
                write!(f, "{OUTPUTS}/{task_id}/{attempt}{}", part.suffix())
            }
        }
    }
}
