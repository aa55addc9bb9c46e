//! Measures how fast 1 GiB in memory is counted on two threads.
//!
//! `cargo bench -p text_statistics`; a number of MiB as the argument counts less.

#![expect(clippy::print_stdout, reason = "it prints its measurements")]

use std::thread;
use std::time::Instant;

use text_statistics::{Counts, Partial};

const THREADS: usize = 2;
/// The size of a part that is counted and merged.
const PART: usize = 1 << 20;

const TEXTS: [(&str, &str); 4] = [
    ("ASCII", "The quick brown fox jumps over the lazy dog, and so does the next one.\n"),
    ("Cyrillic", "Съешь же ещё этих мягких французских булок да выпей чаю.\n"),
    ("Japanese", "いろはにほへと　ちりぬるを わかよたれそ　つねならむ うゐのおくやま。\n"),
    ("mixed", "naïve café — “quoted” words, 東京\u{2003}and emoji 🎉 between ASCII words.\n"),
];

fn main() {
    // Cargo passes `--bench`.
    let mebibytes = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1024);
    for (name, line) in TEXTS {
        let length = mebibytes << 20;
        let text: Vec<u8> = line.bytes().cycle().take(length).collect();
        let started = Instant::now();
        let counts = count(&text);
        let seconds = started.elapsed().as_secs_f64();
        let rate = length as f64 / seconds / 1e9;
        println!("{name}: {length} bytes in {seconds:.3} s, {rate:.1} GB/s, {counts:?}");
    }
}

/// Each thread counts one half.
fn count(text: &[u8]) -> Counts {
    let share = text.len().div_ceil(THREADS).max(1);
    let parts = thread::scope(|scope| {
        let threads: Vec<_> = text
            .chunks(share)
            .map(|half| scope.spawn(|| half.chunks(PART).fold(Partial::default(), add)))
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    parts.iter().fold(Partial::default(), |whole, part| whole.then(part)).finish()
}

fn add(whole: Partial, part: &[u8]) -> Partial {
    whole.then(&Partial::of(part))
}
