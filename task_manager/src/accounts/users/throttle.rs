//! How often somebody may try to log in or sign up: by name and by address.
//!
//! Every try counts, also a good one. The counts are this process's own: several task managers
//! behind a balancer let through as many times more, which the limits leave room for, and nothing
//! is written to the database for a guess.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::error::Error;

/// How many tries a minute; as many may come at once after a pause.
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

/// What is tried; each is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    SignUp,
    LogIn,
}

/// Counts tries. Clones count together.
#[derive(Debug, Clone)]
pub struct Throttle {
    names: Arc<DefaultKeyedRateLimiter<(Action, String)>>,
    addresses: Arc<DefaultKeyedRateLimiter<(Action, IpAddr)>>,
}

impl Throttle {
    /// Nobody has tried yet.
    pub fn new(rates: Rates) -> Self {
        let limiter = Quota::per_minute;
        Self {
            names: Arc::new(DefaultKeyedRateLimiter::keyed(limiter(rates.by_name))),
            addresses: Arc::new(DefaultKeyedRateLimiter::keyed(limiter(rates.by_address))),
        }
    }

    /// Counts a try.
    ///
    /// # Errors
    /// It is one too many; the error says for how long. A name that is empty is not counted.
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

    /// Forgets those whose tries lie so far back that they count no more.
    pub fn forget_old(&self) {
        self.names.retain_recent();
        self.addresses.retain_recent();
    }
}

/// One customer has a whole IPv6 network of 64 bits.
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
