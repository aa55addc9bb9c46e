//! Memory, interrupts, and inputs and outputs that fail.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::*;
use csv_input::{InputError, MAX_FIELDS, MAX_RECORD};

const HEADER: &str = "Song,Date,Number of Plays\n";

/// A header, `start`, and then the same bytes for ever; counts what is read.
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
fn a_line_without_end_is_an_error_and_read_no_further() {
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
fn the_longest_record_is_read() {
    let song = "x".repeat(MAX_RECORD as usize - ",2020-01-01,1".len());
    for end in ["", "\n", "\r\n"] {
        let input = format!("{HEADER}{song},2020-01-01,1{end}");
        assert_eq!(run(input.as_bytes(), &options(&[])).unwrap().summary.groups, 1);
        let longer = format!("{HEADER}x{song},2020-01-01,1{end}");
        assert_eq!(kind(&error(longer)), "record too long");
    }
}

#[test]
fn blank_lines_are_no_record_however_many() {
    let input = format!("{HEADER}{}a,2020-01-01,1\n", "\n".repeat(MAX_RECORD as usize + 1));
    assert_eq!(result(&input), format!("{HEADER}a,2020-01-01,1\n"));
}

#[test]
fn groups_beyond_the_memory_go_through_files_that_do_not_stay() {
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

/// Interrupts at the call with this number; keeps what it heard.
struct InterruptAt {
    call: usize,
    heard: Mutex<Vec<u64>>,
}

impl Control for InterruptAt {
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted> {
        let mut heard = self.heard.lock().unwrap();
        heard.push(bytes_read);
        if heard.len() > self.call { Err(Interrupted) } else { Ok(()) }
    }
}

#[test]
fn an_interrupt_takes_effect_whenever_it_comes() {
    let mut input = HEADER.to_owned();
    for n in 0..20_000 {
        input += &format!("song {n},2020-01-01,1\n");
    }
    let aggregate_until = |call| {
        let control = InterruptAt { call, heard: Mutex::default() };
        let outcome = aggregate(input.as_bytes(), &options(&[]), &mut Memory::default(), &control);
        (outcome, control.heard.into_inner().unwrap())
    };
    let (outcome, heard) = aggregate_until(usize::MAX);
    outcome.unwrap();
    let size = input.len() as u64;
    assert!(heard.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= 64 << 10));
    assert!(heard[0] <= 64 << 10);
    // Sorting and writing ask too, when all is read.
    let at_end = heard.iter().filter(|bytes| **bytes == size).count();
    assert!(at_end > 40, "{at_end}");

    // How often it is asked differs a little from run to run, as the groups are spread at random.
    let mut call = 0;
    while let (Err(error), heard) = aggregate_until(call) {
        assert!(matches!(error, AggregationError::Interrupted(_)));
        assert_eq!(heard.len(), call + 1);
        call += 1;
    }
    assert!(call > at_end, "{call}");
}

/// Says what the work may use.
struct Allowing {
    threads: AtomicUsize,
    memory: AtomicU64,
}

impl Allowing {
    fn new(threads: usize, memory: u64) -> Self {
        Self { threads: threads.into(), memory: memory.into() }
    }
}

impl Control for Allowing {
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

/// Rows of ever new groups until `is_done` says so, which is told by which threads they were read.
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
fn no_more_threads_work_than_may() {
    let control = Allowing::new(1, u64::MAX);
    let mut most = 0;
    let input = Rows::new(|number, readers| {
        // The caller has read the start.
        most = most.max(readers.len() - 1);
        number >= 100_000
    });
    let options = Options { threads: 8, ..options(&[]) };
    let mut outputs = Memory::default();
    let summary = aggregate(input, &options, &mut outputs, &control).unwrap();
    assert_eq!((summary.groups, most), (100_000, 1));
}

#[test]
fn threads_that_may_work_later_do() {
    let control = Allowing::new(1, u64::MAX);
    let deadline = Instant::now() + Duration::from_secs(60);
    let input = Rows::new(|number, readers| {
        let threads = if number < 50_000 { 1 } else { 8 };
        control.threads.store(threads, Ordering::Relaxed);
        assert!(Instant::now() < deadline, "the other threads never read");
        // With the caller, who has read the start.
        readers.len() > 2
    });
    let options = Options { threads: 8, memory_limit: 8 << 20, ..options(&[]) };
    aggregate(input, &options, &mut Memory::default(), &control).unwrap();
    assert_eq!(control.threads(), 8);
}

#[test]
fn memory_that_is_lent_to_others_is_given_back() {
    // No file can be made, so it shows when groups go to one.
    let folder = tempfile::tempdir().unwrap().path().join("missing");
    for (later, spills) in [(u64::MAX, false), (8 << 20, true)] {
        let control = Allowing::new(usize::MAX, u64::MAX);
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

/// Fails with every use.
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
fn a_broken_input_is_told_as_such() {
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
fn a_broken_output_is_told_as_such() {
    let bad = format!("{HEADER}x\n");
    for (input, on_bad_row) in [(SAMPLE, "fail"), (&bad, "skip")] {
        let options = options(&[("on_bad_row", on_bad_row)]);
        let error = aggregate(input.as_bytes(), &options, &mut Broken, &Free).unwrap_err();
        match error {
            AggregationError::Write(error) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
            other => panic!("{other}"),
        }
    }
}

/// A signal comes before every byte.
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
fn a_signal_while_reading_is_no_error() {
    let input = Signals { input: SAMPLE.as_bytes(), signalled: false };
    assert_eq!(run(input, &options(&[])).unwrap().result, SAMPLE_RESULT);
}
