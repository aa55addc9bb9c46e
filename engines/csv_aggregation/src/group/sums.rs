//! The sums of all groups, in words as small as the sums are.
//!
//! Most sums fit into four bytes. Where one does not, all of them get eight: to tell them apart one by
//! one would cost each row more than those files gain.

use crate::group::cells::{Cells, TooLarge};
use crate::group::entry::Entry;
use crate::group::key_group::KeyGroup;
use crate::group::order::InnerOrder;

/// The cells of all keys, whatever the size of their words.
#[derive(Debug)]
pub(crate) enum Sums {
    Small(Cells<i32>),
    Large(Cells<i64>),
}

/// Does the same with words of either size.
macro_rules! with_cells {
    ($sums:expr, |$cells:ident| $work:expr) => {
        match $sums {
            Sums::Small($cells) => $work,
            Sums::Large($cells) => $work,
        }
    };
}

impl Sums {
    /// None yet. `sums` is how many a group has; see [`Cells`] for `has_inner`.
    pub(crate) fn new(sums: usize, has_inner: bool) -> Self {
        Self::Small(Cells::new(sums, has_inner))
    }

    /// See [`Cells::reserve`].
    pub(crate) fn reserve(&mut self, bytes: usize) {
        with_cells!(self, |cells| cells.reserve(bytes));
    }

    /// See [`Cells::memory`].
    pub(crate) fn memory(&self) -> usize {
        with_cells!(self, |cells| cells.memory())
    }

    /// See [`Cells::is_full`].
    pub(crate) fn is_full(&self) -> bool {
        with_cells!(self, |cells| cells.is_full())
    }

    /// Adds `values` to the sums of a group. `inners` is how many inners there are so far.
    pub(crate) fn add(&mut self, key: usize, inner: u32, inners: usize, values: &[i64]) {
        while let Err(TooLarge) =
            with_cells!(self, |cells| cells.add(key, inner, inners, values).map(drop))
        {
            self.widen();
        }
    }

    /// Adds the values of rows whose keys are known, so many of them a row.
    pub(crate) fn add_all(
        &mut self,
        mut rows: &[Entry],
        mut keys: &[u32],
        inners: usize,
        mut values: &[i64],
        sums: usize,
    ) {
        while let Err(added) = with_cells!(self, |cells| cells.add_all(rows, keys, inners, values))
        {
            self.widen();
            (rows, keys, values) = (&rows[added..], &keys[added..], &values[added * sums..]);
        }
    }

    #[cold]
    fn widen(&mut self) {
        if let Self::Small(cells) = self {
            *self = Self::Large(cells.widened());
        }
    }

    /// See [`Cells::prefetch`].
    #[inline]
    pub(crate) fn prefetch(&self, key: usize) {
        with_cells!(self, |cells| cells.prefetch(key))
    }

    /// See [`Cells::read`].
    pub(crate) fn read(
        &self,
        key: usize,
        order: &InnerOrder,
        group: &mut KeyGroup,
        scratch: &mut [Vec<u64>; 2],
    ) {
        with_cells!(self, |cells| cells.read(key, order, group, scratch));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const INNERS: u32 = 100;

    /// Rows of keys with few and with many inners; the further they are, the larger are the values.
    fn rows(sums: usize, has_inner: bool) -> Vec<(usize, u32, Vec<i64>)> {
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let row = |number: u64| {
            let key = next(20) as usize;
            let inner = next(if key < 10 { 3 } else { u64::from(INNERS) });
            let size = 1 << (number * 63 / 4_000);
            let value = |_| next(2 * size) as i64 - size as i64;
            (key, if has_inner { inner as u32 } else { 0 }, (0..sums).map(value).collect())
        };
        let mut rows: Vec<_> = (0..4_000).map(row).collect();
        for extreme in [i32::MIN.into(), i32::MAX.into(), i64::MIN, i64::MAX, i64::MIN] {
            rows.insert(rows.len() / 2, (3, 0, vec![extreme; sums]));
        }
        rows
    }

    fn read(sums: &Sums, key: usize) -> Vec<(u32, Vec<i128>)> {
        let numbers: Vec<_> = (0..INNERS).collect();
        let order = InnerOrder { codes: numbers.clone(), inners: numbers.clone(), ranks: numbers };
        let mut group = KeyGroup::default();
        sums.read(key, &order, &mut group, &mut Default::default());
        let width = group.sums.len() / group.inners.len().max(1);
        group.inners.into_iter().zip(group.sums.chunks(width).map(<[_]>::to_vec)).collect()
    }

    #[test]
    fn sums_are_exact_whatever_their_size() {
        for (width, has_inner, batch) in
            [(1, true, 256), (1, true, 1), (3, true, 256), (1, false, 256), (2, false, 1)]
        {
            let rows = rows(width, has_inner);
            let mut expected = BTreeMap::<_, BTreeMap<_, Vec<i128>>>::new();
            let mut sums = Sums::new(width, has_inner);
            for rows in rows.chunks(batch) {
                for (key, inner, values) in rows {
                    let cells = expected.entry(*key).or_default();
                    let cell = cells.entry(*inner).or_insert_with(|| vec![0; width]);
                    cell.iter_mut().zip(values).for_each(|(sum, value)| *sum += i128::from(*value));
                }
                if let [(key, inner, values)] = rows {
                    sums.add(*key, *inner, INNERS as usize, values);
                    continue;
                }
                let entry = |inner| Entry { inner, ..Entry::default() };
                let entries: Vec<_> = rows.iter().map(|(_, inner, _)| entry(*inner)).collect();
                let keys: Vec<_> = rows.iter().map(|(key, ..)| *key as u32).collect();
                let values: Vec<_> =
                    rows.iter().flat_map(|(_, _, values)| values.clone()).collect();
                sums.add_all(&entries, &keys, INNERS as usize, &values, width);
            }
            assert!(matches!(sums, Sums::Large(_)));
            for (key, cells) in expected {
                assert_eq!(read(&sums, key), cells.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn small_sums_stay_small() {
        let mut sums = Sums::new(1, true);
        let small = rows(1, true).into_iter().take(1_000);
        small.for_each(|(key, inner, values)| sums.add(key, inner, INNERS as usize, &values));
        let small = sums.memory();
        sums.add(0, 0, INNERS as usize, &[1 << 40]);
        assert!(sums.memory() > small);
    }
}
