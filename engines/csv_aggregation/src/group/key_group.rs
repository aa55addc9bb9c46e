//! All groups of one key, as they are sorted, spilled, merged and written.

/// A key, its dictionary codes in order, and their sums.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct KeyGroup {
    /// The encoded columns except the dictionary-encoded one; see [`crate::group::key`].
    pub(crate) key: Vec<u8>,
    /// The codes of the dictionary-encoded column: date codes ([`crate::group::dates::text`]),
    /// value numbers, or a single 0 if no column is encoded.
    pub(crate) codes: Vec<u32>,
    /// All sums of the first code, then those of the next one, and so on.
    pub(crate) sums: Vec<i128>,
}

impl KeyGroup {
    pub(crate) fn clear(&mut self) {
        self.key.clear();
        self.codes.clear();
        self.sums.clear();
    }

    /// Merges the codes and sums of `other`, which has the same key. `scratch` is overwritten.
    pub(crate) fn merge(&mut self, other: &Self, scratch: &mut Self) {
        let width = self.sums.len() / self.codes.len().max(1);
        scratch.clear();
        let (mut left, mut right) = (0, 0);
        let part = |index: usize| index * width..(index + 1) * width;
        loop {
            let order = match (self.codes.get(left), other.codes.get(right)) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            };
            let from = if order.is_le() { (&*self, left) } else { (other, right) };
            scratch.codes.push(from.0.codes[from.1]);
            let start = scratch.sums.len();
            scratch.sums.extend_from_slice(&from.0.sums[part(from.1)]);
            if order.is_eq() {
                let theirs = &other.sums[part(right)];
                for (sum, more) in scratch.sums[start..].iter_mut().zip(theirs) {
                    *sum += more;
                }
            }
            left += usize::from(order.is_le());
            right += usize::from(order.is_ge());
        }
        std::mem::swap(&mut self.codes, &mut scratch.codes);
        std::mem::swap(&mut self.sums, &mut scratch.sums);
    }
}
