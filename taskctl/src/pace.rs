//! The pace of a transfer: the rate of its recent bytes and the remaining time, or how long it
//! waits.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::style::ProgressTracker;
use indicatif::{HumanBytes, HumanDuration, ProgressState};

use crate::patience::waiting;

/// The period that the rate is of.
const RECENT: Duration = Duration::from_secs(15);
/// A shorter period says nothing about the rate.
const SHORTEST: Duration = Duration::from_millis(500);
/// A longer time without a byte is shown, and does not count for the rate.
const STALL: Duration = Duration::from_secs(5);
/// How often the position is noted.
const INTERVAL: Duration = Duration::from_millis(200);

/// The pace of a transfer; clones share it. A part of a progress bar's template.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<Mutex<Recent>>);

impl Pace {
    /// The transfer pauses until `until`, after this number of failures.
    pub(crate) fn wait(&self, until: Instant, failures: u32) {
        self.recent().wait = Some((until, failures));
    }

    /// Forgets the positions so far.
    pub(crate) fn restart(&self) {
        *self.recent() = Recent::default();
    }

    /// The transfer advances again.
    pub(crate) fn advance(&self) {
        self.recent().wait = None;
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProgressTracker for Pace {
    fn clone_box(&self) -> Box<dyn ProgressTracker> {
        Box::new(self.clone())
    }

    fn tick(&mut self, state: &ProgressState, now: Instant) {
        self.recent().note(now, state.pos());
    }

    fn reset(&mut self, _: &ProgressState, _: Instant) {
        self.recent().positions.clear();
    }

    fn write(&self, state: &ProgressState, w: &mut dyn Write) {
        let text = self.recent().text(Instant::now(), state.pos(), state.len());
        // Writing to a line of the terminal's text cannot fail.
        let _ = w.write_str(&text);
    }
}

/// The recent positions. Bytes that a broken connection lost count as not transferred.
#[derive(Debug, Default)]
struct Recent {
    positions: VecDeque<(Instant, u64)>,
    /// When the last position was first noted.
    changed: Option<(Instant, u64)>,
    wait: Option<(Instant, u32)>,
}

impl Recent {
    fn note(&mut self, now: Instant, position: u64) {
        match self.changed {
            Some((_, last)) if last == position => {}
            Some((since, _)) if now - since > STALL => {
                self.positions.clear();
                self.changed = Some((now, position));
            }
            _ => self.changed = Some((now, position)),
        }
        if self.positions.back().is_some_and(|(last, _)| now - *last < INTERVAL) {
            return;
        }
        while self.positions.front().is_some_and(|(first, _)| now - *first > RECENT) {
            self.positions.pop_front();
        }
        self.positions.push_back((now, position));
    }

    /// In bytes per second; `None` as long as too little is known.
    fn rate(&self, now: Instant, position: u64) -> Option<f64> {
        let (first, from) = self.positions.front()?;
        let period = now - *first;
        (period >= SHORTEST).then(|| position.saturating_sub(*from) as f64 / period.as_secs_f64())
    }

    fn text(&self, now: Instant, position: u64, total: Option<u64>) -> String {
        if let Some((until, failures)) = self.wait {
            return waiting(until - now, failures);
        }
        let still = self.changed.map(|(since, _)| now - since).unwrap_or_default();
        if total == Some(position) {
            return if still > STALL { "waiting for the server".to_owned() } else { String::new() };
        }
        if still > STALL {
            return format!("no answer for {} s", still.as_secs());
        }
        let Some(rate) = self.rate(now, position) else { return String::new() };
        let mut text = format!("{}/s", HumanBytes(rate as u64));
        if let Some(total) = total
            && rate >= 1.0
        {
            let left = total.saturating_sub(position) as f64 / rate;
            // The time beyond years is of no use, and would overflow.
            let left = Duration::from_secs_f64(left.min(1e9));
            // Writing to a string cannot fail.
            let _ = write!(text, ", {:#} left", HumanDuration(left));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_recent_bytes() {
        let start = Instant::now();
        let mut recent = Recent::default();
        // An hour at 1 kB/s, then 20 s at 1 MiB/s.
        for second in 0..3_600 {
            recent.note(start + Duration::from_secs(second), second * 1_000);
        }
        let from = 3_600 * 1_000;
        for second in 0..=20 {
            recent.note(start + Duration::from_secs(3_600 + second), from + second * (1 << 20));
        }
        let position = from + 20 * (1 << 20);
        let now = start + Duration::from_secs(3_620);
        let text = recent.text(now, position, Some(position + (600 << 20)));
        assert_eq!(text, "1.00 MiB/s, 10m left");
        assert!(recent.positions.len() < 100, "the memory is bounded");
    }

    #[test]
    fn a_resumed_transfer_begins_at_its_position() {
        let start = Instant::now();
        let mut recent = Recent::default();
        recent.note(start, 5 << 30);
        assert_eq!(recent.text(start, 5 << 30, None), "", "nothing is known yet");
        let now = start + Duration::from_secs(2);
        assert_eq!(recent.text(now, (5 << 30) + (4 << 20), None), "2.00 MiB/s");
    }

    #[test]
    fn a_pause_is_counted_down() {
        let now = Instant::now();
        let recent = Recent { wait: Some((now + Duration::from_secs(3), 3)), ..Recent::default() };
        assert_eq!(recent.text(now, 0, Some(1)), "reconnecting in 3 s (attempt 4)");
        let later = now + Duration::from_millis(1_500);
        assert_eq!(recent.text(later, 0, Some(1)), "reconnecting in 2 s (attempt 4)");
        let over = now + Duration::from_secs(4);
        assert_eq!(recent.text(over, 0, Some(1)), "reconnecting (attempt 4)");
    }

    #[test]
    fn a_complete_transfer_has_no_rate() {
        let start = Instant::now();
        let mut recent = Recent::default();
        recent.note(start, 0);
        let end = start + Duration::from_secs(2);
        recent.note(end, 8 << 20);
        assert_eq!(recent.text(end, 8 << 20, Some(8 << 20)), "");
        let later = end + Duration::from_secs(6);
        assert_eq!(recent.text(later, 8 << 20, Some(8 << 20)), "waiting for the server");
    }

    #[test]
    fn a_stall_is_shown_and_does_not_count_for_the_rate() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut recent = Recent::default();
        recent.note(start, 7);
        assert_eq!(recent.text(after(4), 7, Some(100)), "0 B/s");
        recent.note(after(9), 7);
        assert_eq!(recent.text(after(9), 7, Some(100)), "no answer for 9 s");
        for second in 10..=12 {
            recent.note(after(second), second << 20);
        }
        assert_eq!(recent.text(after(12), 12 << 20, None), "1.00 MiB/s");
    }
}
