//! Differential tests: the engine against the plain one, on irregular files and with any sizes and
//! limits.

use csv_input::RowError;
use proptest::prelude::*;

use super::*;
use crate::collect::reports::ReorderLimits;
use crate::run::{Sizes, aggregate_in_chunks};
use crate::spill::run_index::IndexLimits;

/// Pieces of files: valid and invalid rows, and fragments that make rows irregular.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let rows = proptest::sample::select(vec![
        "a,2020-01-01,1,\n",
        "b,2020-01-02,-20,note\r\n",
        "a,2020-01-03,300,\"quoted, note\"\n",
        "\"a\",\"2020-01-01\",\"4\",\"\"\n",
        "\"say \"\"hey\"\"\",2021-12-31,5,\n",
        "\"two\nlines\",2020-02-29,123456789,\n",
        "\"three\r\n\r\nlines\",2020-02-29,7,x\r\n",
        "long long long long long long long long song,2020-01-01,1,\n",
        "a,2020-01-01,9223372036854775807,\n",
        "a,2020-01-01,-9223372036854775808,\n",
        "a,2020-01-04,-9223372036854775808,\n",
        "c\0\u{1},2020-01-01,000000000000000000001,\n",
        "é東,2020-01-01,12345678,ä\n",
        ",0001-01-01,99999999,\n",
        "a,9999-12-31,0,\n",
    ]);
    let bad = proptest::sample::select(vec![
        "a,2020-02-30,1,\n",
        "a,2020-13-01,1,\n",
        "a,2020-01-01,,\n",
        "a,2020-01-01,1.5,\n",
        "a,2020-01-01,9223372036854775808,\n",
        "a,2020-01-01,-,\n",
        "a,2020-01-01,+5,\n",
        "a,2020-01-01,5\n",
        "a,2020-01-01,5,,\n",
        "\"\"\n",
        ",,,\n",
        ",\n",
    ]);
    let broken = proptest::sample::select(vec![
        &b"\n"[..],
        b"\r",
        b"\r\n",
        b"\n\n\n",
        b"\"",
        b"\"\"",
        b",",
        b"x\"y",
        b"\"x\"y\"",
        b"\"x\"y,",
        b"\xC3",
        b"\xA9",
        b"caf\xE9,2020-01-01,1,\n",
        b"a,2020-01-01,1,\xE6\x9D\n",
        b"a,2020-01-01,1,\r",
        b"\xEF\xBB\xBF",
        b"12\" single,2020-01-01,3,\n",
        b"\"a\"b,2020-01-01,3,\n",
        b" \"a\",2020-01-01,3,\n",
        b"a",
        b"2020-01-01",
        b"a,2020-01-01,1,\"open\n",
        b"\r\r\n",
        b",2020-01-01,1,",
        b"# a \"comment\", it seems\n",
        b"#",
        b"\"say \\\"hey\\\", \\\\\",2020-01-01,6,\n",
        b"\"\\",
        b"\\",
    ]);
    prop_oneof![
        12 => rows.prop_map(|row| row.as_bytes().to_vec()),
        2 => bad.prop_map(|row| row.as_bytes().to_vec()),
        2 => broken.prop_map(<[u8]>::to_vec),
        1 => (0..400_usize).prop_map(|length| vec![b'x'; length]),
    ]
}

fn valid_pieces() -> impl Strategy<Value = Vec<u8>> {
    let song = prop_oneof![
        "[ab]{0,2}",
        "song number [0-9]{1,4}",
        Just("the same long beginning".to_owned()),
        Just("the same long beginning\0".to_owned()),
        Just("the same long beginning of all".to_owned()),
    ];
    (song, 1..13_u32, 1..29_u32, -1000..1000_i64).prop_map(|(song, month, day, plays)| {
        format!("{song},2020-{month:02}-{day:02},{plays},\n").into_bytes()
    })
}

fn parameters() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    proptest::sample::select(vec![
        vec![],
        vec![],
        vec![("group_by", "Song")],
        vec![("group_by", "Note"), ("group_by", "Song"), ("group_by", "Date")],
        vec![("group_by", "Date"), ("group_by", "Song")],
        vec![("sum", "Note"), ("sum", "Number of Plays")],
        vec![("group_by", "Song"), ("group_by", "Note"), ("total_header", "a, b")],
    ])
}

/// The sizes and limits of the fast engine.
#[derive(Debug, Clone)]
struct Config {
    chunk: usize,
    threads: usize,
    memory: u64,
    range: u64,
    index_limits: IndexLimits,
    max_values: usize,
    reorder: ReorderLimits,
}

fn config() -> impl Strategy<Value = Config> {
    let chunk = prop_oneof![1..20_usize, 20..300_usize, Just(64 << 10)];
    let memory = proptest::sample::select(vec![0, 600, 2_000, 1 << 20]);
    let range = proptest::sample::select(vec![1, 500, 1 << 20]);
    let index_limits = (proptest::sample::select(vec![1, 100, 16 << 10]), 0..3_000_usize);
    let index_limits = index_limits.prop_map(|(every, memory)| IndexLimits { every, memory });
    let max_values = proptest::sample::select(vec![0, 2, 1000]);
    let reorder = proptest::sample::select(vec![(1, 0), (3, 1_000), (1_000, 1 << 20)]);
    let reorder = reorder.prop_map(|(chunks, bytes)| ReorderLimits { chunks, bytes });
    (chunk, 1..5_usize, memory, range, index_limits, max_values, reorder).prop_map(
        |(chunk, threads, memory, range, index_limits, max_values, reorder)| Config {
            chunk,
            threads,
            memory,
            range,
            index_limits,
            max_values,
            reorder,
        },
    )
}

fn fast(input: &[u8], options: &Options, config: &Config) -> Result<Outcome, AggregationError> {
    let options =
        Options { threads: config.threads, memory_limit: config.memory, ..options.clone() };
    let mut outputs = Memory::default();
    let summary = aggregate_in_chunks(
        input,
        &options,
        &mut outputs,
        &Unlimited,
        Sizes {
            chunk: config.chunk,
            min_memory: 0,
            range: config.range,
            index_limits: config.index_limits,
            max_values: config.max_values,
            reorder: config.reorder,
        },
    )?;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let result = text(outputs.result.unwrap());
    Ok(Outcome { summary, result, rejected: outputs.rejected.map(text) })
}

/// Everything that an error reports.
fn details(error: &AggregationError) -> (&'static str, String, Vec<RowError>) {
    let rows = match error {
        AggregationError::BadRows(rows) => rows.first.clone(),
        _ => Vec::new(),
    };
    (kind(error), error.to_string(), rows)
}

fn compare(input: &[u8], options: &Options, config: &Config) -> Result<(), TestCaseError> {
    match (fast(input, options, config), plain::run(input, options)) {
        (Ok(fast), Ok(plain)) => prop_assert_eq!(fast, plain),
        (Err(fast), Err(plain)) => prop_assert_eq!(details(&fast), details(&plain)),
        (fast, plain) => prop_assert!(false, "{fast:?} but {plain:?}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn irregular_files_give_the_same_outcome(
        start in proptest::sample::select(vec!["", "\u{FEFF}", "\n\r\n", "\u{FEFF}\r"]),
        line_end in proptest::sample::select(vec!["\n", "\r\n", "\r"]),
        pieces in proptest::collection::vec(pieces(), 0..40),
        parameters in parameters(),
        skip in any::<bool>(),
        delimiter in proptest::sample::select(vec![",", ",", ";", "\t", "|"]),
        (single, escape, comment) in any::<(bool, bool, bool)>(),
        config in config(),
    ) {
        let header = format!("{start}Song,Date,\"Number of Plays\",Note{line_end}");
        let mut input = [header.into_bytes(), pieces.concat()].concat();
        let commas = input.iter_mut().filter(|byte| **byte == b',');
        commas.for_each(|comma| *comma = delimiter.as_bytes()[0]);
        if single {
            let quotes = input.iter_mut().filter(|byte| **byte == b'"');
            quotes.for_each(|quote| *quote = b'\'');
        }
        let mut parameters = parameters;
        parameters.push(("delimiter", delimiter));
        if skip {
            parameters.push(("on_bad_row", "skip"));
        }
        let mut options = options(&parameters);
        options.dialect.quote = single.then_some(b'\'');
        options.dialect.escape = escape.then_some(b'\\');
        options.dialect.comment = comment.then_some(b'#');
        compare(&input, &options, &config)?;
    }

    #[test]
    fn many_groups_give_the_same_outcome_when_spilled(
        pieces in proptest::collection::vec(valid_pieces(), 0..600),
        parameters in parameters(),
        config in config(),
    ) {
        let header = b"Song,Date,Number of Plays,Note\n".to_vec();
        let input = [header, pieces.concat()].concat();
        let mut parameters = parameters;
        parameters.push(("on_bad_row", "skip"));
        compare(&input, &options(&parameters), &config)?;
    }
}

/// Texts with long common prefixes, some of them longer than the bounds of an index.
fn long_text() -> impl Strategy<Value = String> {
    let start = prop_oneof![0..40_usize, 200..300_usize, 15_000..20_000_usize];
    (start, "[ab\0\u{1},]{0,3}").prop_map(|(length, end)| format!("{}{end}", "x".repeat(length)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn long_keys_give_the_same_outcome_when_spilled(
        texts in proptest::collection::vec(long_text(), 1..20),
        rows in proptest::collection::vec((any::<u32>(), any::<u32>(), 1..13_u32), 0..150),
        parameters in parameters(),
        max_values in proptest::sample::select(vec![2, 1000]),
        index_limits in (0..40_000_u64, 0..3_000_usize),
    ) {
        let mut input = b"Song,Date,Number of Plays,Note\n".to_vec();
        for (song, note, month) in rows {
            let (song, note) = (song as usize % texts.len(), note as usize % texts.len());
            let (song, note) = (&texts[song], &texts[note]);
            let row = format!("\"{song}\",2020-{month:02}-01,{month},\"{note}\"\n");
            input.extend_from_slice(row.as_bytes());
        }
        let mut parameters = parameters;
        parameters.push(("on_bad_row", "skip"));
        let config = Config {
            chunk: 1_000,
            threads: 16,
            memory: 0,
            range: 10_000,
            index_limits: IndexLimits { every: index_limits.0, memory: index_limits.1 },
            max_values,
            reorder: ReorderLimits { chunks: 2, bytes: 10_000 },
        };
        compare(&input, &options(&parameters), &config)?;
    }
}

#[test]
fn closing_the_dictionary_does_not_change_the_outcome() {
    let mut input = b"Song,Date,Number of Plays,Note\n".to_vec();
    for row in 0..3_000_u32 {
        // Few songs, and notes that are spread over all rows, so that every range has both
        // encodings.
        let (song, note) = (row % 3, row * 7919 % 1_009);
        input.extend_from_slice(format!("{song},2020-01-01,{row},n{note}\n").as_bytes());
    }
    let options = options(&[("group_by", "Song"), ("group_by", "Note")]);
    for threads in 1..4 {
        for memory in [0, 20_000, 1 << 20] {
            for range in [1, 2_000, 1 << 20] {
                for every in [1, 100, 16 << 10] {
                    let index_limits = IndexLimits { every, memory: 4 << 10 };
                    let config = Config {
                        chunk: 500,
                        threads,
                        memory,
                        range,
                        index_limits,
                        max_values: 300,
                        reorder: Sizes::REAL.reorder,
                    };
                    compare(&input, &options, &config).unwrap();
                }
            }
        }
    }
}
