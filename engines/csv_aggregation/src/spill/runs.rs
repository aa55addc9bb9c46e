//! Sorted groups in temporary files, for groups that exceed the memory.
//!
//! # Invariants
//! - A file never has a name, so nothing of it remains, however the process ends.
//! - A shard has at most [`MAX_RUNS`] runs, so that merging takes little memory: when there would
//!   be more, all are merged into one.
//! - A run can be read from any key on by its [`RunIndex`]. The indexes take bounded memory.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::control::{Interrupted, WRITE_SIZE};
use crate::group::key_group::KeyGroup;
use crate::spill::merge::{Source, merged};
use crate::spill::run_index::{IndexLimits, RunIndex};

/// The largest number of runs of a shard.
pub(crate) const MAX_RUNS: usize = 16;
const READ_BUFFER: usize = 64 << 10;
/// The number of groups between two checks for an interrupt.
const CHECK_EVERY: usize = 1 << 10;

/// The runs of one shard.
#[derive(Debug)]
pub(crate) struct Runs {
    folder: PathBuf,
    sums: usize,
    /// The limits of the indexes of all runs together.
    index_limits: IndexLimits,
    file: Option<File>,
    runs: Vec<Run>,
}

/// The position of a run in the file, and its index.
#[derive(Debug)]
struct Run {
    start: u64,
    end: u64,
    index: RunIndex,
}

impl Runs {
    /// No runs, for groups with `sums` sums. The file will be created in `folder`.
    pub(crate) fn new(folder: &Path, sums: usize, index_limits: IndexLimits) -> Self {
        Self { folder: folder.to_owned(), sums, index_limits, file: None, runs: Vec::new() }
    }

    /// The number of runs.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// The size of the runs in bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// The size of the last run in bytes.
    pub(crate) fn last_bytes(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.end - run.start)
    }

    /// The index distances of all runs in bytes, added up: about as much is read too much with
    /// every range of keys.
    pub(crate) fn spacing(&self) -> u64 {
        let of = |run: &Run| (run.end - run.start) / run.index.len().max(1) as u64;
        self.runs.iter().map(of).sum()
    }

    /// The memory of the indexes in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.runs.iter().map(|run| run.index.memory()).sum()
    }

    /// Writes all groups of `source` as a run. If there are too many runs, merges them first.
    pub(crate) fn write(
        &mut self,
        source: &mut dyn Source,
        checkpoint: &dyn Fn() -> Result<(), Interrupted>,
    ) -> io::Result<()> {
        if self.runs.len() >= MAX_RUNS {
            self.merge(&[], checkpoint)?;
        }
        self.append(source, checkpoint)
    }

    /// Merges all runs of `self` and `others` into one, in a new file. Its index may take the
    /// memory of all of theirs.
    pub(crate) fn merge(
        &mut self,
        others: &[Self],
        checkpoint: &dyn Fn() -> Result<(), Interrupted>,
    ) -> io::Result<()> {
        if self.runs.len() < 2 && others.is_empty() {
            return Ok(());
        }
        let mut one = Self::new(&self.folder, self.sums, self.index_limits);
        let mut sources = self.sources(None, None)?;
        for other in others {
            one.index_limits.memory += other.index_limits.memory;
            sources.extend(other.sources(None, None)?);
        }
        one.append(&mut *merged(sources)?, checkpoint)?;
        *self = one;
        Ok(())
    }

    fn append(
        &mut self,
        source: &mut dyn Source,
        checkpoint: &dyn Fn() -> Result<(), Interrupted>,
    ) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        let start = file.seek(SeekFrom::End(0))?;
        let mut output = BufWriter::with_capacity(WRITE_SIZE, file);
        let (mut group, mut previous) = (KeyGroup::default(), KeyGroup::default());
        let mut encoded = Vec::new();
        let mut end = start;
        let IndexLimits { every, memory } = self.index_limits;
        let mut index = RunIndex::new(every);
        let mut count: usize = 0;
        while source.next(&mut group)? {
            encoded.clear();
            encode(&group, self.sums, &mut encoded);
            output.write_all(&encoded)?;
            let previous_key = (count > 0).then_some(&*previous.key);
            index.add(previous_key, &group.key, end, memory);
            std::mem::swap(&mut group, &mut previous);
            end += encoded.len() as u64;
            count += 1;
            if count.is_multiple_of(CHECK_EVERY) || encoded.len() > WRITE_SIZE {
                checkpoint().map_err(io::Error::other)?;
            }
        }
        output.flush()?;
        drop(output);
        self.runs.push(Run { start, end, index });
        self.thin();
        Ok(())
    }

    /// Thins the indexes while they take too much memory, the densest one first.
    fn thin(&mut self) {
        while self.memory() > self.index_limits.memory {
            let can_be_thinned = self.runs.iter_mut().filter(|run| run.index.len() > 1);
            match can_be_thinned.min_by_key(|run| run.index.every()) {
                Some(run) => run.index.thin(),
                None => return,
            };
        }
    }

    /// Readers of the groups of each run from the key `from` (inclusive) to `to` (exclusive),
    /// unbounded where `None`.
    pub(crate) fn sources<'a>(
        &'a self,
        from: Option<&'a [u8]>,
        to: Option<&'a [u8]>,
    ) -> io::Result<Vec<Box<dyn Source + 'a>>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let reader = |run: &'a Run| -> io::Result<Box<dyn Source + 'a>> {
            let start = from.and_then(|from| run.index.start(from)).unwrap_or(run.start);
            let end = to.and_then(|to| run.index.end(to)).unwrap_or(run.end);
            let buffer = Buffer { file, rest: start..end, bytes: Vec::new(), at: 0 };
            let mut reader = RunReader { buffer, sums: self.sums, to, next: KeyGroup::default() };
            while reader.read_next()? && from.is_some_and(|from| *reader.next.key < *from) {}
            Ok(Box::new(reader))
        };
        self.runs.iter().map(reader).collect()
    }

    /// The bounds of all indexes, each with the bytes of the run up to the next one
    /// ([`RunIndex::bounds`]).
    pub(crate) fn bounds(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.runs.iter().flat_map(|run| run.index.bounds(run.end))
    }
}

/// Encodes a group: lengths and numbers as LEB128 varints, codes as differences, sums in zigzag
/// encoding.
fn encode(group: &KeyGroup, width: usize, output: &mut Vec<u8>) {
    push(output, group.key.len() as u128);
    output.extend_from_slice(&group.key);
    push(output, group.codes.len() as u128);
    let mut previous = 0;
    for (code, sums) in group.codes.iter().zip(group.sums.chunks_exact(width)) {
        push(output, u128::from(code - previous));
        previous = *code;
        for sum in sums {
            push(output, (sum << 1 ^ sum >> 127) as u128);
        }
    }
}

/// Appends a number as a LEB128 varint.
fn push(output: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        output.push(number as u8 | 0x80);
        number >>= 7;
    }
    output.push(number as u8);
}

/// Reads a part of a run.
struct RunReader<'a> {
    buffer: Buffer<'a>,
    sums: usize,
    /// The key at which to stop.
    to: Option<&'a [u8]>,
    /// The next group; without codes at the end.
    next: KeyGroup,
}

impl Source for RunReader<'_> {
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
        std::mem::swap(group, &mut self.next);
        if group.codes.is_empty() {
            return Ok(false);
        }
        self.read_next()?;
        Ok(true)
    }
}

impl RunReader<'_> {
    /// Reads the next group. Returns false at the end.
    fn read_next(&mut self) -> io::Result<bool> {
        let group = &mut self.next;
        group.clear();
        if self.buffer.is_at_end()? {
            return Ok(false);
        }
        let mut rest = self.buffer.number()? as usize;
        while rest > 0 {
            let part = self.buffer.take(rest)?;
            group.key.extend_from_slice(part);
            rest -= part.len();
        }
        if self.to.is_some_and(|to| *group.key >= *to) {
            group.clear();
            return Ok(false);
        }
        let count = self.buffer.number()?;
        let mut code = 0;
        for _ in 0..count {
            code += self.buffer.number()? as u32;
            group.codes.push(code);
            for _ in 0..self.sums {
                let number = self.buffer.number()?;
                group.sums.push((number >> 1) as i128 ^ -((number & 1) as i128));
            }
        }
        Ok(true)
    }
}

/// Buffers the bytes of a part of a run.
struct Buffer<'a> {
    file: &'a File,
    /// The part of the file that has not been read yet.
    rest: std::ops::Range<u64>,
    bytes: Vec<u8>,
    /// The position in `bytes`.
    at: usize,
}

impl Buffer<'_> {
    fn is_at_end(&mut self) -> io::Result<bool> {
        if self.at == self.bytes.len() {
            self.fill()?;
        }
        Ok(self.bytes.is_empty())
    }

    fn fill(&mut self) -> io::Result<()> {
        let length = (self.rest.end - self.rest.start).min(READ_BUFFER as u64);
        self.at = 0;
        self.bytes.resize(length as usize, 0);
        self.file.read_exact_at(&mut self.bytes, self.rest.start)?;
        self.rest.start += length;
        Ok(())
    }

    /// Takes between one and `max` bytes.
    fn take(&mut self, max: usize) -> io::Result<&[u8]> {
        if self.is_at_end()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = self.bytes.len().min(self.at + max);
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    /// Reads a LEB128 varint.
    #[inline]
    fn number(&mut self) -> io::Result<u128> {
        // The fast path: most numbers take one byte or two.
        if let Some(&[first, second]) = self.bytes.get(self.at..self.at + 2) {
            if first < 0x80 {
                self.at += 1;
                return Ok(u128::from(first));
            }
            if second < 0x80 {
                self.at += 2;
                return Ok(u128::from(first & 0x7F) | u128::from(second) << 7);
            }
        }
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)?[0];
            number |= u128::from(byte & 0x7F).wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX_LIMITS: IndexLimits = IndexLimits { every: 16 << 10, memory: 64 << 10 };

    struct List(std::vec::IntoIter<KeyGroup>);

    impl Source for List {
        fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
            Ok(self.0.next().map(|next| *group = next).is_some())
        }
    }

    fn groups(from: usize) -> Vec<KeyGroup> {
        let sums = [0, 1, -1, 300, i128::from(i64::MIN), i128::MAX, i128::MIN];
        let group = |number: usize| KeyGroup {
            key: format!("{number:03}{}", "x".repeat(number * 997)).into_bytes(),
            codes: (0..1 + number as u32 % 7).map(|code| code * code * 1000).collect(),
            sums: (0..2 + number % 7 * 2).map(|index| sums[(index + number) % 7] / 2).collect(),
        };
        (from..from + 90).map(group).collect()
    }

    #[test]
    fn written_groups_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::new(folder.path(), 2, INDEX_LIMITS);
        assert!(runs.sources(None, None).unwrap().is_empty());
        for start in [0, 50] {
            runs.write(&mut List(groups(start).into_iter()), &|| Ok(())).unwrap();
        }
        for (source, start) in runs.sources(None, None).unwrap().iter_mut().zip([0, 50]) {
            let mut group = KeyGroup::default();
            for expected in groups(start) {
                assert!(source.next(&mut group).unwrap());
                assert_eq!(group, expected);
            }
            assert!(!source.next(&mut group).unwrap());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_is_read_between_any_two_keys() {
        let mut runs = Runs::new(&std::env::temp_dir(), 2, INDEX_LIMITS);
        let all = groups(0);
        runs.write(&mut List(all.clone().into_iter()), &|| Ok(())).unwrap();
        assert!(runs.bounds().count() > 3, "the index has entries to start from");
        for from in 0..all.len() {
            for to in [from, from + 1, 70, all.len()].into_iter().filter(|to| *to >= from) {
                // Starts between two keys; ends at a key or nowhere.
                let mut start = all[from].key.clone();
                start.pop();
                let to_key = all.get(to).map(|group| group.key.clone());
                let mut found = Vec::new();
                let mut group = KeyGroup::default();
                let mut source = runs.sources(Some(&start), to_key.as_deref()).unwrap().remove(0);
                while source.next(&mut group).unwrap() {
                    found.push(group.clone());
                }
                assert!(found == all[from..to], "from {from} to {to}: {}", found.len());
            }
        }
    }

    #[test]
    fn indexes_take_bounded_memory() {
        let memory = 2_000;
        let mut runs = Runs::new(&std::env::temp_dir(), 1, IndexLimits { every: 1_000, memory });
        let group = |number: u32| KeyGroup {
            key: [number.to_be_bytes().to_vec(), vec![b'x'; 20_000]].concat(),
            codes: vec![1],
            sums: vec![1],
        };
        for run in 0..5 {
            let groups: Vec<_> = (0..300).map(|number| group(number * 5 + run)).collect();
            runs.write(&mut List(groups.into_iter()), &|| Ok(())).unwrap();
            assert!(runs.memory() <= memory, "{}", runs.memory());
        }
        assert!(runs.bounds().count() > 5, "more entries are left than the first of each run");
        assert_eq!(runs.bounds().map(|(_, bytes)| bytes).sum::<u64>(), runs.bytes());
        let (from, to) = (group(700).key, group(710).key);
        let mut found = Vec::new();
        let mut group = KeyGroup::default();
        let mut source = merged(runs.sources(Some(&from), Some(&to)).unwrap()).unwrap();
        while source.next(&mut group).unwrap() {
            found.push(u32::from_be_bytes(*group.key.first_chunk().unwrap()));
        }
        assert_eq!(found, (700..710).collect::<Vec<_>>());
    }

    #[test]
    fn too_many_runs_are_merged_into_one() {
        let mut runs = Runs::new(&std::env::temp_dir(), 1, INDEX_LIMITS);
        let group = KeyGroup { key: b"a".to_vec(), codes: vec![1], sums: vec![1] };
        for _ in 0..3 * MAX_RUNS {
            runs.write(&mut List(vec![group.clone()].into_iter()), &|| Ok(())).unwrap();
            assert!(runs.runs.len() <= MAX_RUNS);
        }
        let mut merged = merged(runs.sources(None, None).unwrap()).unwrap();
        let mut found = KeyGroup::default();
        assert!(merged.next(&mut found).unwrap());
        assert_eq!(found.sums, [3 * MAX_RUNS as i128]);
        assert!(!merged.next(&mut found).unwrap());
    }
}
