//! Counts the text of a file block by block.

use common::file_statistics::Encoding;
use text_statistics::{Counts, Partial};

use super::content::Form;
use super::utf16::{ByteOrder, Decoder};

/// The counts of a file so far.
#[derive(Debug)]
pub(super) enum Counter {
    Text(Partial),
    Utf16(Decoder, Partial),
    Binary,
}

impl Counter {
    pub(super) fn new(form: Form) -> Self {
        let utf16 = |order| Self::Utf16(Decoder::new(order), Partial::default());
        match form {
            Form::Text => Self::Text(Partial::default()),
            Form::Utf16Le => utf16(ByteOrder::Little),
            Form::Utf16Be => utf16(ByteOrder::Big),
            Form::Binary => Self::Binary,
        }
    }

    pub(super) fn add(&mut self, block: &[u8]) {
        match self {
            Self::Text(counted) => *counted = counted.then(&Partial::of(block)),
            Self::Utf16(decoder, counted) => {
                *counted = counted.then(&Partial::of(decoder.decode(block).as_bytes()));
            }
            Self::Binary => {}
        }
    }

    /// The encoding, and the counts if the file is text.
    pub(super) fn finish(self) -> (Encoding, Option<Counts>) {
        match self {
            Self::Text(counted) => {
                let counts = counted.finish();
                let encoding = match counts.invalid {
                    0 => Encoding::Utf8,
                    _ => Encoding::Unknown8Bit,
                };
                (encoding, Some(counts))
            }
            Self::Utf16(decoder, counted) => {
                let encoding = match decoder.order() {
                    ByteOrder::Little => Encoding::Utf16Le,
                    ByteOrder::Big => Encoding::Utf16Be,
                };
                let rest = Partial::of(decoder.finish().as_bytes());
                (encoding, Some(counted.then(&rest).finish()))
            }
            Self::Binary => (Encoding::Binary, None),
        }
    }
}
