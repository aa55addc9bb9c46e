//! The encoding of a file: marked by a byte order mark, or given. Text in other encodings than UTF-8
//! is converted while it is read, so that all that follows sees UTF-8.

use std::io::{self, Cursor, Read};

use encoding_rs::{Decoder, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::start::{BOM, START_BYTES};

/// The size of a read of bytes to be converted.
const BLOCK: usize = 64 << 10;

/// How characters are stored as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// UTF-8, and so ASCII.
    #[default]
    Utf8,
    /// The encoding of spreadsheets in Western Europe and America; a superset of ISO 8859-1. Any
    /// byte is a character.
    Windows1252,
    /// UTF-16 in either byte order. What is not a character becomes U+FFFD.
    Utf16,
}

/// The text of a file in UTF-8.
pub struct Text<R> {
    /// The first bytes of the file, which were read to determine the encoding, and the rest.
    input: io::Chain<Cursor<Vec<u8>>, R>,
    encoding: Encoding,
    /// `None` for UTF-8, which is passed on unchecked and with its byte order mark.
    conversion: Option<Conversion>,
}

struct Conversion {
    decoder: Decoder,
    bytes: Vec<u8>,
    /// `text[at..]` was converted and is not returned yet.
    text: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Text<R> {
    /// Reads the first bytes of a file. A byte order mark decides on the encoding, or else `given`.
    ///
    /// # Errors
    /// Reading failed.
    pub fn open(mut input: R, given: Option<Encoding>) -> io::Result<Self> {
        let mut start = Vec::with_capacity(START_BYTES);
        (&mut input).take(START_BYTES as u64).read_to_end(&mut start)?;
        let marked = match &*start {
            start if start.starts_with(BOM) => Some(Encoding::Utf8),
            // The mark of UTF-32 starts like that of UTF-16.
            [0xFF, 0xFE, 0, 0, ..] => None,
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(Encoding::Utf16),
            _ => None,
        };
        let encoding = marked.or(given).unwrap_or_default();
        let decoder = match encoding {
            Encoding::Utf8 => None,
            Encoding::Windows1252 => Some(WINDOWS_1252.new_decoder_without_bom_handling()),
            Encoding::Utf16 if is_big_endian(&start) => {
                Some(UTF_16BE.new_decoder_with_bom_removal())
            }
            Encoding::Utf16 => Some(UTF_16LE.new_decoder_with_bom_removal()),
        };
        let conversion = decoder.map(|decoder| {
            let (bytes, text) = (vec![0; BLOCK], Vec::new());
            Conversion { decoder, bytes, text, at: 0, ended: false }
        });
        Ok(Self { input: Cursor::new(start).chain(input), encoding, conversion })
    }

    /// The encoding of the file.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }
}

/// Whether UTF-16 that starts like this has the higher byte first: as its mark says, or as ASCII in
/// it shows.
fn is_big_endian(start: &[u8]) -> bool {
    if let [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] = start {
        return start[0] == 0xFE;
    }
    let nuls = |skip| start.iter().skip(skip).step_by(2).filter(|byte| **byte == 0).count();
    nuls(0) > nuls(1)
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(conversion) = &mut self.conversion else { return self.input.read(buffer) };
        while conversion.at == conversion.text.len() && !conversion.ended {
            let length = loop {
                match self.input.read(&mut conversion.bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read?,
                }
            };
            conversion.convert(length);
        }
        let mut rest = &conversion.text[conversion.at..];
        let length = rest.read(buffer)?;
        conversion.at += length;
        Ok(length)
    }
}

impl Conversion {
    /// Converts the first `length` bytes; none at the end of the file.
    fn convert(&mut self, length: usize) {
        self.ended = length == 0;
        // The length fits a `usize` by far: a block is small.
        let most = self.decoder.max_utf8_buffer_length(length).unwrap_or(usize::MAX);
        self.text.resize(most, 0);
        let (_, _, written, _) =
            self.decoder.decode_to_utf8(&self.bytes[..length], &mut self.text, self.ended);
        self.text.truncate(written);
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns one byte at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    fn read(bytes: &[u8], given: Option<Encoding>) -> (String, Encoding) {
        let read = |mut text: Text<Box<dyn Read + '_>>| {
            let mut converted = String::new();
            text.read_to_string(&mut converted).unwrap();
            (converted, text.encoding())
        };
        let whole = read(Text::open(Box::new(bytes) as Box<dyn Read>, given).unwrap());
        let trickled = read(Text::open(Box::new(Trickle(bytes)) as Box<dyn Read>, given).unwrap());
        assert_eq!(whole, trickled);
        whole
    }

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn a_byte_order_mark_decides() {
        let text = "Größe;東京;😀\r\n".repeat(1_000);
        let marked = format!("\u{FEFF}{text}");
        for given in [None, Some(Encoding::Windows1252), Some(Encoding::Utf8)] {
            assert_eq!(read(marked.as_bytes(), given), (marked.clone(), Encoding::Utf8));
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(read(&utf16(&marked, order), given), (text.clone(), Encoding::Utf16));
            }
        }
    }

    #[test]
    fn the_given_encoding_counts_without_a_mark() {
        let (text, encoding) = read(b"Gr\xF6\xDFe;\x80\x81", Some(Encoding::Windows1252));
        assert_eq!((&*text, encoding), ("Größe;€\u{81}", Encoding::Windows1252));
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let text = read(&utf16("Song;Größe", order), Some(Encoding::Utf16)).0;
            assert_eq!(text, "Song;Größe");
        }
        assert_eq!(read("Größe".as_bytes(), None), ("Größe".to_owned(), Encoding::Utf8));
        assert_eq!(read(b"", Some(Encoding::Utf16)).0, "");
    }

    #[test]
    fn utf_8_is_passed_on_unchanged() {
        let mut bytes = Vec::new();
        let input = b"\xEF\xBB\xBFcaf\xE9".repeat(1_000);
        Text::open(&*input, None).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, input);
    }
}
