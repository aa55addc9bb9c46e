//! What is found out about a file: the result of a `file_statistics` task.
//!
//! What counts as a line, a word and a character is described in `docs/file-statistics.md`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::TaskId;

/// Where the report of these statistics is.
pub const REPORT: &str = "/v1/reports/file_statistics";

/// What is found out about a file. It is what a worker reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileStatistics {
    /// The name of the file.
    pub file_name: String,
    /// In bytes.
    pub size: u64,
    /// `\n` characters; `null` for a binary file.
    pub lines: Option<u64>,
    /// Runs of characters apart by white space (Unicode's White_Space); `null` for a binary file.
    pub words: Option<u64>,
    /// Unicode scalar values; a longest sequence of bytes that is no UTF-8 is one character. `null`
    /// for a binary file.
    pub characters: Option<u64>,
    /// The media type, by the content, then by the file's name, then text or not.
    #[schema(example = "text/plain")]
    pub content_type: String,
    /// How the characters are written.
    pub encoding: Encoding,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
}

/// How the characters of a file are written.
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
    /// No text.
    #[serde(rename = "binary")]
    Binary,
}

/// The statistics of one file as they are kept; also the `result` of their task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileStatisticsRow {
    /// The task that found them out.
    pub task_id: TaskId,
    /// What was found out.
    #[serde(flatten)]
    pub statistics: FileStatistics,
    /// When that was, UTC.
    pub created_at: DateTime<Utc>,
}
