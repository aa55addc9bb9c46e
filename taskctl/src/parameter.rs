//! `--param NAME=VALUE`, a parameter of a task on the command line.

/// Parses one; the kind of task checks names and values.
///
/// # Errors
/// The text that clap shows if it is malformed.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has the form NAME=VALUE")?;
    // The name is sent in a header of the form's part.
    if name.is_empty() || name.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
        return Err("the name before `=` is empty or contains an invalid character".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}
