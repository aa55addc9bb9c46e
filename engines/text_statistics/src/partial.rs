//! Counts of parts of a text, which are merged in order.

use std::str;

use crate::kernel::{self, Tally};

/// What a text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// `\n` bytes.
    pub lines: u64,
    /// Longest runs of characters that are not white space.
    pub words: u64,
    /// Unicode scalar values, and sequences that are none.
    pub characters: u64,
    /// Those of the characters that are sequences of bytes that are not UTF-8.
    pub invalid: u64,
}

/// How much is looked at in one go: it stays in the processor's cache until it is counted.
const BLOCK: usize = 16 << 10;
/// No character has more bytes behind its first one.
const MAX_CONTINUATION: usize = 3;

/// The counts of a part of a text. Parts may be cut anywhere, also inside a character, and be
/// counted anywhere; [`then`](Self::then) puts them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partial {
    /// The first bytes, which may belong to a character that begins in the part before.
    head: Edge,
    /// The rest; none where all bytes are in the head.
    body: Option<Body>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Body {
    counted: Counted,
    /// The last bytes, which begin a character that may go on in the next part.
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

    /// A part that begins with these bytes, which begin no character.
    fn headed(head: &[u8], body: Option<Body>) -> Self {
        let (head, rest) = head.split_at(head.len().min(MAX_CONTINUATION));
        let body = match (rest.is_empty(), body) {
            (true, body) => body,
            // More of them than any character has.
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
    /// Of bytes that no earlier ones belong to.
    fn of(bytes: &[u8]) -> Self {
        let (whole, tail) = bytes.split_at(bytes.len() - unfinished(bytes));
        Self { counted: Counted::of(whole), tail: Edge::of(tail) }
    }

    fn then(self, next: &Partial) -> Self {
        let between = self.tail.followed_by(next.head);
        match next.body {
            // What comes next begins a character, or the character between has all its bytes.
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

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(MAX_CONTINUATION)..];
    let start = last.iter().rposition(|byte| *byte >= 0b1100_0000);
    start.map_or(0, |start| match str::from_utf8(&last[start..]) {
        Err(error) if error.error_len().is_none() => last.len() - start,
        _ => 0,
    })
}

/// A few bytes at a border.
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

    /// Both together; each has half of the room at most.
    fn followed_by(mut self, next: Self) -> Self {
        let length = self.length + next.length;
        self.bytes[self.length..length].copy_from_slice(next.bytes());
        self.length = length;
        self
    }
}

/// The counts of whole characters.
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
            // A character at the border goes into the next block.
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

    /// One sequence that is not UTF-8.
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
