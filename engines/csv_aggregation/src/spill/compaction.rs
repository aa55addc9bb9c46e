//! Merges runs into fewer ones before they are read range by range.
//!
//! Each range of keys is read from every run, and of each of them about as much in vain as its
//! marks are apart. With many processors there are many shards, and so many runs that a range would
//! read many times what it needs, and hold a buffer for each of them. Then all runs are merged once
//! into so few that a range reads about twice what it needs at most.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::AggregationError;
use crate::spill::runs::{MOST_RUNS, Runs};
use crate::watch::Watch;

/// The same groups in so few runs that their marks are `most` bytes apart together, or in one.
pub(crate) fn compact(
    mut all: Vec<Runs>,
    most: u64,
    threads: usize,
    watch: &Watch<'_>,
) -> Result<Vec<Runs>, AggregationError> {
    loop {
        all.retain(|runs| runs.len() > 0);
        let count: usize = all.iter().map(Runs::len).sum();
        let spacing: u64 = all.iter().map(Runs::spacing).sum();
        if spacing <= most || count < 2 {
            return Ok(all);
        }
        // So many would do with marks as far apart as now, and all threads are to merge some.
        let enough = (u128::from(most) * count as u128 / u128::from(spacing)).max(1) as usize;
        let together = count.div_ceil(enough).max(count / threads.max(1)).clamp(2, MOST_RUNS);
        all = merge(parted(all, together), threads, watch)?;
    }
}

/// `all` in parts of so many runs each, or of one of `all` with more.
fn parted(all: Vec<Runs>, together: usize) -> Vec<Vec<Runs>> {
    let mut parts: Vec<Vec<Runs>> = Vec::new();
    let mut count = 0;
    for runs in all {
        count += runs.len();
        match parts.last_mut() {
            Some(part) if count <= together => part.push(runs),
            _ => {
                count = runs.len();
                parts.push(vec![runs]);
            }
        }
    }
    parts
}

/// Makes one run of each part.
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
            // What was merged is given up after that, so that it takes no room on the disk.
            one.merge(&part, &|| watch.checkpoint())?;
            all.push(one);
        }
        Ok(all)
    };
    let done: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    let done: io::Result<Vec<_>> = done.into_iter().collect();
    Ok(done.map_err(AggregationError::spill)?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::key_group::KeyGroup;
    use crate::spill::merge::{Source, merged};
    use crate::spill::run_index::IndexLimits;
    use crate::tests::Free;

    /// Every so many of these groups, so many of them.
    struct Every {
        next: u32,
        step: u32,
        count: u32,
    }

    impl Source for Every {
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
                runs.write(&mut Every { next, step, count: groups }, &|| Ok(())).unwrap();
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
    fn many_runs_become_few_enough_and_stay_the_same() {
        let watch = Watch::new(&Free);
        let expected = sums(&runs(30, 5, 100));
        assert!(expected.iter().any(|(_, sum)| *sum == 5) && expected.len() > 3_000);
        for threads in [1, 2, 16] {
            for most in [0, 500, 3_000, u64::MAX] {
                let before = runs(30, 5, 100);
                let memory = before.iter().map(Runs::memory).sum::<usize>();
                let all = compact(before, most, threads, &watch).unwrap();
                let spacing: u64 = all.iter().map(Runs::spacing).sum();
                assert!(spacing <= most || count(&all) == 1, "{spacing} of {most}");
                // No more is merged than has to be.
                assert_eq!(count(&all) == 150, most == u64::MAX);
                assert!(most < 3_000 || count(&all) > 1);
                assert!(all.iter().map(Runs::memory).sum::<usize>() <= memory);
                assert!(sums(&all) == expected);
            }
        }
    }

    #[test]
    fn an_interrupt_ends_it() {
        let watch = Watch::new(&Free);
        watch.end();
        // So many groups that it is looked for one between them.
        let ended = compact(runs(2, 2, 2_000), 0, 2, &watch);
        assert!(matches!(ended, Err(AggregationError::Interrupted(_))));
    }
}
