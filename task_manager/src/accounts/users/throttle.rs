//! Rate limits for logins and sign-ups, by name and by address.
//!
//! Every attempt counts, including a successful one. Each process counts for itself, so that a guess
//! writes nothing to the database. N task managers behind a balancer let through N times as many
//! attempts; the limits allow for that.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::error::Error;

/// Attempts per minute; after a pause, as many may come in a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// For one name.
    pub by_name: NonZeroU32,
    /// From one address (of IPv6 from one network of 64 bits).
    pub by_address: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { by_name: nonzero(10), by_address: nonzero(100) }
    }
}

const fn nonzero(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number - 1)
}

/// What is attempted; each is counted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    SignUp,
    LogIn,
}

/// Counts attempts. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Throttle {
    names: Arc<DefaultKeyedRateLimiter<(Action, String)>>,
    addresses: Arc<DefaultKeyedRateLimiter<(Action, IpAddr)>>,
}

impl Throttle {
    /// Starts without any attempts.
    pub fn new(rates: Rates) -> Self {
        let limiter = Quota::per_minute;
        Self {
            names: Arc::new(DefaultKeyedRateLimiter::keyed(limiter(rates.by_name))),
            addresses: Arc::new(DefaultKeyedRateLimiter::keyed(limiter(rates.by_address))),
        }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// The limit is exceeded; the error says for how long. An empty name is not counted.
    pub fn check(&self, action: Action, name: &str, address: IpAddr) -> Result<(), Error> {
        let refused = |until: governor::NotUntil<_>| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Error::TooManyAttempts { wait }
        };
        self.addresses.check_key(&(action, network(address))).map_err(refused)?;
        if !name.is_empty() {
            self.names.check_key(&(action, name.to_owned())).map_err(refused)?;
        }
        Ok(())
    }

    /// Drops counters whose attempts no longer count.
    pub fn forget_old(&self) {
        self.names.retain_recent();
        self.addresses.retain_recent();
    }
}

/// An IPv6 customer has a whole network of 64 bits, which counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        let [by_name, by_address] = [2, 4].map(|rate| NonZeroU32::new(rate).unwrap());
        Throttle::new(Rates { by_name, by_address })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn attempts_per_name_are_limited_across_addresses() {
        let throttle = throttle();
        for from in ["10.0.0.1", "10.0.0.2"] {
            throttle.check(Action::LogIn, "alice", address(from)).unwrap();
        }
        let refused = throttle.check(Action::LogIn, "alice", address("10.0.0.3")).unwrap_err();
        let Error::TooManyAttempts { wait } = refused else { panic!("{refused:?}") };
        assert!(wait.as_secs_f64() > 20.0 && wait.as_secs_f64() <= 30.0, "{wait:?}");
        throttle.check(Action::LogIn, "bobby", address("10.0.0.3")).unwrap();
        throttle.check(Action::SignUp, "alice", address("10.0.0.3")).unwrap();
    }

    #[test]
    fn attempts_per_address_are_limited() {
        let throttle = throttle();
        // All of one IPv6 network are one.
        for last in 1..=4 {
            let from = address(&format!("2001:db8::{last}"));
            throttle.check(Action::LogIn, &format!("name{last}"), from).unwrap();
        }
        throttle.check(Action::LogIn, "name5", address("2001:db8::5")).unwrap_err();
        throttle.check(Action::LogIn, "name5", address("2001:db8:0:1::5")).unwrap();
    }
}
