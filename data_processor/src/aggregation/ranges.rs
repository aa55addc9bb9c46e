//! Cuts all keys into ranges that threads can merge each for itself.

use super::AggregationError;
use super::merge::{Memory, Merged, Range, Source};
use super::runs::MARK_EVERY;
use super::worker::Found;

/// Ranges in their order, which together are all keys. To each belong about `size` bytes of memory or
/// file.
pub(super) fn cut(found: &[Found], size: u64) -> Vec<Range> {
    // Keys that stand for all: about so much lies between one and the next of the same source.
    let mut keys: Vec<(&[u8], u64)> = Vec::new();
    for found in found {
        keys.extend(found.runs.marks().map(|key| (key, MARK_EVERY)));
        let count = found.order.keys.len();
        let each = (found.groups.memory() / count.max(1) as u64).max(1);
        let step = (size / 16 / each).max(1);
        let some = found.order.keys.iter().step_by(step as usize);
        keys.extend(some.map(|number| (found.groups.keys.key(*number as usize), step * each)));
    }
    keys.sort_unstable();
    let mut ranges = vec![Range::default()];
    let mut gathered = 0;
    for (key, weight) in keys {
        if gathered >= size {
            gathered = 0;
            if let Some(last) = ranges.last_mut() {
                last.to = Some(key.to_vec());
            }
            ranges.push(Range { from: Some(key.to_vec()), to: None });
        }
        gathered += weight;
    }
    ranges
}

/// The groups of a range, each key once.
pub(super) fn merged<'a>(
    found: &'a [Found],
    range: &'a Range,
) -> Result<Merged<'a>, AggregationError> {
    let mut sources = Vec::new();
    for found in found {
        sources.extend(found.runs.sources(range).map_err(AggregationError::spill)?);
        let memory: Box<dyn Source + 'a> = Box::new(Memory::of(&found.groups, &found.order, range));
        sources.push(memory);
    }
    Merged::new(sources).map_err(AggregationError::spill)
}
