//! The reference of a program's settings, generated from the settings that the program reads.
//!
//! # Invariants
//! - Every setting that the program reads is described, and no other.

use std::fmt::Write;

use super::{Settings, SettingsError, variable_of};

/// The description of a setting.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    name: &'static str,
    /// Set if the default depends on the machine or on other settings.
    default: Option<&'static str>,
    meaning: &'static str,
}

impl Description {
    /// A setting whose default is the one in the code.
    #[must_use]
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self { name, default: None, meaning }
    }

    /// A setting whose default is described in words.
    #[must_use]
    pub const fn with_default(
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { name, default: Some(default), meaning }
    }
}

impl Settings {
    /// The settings that were read as a Markdown table, in the order of `descriptions`.
    ///
    /// # Errors
    /// A setting was read and is not described, or is described and was not read.
    pub fn reference(&self, descriptions: &[Description]) -> Result<String, SettingsError> {
        let mut problems = Vec::new();
        for setting in &self.effective {
            if !descriptions.iter().any(|description| description.name == setting.name) {
                problems.push(format!("`{}` has no description", setting.name));
            }
        }
        let mut table = "| setting | environment variable | default | meaning |\n\
                         |---|---|---|---|\n"
            .to_owned();
        for Description { name, default, meaning } in descriptions {
            let Some(setting) = self.effective.iter().find(|setting| setting.name == *name) else {
                problems.push(format!("`{name}` is described and never read"));
                continue;
            };
            let default = match default {
                Some(default) => (*default).to_owned(),
                None if setting.shown.is_empty() => "none".to_owned(),
                None => format!("`{}`", setting.shown),
            };
            let mut variable = format!("`{}`", variable_of(&self.prefix, name));
            if self.secrets.contains(name) {
                let _ = write!(variable, ", `{}_FILE`", variable_of(&self.prefix, name));
            }
            let _ = writeln!(table, "| `{name}` | {variable} | {default} | {meaning} |");
        }
        SettingsError::unless_empty(problems).map(|()| table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read() -> Settings {
        let mut settings = Settings::unset("UNIT_TEST");
        settings.value("port", 1_u16);
        settings.optional("name");
        settings.secret("token");
        settings
    }

    #[test]
    fn every_setting_is_a_row() {
        let descriptions = [
            Description::with_default("token", "must be set", "A secret."),
            Description::new("port", "Where it listens."),
            Description::new("name", "What it is called."),
        ];
        assert_eq!(
            read().reference(&descriptions).unwrap(),
            "| setting | environment variable | default | meaning |\n\
             |---|---|---|---|\n\
             | `token` | `UNIT_TEST_TOKEN`, `UNIT_TEST_TOKEN_FILE` | must be set | A secret. |\n\
             | `port` | `UNIT_TEST_PORT` | `1` | Where it listens. |\n\
             | `name` | `UNIT_TEST_NAME` | none | What it is called. |\n"
        );
    }

    #[test]
    fn a_description_too_few_or_too_many_is_an_error() {
        let descriptions = [Description::new("port", "…"), Description::new("colour", "…")];
        let error = read().reference(&descriptions).unwrap_err().to_string();
        for part in ["`name` has no description", "`token` has no", "`colour` is described"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
