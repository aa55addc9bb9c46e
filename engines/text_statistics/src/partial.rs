//! Counts of parts of a text, to be merged in order.

use std::str;

use crate::kernel::{self, Tally};

/// The counts of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// `\n` bytes.
    pub lines: u64,
    /// Maximal runs of characters that are not white space.
    pub words: u64,
    /// Unicode scalar values and invalid sequences.
    pub characters: u64,
    /// The characters that are invalid sequences, that is, not UTF-8.
    pub invalid: u64,
}

/// How many bytes are processed at a time. They stay in the processor's cache between the passes.
const BLOCK: usize = 16 << 10;
/// The maximum number of bytes that follow the first byte of a character.
const MAX_CONTINUATION: usize = 3;

/// The counts of a part of a text. A text may be split anywhere, even inside a character, and its
/// parts counted on any thread; [`then`](Self::then) merges the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partial {
    /// The first bytes, if they may belong to a character that starts in the previous part.
    head: Edge,
    /// The rest; `None` if all bytes are in the head.
    body: Option<Body>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Body {
    counted: Counted,
    /// The last bytes, if they are the start of a character that may continue in the next part.
    tail: Edge,
}

impl Partial {
    /// Counts a part of a text.
    #[must_use]
    pub fn of(part: &[u8]) -> Self {
        let is_continuation = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
        let head = part.iter().take(MAX_CONTINUATION).take_while(is_continuation).count();
        let (head, rest) = part.split_at(head);
        let body = (!rest.is_empty()).then(|| Body::of(rest));
        Self { head: Edge::of(head), body }
    }

    /// The counts of this part and the `next` one together.
    #[must_use]
    pub fn then(self, next: &Self) -> Self {
        match self.body {
            None => Self::headed(self.head.followed_by(next.head).bytes(), next.body),
            Some(body) => Self { head: self.head, body: Some(body.then(next)) },
        }
    }

    /// A part that starts with the bytes of `head`, all of which are continuation bytes.
    fn headed(head: &[u8], body: Option<Body>) -> Self {
        let (head, rest) = head.split_at(head.len().min(MAX_CONTINUATION));
        let body = match (rest.is_empty(), body) {
            (true, body) => body,
            // More continuation bytes than a character can have.
            (false, None) => Some(Body::of(rest)),
            (false, Some(body)) => {
                Some(Body { counted: Counted::of(rest).then(body.counted), ..body })
            }
        };
        Self { head: Edge::of(head), body }
    }

    /// The counts of a text that is complete.
    #[must_use]
    pub fn finish(self) -> Counts {
        let head = Counted::of(self.head.bytes());
        let counted = match self.body {
            None => head,
            Some(body) => head.then(body.counted).then(Counted::of(body.tail.bytes())),
        };
        let Tally { lines, words, characters, .. } = counted.tally;
        Counts { lines, words, characters, invalid: counted.invalid }
    }
}

impl Body {
    /// Counts bytes that start at a character boundary.
    fn of(bytes: &[u8]) -> Self {
        let (whole, tail) = bytes.split_at(bytes.len() - unfinished(bytes));
        Self { counted: Counted::of(whole), tail: Edge::of(tail) }
    }

    fn then(self, next: &Partial) -> Self {
        let between = self.tail.followed_by(next.head);
        match next.body {
            // The body of `next` starts at a character boundary, so the bytes between are complete.
            Some(body) => {
                let between = Counted::of(between.bytes());
                let counted = self.counted.then(between).then(body.counted);
                Self { counted, tail: body.tail }
            }
            None => {
                let between = Self::of(between.bytes());
                Self { counted: self.counted.then(between.counted), tail: between.tail }
            }
        }
    }
}

/// The number of bytes at the end that are an incomplete character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(MAX_CONTINUATION)..];
    let start = last.iter().rposition(|byte| *byte >= 0b1100_0000);
    start.map_or(0, |start| match str::from_utf8(&last[start..]) {
        Err(error) if error.error_len().is_none() => last.len() - start,
        _ => 0,
    })
}

/// A few bytes at the start or end of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Edge {
    bytes: [u8; 2 * MAX_CONTINUATION],
    length: usize,
}

impl Edge {
    fn of(bytes: &[u8]) -> Self {
        let mut edge = Self::default();
        edge.bytes[..bytes.len()].copy_from_slice(bytes);
        edge.length = bytes.len();
        edge
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Concatenates two edges, each of at most [`MAX_CONTINUATION`] bytes.
    fn followed_by(mut self, next: Self) -> Self {
        let length = self.length + next.length;
        self.bytes[self.length..length].copy_from_slice(next.bytes());
        self.length = length;
        self
    }
}

/// The counts of complete characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counted {
    tally: Tally,
    invalid: u64,
}

impl Counted {
    fn of(bytes: &[u8]) -> Self {
        let mut counted = Self::default();
        let mut left = bytes;
        while !left.is_empty() {
            let block = &left[..left.len().min(BLOCK)];
            // An incomplete character at the end of a block is moved to the next one.
            let whole = if block.len() < left.len() {
                block.len() - unfinished(block)
            } else {
                block.len()
            };
            counted = counted.then(Self::of_block(&block[..whole]));
            left = &left[whole..];
        }
        counted
    }

    fn of_block(block: &[u8]) -> Self {
        if block.is_ascii() {
            Self { tally: kernel::ascii(block), invalid: 0 }
        } else if let Ok(text) = simdutf8::basic::from_utf8(block) {
            Self { tally: kernel::utf8(text), invalid: 0 }
        } else {
            block.utf8_chunks().fold(Self::default(), |counted, chunk| {
                let valid = Self { tally: kernel::utf8(chunk.valid()), invalid: 0 };
                let counted = counted.then(valid);
                if chunk.invalid().is_empty() { counted } else { counted.then(Self::INVALID) }
            })
        }
    }

    /// One invalid sequence.
    const INVALID: Self = Self {
        tally: Tally {
            lines: 0,
            words: 1,
            characters: 1,
            starts_in_word: true,
            ends_in_word: true,
        },
        invalid: 1,
    };

    fn then(self, next: Self) -> Self {
        if self.tally.characters == 0 {
            return next;
        }
        if next.tally.characters == 0 {
            return self;
        }
        let is_one_word = self.tally.ends_in_word && next.tally.starts_in_word;
        let tally = Tally {
            lines: self.tally.lines + next.tally.lines,
            words: self.tally.words + next.tally.words - u64::from(is_one_word),
            characters: self.tally.characters + next.tally.characters,
            starts_in_word: self.tally.starts_in_word,
            ends_in_word: next.tally.ends_in_word,
        };
        Self { tally, invalid: self.invalid + next.invalid }
    }
}
