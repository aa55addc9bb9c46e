//! What belongs to one key: its days and their sums, on the way from the tables to the output.

/// One key, its days in order and their sums.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The columns of the group but for the day; see [`super::key`].
    pub(super) key: Vec<u8>,
    /// The codes of the days ([`super::dates::text`]); one that means nothing where there are no days.
    pub(super) days: Vec<u32>,
    /// The sums of the first day, then those of the next one, and so on.
    pub(super) sums: Vec<i128>,
}

impl Group {
    pub(super) fn clear(&mut self) {
        self.key.clear();
        self.days.clear();
        self.sums.clear();
    }

    /// Adds what `other` has of the same key. `scratch` is overwritten.
    pub(super) fn merge(&mut self, other: &Self, scratch: &mut Self) {
        let width = self.sums.len() / self.days.len().max(1);
        scratch.clear();
        let (mut left, mut right) = (0, 0);
        let part = |index: usize| index * width..(index + 1) * width;
        loop {
            let order = match (self.days.get(left), other.days.get(right)) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            };
            let from = if order.is_le() { (&*self, left) } else { (other, right) };
            scratch.days.push(from.0.days[from.1]);
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
        std::mem::swap(&mut self.days, &mut scratch.days);
        std::mem::swap(&mut self.sums, &mut scratch.sums);
    }
}
