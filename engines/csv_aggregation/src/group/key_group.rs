//! What belongs to one key: its codes and their sums, on the way from the tables to the output.

/// One key, its codes in order and their sums.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct KeyGroup {
    /// The columns of the group but for what is kept apart; see [`crate::group::key`].
    pub(crate) key: Vec<u8>,
    /// What is kept apart ([`crate::group::dictionary`]): the codes of days ([`crate::group::dates::text`]), the numbers of
    /// values, or one that means nothing.
    pub(crate) codes: Vec<u32>,
    /// The sums of the first inner, then those of the next one, and so on.
    pub(crate) sums: Vec<i128>,
}

impl KeyGroup {
    pub(crate) fn clear(&mut self) {
        self.key.clear();
        self.codes.clear();
        self.sums.clear();
    }

    /// Adds what `other` has of the same key. `scratch` is overwritten.
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
