//! Converts UTF-16 to UTF-8, block by block.

/// Which byte of a code unit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// Decodes UTF-16 whose blocks may be split anywhere. Invalid sequences become U+FFFD.
#[derive(Debug)]
pub(super) struct Decoder {
    order: ByteOrder,
    /// The first byte of an incomplete code unit.
    byte: Option<u8>,
    /// A high surrogate whose low surrogate has not been read yet.
    high: Option<u16>,
}

impl Decoder {
    pub(super) fn new(order: ByteOrder) -> Self {
        Self { order, byte: None, high: None }
    }

    pub(super) fn order(&self) -> ByteOrder {
        self.order
    }

    pub(super) fn decode(&mut self, block: &[u8]) -> String {
        let bytes: Vec<u8> = self.byte.take().into_iter().chain(block.iter().copied()).collect();
        let (pairs, rest) = bytes.as_chunks::<2>();
        self.byte = rest.first().copied();
        let unit = |pair: &[u8; 2]| match self.order {
            ByteOrder::Little => u16::from_le_bytes(*pair),
            ByteOrder::Big => u16::from_be_bytes(*pair),
        };
        let mut units: Vec<u16> =
            self.high.take().into_iter().chain(pairs.iter().map(unit)).collect();
        self.high = units.pop_if(|unit| matches!(unit, 0xD800..=0xDBFF));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }

    /// A replacement character for each part that is incomplete at the end of the file.
    pub(super) fn finish(self) -> String {
        let missing = usize::from(self.high.is_some()) + usize::from(self.byte.is_some());
        String::from(char::REPLACEMENT_CHARACTER).repeat(missing)
    }
}
