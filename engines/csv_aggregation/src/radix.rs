//! Sorting words by small numbers in them.

/// As many numbers are told apart by a digit.
const DIGITS: usize = 256;
/// So few words are sorted by comparing them: each digit costs as much as a good number of them.
const FEW: usize = 64;

/// Sorts words by their upper halves, all of which are below `limit`; those with the same one are in no
/// particular order. `other` is overwritten.
///
/// One pass for each digit, the last one first, without the branches of a comparison: in days at random they
/// would be guessed wrong half of the time.
pub(crate) fn sort_by_upper_half(words: &mut Vec<u64>, other: &mut Vec<u64>, limit: u32) {
    if words.len() <= FEW {
        return words.sort_unstable();
    }
    other.clear();
    other.resize(words.len(), 0);
    let bits = u32::BITS - limit.saturating_sub(1).leading_zeros();
    for shift in (u32::BITS..u32::BITS + bits).step_by(DIGITS.ilog2() as usize) {
        let digit = |word: u64| (word >> shift) as usize % DIGITS;
        let mut places = [0_u32; DIGITS];
        for word in &*words {
            places[digit(*word)] += 1;
        }
        let mut next = 0;
        for place in &mut places {
            next += std::mem::replace(place, next);
        }
        for word in &*words {
            let place = &mut places[digit(*word)];
            other[*place as usize] = *word;
            *place += 1;
        }
        std::mem::swap(words, other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_order_of_the_upper_halves(
            words in prop::collection::vec(any::<u64>(), 0..500), bits in 1..32_u32,
        ) {
            let limit = 1 << bits;
            let mut words: Vec<_> =
                words.iter().map(|word| word & (u64::from(limit - 1) << 32 | 0xFFFF_FFFF)).collect();
            let mut expected = words.clone();
            expected.sort_unstable();
            sort_by_upper_half(&mut words, &mut Vec::new(), limit);
            prop_assert!(words.is_sorted_by_key(|word| word >> 32));
            words.sort_unstable();
            prop_assert_eq!(words, expected);
        }
    }
}
