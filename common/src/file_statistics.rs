//! The statistics of a file: the result of a `file_statistics` task.
//!
//! `docs/file-statistics.md` defines lines, words and characters.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::TaskId;

/// The path of the report on these statistics.
pub const REPORT: &str = "/v1/reports/file_statistics";

/// The statistics of a file, as a worker reports them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileStatistics {
    /// The name of the file.
    pub file_name: String,
    /// In bytes.
    pub size: u64,
    /// `\n` characters; `null` for a binary file.
    pub lines: Option<u64>,
    /// Runs of characters separated by white space (Unicode's White_Space); `null` for a binary
    /// file.
    pub words: Option<u64>,
    /// Unicode scalar values; each maximal invalid sequence of UTF-8 is one character. `null` for a
    /// binary file.
    pub characters: Option<u64>,
    /// The media type: by the content, then by the file's name, then text or binary.
    #[schema(example = "text/plain")]
    pub content_type: String,
    /// The character encoding.
    pub encoding: Encoding,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
}

/// The character encoding of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Encoding {
    /// UTF-8, of which ASCII is a part.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, the low byte first, by its byte order mark.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, the high byte first, by its byte order mark.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// Text with bytes that are not UTF-8.
    #[serde(rename = "unknown-8bit")]
    Unknown8Bit,
    /// Not text.
    #[serde(rename = "binary")]
    Binary,
}

/// The stored statistics of one file; also the `result` of their task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileStatisticsRow {
    /// The task that determined them.
    pub task_id: TaskId,
    /// The statistics.
    #[serde(flatten)]
    pub statistics: FileStatistics,
    /// When they were recorded, UTC.
    pub created_at: DateTime<Utc>,
}
