//! Files of plays with their correct sums, computed in the simplest way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream;
use rand::RngExt;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};

pub const HEADER: &str = "Song,Date,Number of Plays\n";

/// The specification's own sample.
pub const SAMPLE: &str = "\
Song,Date,Number of Plays
Umbrella,2020-01-02,200
Umbrella,2020-01-01,100
In The End,2020-01-01,500
Umbrella,2020-01-01,50
In The End,2020-01-01,1000
Umbrella,2020-01-02,50
In The End,2020-01-02,500
";

/// Its result.
pub const SAMPLE_SUMS: &str = "\
Song,Date,Number of Plays
In The End,2020-01-01,1500
In The End,2020-01-02,500
Umbrella,2020-01-01,150
Umbrella,2020-01-02,250
";

/// Titles that need quotes, are not ASCII or sort by bytes only.
const TITLES: [&str; 8] =
    ["Umbrella", "In The End", "umbrella", "Hello, Goodbye", "\"Heroes\"", "Für Elise", "99", "愛"];

/// A header and rows, the rows repeated so that a long file needs little memory here.
#[derive(Debug, Clone)]
pub struct Plays {
    rows: Bytes,
    times: u32,
    sums: BTreeMap<(String, String), i64>,
}

impl Plays {
    /// `rows` random rows, `times` over.
    pub fn random(random: &mut StdRng, rows: u32, times: u32) -> Self {
        let mut text = String::new();
        let mut sums = BTreeMap::new();
        for _ in 0..rows {
            let title = TITLES[random.random_range(0..TITLES.len())];
            let song = format!("{title} {}", random.random_range(0..1 + rows / 4));
            let date = format!("2020-02-{:02}", random.random_range(1..=29));
            let plays = random.random_range(-5..1_000_000_i64);
            text += &format!("{},{date},{plays}\n", field(&song));
            *sums.entry((song, date)).or_insert(0) += plays * i64::from(times);
        }
        Self { rows: text.into(), times, sums }
    }

    /// The file as the body of a request.
    pub fn body(&self) -> reqwest::Body {
        let header = Bytes::from_static(HEADER.as_bytes());
        let rows = (0..self.times).map({
            let rows = self.rows.clone();
            move |_| rows.clone()
        });
        let parts = std::iter::once(header).chain(rows).map(Ok::<_, std::io::Error>);
        reqwest::Body::wrap_stream(stream::iter(parts))
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        let mut file = File::create(path).unwrap();
        file.write_all(HEADER.as_bytes()).unwrap();
        for _ in 0..self.times {
            file.write_all(&self.rows).unwrap();
        }
    }

    /// The digest of the file, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new_with_prefix(HEADER);
        for _ in 0..self.times {
            hash.update(&self.rows);
        }
        hex::encode(hash.finalize())
    }

    /// The correct result.
    pub fn sums(&self) -> Bytes {
        let mut text = HEADER.to_owned();
        // Strings compare by their bytes.
        for ((song, date), plays) in &self.sums {
            text += &format!("{},{date},{plays}\n", field(song));
        }
        text.into()
    }
}

/// A CSV field, quoted only if necessary.
fn field(value: &str) -> String {
    match value.contains([',', '"']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.to_owned(),
    }
}
