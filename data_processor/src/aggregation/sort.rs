//! The order of keys by their bytes.
//!
//! Keys lie scattered in memory, so each is looked at once for eight bytes, which are then compared
//! as one number; only keys that have these in common are looked at again, for the next eight.

use super::Interrupted;
use super::keys::Keys;

/// The memory that [`order`] takes for each key in bytes, the result included.
pub(super) const MEMORY_PER_KEY: usize = size_of::<(u64, u32)>() + size_of::<u32>();
/// As many keys are sorted at once, a few milliseconds.
const PIECE: usize = 8 << 10;
/// So few keys are compared as they are.
const FEW: usize = 8;
/// After so many words the rest is compared as it is: keys made for it could overflow the stack.
const MOST_WORDS: usize = 64;

type Checkpoint<'a> = &'a dyn Fn() -> Result<(), Interrupted>;

/// The numbers of all keys in the order of the keys.
pub(super) fn order(keys: &Keys, checkpoint: Checkpoint<'_>) -> Result<Vec<u32>, Interrupted> {
    let mut items: Vec<_> = (0..keys.len() as u32).map(|number| (0, number)).collect();
    by_words(keys, &mut items, (0, 0), checkpoint)?;
    Ok(items.into_iter().map(|(_, number)| number).collect())
}

/// Sorts keys whose first `depth` bytes are equal, found so by `words` words.
fn by_words(
    keys: &Keys,
    items: &mut [(u64, u32)],
    (depth, words): (usize, usize),
    checkpoint: Checkpoint<'_>,
) -> Result<(), Interrupted> {
    let key = |number: u32| keys.key(number as usize);
    if items.len() <= FEW || words == MOST_WORDS {
        items.sort_unstable_by(|a, b| key(a.1).cmp(key(b.1)));
        return Ok(());
    }
    let depth = depth + common_prefix(keys, items, depth);
    for piece in items.chunks_mut(PIECE) {
        checkpoint()?;
        for (word, number) in piece {
            *word = word_at(key(*number), depth);
        }
    }
    by_word(items, checkpoint)?;
    for run in items.chunk_by_mut(|a, b| a.0 == b.0).filter(|run| run.len() > 1) {
        // The padding of a key that has ended looks like zeros of one that has not. Such keys differ
        // in length alone, and there are eight of them at most.
        let mut ended = 0;
        for index in 0..run.len() {
            if key(run[index].1).len() <= depth + 8 {
                run.swap(ended, index);
                ended += 1;
            }
        }
        let (ended, longer) = run.split_at_mut(ended);
        ended.sort_unstable_by_key(|item| key(item.1).len());
        if longer.len() > 1 {
            by_words(keys, longer, (depth + 8, words + 1), checkpoint)?;
        }
    }
    Ok(())
}

/// How many bytes behind `depth` all these keys have in common.
fn common_prefix(keys: &Keys, items: &[(u64, u32)], depth: usize) -> usize {
    let rest = |item: &(u64, u32)| &keys.key(item.1 as usize)[depth..];
    let Some(first) = items.first().map(rest) else { return 0 };
    items.iter().fold(first.len(), |common, item| {
        let both = first[..common].iter().zip(rest(item));
        both.take_while(|(a, b)| a == b).count()
    })
}

/// Eight bytes of the key as a number that sorts like them, with zeros behind the end.
fn word_at(key: &[u8], depth: usize) -> u64 {
    let rest = &key[depth..];
    match rest.first_chunk() {
        Some(word) => u64::from_be_bytes(*word),
        None => {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(word)
        }
    }
}

/// Sorts in pieces, between which an interrupt is seen.
fn by_word(items: &mut [(u64, u32)], checkpoint: Checkpoint<'_>) -> Result<(), Interrupted> {
    checkpoint()?;
    if items.len() <= PIECE {
        items.sort_unstable();
        return Ok(());
    }
    let (left, _, right) = items.select_nth_unstable(items.len() / 2);
    by_word(left, checkpoint)?;
    by_word(right, checkpoint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_sorted_by_bytes(
            prefix in "a{0,20}",
            texts in proptest::collection::btree_set("[a\0b]{0,20}", 0..300),
        ) {
            let mut keys = Keys::new();
            // The order of a set of hashes: none.
            for text in texts.iter().collect::<std::collections::HashSet<_>>() {
                keys.number(format!("{prefix}{text}").as_bytes());
            }
            let order = order(&keys, &|| Ok(())).unwrap();
            let sorted: Vec<_> = order.iter().map(|number| keys.key(*number as usize)).collect();
            prop_assert_eq!(sorted.len(), texts.len());
            prop_assert!(sorted.is_sorted());
        }
    }

    #[test]
    fn many_keys_are_sorted_and_an_interrupt_is_seen() {
        let mut keys = Keys::new();
        for number in 0..3 * PIECE {
            keys.number(format!("{:08}", number * 7919 % (3 * PIECE)).as_bytes());
        }
        let order = order(&keys, &|| Ok(())).unwrap();
        assert!(order.iter().map(|number| keys.key(*number as usize)).is_sorted());
        assert_eq!(super::order(&keys, &|| Err(Interrupted)), Err(Interrupted));
    }
}
