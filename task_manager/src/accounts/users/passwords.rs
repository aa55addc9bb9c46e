//! Passwords as Argon2id hashes, with the parameters that OWASP recommends: 19 MiB, two passes, one
//! lane.
//!
//! # Invariants
//! - Hashing runs on blocking threads, a few at a time: logins cannot take all processors and all
//!   memory from the rest of the API.
//! - The password of an unknown user is hashed too, so that the time reveals nothing.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tracing::error;

use crate::error::Error;

/// How long a login waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A hash without a known password, made with the same parameters as all others.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$uW5UrYvpbcbRRDxpLCYDdA$5PVR0aLbZWkIb5Xlt6RbiGAvyuhAnVwIHAsVlTQpTZ4";

/// Hashes passwords, a bounded number at a time. Clones share the bound.
#[derive(Debug, Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
}

impl Default for Passwords {
    /// Half of the processors.
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self { permits: Arc::new(Semaphore::new(processors.div_ceil(2))) }
    }
}

impl Passwords {
    /// The hash of a new password, with a random salt.
    pub async fn hash(&self, password: SecretString) -> Result<String, Error> {
        self.run(move || {
            let hash: PasswordHash = argon2().hash_password(password.expose_secret().as_bytes())?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password is the one that was hashed; without a hash it is not, after the same
    /// work.
    pub async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, Error> {
        self.run(move || {
            let given = PasswordHash::new(hash.as_deref().unwrap_or(NOBODYS))?;
            let verified = argon2().verify_password(password.expose_secret().as_bytes(), &given);
            Ok(verified.is_ok() && hash.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Box<dyn std::error::Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = tokio::time::timeout(LONGEST_WAIT, Arc::clone(&self.permits).acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            return Err(Error::TooManyAttempts { wait: LONGEST_WAIT });
        };
        let worked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work().map_err(|error| error.to_string())
        });
        match worked.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                error!(error, "a password could not be hashed");
                Err(Error::Internal)
            }
            Err(error) => {
                error!(%error, "hashing a password ended unexpectedly");
                Err(Error::Internal)
            }
        }
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_verified() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        let again = passwords.hash("correct horse".into()).await.unwrap();
        assert_ne!(hash, again, "each has its salt");
        for (password, holds) in [("correct horse", true), ("Correct horse", false), ("", false)] {
            let verified = passwords.verify(password.into(), Some(hash.clone())).await.unwrap();
            assert_eq!(verified, holds, "{password}");
        }
    }

    #[tokio::test]
    async fn an_unknown_user_costs_the_same_work_and_is_never_verified() {
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        let hash = Passwords::default().hash("anything".into()).await.unwrap();
        assert_eq!(parameters(&hash), parameters(NOBODYS));
        assert_eq!(parameters(&hash), "$argon2id$v=19$m=19456,t=2,p=1", "as OWASP recommends");
        assert!(!Passwords::default().verify("anything".into(), None).await.unwrap());
    }
}
