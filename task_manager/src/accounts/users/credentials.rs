//! The rules for user names and passwords.

use common::problem::ErrorLocation;
use secrecy::{ExposeSecret, SecretString};

use crate::accounts::LOCAL_NAME;

/// How long a name may be, in characters.
const NAME_LENGTH: std::ops::RangeInclusive<usize> = 5..=15;

/// How long a password may be, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordLength {
    /// The shortest one.
    pub least: usize,
    /// The longest one.
    pub most: usize,
}

impl Default for PasswordLength {
    fn default() -> Self {
        Self { least: 6, most: 12 }
    }
}

impl PasswordLength {
    /// Checks a new password; `field` is the name of its field.
    ///
    /// The error does not repeat the password.
    pub fn check(self, field: &str, password: &SecretString) -> Option<ErrorLocation> {
        let characters = password.expose_secret().chars().count();
        let is_valid = (self.least..=self.most).contains(&characters);
        let reason = || format!("must be {} to {} characters", self.least, self.most);
        (!is_valid).then(|| ErrorLocation::field(field, reason()))
    }
}

/// A valid user name, which includes the reserved `local`.
#[derive(Debug, Clone)]
pub struct Username {
    given: String,
    key: String,
}

impl Username {
    /// Reads a name.
    ///
    /// # Errors
    /// The rules for names, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_plain || !NAME_LENGTH.contains(&text.len()) {
            let (least, most) = (NAME_LENGTH.start(), NAME_LENGTH.end());
            return Err(format!("must be {least} to {most} letters (a-z, A-Z) and digits"));
        }
        Ok(Self { given: text.to_owned(), key: text.to_ascii_lowercase() })
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// The form that equal names share.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it is the name of the local user, who has no login.
    pub fn is_reserved(&self) -> bool {
        self.key == LOCAL_NAME
    }
}

/// A valid name and password.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub name: Username,
    pub password: SecretString,
}

impl NewUser {
    /// Reads both.
    ///
    /// # Errors
    /// One for each invalid field; the password is not repeated.
    pub fn parse(
        name: &str,
        password: SecretString,
        length: PasswordLength,
    ) -> Result<Self, Vec<ErrorLocation>> {
        let mut errors = Vec::new();
        let name = Username::parse(name)
            .map_err(|reason| errors.push(ErrorLocation::field("username", reason)));
        errors.extend(length.check("password", &password));
        match name {
            Ok(name) if errors.is_empty() => Ok(Self { name, password }),
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, password: &str) -> Vec<String> {
        match NewUser::parse(name, password.into(), PasswordLength::default()) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().filter_map(|error| error.field).collect(),
        }
    }

    #[test]
    fn names_are_5_to_15_letters_and_digits_and_passwords_6_to_12_characters() {
        for name in ["alice", "A1b2C3d4E5f6G7h"] {
            assert!(fields(name, "secret").is_empty(), "{name}");
        }
        for name in ["", "abcd", "abcdefghijklmnop", "al ice", "al_ice", "älice", "alice\n"] {
            assert_eq!(fields(name, "secret"), ["username"], "{name:?}");
        }
        for password in ["", "short", "thirteenchars"] {
            assert_eq!(fields("alice", password), ["password"], "{password:?}");
        }
        assert!(fields("alice", "äöüäöüäöüäöü").is_empty(), "characters count, not bytes");
        assert_eq!(fields("a", "b"), ["username", "password"]);
    }

    #[test]
    fn names_that_differ_in_case_are_the_same() {
        let [one, two] = ["Alice1", "aLICE1"].map(|name| Username::parse(name).unwrap());
        assert_eq!(one.key(), two.key());
        assert!(Username::parse("LoCaL").unwrap().is_reserved());
    }
}
