//! Sorted groups in temporary files, for what does not fit into memory.
//!
//! # Invariants
//! - A file has no name from its start on, so nothing of it stays, however the process ends.
//! - There are few runs of a shard, so that merging them takes little memory: many are merged into one.
//! - A run can be read from any key on: it is known where some of its keys stand.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::group::Group;
use super::merge::{Source, merged};
use super::{Interrupted, WRITE_SIZE};

/// So many runs are merged into one.
const MOST_RUNS: usize = 16;
const READ_BUFFER: usize = 64 << 10;
/// It is known where a key stands about every so many bytes. To know it takes about a two-hundredth of what
/// is in the files; to know less means to read more than is asked for.
pub(super) const MARK_EVERY: u64 = 16 << 10;
/// An interrupt is seen after as many groups.
const CHECK_EVERY: usize = 1 << 10;

/// The runs of one shard.
#[derive(Debug)]
pub(super) struct Runs {
    folder: PathBuf,
    sums: usize,
    file: Option<Mutex<File>>,
    runs: Vec<Sorted>,
}

/// Where a run is in the file.
#[derive(Debug)]
struct Sorted {
    start: u64,
    end: u64,
    marks: Vec<Mark>,
}

/// A key and where its group stands in the file.
#[derive(Debug)]
struct Mark {
    key: Vec<u8>,
    at: u64,
}

impl Runs {
    /// None yet, of groups with so many sums; their file will be in `folder`.
    pub(super) fn new(folder: &Path, sums: usize) -> Self {
        Self { folder: folder.to_owned(), sums, file: None, runs: Vec::new() }
    }

    /// Writes all groups of `source` as a run.
    pub(super) fn write(
        &mut self,
        source: &mut dyn Source,
        checkpoint: &dyn Fn() -> Result<(), Interrupted>,
    ) -> io::Result<()> {
        if self.runs.len() >= MOST_RUNS {
            self.merge(checkpoint)?;
        }
        self.append(source, checkpoint)
    }

    /// Makes one run of all, in a new file.
    fn merge(&mut self, checkpoint: &dyn Fn() -> Result<(), Interrupted>) -> io::Result<()> {
        let mut one = Self::new(&self.folder, self.sums);
        one.append(&mut *merged(self.sources(None, None)?)?, checkpoint)?;
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
            none => none.insert(Mutex::new(tempfile::tempfile_in(&self.folder)?)),
        };
        let file = file.get_mut().unwrap_or_else(PoisonError::into_inner);
        let start = file.seek(SeekFrom::End(0))?;
        let mut output = BufWriter::with_capacity(WRITE_SIZE, file);
        let mut group = Group::default();
        let mut line = Vec::new();
        let mut end = start;
        let mut marks: Vec<Mark> = Vec::new();
        let mut count: usize = 0;
        while source.next(&mut group)? {
            line.clear();
            encode(&group, self.sums, &mut line);
            output.write_all(&line)?;
            if marks.last().is_none_or(|mark| end - mark.at >= MARK_EVERY) {
                marks.push(Mark { key: group.key.clone(), at: end });
            }
            end += line.len() as u64;
            count += 1;
            if count.is_multiple_of(CHECK_EVERY) {
                checkpoint().map_err(io::Error::other)?;
            }
        }
        output.flush()?;
        drop(output);
        self.runs.push(Sorted { start, end, marks });
        Ok(())
    }

    /// Readers of all groups from a key on and before another one, where there is one.
    pub(super) fn sources<'a>(
        &'a self,
        from: Option<&'a [u8]>,
        to: Option<&'a [u8]>,
    ) -> io::Result<Vec<Box<dyn Source + 'a>>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let reader = |run: &'a Sorted| -> io::Result<Box<dyn Source + 'a>> {
            // The last mark that is not behind the start of the range.
            let before = |from: &[u8]| run.marks.partition_point(|mark| *mark.key <= *from);
            let behind = from.map_or(0, before);
            let start = behind.checked_sub(1).map_or(run.start, |mark| run.marks[mark].at);
            // And the first one that is not before its end.
            let end = to.and_then(|to| run.marks[behind..].iter().find(|mark| *mark.key >= *to));
            let end = end.map_or(run.end, |mark| mark.at);
            let buffer = Buffer { file, rest: start..end, bytes: Vec::new(), at: 0 };
            let mut reader = Run { buffer, sums: self.sums, to, next: Group::default() };
            while reader.read_next()? && from.is_some_and(|from| *reader.next.key < *from) {}
            Ok(Box::new(reader))
        };
        self.runs.iter().map(reader).collect()
    }

    /// The keys of which it is known where they stand, about [`MARK_EVERY`] bytes apart.
    pub(super) fn marks(&self) -> impl Iterator<Item = &[u8]> {
        self.runs.iter().flat_map(|run| run.marks.iter().map(|mark| &*mark.key))
    }
}

/// Lengths and numbers take seven bits a byte; an inner is told by its distance from the one before.
fn encode(group: &Group, width: usize, output: &mut Vec<u8>) {
    push(output, group.key.len() as u128);
    output.extend_from_slice(&group.key);
    push(output, group.inners.len() as u128);
    let mut before = 0;
    for (inner, sums) in group.inners.iter().zip(group.sums.chunks_exact(width)) {
        push(output, u128::from(inner - before));
        before = *inner;
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
    next: Group,
}

impl Source for Run<'_> {
    fn next(&mut self, group: &mut Group) -> io::Result<bool> {
        std::mem::swap(group, &mut self.next);
        if group.inners.is_empty() {
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
        let inners = self.buffer.number()?;
        let mut before = 0;
        for _ in 0..inners {
            before += self.buffer.number()? as u32;
            group.inners.push(before);
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
    file: &'a Mutex<File>,
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
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.rest.start))?;
        file.read_exact(&mut self.bytes)?;
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

    struct List(std::vec::IntoIter<Group>);

    impl Source for List {
        fn next(&mut self, group: &mut Group) -> io::Result<bool> {
            Ok(self.0.next().map(|next| *group = next).is_some())
        }
    }

    fn groups(from: usize) -> Vec<Group> {
        let sums = [0, 1, -1, 300, i128::from(i64::MIN), i128::MAX, i128::MIN];
        let group = |number: usize| Group {
            key: format!("{number:03}{}", "x".repeat(number * 997)).into_bytes(),
            inners: (0..1 + number as u32 % 7).map(|inner| inner * inner * 1000).collect(),
            sums: (0..2 + number % 7 * 2).map(|index| sums[(index + number) % 7] / 2).collect(),
        };
        (from..from + 90).map(group).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::new(folder.path(), 2);
        assert!(runs.sources(None, None).unwrap().is_empty());
        for start in [0, 50] {
            runs.write(&mut List(groups(start).into_iter()), &|| Ok(())).unwrap();
        }
        for (source, start) in runs.sources(None, None).unwrap().iter_mut().zip([0, 50]) {
            let mut group = Group::default();
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
        let mut runs = Runs::new(&std::env::temp_dir(), 2);
        let all = groups(0);
        runs.write(&mut List(all.clone().into_iter()), &|| Ok(())).unwrap();
        assert!(runs.marks().count() > 3, "there are marks to start from");
        for from in 0..all.len() {
            for to in [from, from + 1, 70, all.len()].into_iter().filter(|to| *to >= from) {
                // Between two keys, on a key, and without an end.
                let mut start = all[from].key.clone();
                start.pop();
                let to_key = all.get(to).map(|group| group.key.clone());
                let mut found = Vec::new();
                let mut group = Group::default();
                let mut source = runs.sources(Some(&start), to_key.as_deref()).unwrap().remove(0);
                while source.next(&mut group).unwrap() {
                    found.push(group.clone());
                }
                assert!(found == all[from..to], "from {from} to {to}: {}", found.len());
            }
        }
    }

    #[test]
    fn many_runs_become_one() {
        let mut runs = Runs::new(&std::env::temp_dir(), 1);
        let group = Group { key: b"a".to_vec(), inners: vec![1], sums: vec![1] };
        for _ in 0..3 * MOST_RUNS {
            runs.write(&mut List(vec![group.clone()].into_iter()), &|| Ok(())).unwrap();
            assert!(runs.runs.len() <= MOST_RUNS);
        }
        let mut merged = merged(runs.sources(None, None).unwrap()).unwrap();
        let mut found = Group::default();
        assert!(merged.next(&mut found).unwrap());
        assert_eq!(found.sums, [3 * MOST_RUNS as i128]);
        assert!(!merged.next(&mut found).unwrap());
    }
}
