//! A radix sort for words with small keys.

/// The radix: the number of values of a digit.
const DIGITS: usize = 256;
/// Up to this many words, a comparison sort is faster than the fixed cost of the passes.
const FEW: usize = 64;

/// Sorts words by their upper halves, which must be below `limit`. The order of words with equal
/// upper halves is unspecified. `scratch` is overwritten.
///
/// This is an LSD radix sort with one pass per digit. It has no branches that depend on the data,
/// while those of a comparison sort would be mispredicted half of the time for random dates.
pub(crate) fn sort_by_upper_half(words: &mut Vec<u64>, scratch: &mut Vec<u64>, limit: u32) {
    if words.len() <= FEW {
        return words.sort_unstable();
    }
    scratch.clear();
    scratch.resize(words.len(), 0);
    let bits = u32::BITS - limit.saturating_sub(1).leading_zeros();
    for shift in (u32::BITS..u32::BITS + bits).step_by(DIGITS.ilog2() as usize) {
        let digit = |word: u64| (word >> shift) as usize % DIGITS;
        // First counts, then the next position for each digit.
        let mut positions = [0_u32; DIGITS];
        for word in &*words {
            positions[digit(*word)] += 1;
        }
        let mut next = 0;
        for position in &mut positions {
            next += std::mem::replace(position, next);
        }
        for word in &*words {
            let position = &mut positions[digit(*word)];
            scratch[*position as usize] = *word;
            *position += 1;
        }
        std::mem::swap(words, scratch);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_sorted_by_their_upper_halves(
            words in prop::collection::vec(any::<u64>(), 0..500), bits in 1..32_u32,
        ) {
            let limit = 1 << bits;
            let mask = u64::from(limit - 1) << 32 | 0xFFFF_FFFF;
            let mut words: Vec<_> = words.iter().map(|word| word & mask).collect();
            let mut expected = words.clone();
            expected.sort_unstable();
            sort_by_upper_half(&mut words, &mut Vec::new(), limit);
            prop_assert!(words.is_sorted_by_key(|word| word >> 32));
            words.sort_unstable();
            prop_assert_eq!(words, expected);
        }
    }
}
