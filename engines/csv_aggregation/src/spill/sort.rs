//! Sorts keys by their bytes.
//!
//! Keys are scattered in memory. Each is therefore accessed once for eight of its bytes, and these
//! are compared as one number. Only keys that have them in common are accessed again, for the next
//! eight.

use crate::control::Interrupted;
use crate::group::groups::Groups;

/// The number of keys that are sorted between two checks for an interrupt: a few milliseconds.
const PIECE: usize = 8 << 10;
/// Up to this many keys are compared byte by byte.
const FEW: usize = 8;
/// The number of words after which keys are compared byte by byte. It limits the depth of the
/// recursion: crafted keys could overflow the stack.
const MAX_WORDS: usize = 64;

/// Fails if the work was interrupted.
pub(crate) type Checkpoint<'a> = &'a dyn Fn() -> Result<(), Interrupted>;

/// A reference to a key: the index of its table and its number there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// The eight bytes of the key that are being compared.
    word: u64,
    pub(crate) source: u32,
    pub(crate) number: u32,
}

impl Item {
    pub(crate) fn new(source: usize, number: u32) -> Self {
        Self { word: 0, source: source as u32, number }
    }

    pub(crate) fn key<'a>(&self, sources: &[&'a Groups]) -> &'a [u8] {
        sources[self.source as usize].keys.key(self.number as usize)
    }
}

/// Sorts references to keys of `sources`.
pub(crate) fn sort(
    sources: &[&Groups],
    items: &mut [Item],
    checkpoint: Checkpoint<'_>,
) -> Result<(), Interrupted> {
    by_words(sources, items, (0, 0), checkpoint)
}

/// Sorts keys whose first `depth` bytes are equal. `words` is the depth of the recursion.
fn by_words(
    sources: &[&Groups],
    items: &mut [Item],
    (depth, words): (usize, usize),
    checkpoint: Checkpoint<'_>,
) -> Result<(), Interrupted> {
    if items.len() <= FEW || words == MAX_WORDS {
        items.sort_unstable_by(|a, b| a.key(sources).cmp(b.key(sources)));
        return Ok(());
    }
    let depth = depth + common_prefix(sources, items, depth);
    for piece in items.chunks_mut(PIECE) {
        checkpoint()?;
        for item in piece {
            item.word = word_at(item.key(sources), depth);
        }
    }
    by_word(items, checkpoint)?;
    for run in items.chunk_by_mut(|a, b| a.word == b.word).filter(|run| run.len() > 1) {
        // The padding of a key that ends here is equal to zero bytes of a longer one. Keys that end
        // here differ only in length, and sort before the longer ones.
        let mut ended = 0;
        for index in 0..run.len() {
            if run[index].key(sources).len() <= depth + 8 {
                run.swap(ended, index);
                ended += 1;
            }
        }
        let (ended, longer) = run.split_at_mut(ended);
        ended.sort_unstable_by_key(|item| item.key(sources).len());
        if longer.len() > 1 {
            by_words(sources, longer, (depth + 8, words + 1), checkpoint)?;
        }
    }
    Ok(())
}

/// The length of the prefix that these keys have in common after `depth`.
fn common_prefix(sources: &[&Groups], items: &[Item], depth: usize) -> usize {
    let rest = |item: &Item| &item.key(sources)[depth..];
    let Some(first) = items.first().map(rest) else { return 0 };
    items.iter().fold(first.len(), |common, item| {
        let both = first[..common].iter().zip(rest(item));
        both.take_while(|(a, b)| a == b).count()
    })
}

/// Eight bytes of the key at `depth` as a number that sorts like them, padded with zeros.
pub(crate) fn word_at(key: &[u8], depth: usize) -> u64 {
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

/// Sorts by word, in pieces, with a check for an interrupt before each.
fn by_word(items: &mut [Item], checkpoint: Checkpoint<'_>) -> Result<(), Interrupted> {
    checkpoint()?;
    if items.len() <= PIECE {
        items.sort_unstable_by_key(|item| item.word);
        return Ok(());
    }
    let (left, _, right) = items.select_nth_unstable_by_key(items.len() / 2, |item| item.word);
    by_word(left, checkpoint)?;
    by_word(right, checkpoint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn groups<'a>(texts: impl IntoIterator<Item = &'a String>) -> Groups {
        let mut groups = Groups::new(1, false, 1);
        for text in texts {
            groups.add(text.as_bytes(), 0, 1, &[1]);
        }
        groups
    }

    fn items(sources: &[&Groups]) -> Vec<Item> {
        let of = |(source, groups): (usize, &&Groups)| {
            (0..groups.keys.len() as u32).map(move |number| Item::new(source, number))
        };
        sources.iter().enumerate().flat_map(of).collect()
    }

    proptest! {
        #[test]
        fn keys_are_sorted_by_bytes(
            prefix in "a{0,20}",
            texts in proptest::collection::btree_set("[a\0b]{0,20}", 0..300),
        ) {
            // A hash set, for its random order.
            let texts: std::collections::HashSet<_> =
                texts.iter().map(|text| format!("{prefix}{text}")).collect();
            let sources = [&groups(&texts), &groups(texts.iter().take(9))];
            let mut items = items(&sources);
            sort(&sources, &mut items, &|| Ok(())).unwrap();
            let sorted: Vec<_> = items.iter().map(|item| item.key(&sources)).collect();
            prop_assert_eq!(sorted.len(), texts.len() + texts.len().min(9));
            prop_assert!(sorted.is_sorted());
        }
    }

    #[test]
    fn sorting_many_keys_can_be_interrupted() {
        let texts: Vec<_> =
            (0..3 * PIECE).map(|number| format!("{:08}", number * 7919 % (3 * PIECE))).collect();
        let sources = [&groups(&texts)];
        let mut items = items(&sources);
        sort(&sources, &mut items, &|| Ok(())).unwrap();
        assert!(items.iter().map(|item| item.key(&sources)).is_sorted());
        assert_eq!(sort(&sources, &mut items, &|| Err(Interrupted)), Err(Interrupted));
    }
}
