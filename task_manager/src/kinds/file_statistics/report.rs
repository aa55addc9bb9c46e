//! The report on a user's files: totals, by content type, by day, and the largest files.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use chrono::{DateTime, NaiveDate, Utc};
use common::clock;
use common::file_statistics::FileStatisticsRow;
use common::task::UserId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::store;
use crate::db::{DbConnection, DbResult};
use crate::paging::Period;

/// How many of the largest files are listed.
const LARGEST: i64 = 10;

/// A number of files and their sums. Binary files have no lines, words and characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Totals {
    /// The number of files.
    pub files: u64,
    /// In bytes.
    pub size: u64,
    /// In the text files.
    pub lines: u64,
    /// In the text files.
    pub words: u64,
    /// In the text files.
    pub characters: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.size = self.size.saturating_add(other.size);
        self.lines = self.lines.saturating_add(other.lines);
        self.words = self.words.saturating_add(other.words);
        self.characters = self.characters.saturating_add(other.characters);
    }
}

/// The files of a day and a content type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub date: NaiveDate,
    pub content_type: String,
    pub totals: Totals,
}

/// The files of a content type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContentTypeTotals {
    /// The media type.
    #[schema(example = "text/plain")]
    pub content_type: String,
    /// Of its files.
    #[serde(flatten)]
    pub totals: Totals,
}

/// The files of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DayTotals {
    /// The day, UTC.
    #[schema(example = "2026-01-31")]
    pub date: NaiveDate,
    /// Of its files.
    #[serde(flatten)]
    pub totals: Totals,
}

/// The aggregated report over the files of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileStatisticsReport {
    /// When the report was created.
    pub timestamp: DateTime<Utc>,
    /// The owner of the files.
    pub user_id: Uuid,
    /// The start of the period; `null` if none was given.
    pub from: Option<DateTime<Utc>>,
    /// The end of the period, exclusive; `null` if none was given.
    pub to: Option<DateTime<Utc>>,
    /// Of all files.
    pub totals: Totals,
    /// By the name of the content type.
    pub by_content_type: Vec<ContentTypeTotals>,
    /// The earliest day first; days without files are left out.
    pub by_day: Vec<DayTotals>,
    /// The ten largest files.
    pub largest_files: Vec<FileStatisticsRow>,
}

impl FileStatisticsReport {
    /// The report on the files of `user`.
    pub fn read(conn: &mut DbConnection, user: UserId, period: Period) -> DbResult<Self> {
        let mut totals = Totals::default();
        let mut by_content_type = BTreeMap::<_, Totals>::new();
        let mut by_day = BTreeMap::<_, Totals>::new();
        for group in store::groups(conn, user, period)? {
            totals += group.totals;
            *by_content_type.entry(group.content_type).or_default() += group.totals;
            *by_day.entry(group.date).or_default() += group.totals;
        }
        Ok(Self {
            timestamp: clock::now(),
            user_id: user.0,
            from: period.from.map(|time| time.and_utc()),
            to: period.to.map(|time| time.and_utc()),
            totals,
            by_content_type: by_content_type
                .into_iter()
                .map(|(content_type, totals)| ContentTypeTotals { content_type, totals })
                .collect(),
            by_day: by_day.into_iter().map(|(date, totals)| DayTotals { date, totals }).collect(),
            largest_files: store::largest(conn, user, period, LARGEST)?,
        })
    }

    /// The same as CSV: the first column is the type of a row, the second its key.
    ///
    /// # Errors
    /// Writing the CSV failed.
    pub fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["section", "name", "files", "size", "lines", "words", "characters"])?;
        let mut row = |section: &str, name: &str, totals: Totals| {
            let Totals { files, size, lines, words, characters } = totals;
            csv.serialize((section, name, files, size, lines, words, characters))
        };
        row("total", "", self.totals)?;
        for ContentTypeTotals { content_type, totals } in &self.by_content_type {
            row("content_type", content_type, *totals)?;
        }
        for DayTotals { date, totals } in &self.by_day {
            row("day", &date.to_string(), *totals)?;
        }
        for FileStatisticsRow { statistics: file, .. } in &self.largest_files {
            let (lines, words, characters) = (file.lines, file.words, file.characters);
            csv.serialize((
                "largest_file",
                &file.file_name,
                1,
                file.size,
                lines,
                words,
                characters,
            ))?;
        }
        csv.into_inner().map_err(|error| error.into_error().into())
    }
}
