//! Compressed input.

use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}

type Compressor = fn(&[u8]) -> Vec<u8>;

const COMPRESSORS: [(&str, Compressor); 2] = [("gzip", gzip), ("zstd", zstd)];

/// A file that is decompressed in several blocks.
fn large() -> String {
    let rows = (0..60_000).map(|row| format!("song {},2020-01-01,{}\n", row % 1000, row * 7919));
    SAMPLE.to_owned() + &rows.collect::<String>()
}

#[test]
fn compressed_input_gives_the_same_result() {
    for text in [SAMPLE.to_owned(), large()] {
        let expected = run(text.as_bytes(), &options(&[])).unwrap();
        for (name, compress) in COMPRESSORS {
            assert_eq!(
                run(&*compress(text.as_bytes()), &options(&[])).unwrap(),
                expected,
                "{name}"
            );
            // Concatenated files, as of `cat a.gz b.gz`.
            let (one, other) = text.as_bytes().split_at(text.len() / 3);
            let parts = [compress(one), compress(other)].concat();
            assert_eq!(run(&*parts, &options(&[])).unwrap(), expected, "{name} in two parts");
        }
    }
}

#[test]
fn bad_rows_are_reported_by_lines_of_the_text() {
    let text = SAMPLE.to_owned() + "Umbrella,2020-02-30,1\n";
    for (name, compress) in COMPRESSORS {
        let AggregationError::BadRows(rows) = error(compress(text.as_bytes())) else {
            panic!("{name}")
        };
        assert_eq!((rows.count, rows.first[0].line), (1, 9), "{name}");
    }
}

#[test]
fn damaged_or_truncated_input_is_an_error() {
    for (name, compress) in COMPRESSORS {
        let intact = compress(large().as_bytes());
        let truncated = [1, 2, 20, intact.len() / 2, intact.len() - 5]
            .map(|less| &intact[..intact.len() - less]);
        for bytes in truncated {
            let (found, detail) = named_error(bytes);
            assert_eq!(found, "unpack", "{name}: {detail}");
            assert!(detail.contains(name) && detail.contains("damaged or incomplete"), "{detail}");
        }
        let mut damaged = intact.clone();
        damaged[intact.len() / 2..][..64].fill(0xA5);
        assert_eq!(kind(&error(&damaged)), "unpack", "{name}");
    }
}

#[test]
fn the_decompressed_text_must_be_csv() {
    for (_, compress) in COMPRESSORS {
        assert_eq!(kind(&error(compress(b""))), "empty file");
        assert_eq!(kind(&error(compress(b"PK\x03\x04\x14\0\0\0"))), "not CSV");
        // Files that are compressed twice are not supported.
        assert_eq!(kind(&error(compress(&compress(SAMPLE.as_bytes())))), "not CSV");
    }
}

#[test]
fn the_decompressed_size_is_limited() {
    let text = large();
    for (name, compress) in COMPRESSORS {
        let compressed = compress(text.as_bytes());
        let mut options = options(&[]);
        options.unpacked_limit = text.len() as u64;
        assert!(run(&*compressed, &options).is_ok(), "{name}");
        options.unpacked_limit -= 1;
        let error = run(&*compressed, &options).unwrap_err();
        assert_eq!(kind(&error), "unpacked too large", "{name}");
        assert!(error.to_string().contains("MiB"), "{error}");
    }
}

/// Records the progress, and interrupts the aggregation beyond `bytes`.
struct EndAt {
    bytes: u64,
    progress: Mutex<u64>,
}

impl Control for EndAt {
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted> {
        *self.progress.lock().unwrap() = bytes_read;
        if bytes_read > self.bytes { Err(Interrupted) } else { Ok(()) }
    }
}

#[test]
fn progress_counts_compressed_bytes() {
    for (name, compress) in COMPRESSORS {
        let compressed = compress(large().as_bytes());
        let control = EndAt { bytes: u64::MAX, progress: Mutex::default() };
        aggregate(&*compressed, &options(&[]), &mut Memory::default(), &control).unwrap();
        assert_eq!(control.progress.into_inner().unwrap(), compressed.len() as u64, "{name}");
    }
}

#[test]
fn decompression_can_be_interrupted() {
    for (name, compress) in COMPRESSORS {
        let compressed = compress(large().as_bytes());
        for bytes in [0, compressed.len() as u64 / 2] {
            let control = EndAt { bytes, progress: Mutex::default() };
            let done = aggregate(&*compressed, &options(&[]), &mut Memory::default(), &control);
            assert!(matches!(done, Err(AggregationError::Interrupted(_))), "{name}: {done:?}");
        }
    }
}

#[test]
fn a_read_error_is_not_reported_as_damage() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    for (name, compress) in COMPRESSORS {
        let compressed = compress(large().as_bytes());
        let input = compressed[..compressed.len() / 2].chain(Broken);
        match run(input, &options(&[])) {
            Err(AggregationError::Input(InputError::Read(error))) => {
                assert_eq!(error.to_string(), "the disk is gone")
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
