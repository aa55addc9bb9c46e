//! Detects guessable secrets of a server in production.

use secrecy::{ExposeSecret, SecretString};

/// The shortest secret that resists guessing, in characters.
const LEAST_LENGTH: usize = 32;
/// A random text of that length has more distinct characters than this.
const LEAST_VARIETY: usize = 8;
/// Parts of the secrets in documentation and examples.
const EXAMPLES: [&str; 7] =
    ["example", "changeme", "change-me", "secret", "password", "development", "insecure"];

/// The problem with the secret `name`, and a good random one to use instead.
pub(super) fn problem(name: &str, secret: Option<&SecretString>) -> Option<String> {
    let wrong = match secret {
        None => "is missing".to_owned(),
        Some(secret) => format!("can be guessed: it {}", weakness(secret.expose_secret())?),
    };
    let variable = format!("{}_{}", super::PREFIX, name.to_ascii_uppercase());
    let good = random();
    let good = good.expose_secret();
    Some(format!("`{name}` {wrong}. This one is good and new: {variable}={good}"))
}

fn weakness(secret: &str) -> Option<String> {
    let lowered = secret.to_lowercase();
    let variety = secret.chars().collect::<std::collections::BTreeSet<_>>().len();
    if let Some(example) = EXAMPLES.iter().find(|example| lowered.contains(*example)) {
        Some(format!("contains `{example}`, as examples do"))
    } else if secret.chars().count() < LEAST_LENGTH {
        Some(format!("is shorter than {LEAST_LENGTH} characters"))
    } else if variety < LEAST_VARIETY {
        Some("repeats a few characters".to_owned())
    } else {
        None
    }
}

/// 256 random bits as text.
#[must_use]
pub fn random() -> SecretString {
    hex::encode(rand::random::<[u8; 32]>()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(secret: Option<&str>) -> Option<String> {
        problem("jwt_key", secret.map(SecretString::from).as_ref())
    }

    #[test]
    fn guessable_secrets_are_named_with_a_suggestion() {
        for (secret, reason) in [
            (None, "is missing"),
            (Some("tiny"), "shorter than 32"),
            (Some("this-is-an-example-key-of-a-good-length"), "as examples do"),
            (Some("for-development-on-this-machine-only-1"), "as examples do"),
            (Some("abababababababababababababababababababab"), "repeats"),
        ] {
            let text = reported(secret).unwrap();
            assert!(text.contains(reason), "{text}");
            assert!(secret.is_none_or(|secret| !text.contains(secret)), "it is not repeated");
            let (_, good) = text.split_once("TASK_MANAGER_JWT_KEY=").unwrap();
            assert_eq!(reported(Some(good)), None);
        }
    }
}
