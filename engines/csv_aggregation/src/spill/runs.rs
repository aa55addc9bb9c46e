//! Sorted groups in temporary files, for what does not fit into memory.
//!
//! # Invariants
//! - A file has no name from its start on, so nothing of it stays, however the process ends.
//! - There are few runs of a shard, so that merging them takes little memory: many are merged into one.
//! - A run can be read from any key on, by its [`RunIndex`], which take a bounded part of the memory.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::control::Interrupted;
use crate::group::key_group::KeyGroup;
use crate::limits::WRITE_SIZE;
use crate::spill::merge::{Source, merged};
use crate::spill::run_index::{IndexLimits, RunIndex};

/// So many runs are merged into one.
pub(crate) const MOST_RUNS: usize = 16;
const READ_BUFFER: usize = 64 << 10;
/// An interrupt is seen after as many groups.
const CHECK_EVERY: usize = 1 << 10;

/// The runs of one shard.
#[derive(Debug)]
pub(crate) struct Runs {
    folder: PathBuf,
    sums: usize,
    /// Of all runs together.
    index_limits: IndexLimits,
    file: Option<File>,
    runs: Vec<Sorted>,
}

/// Where a run is in the file.
#[derive(Debug)]
struct Sorted {
    start: u64,
    end: u64,
    marks: RunIndex,
}

impl Runs {
    /// None yet, of groups with so many sums; their file will be in `folder`.
    pub(crate) fn new(folder: &Path, sums: usize, index_limits: IndexLimits) -> Self {
        Self { folder: folder.to_owned(), sums, index_limits, file: None, runs: Vec::new() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// How many bytes they take in files.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// About how many bytes of all of them are read in vain where a range of keys is read: as many
    /// as lie between two marks of each.
    pub(crate) fn spacing(&self) -> u64 {
        let of = |run: &Sorted| (run.end - run.start) / run.marks.len().max(1) as u64;
        self.runs.iter().map(of).sum()
    }

    /// The memory in bytes that their marks take.
    pub(crate) fn memory(&self) -> usize {
        self.runs.iter().map(|run| run.marks.memory()).sum()
    }

    /// Writes all groups of `source` as a run.
    pub(crate) fn write(
        &mut self,
        source: &mut dyn Source,
        checkpoint: &dyn Fn() -> Result<(), Interrupted>,
    ) -> io::Result<()> {
        if self.runs.len() >= MOST_RUNS {
            self.merge(&[], checkpoint)?;
        }
        self.append(source, checkpoint)
    }

    /// Makes one run of all of these and of `others`, in a new file; their marks may take as much
    /// memory as those of all may.
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
        let (mut group, mut before) = (KeyGroup::default(), KeyGroup::default());
        let mut line = Vec::new();
        let mut end = start;
        let IndexLimits { every, memory } = self.index_limits;
        let mut marks = RunIndex::new(every);
        let mut count: usize = 0;
        while source.next(&mut group)? {
            line.clear();
            encode(&group, self.sums, &mut line);
            output.write_all(&line)?;
            let key_before = (count > 0).then_some(&*before.key);
            marks.add(key_before, &group.key, end, memory);
            std::mem::swap(&mut group, &mut before);
            end += line.len() as u64;
            count += 1;
            if count.is_multiple_of(CHECK_EVERY) || line.len() > WRITE_SIZE {
                checkpoint().map_err(io::Error::other)?;
            }
        }
        output.flush()?;
        drop(output);
        self.runs.push(Sorted { start, end, marks });
        self.thin();
        Ok(())
    }

    /// Leaves out marks where those of all runs take too much memory, first where they are closest.
    fn thin(&mut self) {
        while self.memory() > self.index_limits.memory {
            let marked = self.runs.iter_mut().filter(|run| run.marks.len() > 1);
            match marked.min_by_key(|run| run.marks.every()) {
                Some(run) => run.marks.thin(),
                None => return,
            };
        }
    }

    /// Readers of all groups from a key on and before another one, where there is one.
    pub(crate) fn sources<'a>(
        &'a self,
        from: Option<&'a [u8]>,
        to: Option<&'a [u8]>,
    ) -> io::Result<Vec<Box<dyn Source + 'a>>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let reader = |run: &'a Sorted| -> io::Result<Box<dyn Source + 'a>> {
            let start = from.and_then(|from| run.marks.start(from)).unwrap_or(run.start);
            let end = to.and_then(|to| run.marks.end(to)).unwrap_or(run.end);
            let buffer = Buffer { file, rest: start..end, bytes: Vec::new(), at: 0 };
            let mut reader = Run { buffer, sums: self.sums, to, next: KeyGroup::default() };
            while reader.read_next()? && from.is_some_and(|from| *reader.next.key < *from) {}
            Ok(Box::new(reader))
        };
        self.runs.iter().map(reader).collect()
    }

    /// Bounds between keys ([`RunIndex`]), each with the bytes of the run behind it.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.runs.iter().flat_map(|run| run.marks.bounds(run.end))
    }
}

/// Lengths and numbers take seven bits a byte; an code is told by its distance from the one before.
fn encode(group: &KeyGroup, width: usize, output: &mut Vec<u8>) {
    push(output, group.key.len() as u128);
    output.extend_from_slice(&group.key);
    push(output, group.codes.len() as u128);
    let mut before = 0;
    for (code, sums) in group.codes.iter().zip(group.sums.chunks_exact(width)) {
        push(output, u128::from(code - before));
        before = *code;
        for sum in sums {
            // The sign comes last, so that small numbers are short.
            push(output, (sum << 1 ^ sum >> 127) as u128);
        }
    }
}

fn push(output: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        output.push(number as u8 | 0x80);
        number >>= 7;
    }
    output.push(number as u8);
}

/// A run while it is read.
struct Run<'a> {
    buffer: Buffer<'a>,
    sums: usize,
    /// The first key that is not read any more.
    to: Option<&'a [u8]>,
    /// What comes next; no inners where there is nothing.
    next: KeyGroup,
}

impl Source for Run<'_> {
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
        std::mem::swap(group, &mut self.next);
        if group.codes.is_empty() {
            return Ok(false);
        }
        self.read_next()?;
        Ok(true)
    }
}

impl Run<'_> {
    /// Reads the next group; false where there is none.
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
        let mut before = 0;
        for _ in 0..count {
            before += self.buffer.number()? as u32;
            group.codes.push(before);
            for _ in 0..self.sums {
                let number = self.buffer.number()?;
                group.sums.push((number >> 1) as i128 ^ -((number & 1) as i128));
            }
        }
        Ok(true)
    }
}

/// The bytes of a run, in pieces.
struct Buffer<'a> {
    file: &'a File,
    /// What is still in the file.
    rest: std::ops::Range<u64>,
    bytes: Vec<u8>,
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

    /// At least one of the next bytes, and no more than `most`.
    fn take(&mut self, most: usize) -> io::Result<&[u8]> {
        if self.is_at_end()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = self.bytes.len().min(self.at + most);
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    #[inline]
    fn number(&mut self) -> io::Result<u128> {
        // Most take one byte or two.
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
    fn what_is_written_is_read_back() {
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
    fn a_run_is_read_from_any_key_to_any_other() {
        let mut runs = Runs::new(&std::env::temp_dir(), 2, INDEX_LIMITS);
        let all = groups(0);
        runs.write(&mut List(all.clone().into_iter()), &|| Ok(())).unwrap();
        assert!(runs.bounds().count() > 3, "there are marks to start from");
        for from in 0..all.len() {
            for to in [from, from + 1, 70, all.len()].into_iter().filter(|to| *to >= from) {
                // Between two keys, on a key, and without an end.
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
    fn what_is_known_of_runs_takes_bounded_memory() {
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
        assert!(runs.bounds().count() > 5, "no run has lost all of its marks");
        assert_eq!(runs.bounds().map(|(_, bytes)| bytes).sum::<u64>(), runs.bytes());
        // Of all files no more is read than lies between two marks more.
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
    fn many_runs_become_one() {
        let mut runs = Runs::new(&std::env::temp_dir(), 1, INDEX_LIMITS);
        let group = KeyGroup { key: b"a".to_vec(), codes: vec![1], sums: vec![1] };
        for _ in 0..3 * MOST_RUNS {
            runs.write(&mut List(vec![group.clone()].into_iter()), &|| Ok(())).unwrap();
            assert!(runs.runs.len() <= MOST_RUNS);
        }
        let mut merged = merged(runs.sources(None, None).unwrap()).unwrap();
        let mut found = KeyGroup::default();
        assert!(merged.next(&mut found).unwrap());
        assert_eq!(found.sums, [3 * MOST_RUNS as i128]);
        assert!(!merged.next(&mut found).unwrap());
    }
}
