//! Measures how fast 1 GiB of CSV is scanned and its bounds are found, on one thread.
//!
//! `cargo bench -p csv_structure`; a number of MiB as the argument reads less.

#![expect(clippy::print_stdout, reason = "it prints its measurements")]

use std::time::Instant;

use csv_structure::{Bounds, PaddedBuffer, Syntax, bounds, scan};

/// The size of the one chunk that is processed again and again. It stays in the processor's cache.
const CHUNK: usize = 256 << 10;

const RECORDS: [(&str, &str); 3] = [
    ("plain", "Umbrella,2020-01-02,200\n"),
    ("quoted", "\"In The End, live\",2020-01-01,\"500\"\r\n"),
    ("long fields", "The quick brown fox jumps over the lazy dog and so does the next one,1\n"),
];

fn main() {
    // Cargo passes `--bench`.
    let mebibytes = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1024);
    for (name, record) in RECORDS {
        let text = record.repeat(CHUNK / record.len());
        let mut chunk = PaddedBuffer::default();
        chunk.reserve(text.len()).copy_from_slice(text.as_bytes());
        chunk.set_len(text.len());
        // Known only when the program runs, as in the engine.
        let syntax = std::hint::black_box(Syntax::default());
        let mut found = Bounds::default();
        let chunks = (mebibytes << 20) / text.len();
        let (mut fields, mut records) = (0, 0);
        let started = Instant::now();
        for _ in 0..chunks {
            bounds(&chunk, syntax, &scan(&chunk, syntax), &mut found);
            fields += found.fields().len() - 1;
            records += found.records().len();
        }
        let seconds = started.elapsed().as_secs_f64();
        let rate = (chunks * text.len()) as f64 / seconds / 1e9;
        println!("{name}: {records} records, {fields} fields in {seconds:.3} s, {rate:.1} GB/s");
    }
}
