//! Sums columns of a CSV file:
//! `cargo run --release -p csv_aggregation --example sum -- songs.csv Song,Date Plays > sums.csv`

#![expect(clippy::print_stderr, reason = "a program shows its progress on standard error")]

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};

use csv_aggregation::{Control, Interrupted, OnBadRow, Options, Outputs, WRITE_SIZE, aggregate};

/// Standard output for the result; rejected rows are only counted.
struct Console {
    result: BufWriter<Stdout>,
    rejected: io::Sink,
}

impl Outputs for Console {
    fn result(&mut self) -> io::Result<&mut dyn Write> {
        Ok(&mut self.result)
    }

    fn rejected(&mut self) -> io::Result<&mut dyn Write> {
        Ok(&mut self.rejected)
    }
}

/// Shows how much of the file is read.
struct Progress {
    size: u64,
}

impl Control for Progress {
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted> {
        eprint!("\r{:3} %", bytes_read * 100 / self.size.max(1));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, group_by, sum] = &*arguments else {
        return Err("usage: sum FILE GROUP_BY[,…] SUM[,…]".into());
    };
    let names = |list: &str| list.split(',').map(str::to_owned).collect();
    let mut options = Options::new(names(group_by), names(sum));
    options.on_bad_row = OnBadRow::Skip;
    let input = File::open(file)?;
    let progress = Progress { size: input.metadata()?.len() };
    let result = BufWriter::with_capacity(WRITE_SIZE, io::stdout());
    let mut outputs = Console { result, rejected: io::sink() };
    let summary = aggregate(input, &options, &mut outputs, &progress)?;
    eprintln!(
        "\r{} rows, {} of them rejected, in {} groups",
        summary.rows_read, summary.rows_rejected, summary.groups
    );
    Ok(())
}
