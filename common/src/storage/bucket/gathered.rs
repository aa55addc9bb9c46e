//! Bytes that are gathered for a part.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;

/// Smaller pieces are copied together, so that their number stays small.
const SMALL: usize = 4 << 10;
const TOGETHER: usize = 64 << 10;

/// Bytes in pieces, without copying the larger ones.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pieces: VecDeque<Bytes>,
    /// Small pieces after those.
    together: BytesMut,
    size: u64,
}

impl Gathered {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.size += bytes.len() as u64;
        if bytes.len() < SMALL {
            self.together.extend_from_slice(&bytes);
            if self.together.len() >= TOGETHER {
                self.close_together();
            }
        } else {
            self.close_together();
            self.pieces.push_back(bytes);
        }
    }

    fn close_together(&mut self) {
        if !self.together.is_empty() {
            self.pieces.push_back(self.together.split().freeze());
        }
    }

    /// Takes the first bytes, at most `limit`.
    pub(super) fn take(&mut self, limit: u64) -> PutPayload {
        self.close_together();
        let mut taken = Vec::new();
        let mut left = limit.min(self.size);
        self.size -= left;
        while left > 0 {
            let Some(mut piece) = self.pieces.pop_front() else { break };
            if piece.len() as u64 > left {
                // Fits: it is less than the length of the piece.
                let first = piece.split_to(usize::try_from(left).unwrap_or(usize::MAX));
                self.pieces.push_front(piece);
                piece = first;
            }
            left -= piece.len() as u64;
            taken.push(piece);
        }
        taken.into_iter().collect()
    }

    /// A copy of all bytes; the large pieces are shared.
    pub(super) fn payload(&mut self) -> PutPayload {
        self.close_together();
        self.pieces.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(payload: &PutPayload) -> Vec<u8> {
        payload.iter().flat_map(|piece| piece.to_vec()).collect()
    }

    #[test]
    fn bytes_are_taken_in_order_and_in_any_size() {
        let all: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let mut gathered = Gathered::default();
        let mut start = 0;
        for length in [1, 4095, 4096, 70_000, 2, 100_000, 3, 121_803].into_iter().cycle() {
            let end = (start + length).min(all.len());
            gathered.push(Bytes::copy_from_slice(&all[start..end]));
            start = end;
            if start == all.len() {
                break;
            }
        }
        assert_eq!(gathered.size(), 300_000);
        assert_eq!(content(&gathered.payload()), all);
        let mut taken = Vec::new();
        for limit in [0, 1, 5000, 100_000, 1_000_000] {
            taken.extend(content(&gathered.take(limit)));
        }
        assert!(taken == all && gathered.size() == 0);
    }

    #[test]
    fn tiny_pieces_are_few_in_the_end() {
        let mut gathered = Gathered::default();
        for _ in 0..200_000 {
            gathered.push(Bytes::from_static(b"x"));
        }
        assert!(gathered.payload().iter().count() <= 4);
    }
}
