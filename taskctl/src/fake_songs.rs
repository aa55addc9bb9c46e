//! `taskctl fake-songs`: generates a CSV file of plays, to try the aggregation.
//!
//! # Invariants
//! - The same arguments result in the same bytes on any machine and in any version
//!   (`common::random`).
//! - Every song has a unique title.

mod titles;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{Days, NaiveDate};
use clap::Args;

use crate::console::Console;
use crate::fake_file::{self, ROWS_AT_ONCE};
use crate::numbers;
use common::random::Random;

/// The day of the first plays: 2020-01-01.
const FIRST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(2020, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};
/// The most plays of a row.
const MAX_PLAYS: u64 = 1_000;

/// The arguments of `taskctl fake-songs`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FakeSongsArgs {
    /// The number of songs.
    #[arg(long, default_value = "1000", value_parser = numbers::within(1..=10_000_000_u32))]
    songs: u32,
    /// The number of days on which they are played, from 2020-01-01 on.
    #[arg(long, default_value = "30", value_parser = numbers::within(1..=1_000_000_u32))]
    days: u32,
    /// The number of rows after the header, for example 1_000_000, 1M or 1e6.
    #[arg(long, short = 'n', default_value = "100000", value_parser = numbers::number)]
    rows: u64,
    /// The same seed results in the same file.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the file, `-` for standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// `taskctl fake-songs`.
pub(crate) fn fake_songs(args: FakeSongsArgs, console: Console) -> ExitCode {
    let (output, rows) = (args.output.clone(), args.rows);
    fake_file::write(&output, rows, console, move |output, progress| {
        write_rows(&args, output, progress)
    })
}

/// Writes the header and the rows; `progress` receives the number of rows from time to time.
fn write_rows(
    args: &FakeSongsArgs,
    output: &mut dyn Write,
    progress: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut random = Random::new(args.seed);
    let titles = titles::titles(args.songs, &mut random);
    let last_day = u64::from(args.days);
    let dates: Vec<_> = (0..last_day)
        .map_while(|day| FIRST_DAY.checked_add_days(Days::new(day)))
        .map(|date| date.to_string())
        .collect();
    output.write_all(b"Song,Date,Number of Plays\n")?;
    for row in 0..args.rows {
        if row.is_multiple_of(ROWS_AT_ONCE) {
            progress(row)?;
        }
        let song = random.of(&titles);
        let date = random.of(&dates);
        let plays = random.below(MAX_PLAYS) + 1;
        writeln!(output, "{song},{date},{plays}")?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn args(songs: u32, days: u32, rows: u64, seed: u64) -> FakeSongsArgs {
        FakeSongsArgs { songs, days, rows, seed, output: PathBuf::from("-") }
    }

    fn file(args: &FakeSongsArgs) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_rows(args, &mut bytes, &mut |_| Ok(())).unwrap();
        bytes
    }

    #[test]
    fn the_file_depends_on_the_seed_alone() {
        assert_eq!(file(&args(50, 5, 500, 7)), file(&args(50, 5, 500, 7)));
        assert_ne!(file(&args(50, 5, 500, 7)), file(&args(50, 5, 500, 8)));
    }

    #[test]
    fn songs_and_plays_are_in_range() {
        let bytes = file(&args(40, 10, 5_000, 1));
        let mut csv = csv::Reader::from_reader(bytes.as_slice());
        assert_eq!(csv.headers().unwrap(), vec!["Song", "Date", "Number of Plays"]);
        let (mut songs, mut dates, mut rows) = (BTreeSet::new(), BTreeSet::new(), 0);
        for row in csv.deserialize::<(String, NaiveDate, u32)>() {
            let (song, date, plays) = row.unwrap();
            assert!((1..=1_000).contains(&plays));
            songs.insert(song);
            dates.insert(date);
            rows += 1;
        }
        // Enough rows to draw every song and every day.
        assert_eq!((songs.len(), dates.len(), rows), (40, 10, 5_000));
        assert_eq!(dates.first(), Some(&FIRST_DAY));
        assert_eq!(dates.last(), NaiveDate::from_ymd_opt(2020, 1, 10).as_ref());
    }

    #[test]
    fn a_file_without_rows_has_a_header() {
        assert_eq!(file(&args(1, 1, 0, 0)), b"Song,Date,Number of Plays\n");
    }
}
