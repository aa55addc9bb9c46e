//! Merges sorted groups from several places.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;

use super::group::Group;
use super::groups::{Groups, Order};

/// As many groups of those in memory are looked at before they are read.
const TOUCHED: usize = 64;

/// Groups in order.
pub(super) trait Source: Send {
    /// Writes the next group to `group`; false where there is none.
    fn next(&mut self, group: &mut Group) -> io::Result<bool>;
}

/// A part of all keys: those from the first one on and before the second one, where there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Option<Vec<u8>>,
    pub(super) to: Option<Vec<u8>>,
}

/// Groups in memory.
pub(super) struct Memory<'a> {
    groups: &'a Groups,
    /// The numbers of the keys that are still to come.
    rest: &'a [u32],
    order: &'a Order,
    seen: usize,
    scratch: Vec<(u32, u32)>,
}

impl<'a> Memory<'a> {
    pub(super) fn new(groups: &'a Groups, order: &'a Order) -> Self {
        Self { groups, rest: &order.keys, order, seen: 0, scratch: Vec::new() }
    }

    /// Those of `range` only.
    pub(super) fn of(groups: &'a Groups, order: &'a Order, range: &Range) -> Self {
        let before = |key: &Vec<u8>| {
            order.keys.partition_point(|number| groups.keys.key(*number as usize) < &**key)
        };
        let start = range.from.as_ref().map_or(0, before);
        let end = range.to.as_ref().map_or(order.keys.len(), before);
        Self { rest: &order.keys[start..end], ..Self::new(groups, order) }
    }
}

impl Source for Memory<'_> {
    fn next(&mut self, group: &mut Group) -> io::Result<bool> {
        let Some((key, rest)) = self.rest.split_first() else { return Ok(false) };
        if self.seen.is_multiple_of(TOUCHED) {
            self.groups.touch(&self.rest[..TOUCHED.min(self.rest.len())]);
        }
        self.groups.read(*key as usize, self.order, group, &mut self.scratch);
        self.rest = rest;
        self.seen += 1;
        Ok(true)
    }
}

/// The groups of several sources, each key once.
pub(super) struct Merged<'a> {
    heads: BinaryHeap<Reverse<Head<'a>>>,
    scratch: Group,
}

impl<'a> Merged<'a> {
    pub(super) fn new(sources: Vec<Box<dyn Source + 'a>>) -> io::Result<Self> {
        let mut heads = BinaryHeap::with_capacity(sources.len());
        for mut source in sources {
            let mut group = Group::default();
            if source.next(&mut group)? {
                heads.push(Reverse(Head { group, source }));
            }
        }
        Ok(Self { heads, scratch: Group::default() })
    }
}

impl Source for Merged<'_> {
    fn next(&mut self, group: &mut Group) -> io::Result<bool> {
        let Some(head) = self.heads.peek_mut() else { return Ok(false) };
        take(head, group)?;
        while let Some(mut head) = self.heads.peek_mut()
            && head.0.group.key == group.key
        {
            group.merge(&head.0.group, &mut self.scratch);
            // Not a `take`: what is in the head was added.
            let Head { group: next, source } = &mut head.0;
            if !source.next(next)? {
                PeekMut::pop(head);
            }
        }
        Ok(true)
    }
}

/// Moves the first group of a head to `group` and the next one to the head, if there is one.
fn take(mut head: PeekMut<'_, Reverse<Head<'_>>>, group: &mut Group) -> io::Result<()> {
    let Head { group: first, source } = &mut head.0;
    std::mem::swap(group, first);
    if !source.next(first)? {
        PeekMut::pop(head);
    }
    Ok(())
}

/// A source and its next group.
struct Head<'a> {
    group: Group,
    source: Box<dyn Source + 'a>,
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.group.key.cmp(&other.group.key)
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}
