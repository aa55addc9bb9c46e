//! Sorted groups in temporary files, for what does not fit into memory.
//!
//! # Invariants
//! - A file has no name from its start on, so nothing of it stays, however the process ends.
//! - There are few runs, so that merging them takes little memory: many are merged into one.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Interrupted;
use super::group::Group;
use super::merge::{Merged, Source};

/// So many runs are merged into one.
const MOST_RUNS: usize = 128;
const WRITE_BUFFER: usize = 256 << 10;
const READ_BUFFER: usize = 64 << 10;
/// An interrupt is seen after as many groups.
const CHECK_EVERY: usize = 1 << 10;

/// The runs of one thread.
#[derive(Debug)]
pub(super) struct Runs {
    folder: PathBuf,
    sums: usize,
    file: Option<Mutex<File>>,
    runs: Vec<Range<u64>>,
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
        let mut merged = Self::new(&self.folder, self.sums);
        merged.append(&mut Merged::new(self.sources())?, checkpoint)?;
        *self = merged;
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
        let mut output = BufWriter::with_capacity(WRITE_BUFFER, file);
        let mut group = Group::default();
        let mut line = Vec::new();
        let mut length = 0;
        let mut count: usize = 0;
        while source.next(&mut group)? {
            line.clear();
            encode(&group, self.sums, &mut line);
            output.write_all(&line)?;
            length += line.len() as u64;
            count += 1;
            if count.is_multiple_of(CHECK_EVERY) {
                checkpoint().map_err(io::Error::other)?;
            }
        }
        output.flush()?;
        drop(output);
        self.runs.push(start..start + length);
        Ok(())
    }

    /// Readers of all.
    pub(super) fn sources(&self) -> Vec<Box<dyn Source + '_>> {
        let Some(file) = &self.file else { return Vec::new() };
        let reader = |run: &Range<u64>| -> Box<dyn Source + '_> {
            let buffer = Buffer { file, rest: run.clone(), bytes: Vec::new(), at: 0 };
            Box::new(Run { buffer, sums: self.sums })
        };
        self.runs.iter().map(reader).collect()
    }
}

/// Lengths and numbers take seven bits a byte; a day is told by its distance from the one before.
fn encode(group: &Group, width: usize, output: &mut Vec<u8>) {
    push(output, group.key.len() as u128);
    output.extend_from_slice(&group.key);
    push(output, group.days.len() as u128);
    let mut before = 0;
    for (day, sums) in group.days.iter().zip(group.sums.chunks_exact(width)) {
        push(output, u128::from(day - before));
        before = *day;
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
}

impl Source for Run<'_> {
    fn next(&mut self, group: &mut Group) -> io::Result<bool> {
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
        let days = self.buffer.number()?;
        let mut before = 0;
        for _ in 0..days {
            before += self.buffer.number()? as u32;
            group.days.push(before);
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
    rest: Range<u64>,
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
            days: (0..number as u32 % 7).map(|day| day * day * 1000).collect(),
            sums: (0..number % 7 * 2).map(|index| sums[(index + number) % 7] / 2).collect(),
        };
        (from..from + 90).map(group).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::new(folder.path(), 2);
        assert!(runs.sources().is_empty());
        for start in [0, 50] {
            runs.write(&mut List(groups(start).into_iter()), &|| Ok(())).unwrap();
        }
        for (source, start) in runs.sources().iter_mut().zip([0, 50]) {
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
    fn many_runs_become_one() {
        let mut runs = Runs::new(&std::env::temp_dir(), 1);
        let group = Group { key: b"a".to_vec(), days: vec![1], sums: vec![1] };
        for _ in 0..3 * MOST_RUNS {
            runs.write(&mut List(vec![group.clone()].into_iter()), &|| Ok(())).unwrap();
            assert!(runs.runs.len() <= MOST_RUNS);
        }
        let mut merged = Merged::new(runs.sources()).unwrap();
        let mut found = Group::default();
        assert!(merged.next(&mut found).unwrap());
        assert_eq!(found.sums, [3 * MOST_RUNS as i128]);
        assert!(!merged.next(&mut found).unwrap());
    }
}
