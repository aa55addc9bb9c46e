//! Merges runs into fewer ones before they are read range by range.
//!
//! Each range of keys is read from every run, and from each run about one index distance too much.
//! Many processors have many shards and therefore many runs: a range would read many times what it
//! needs, and have a buffer for each run. In that case all runs are merged once, into so few that a
//! range reads at most about twice what it needs.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::AggregationError;
use crate::spill::runs::{MAX_RUNS, Runs};
use crate::watch::Watch;

/// Merges runs until the index distances of all of them add up to at most `max_spacing` bytes, or a
/// single run is left.
pub(crate) fn compact(
    mut all: Vec<Runs>,
    max_spacing: u64,
    threads: usize,
    watch: &Watch<'_>,
) -> Result<Vec<Runs>, AggregationError> {
    loop {
        all.retain(|runs| runs.len() > 0);
        let count: usize = all.iter().map(Runs::len).sum();
        let spacing: u64 = all.iter().map(Runs::spacing).sum();
        if spacing <= max_spacing || count < 2 {
            return Ok(all);
        }
        // The number of runs that would do with the present index distances.
        let target =
            (u128::from(max_spacing) * count as u128 / u128::from(spacing)).max(1) as usize;
        // No more merges than threads, so that each one merges as many runs as it can.
        let fan_in = count.div_ceil(target).max(count / threads.max(1)).clamp(2, MAX_RUNS);
        all = merge(partition(all, fan_in), threads, watch)?;
    }
}

/// Divides `all` into parts of up to `fan_in` runs. An element with more is a part of its own.
fn partition(all: Vec<Runs>, fan_in: usize) -> Vec<Vec<Runs>> {
    let mut parts: Vec<Vec<Runs>> = Vec::new();
    let mut count = 0;
    for runs in all {
        count += runs.len();
        match parts.last_mut() {
            Some(part) if count <= fan_in => part.push(runs),
            _ => {
                count = runs.len();
                parts.push(vec![runs]);
            }
        }
    }
    parts
}

/// Merges each part into one run.
fn merge(
    parts: Vec<Vec<Runs>>,
    threads: usize,
    watch: &Watch<'_>,
) -> Result<Vec<Runs>, AggregationError> {
    let threads = threads.min(watch.threads()).clamp(1, parts.len().max(1));
    let parts = Mutex::new(parts);
    let take = || parts.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> io::Result<Vec<Runs>> {
        let mut all = Vec::new();
        while let Some(mut part) = take() {
            let Some(mut one) = part.pop() else { continue };
            // Dropping `part` after this frees its disk space.
            one.merge(&part, &|| watch.checkpoint())?;
            all.push(one);
        }
        Ok(all)
    };
    let merged: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    let merged: io::Result<Vec<_>> = merged.into_iter().collect();
    Ok(merged.map_err(AggregationError::spill)?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::key_group::KeyGroup;
    use crate::spill::merge::{Source, merged};
    use crate::spill::run_index::IndexLimits;
    use crate::tests::Unlimited;

    /// `count` groups with numbers from `next` on as keys, `step` apart.
    struct Numbers {
        next: u32,
        step: u32,
        count: u32,
    }

    impl Source for Numbers {
        fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
            group.clear();
            group.key.extend_from_slice(format!("{:08}", self.next).as_bytes());
            group.codes.push(0);
            group.sums.push(1);
            self.next += self.step;
            self.count = self.count.wrapping_sub(1);
            Ok(self.count != u32::MAX)
        }
    }

    fn runs(shards: u32, each: u32, groups: u32) -> Vec<Runs> {
        let index_limits = IndexLimits { every: 100, memory: 10_000 };
        let shard = |shard: u32| {
            let mut runs = Runs::new(&std::env::temp_dir(), 1, index_limits);
            for run in 0..each {
                let (next, step) = (shard + run * shards, shards);
                runs.write(&mut Numbers { next, step, count: groups }, &|| Ok(())).unwrap();
            }
            runs
        };
        (0..shards).map(shard).collect()
    }

    fn sums(all: &[Runs]) -> Vec<(Vec<u8>, i128)> {
        let sources = all.iter().flat_map(|runs| runs.sources(None, None).unwrap()).collect();
        let mut merged = merged(sources).unwrap();
        let (mut sums, mut group) = (Vec::new(), KeyGroup::default());
        while merged.next(&mut group).unwrap() {
            sums.push((group.key.clone(), group.sums[0]));
        }
        sums
    }

    fn count(all: &[Runs]) -> usize {
        all.iter().map(Runs::len).sum()
    }

    #[test]
    fn compaction_merges_enough_runs_and_keeps_all_groups() {
        let watch = Watch::new(&Unlimited);
        let expected = sums(&runs(30, 5, 100));
        assert!(expected.iter().any(|(_, sum)| *sum == 5) && expected.len() > 3_000);
        for threads in [1, 2, 16] {
            for max_spacing in [0, 500, 3_000, u64::MAX] {
                let all = runs(30, 5, 100);
                let memory = all.iter().map(Runs::memory).sum::<usize>();
                let all = compact(all, max_spacing, threads, &watch).unwrap();
                let spacing: u64 = all.iter().map(Runs::spacing).sum();
                assert!(spacing <= max_spacing || count(&all) == 1, "{spacing} of {max_spacing}");
                // No more is merged than necessary.
                assert_eq!(count(&all) == 150, max_spacing == u64::MAX);
                assert!(max_spacing < 3_000 || count(&all) > 1);
                assert!(all.iter().map(Runs::memory).sum::<usize>() <= memory);
                assert!(sums(&all) == expected);
            }
        }
    }

    #[test]
    fn compaction_can_be_interrupted() {
        let watch = Watch::new(&Unlimited);
        watch.end();
        // Enough groups for a check between them.
        let ended = compact(runs(2, 2, 2_000), 0, 2, &watch);
        assert!(matches!(ended, Err(AggregationError::Interrupted(_))));
    }
}
