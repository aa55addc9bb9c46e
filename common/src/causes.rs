//! Errors with their causes: the outer error of a library often says little.

use std::error::Error;

/// The error and its causes, on one line, without repeating a cause.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Outer {
        text: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn each_cause_is_named_once() {
        for (text, whole) in
            [("sending failed", "sending failed: cut"), ("it was cut", "it was cut")]
        {
            let error = Outer { text, source: std::io::Error::other("cut") };
            assert_eq!(with_causes(&error), whole);
        }
    }
}
