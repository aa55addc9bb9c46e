//! `taskctl fake-people`: generates a CSV file of people, to try a data upload.
//!
//! # Invariants
//! - The same arguments result in the same bytes on any machine and in any version
//!   (`common::random`).
//! - Every e-mail address is unique.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::console::Console;
use crate::fake_file::{self, ROWS_AT_ONCE};
use crate::numbers;
use common::random::Random;

const FIRST_NAMES: [&str; 16] = [
    "Ada", "Boris", "Chloé", "Dmitri", "Eun-ji", "Fatima", "Grace", "Håkon", "Ines", "Jürgen",
    "Kofi", "Lakshmi", "María", "Noor", "Óscar", "Paula",
];
const LAST_NAMES: [&str; 16] = [
    "Abebe",
    "Brown",
    "Castro",
    "Dubois",
    "Eriksson",
    "Fischer",
    "García",
    "Hopper",
    "Ivanov",
    "Jansen",
    "Kim",
    "Lovelace",
    "Müller",
    "Nguyen",
    "O'Neil",
    "Papadopoulou",
];
const HOSTS: [&str; 4] = ["example.com", "example.net", "example.org", "mail.example.org"];
/// The resolution of the percentage.
const BAD_STEPS: u64 = 100_000;

/// The arguments of `taskctl fake-people`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FakePeopleArgs {
    /// The number of rows after the header, for example 1_000_000, 1M or 1e6.
    #[arg(long, short = 'n', default_value = "100000", value_parser = numbers::number)]
    rows: u64,
    /// The same seed results in the same file.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The approximate percentage of invalid rows, for example 0.5.
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT", value_parser = percent)]
    bad: f64,
    /// Where to write the file, `-` for standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("it is a number from 0 to 100".to_owned()),
    }
}

/// `taskctl fake-people`.
pub(crate) fn fake_people(args: FakePeopleArgs, console: Console) -> ExitCode {
    let (output, rows) = (args.output.clone(), args.rows);
    fake_file::write(&output, rows, console, move |output, progress| {
        write_rows(&args, output, progress)
    })
}

/// Writes the header and the rows; `progress` receives the number of rows from time to time.
fn write_rows(
    args: &FakePeopleArgs,
    output: &mut dyn Write,
    progress: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut random = Random::new(args.seed);
    // From 0 to 100,000, so the cast is exact.
    let bad = (args.bad / 100.0 * BAD_STEPS as f64).round() as u64;
    output.write_all(b"name,email\n")?;
    for row in 0..args.rows {
        if row.is_multiple_of(ROWS_AT_ONCE) {
            progress(row)?;
        }
        let (first, last) = (random.of(&FIRST_NAMES), random.of(&LAST_NAMES));
        let host = random.of(&HOSTS);
        let number = row + 1;
        if random.below(BAD_STEPS) >= bad {
            writeln!(output, "{first} {last},person.{number}@{host}")?;
            continue;
        }
        match random.below(4) {
            0 => writeln!(output, "{first} {last},person.{number}")?,
            1 => writeln!(output, "{first} {last},")?,
            2 => writeln!(output, ",person.{number}@{host}")?,
            _ => writeln!(output, "{last}, {first},person.{number}@{host}")?,
        }
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use data_processor::row_loading::{DialectOptions, Rows};

    use super::*;

    fn file(rows: u64, seed: u64, bad: f64) -> Vec<u8> {
        let args = FakePeopleArgs { rows, seed, bad, output: PathBuf::from("-") };
        let mut bytes = Vec::new();
        write_rows(&args, &mut bytes, &mut |_| Ok(())).unwrap();
        bytes
    }

    fn good_and_bad(bytes: &[u8]) -> (u64, u64) {
        let mut rows = Rows::from_start(bytes, DialectOptions::default()).unwrap();
        let (mut good, mut bad) = (0, 0);
        while let Some(row) = rows.next().unwrap() {
            *if row.content.is_ok() { &mut good } else { &mut bad } += 1;
        }
        (good, bad)
    }

    #[test]
    fn the_file_depends_on_the_seed_alone() {
        assert_eq!(file(500, 7, 1.0), file(500, 7, 1.0));
        assert_ne!(file(500, 7, 1.0), file(500, 8, 1.0));
    }

    #[test]
    fn the_requested_share_of_rows_is_invalid() {
        assert_eq!(good_and_bad(&file(5_000, 1, 0.0)), (5_000, 0));
        assert_eq!(good_and_bad(&file(1_000, 1, 100.0)), (0, 1_000));
        let (good, bad) = good_and_bad(&file(20_000, 1, 2.5));
        assert_eq!(good + bad, 20_000);
        assert!((400..600).contains(&bad), "{bad}");
        assert!(percent("101").is_err() && percent("-1").is_err() && percent("x").is_err());
    }
}
