//! How much each trick of the inner loops saves: `cargo bench -p csv_aggregation --features bench`. In each group the
//! first benchmark is the trick and the others are the plain code.

use csv_aggregation::bench::{Dates, JoinedKeys, Lines, Numbers, Ranks, Rows};
use divan::Bencher;
use divan::counter::ItemsCount;

const ROWS: usize = 1 << 20;

fn main() {
    divan::main();
}

/// Benchmarks a method of something that is made once.
macro_rules! measure {
    ($name:ident, $items:expr, $make:expr, $method:ident) => {
        #[divan::bench(sample_count = 10)]
        fn $name(bencher: Bencher) {
            let made = $make;
            bencher.counter(ItemsCount::new($items)).bench_local(move || made.$method());
        }
    };
}

/// Reading numbers of one to three digits.
mod numbers {
    use super::*;

    measure!(in_vectors, ROWS, Numbers::new(ROWS), in_vectors);
    measure!(plain_by_bytes, ROWS, Numbers::new(ROWS), by_bytes);
}

/// Checking dates and numbering them.
mod dates {
    use super::*;

    measure!(by_codes, ROWS, Dates::new(ROWS), by_codes);
    measure!(plain_hash_map, ROWS, Dates::new(ROWS), by_hash_map);
}

/// Grouping by 1,000 keys of 365 dates: everything is in the processor's cache.
mod few_groups {
    use super::*;

    measure!(in_batches, ROWS, Rows::new(ROWS, 1_000, 365), in_batches);
    measure!(plain_row_by_row, ROWS, Rows::new(ROWS, 1_000, 365), row_by_row);
    measure!(plain_inline_keys, ROWS, Rows::new(ROWS, 1_000, 365), inline);
    measure!(plain_hash_map, ROWS, Rows::new(ROWS, 1_000, 365), in_hash_map);
}

/// Grouping by 40,000 keys of 365 dates: sums are in memory.
mod many_sums {
    use super::*;

    measure!(in_batches, 4 * ROWS, Rows::new(4 * ROWS, 40_000, 365), in_batches);
    measure!(plain_row_by_row, 4 * ROWS, Rows::new(4 * ROWS, 40_000, 365), row_by_row);
    measure!(plain_inline_keys, 4 * ROWS, Rows::new(4 * ROWS, 40_000, 365), inline);
    measure!(plain_hash_map, 4 * ROWS, Rows::new(4 * ROWS, 40_000, 365), in_hash_map);
}

/// Grouping by a million keys of few dates each: keys are in memory too.
mod many_keys {
    use super::*;

    measure!(in_batches, 4 * ROWS, Rows::new(4 * ROWS, 1 << 20, 365), in_batches);
    measure!(plain_row_by_row, 4 * ROWS, Rows::new(4 * ROWS, 1 << 20, 365), row_by_row);
    measure!(plain_inline_keys, 4 * ROWS, Rows::new(4 * ROWS, 1 << 20, 365), inline);
    measure!(plain_hash_map, 4 * ROWS, Rows::new(4 * ROWS, 1 << 20, 4), in_hash_map);
}

/// Sums in words of four bytes instead of eight.
mod word_size {
    use super::*;

    measure!(four_bytes, 4 * ROWS, Rows::new(4 * ROWS, 40_000, 365), small_words);
    measure!(plain_eight_bytes, 4 * ROWS, Rows::new(4 * ROWS, 40_000, 365), large_words);
}

/// Sorting the sums of a key by their dates.
mod ranks {
    use super::*;

    measure!(of_365_by_digits, 365_u32, Ranks::new(365), by_digits);
    measure!(of_365_plain_by_comparison, 365_u32, Ranks::new(365), by_comparison);
    measure!(of_29200_by_digits, 29_200_u32, Ranks::new(29_200), by_digits);
    measure!(of_29200_plain_by_comparison, 29_200_u32, Ranks::new(29_200), by_comparison);
}

/// Writing lines of the result.
mod lines {
    use super::*;

    measure!(by_words, ROWS, Lines::new(ROWS), by_words);
    measure!(plain_by_bytes, ROWS, Lines::new(ROWS), by_bytes);
}

/// Joining the columns of a key.
mod joined_keys {
    use super::*;

    measure!(by_fixed_length, ROWS, JoinedKeys::new(ROWS), by_fixed_length);
    measure!(plain_by_search, ROWS, JoinedKeys::new(ROWS), by_search);
}
