//! The sums of all groups, in words of four or eight bytes.
//!
//! Most sums fit into four bytes. If one does not, all of them are widened to eight. Sums of mixed
//! sizes would cost every row a check, which is more than they would save.

use crate::group::dict_ranks::DictRanks;
use crate::group::entry::Entry;
use crate::group::key_group::KeyGroup;
use crate::group::sum_table::{SumTable, TooLarge};

/// A [`SumTable`] with words of either size.
#[derive(Debug)]
pub(crate) enum Sums {
    Small(SumTable<i32>),
    Large(SumTable<i64>),
}

/// Evaluates the same expression for either word size.
macro_rules! with_table {
    ($sums:expr, |$table:ident| $work:expr) => {
        match $sums {
            Sums::Small($table) => $work,
            Sums::Large($table) => $work,
        }
    };
}

impl Sums {
    /// No groups, with `sums` sums each; see [`SumTable`] for `has_dict`.
    pub(crate) fn new(sums: usize, has_dict: bool) -> Self {
        Self::Small(SumTable::new(sums, has_dict))
    }

    /// See [`SumTable::reserve`].
    pub(crate) fn reserve(&mut self, bytes: usize) {
        with_table!(self, |table| table.reserve(bytes));
    }

    /// See [`SumTable::memory`].
    pub(crate) fn memory(&self) -> usize {
        with_table!(self, |table| table.memory())
    }

    /// See [`SumTable::is_full`].
    pub(crate) fn is_full(&self) -> bool {
        with_table!(self, |table| table.is_full())
    }

    /// Adds `values` to the sums of a group. `dict_len` is the current number of dictionary ids.
    pub(crate) fn add(&mut self, key: usize, dict_id: u32, dict_len: usize, values: &[i64]) {
        while let Err(TooLarge) =
            with_table!(self, |table| table.add(key, dict_id, dict_len, values).map(drop))
        {
            self.widen();
        }
    }

    /// Adds the values of rows with these key numbers, `sums` of them per row.
    pub(crate) fn add_all(
        &mut self,
        mut rows: &[Entry],
        mut keys: &[u32],
        dict_len: usize,
        mut values: &[i64],
        sums: usize,
    ) {
        while let Err(added) =
            with_table!(self, |table| table.add_all(rows, keys, dict_len, values))
        {
            self.widen();
            (rows, keys, values) = (&rows[added..], &keys[added..], &values[added * sums..]);
        }
    }

    #[cold]
    fn widen(&mut self) {
        if let Self::Small(table) = self {
            *self = Self::Large(table.widened());
        }
    }

    /// See [`SumTable::prefetch`].
    #[inline]
    pub(crate) fn prefetch(&self, key: usize) {
        with_table!(self, |table| table.prefetch(key))
    }

    /// See [`SumTable::read`].
    pub(crate) fn read(
        &self,
        key: usize,
        order: &DictRanks,
        group: &mut KeyGroup,
        scratch: &mut [Vec<u64>; 2],
    ) {
        with_table!(self, |table| table.read(key, order, group, scratch));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const IDS: u32 = 100;

    /// Rows of keys with few and with many dictionary ids. Values grow from row to row.
    fn rows(sums: usize, has_dict: bool) -> Vec<(usize, u32, Vec<i64>)> {
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let row = |number: u64| {
            let key = next(20) as usize;
            let dict_id = next(if key < 10 { 3 } else { u64::from(IDS) });
            let size = 1 << (number * 63 / 4_000);
            let value = |_| next(2 * size) as i64 - size as i64;
            (key, if has_dict { dict_id as u32 } else { 0 }, (0..sums).map(value).collect())
        };
        let mut rows: Vec<_> = (0..4_000).map(row).collect();
        for extreme in [i32::MIN.into(), i32::MAX.into(), i64::MIN, i64::MAX, i64::MIN] {
            rows.insert(rows.len() / 2, (3, 0, vec![extreme; sums]));
        }
        rows
    }

    fn read(sums: &Sums, key: usize) -> Vec<(u32, Vec<i128>)> {
        let numbers: Vec<_> = (0..IDS).collect();
        let order = DictRanks { codes: numbers.clone(), ids: numbers.clone(), ranks: numbers };
        let mut group = KeyGroup::default();
        sums.read(key, &order, &mut group, &mut Default::default());
        let width = group.sums.len() / group.codes.len().max(1);
        group.codes.into_iter().zip(group.sums.chunks(width).map(<[_]>::to_vec)).collect()
    }

    #[test]
    fn sums_of_any_size_are_exact() {
        for (width, has_dict, batch) in
            [(1, true, 256), (1, true, 1), (3, true, 256), (1, false, 256), (2, false, 1)]
        {
            let rows = rows(width, has_dict);
            let mut expected = BTreeMap::<_, BTreeMap<_, Vec<i128>>>::new();
            let mut sums = Sums::new(width, has_dict);
            for rows in rows.chunks(batch) {
                for (key, dict_id, values) in rows {
                    let cells = expected.entry(*key).or_default();
                    let cell = cells.entry(*dict_id).or_insert_with(|| vec![0; width]);
                    cell.iter_mut().zip(values).for_each(|(sum, value)| *sum += i128::from(*value));
                }
                if let [(key, dict_id, values)] = rows {
                    sums.add(*key, *dict_id, IDS as usize, values);
                    continue;
                }
                let entry = |dict_id| Entry { dict_id, ..Entry::default() };
                let entries: Vec<_> = rows.iter().map(|(_, dict_id, _)| entry(*dict_id)).collect();
                let keys: Vec<_> = rows.iter().map(|(key, ..)| *key as u32).collect();
                let values: Vec<_> =
                    rows.iter().flat_map(|(_, _, values)| values.clone()).collect();
                sums.add_all(&entries, &keys, IDS as usize, &values, width);
            }
            assert!(matches!(sums, Sums::Large(_)));
            for (key, cells) in expected {
                assert_eq!(read(&sums, key), cells.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn sums_are_widened_only_when_needed() {
        let mut sums = Sums::new(1, true);
        let small = rows(1, true).into_iter().take(1_000);
        small.for_each(|(key, dict_id, values)| sums.add(key, dict_id, IDS as usize, &values));
        let small = sums.memory();
        sums.add(0, 0, IDS as usize, &[1 << 40]);
        assert!(sums.memory() > small);
    }
}
