//! Limits of memory and threads, interrupts, and failing inputs and outputs.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::*;
use csv_input::{InputError, MAX_FIELDS, MAX_RECORD};

const HEADER: &str = "Song,Date,Number of Plays\n";

/// A header, `start`, and then `fill` repeated without end. `read` counts the bytes that are read.
fn endless<'a>(start: &str, fill: &'static [u8], read: &'a AtomicU64) -> impl Read + Send + 'a {
    let start = io::Cursor::new(format!("{HEADER}{start}").into_bytes());
    let input = start.chain(Repeated { fill, at: 0 });
    Counting { input, read }
}

struct Repeated {
    fill: &'static [u8],
    at: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(self.fill[0]);
        if self.fill.len() > 1 {
            for byte in &mut *buffer {
                *byte = self.fill[self.at];
                self.at = (self.at + 1) % self.fill.len();
            }
        }
        Ok(buffer.len())
    }
}

struct Counting<'a, R> {
    input: R,
    read: &'a AtomicU64,
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

#[test]
fn an_endless_line_is_an_error_and_read_no_further() {
    for on_bad_row in ["fail", "skip"] {
        for (start, fill, quoted) in [
            ("a,2020-01-01,1\n\nb", &b"x"[..], false),
            ("a,2020-01-01,1\n\n\"b", b"line\n", true),
            ("a,2020-01-01,1\n\n\"b", b"\"\"", true),
        ] {
            let read = AtomicU64::new(0);
            let options = options(&[("on_bad_row", on_bad_row)]);
            match run(endless(start, fill, &read), &options).unwrap_err() {
                AggregationError::Input(InputError::RecordTooLong { line: 4, .. }) => {}
                other => panic!("{other}"),
            }
            assert!(read.load(Ordering::Relaxed) < MAX_RECORD + (1 << 20));
            let error = run(endless(start, fill, &read), &options).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("line 4") && text.contains("16.0 MiB"), "{text}");
            if fill == b"line\n" {
                assert_eq!(text.contains("never to be closed"), quoted);
            }
        }
    }
}

#[test]
fn a_line_of_endless_fields_is_an_error() {
    let read = AtomicU64::new(0);
    let error = run(endless("a", b",", &read), &options(&[])).unwrap_err();
    assert!(matches!(error, AggregationError::Input(InputError::TooManyFields { line: 2 })));
    assert!(read.load(Ordering::Relaxed) < 2 * MAX_FIELDS as u64);
}

#[test]
fn the_longest_permitted_record_is_read() {
    let song = "x".repeat(MAX_RECORD as usize - ",2020-01-01,1".len());
    for end in ["", "\n", "\r\n"] {
        let input = format!("{HEADER}{song},2020-01-01,1{end}");
        assert_eq!(run(input.as_bytes(), &options(&[])).unwrap().summary.groups, 1);
        let longer = format!("{HEADER}x{song},2020-01-01,1{end}");
        assert_eq!(kind(&error(longer)), "record too long");
    }
}

#[test]
fn any_number_of_blank_lines_is_skipped() {
    let input = format!("{HEADER}{}a,2020-01-01,1\n", "\n".repeat(MAX_RECORD as usize + 1));
    assert_eq!(result(&input), format!("{HEADER}a,2020-01-01,1\n"));
}

#[test]
fn groups_beyond_the_memory_are_spilled_to_unnamed_files() {
    let mut input = HEADER.to_owned();
    for n in 0..300_000 {
        input += &format!("song {n:06} with a long title that takes memory,2020-01-01,1\n");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&[]);
    options.spill_folder = folder.path().to_owned();
    let expected = run(input.as_bytes(), &options).unwrap();
    options.memory_limit = 1 << 20;
    assert_eq!(run(input.as_bytes(), &options).unwrap(), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    options.spill_folder = folder.path().join("missing");
    let error = run(input.as_bytes(), &options).unwrap_err();
    assert!(matches!(error, AggregationError::Spill(_)), "{error}");
}

#[test]
fn many_rows_of_few_groups_need_little_memory() {
    let input = format!("{HEADER}{}", "a,2020-01-01,1\nb,2020-01-01,2\n".repeat(100_000));
    let mut options = options(&[]);
    options.memory_limit = 16 << 10;
    assert_eq!(run(input.as_bytes(), &options).unwrap().summary.groups, 2);
}

/// Interrupts at the call with this number, from 0, and records the progress of all calls.
struct InterruptAt {
    call: usize,
    calls: Mutex<Vec<u64>>,
}

impl Control for InterruptAt {
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(bytes_read);
        if calls.len() > self.call { Err(Interrupted) } else { Ok(()) }
    }
}

#[test]
fn an_interrupt_takes_effect_at_any_time() {
    let mut input = HEADER.to_owned();
    for n in 0..20_000 {
        input += &format!("song {n},2020-01-01,1\n");
    }
    let aggregate_until = |call| {
        let control = InterruptAt { call, calls: Mutex::default() };
        let outcome = aggregate(input.as_bytes(), &options(&[]), &mut Memory::default(), &control);
        (outcome, control.calls.into_inner().unwrap())
    };
    let (outcome, calls) = aggregate_until(usize::MAX);
    outcome.unwrap();
    let size = input.len() as u64;
    assert!(calls.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= 64 << 10));
    assert!(calls[0] <= 64 << 10);
    // Sorting and writing check for interrupts too.
    let at_end = calls.iter().filter(|bytes| **bytes == size).count();
    assert!(at_end > 40, "{at_end}");

    // The number of calls varies a little, as keys are hashed with a random seed.
    let mut call = 0;
    while let (Err(error), calls) = aggregate_until(call) {
        assert!(matches!(error, AggregationError::Interrupted(_)));
        assert_eq!(calls.len(), call + 1);
        call += 1;
    }
    assert!(call > at_end, "{call}");
}

/// Limits threads and memory.
struct Limits {
    threads: AtomicUsize,
    memory: AtomicU64,
}

impl Limits {
    fn new(threads: usize, memory: u64) -> Self {
        Self { threads: threads.into(), memory: memory.into() }
    }
}

impl Control for Limits {
    fn progress(&self, _: u64) -> Result<(), Interrupted> {
        Ok(())
    }

    fn threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }
}

/// Rows of new groups until `is_done` returns true, given their number and the threads that have
/// read.
struct Rows<F> {
    rest: Vec<u8>,
    number: u64,
    readers: HashSet<ThreadId>,
    is_done: F,
}

impl<F: FnMut(u64, &mut HashSet<ThreadId>) -> bool> Rows<F> {
    fn new(is_done: F) -> Self {
        Self { rest: HEADER.into(), number: 0, readers: HashSet::new(), is_done }
    }
}

impl<F: FnMut(u64, &mut HashSet<ThreadId>) -> bool> Read for Rows<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.readers.insert(thread::current().id());
        if self.rest.is_empty() && !(self.is_done)(self.number, &mut self.readers) {
            for _ in 0..1_000 {
                self.number += 1;
                let row =
                    format!("a title of many bytes and number {:010},2020-01-01,1\n", self.number);
                self.rest.extend_from_slice(row.as_bytes());
            }
        }
        let length = buffer.len().min(self.rest.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}

#[test]
fn no_more_threads_work_than_permitted() {
    let control = Limits::new(1, u64::MAX);
    let mut max_readers = 0;
    let input = Rows::new(|number, readers| {
        // Besides the caller, which reads the start.
        max_readers = max_readers.max(readers.len() - 1);
        number >= 100_000
    });
    let options = Options { threads: 8, ..options(&[]) };
    let mut outputs = Memory::default();
    let summary = aggregate(input, &options, &mut outputs, &control).unwrap();
    assert_eq!((summary.groups, max_readers), (100_000, 1));
}

#[test]
fn waiting_threads_work_once_permitted() {
    let control = Limits::new(1, u64::MAX);
    let deadline = Instant::now() + Duration::from_secs(60);
    let input = Rows::new(|number, readers| {
        let threads = if number < 50_000 { 1 } else { 8 };
        control.threads.store(threads, Ordering::Relaxed);
        assert!(Instant::now() < deadline, "the other threads never read");
        // The caller, which reads the start, and at least two workers.
        readers.len() > 2
    });
    let options = Options { threads: 8, memory_limit: 8 << 20, ..options(&[]) };
    aggregate(input, &options, &mut Memory::default(), &control).unwrap();
    assert_eq!(control.threads(), 8);
}

#[test]
fn groups_are_spilled_when_the_memory_limit_shrinks() {
    // No file can be created there, so spilling fails.
    let folder = tempfile::tempdir().unwrap().path().join("missing");
    for (later, spills) in [(u64::MAX, false), (8 << 20, true)] {
        let control = Limits::new(usize::MAX, u64::MAX);
        let input = Rows::new(|number, _| {
            if number >= 200_000 {
                control.memory.store(later, Ordering::Relaxed);
            }
            number >= 400_000
        });
        let options = Options {
            threads: 2,
            spill_folder: folder.clone(),
            memory_limit: 64 << 20,
            ..options(&[])
        };
        match aggregate(input, &options, &mut Memory::default(), &control) {
            Ok(summary) => assert!(!spills && summary.groups == 400_000),
            Err(AggregationError::Spill(_)) => assert!(spills),
            Err(other) => panic!("{other}"),
        }
    }
}

/// An input and output that always fails.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut off"))
    }
}

impl Outputs for Broken {
    fn result(&mut self) -> io::Result<&mut dyn Write> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn rejected(&mut self) -> io::Result<&mut dyn Write> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn input_errors_are_reported() {
    for start in ["", HEADER, SAMPLE, &SAMPLE.repeat(100_000)] {
        let error = run(start.as_bytes().chain(Broken), &options(&[])).unwrap_err();
        match &error {
            AggregationError::Input(InputError::Read(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
            other => panic!("{other}"),
        }
        assert!(error.to_string().contains("cut off"));
    }
}

#[test]
fn output_errors_are_reported() {
    let bad = format!("{HEADER}x\n");
    for (input, on_bad_row) in [(SAMPLE, "fail"), (&bad, "skip")] {
        let options = options(&[("on_bad_row", on_bad_row)]);
        let error = aggregate(input.as_bytes(), &options, &mut Broken, &Unlimited).unwrap_err();
        match error {
            AggregationError::Write(error) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
            other => panic!("{other}"),
        }
    }
}

/// Every other read is interrupted by a signal.
struct Signals<'a> {
    input: &'a [u8],
    signalled: bool,
}

impl Read for Signals<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.signalled = !self.signalled;
        if self.signalled {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.input.read(&mut buffer[..1])
    }
}

#[test]
fn reads_interrupted_by_signals_are_repeated() {
    let input = Signals { input: SAMPLE.as_bytes(), signalled: false };
    assert_eq!(run(input, &options(&[])).unwrap().result, SAMPLE_RESULT);
}
