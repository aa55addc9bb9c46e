//! Findings that recur are logged once per process.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// How many findings are remembered; beyond that, some are logged again.
const MOST: usize = 10_000;

static LOGGED: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Whether `finding` is new to this process, and should be logged.
pub fn is_first(finding: String) -> bool {
    // A panic while it was locked leaves a valid set.
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let logged = logged.get_or_insert_default();
    if logged.len() >= MOST {
        logged.clear();
    }
    logged.insert(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_logged_once() {
        assert!(is_first("a test's finding".to_owned()));
        assert!(!is_first("a test's finding".to_owned()));
        assert!(is_first("another one".to_owned()));
    }
}
