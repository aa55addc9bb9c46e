//! `--param NAME=VALUE`, a parameter of a task on the command line.

/// Reads one; which names and values there are, the kind of task knows.
///
/// # Errors
/// What clap shows when it is no parameter.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has the form NAME=VALUE")?;
    // The name travels in a header of the form's part.
    if name.is_empty() || name.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
        return Err("the name before `=` is empty or has a character that no name has".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}
