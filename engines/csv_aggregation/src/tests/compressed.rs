//! Input that is compressed.

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

type Packer = fn(&[u8]) -> Vec<u8>;

const PACKERS: [(&str, Packer); 2] = [("gzip", gzip), ("zstd", zstd)];

/// Several blocks of rows.
fn large() -> String {
    let rows = (0..60_000).map(|row| format!("song {},2020-01-01,{}\n", row % 1000, row * 7919));
    SAMPLE.to_owned() + &rows.collect::<String>()
}

#[test]
fn what_is_compressed_gives_the_same_result() {
    for text in [SAMPLE.to_owned(), large()] {
        let expected = run(text.as_bytes(), &options(&[])).unwrap();
        for (name, pack) in PACKERS {
            assert_eq!(run(&*pack(text.as_bytes()), &options(&[])).unwrap(), expected, "{name}");
            // As `cat a.gz b.gz` makes it.
            let (one, other) = text.as_bytes().split_at(text.len() / 3);
            let parts = [pack(one), pack(other)].concat();
            assert_eq!(run(&*parts, &options(&[])).unwrap(), expected, "{name} in two parts");
        }
    }
}

#[test]
fn bad_rows_are_named_by_their_lines_in_the_text() {
    let text = SAMPLE.to_owned() + "Umbrella,2020-02-30,1\n";
    for (name, pack) in PACKERS {
        let AggregationError::BadRows(rows) = error(pack(text.as_bytes())) else {
            panic!("{name}")
        };
        assert_eq!((rows.count, rows.first[0].line), (1, 9), "{name}");
    }
}

#[test]
fn what_is_damaged_or_cut_off_is_an_error() {
    for (name, pack) in PACKERS {
        let good = pack(large().as_bytes());
        let cut = [1, 2, 20, good.len() / 2, good.len() - 5].map(|less| &good[..good.len() - less]);
        for bytes in cut {
            let (found, detail) = named_error(bytes);
            assert_eq!(found, "unpack", "{name}: {detail}");
            assert!(detail.contains(name) && detail.contains("damaged or incomplete"), "{detail}");
        }
        let mut damaged = good.clone();
        damaged[good.len() / 2..][..64].fill(0xA5);
        assert_eq!(kind(&error(&damaged)), "unpack", "{name}");
    }
}

#[test]
fn the_text_must_be_csv_too() {
    for (_, pack) in PACKERS {
        assert_eq!(kind(&error(pack(b""))), "empty file");
        assert_eq!(kind(&error(pack(b"PK\x03\x04\x14\0\0\0"))), "not CSV");
        // Once is enough: who packs twice does not mean to.
        assert_eq!(kind(&error(pack(&pack(SAMPLE.as_bytes())))), "not CSV");
    }
}

#[test]
fn no_more_is_unpacked_than_allowed() {
    let text = large();
    for (name, pack) in PACKERS {
        let packed = pack(text.as_bytes());
        let mut options = options(&[]);
        options.unpacked_limit = text.len() as u64;
        assert!(run(&*packed, &options).is_ok(), "{name}");
        options.unpacked_limit -= 1;
        let error = run(&*packed, &options).unwrap_err();
        assert_eq!(kind(&error), "unpacked too large", "{name}");
        assert!(error.to_string().contains("MiB"), "{error}");
    }
}

/// Hears how far the work is, and ends it beyond so many bytes.
struct EndAt {
    bytes: u64,
    heard: Mutex<u64>,
}

impl Control for EndAt {
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted> {
        *self.heard.lock().unwrap() = bytes_read;
        if bytes_read > self.bytes { Err(Interrupted) } else { Ok(()) }
    }
}

#[test]
fn progress_is_that_of_the_file_as_it_is() {
    for (name, pack) in PACKERS {
        let packed = pack(large().as_bytes());
        let control = EndAt { bytes: u64::MAX, heard: Mutex::default() };
        aggregate(&*packed, &options(&[]), &mut Memory::default(), &control).unwrap();
        assert_eq!(control.heard.into_inner().unwrap(), packed.len() as u64, "{name}");
    }
}

#[test]
fn an_interrupt_ends_the_unpacking() {
    for (name, pack) in PACKERS {
        let packed = pack(large().as_bytes());
        for bytes in [0, packed.len() as u64 / 2] {
            let control = EndAt { bytes, heard: Mutex::default() };
            let done = aggregate(&*packed, &options(&[]), &mut Memory::default(), &control);
            assert!(matches!(done, Err(AggregationError::Interrupted(_))), "{name}: {done:?}");
        }
    }
}

#[test]
fn an_input_that_breaks_off_is_not_taken_for_a_damaged_one() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    for (name, pack) in PACKERS {
        let packed = pack(large().as_bytes());
        let input = packed[..packed.len() / 2].chain(Broken);
        match run(input, &options(&[])) {
            Err(AggregationError::Input(InputError::Read(error))) => {
                assert_eq!(error.to_string(), "the disk is gone")
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
