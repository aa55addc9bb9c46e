//! `text_count` runs only the engine that counts text, for `make bench-statistics`. Unlike
//! `taskctl run file_statistics`, it determines neither SHA-256 nor content type.
//!
//! Each thread reads and counts one share of the file; a share may start inside a character. The
//! output is one line of JSON.
//!
//! # Not here
//! Counting (`text_statistics`); the comparison with other programs
//! (`benches/bench_statistics.py`).

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, anyhow};
use clap::Parser;
use text_statistics::{Counts, Partial};

/// The size of a read in bytes. A block stays in the processor's cache until it is counted.
const BLOCK: usize = 256 << 10;

/// Counts the lines, words and characters of a file.
#[derive(Debug, Parser)]
struct Arguments {
    /// The file.
    file: PathBuf,
    /// The number of threads; by default the number of processors.
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<u64>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let file = arguments.file.display();
    let counted = count(&arguments.file, arguments.threads);
    match counted.with_context(|| format!("cannot count {file}")) {
        Ok(counts) => {
            let Counts { lines, words, characters, invalid } = counts;
            let _ = writeln!(
                io::stdout(),
                r#"{{"lines":{lines},"words":{words},"characters":{characters},"invalid":{invalid}}}"#
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "text_count: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn count(path: &Path, threads: Option<NonZero<u64>>) -> anyhow::Result<Counts> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let threads = match threads {
        Some(threads) => threads.get(),
        None => thread::available_parallelism()?.get() as u64,
    };
    let share = length.div_ceil(threads);
    let shares = (0..threads).map(|number| {
        let start = (number * share).min(length);
        start..(start + share).min(length)
    });
    let parts: Vec<_> = thread::scope(|scope| {
        let file = &file;
        let counting: Vec<_> =
            shares.map(|share| scope.spawn(|| count_share(file, share))).collect();
        counting.into_iter().map(|thread| thread.join()).collect()
    });
    let mut whole = Partial::default();
    for part in parts {
        whole = whole.then(&part.map_err(|_| anyhow!("a thread panicked"))??);
    }
    Ok(whole.finish())
}

/// The counts of a share of the file.
fn count_share(file: &File, mut share: Range<u64>) -> io::Result<Partial> {
    let mut counted = Partial::default();
    let mut block = vec![0; BLOCK];
    while !share.is_empty() {
        let wanted = usize::try_from(share.end - share.start).map_or(BLOCK, |left| left.min(BLOCK));
        let read = match file.read_at(&mut block[..wanted], share.start) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        counted = counted.then(&Partial::of(&block[..read]));
        share.start += read as u64;
    }
    Ok(counted)
}
