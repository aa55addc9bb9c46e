//! Limits of attempts, leases and retries.

use std::time::Duration;

use rand::RngExt;

/// After so many failures a task is `failed`.
pub const MAX_ATTEMPTS: u32 = 5;
/// The lease of a request that receives a file.
pub const UPLOAD_LEASE: Duration = Duration::from_secs(30);
/// The average delay of the first retry; each further one waits twice as long.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest average delay of a retry.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// How long to wait before a task that has failed `failures` times runs again: the delay doubles
/// each time, with jitter between 0.5 and 1.5, so that tasks that failed together are not retried
/// together.
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let average = FIRST_BACKOFF.saturating_mul(1 << doublings).min(LONGEST_BACKOFF);
    average.mul_f64(rand::rng().random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_grow_up_to_a_limit() {
        for failures in 1..100 {
            let delay = backoff(failures);
            let average = FIRST_BACKOFF.saturating_mul(1 << (failures - 1).min(16));
            assert!(delay >= average.min(LONGEST_BACKOFF) / 2, "{failures}: {delay:?}");
            assert!(delay <= LONGEST_BACKOFF * 3 / 2, "{failures}: {delay:?}");
        }
    }
}
