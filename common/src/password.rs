//! Reads passwords from a terminal, a file or standard input: never from the command line, which
//! every user of the machine can read.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::Path;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

/// Reads a new password: from the first line of `file` or of the standard input, or from the
/// terminal, twice.
///
/// # Errors
/// It cannot be read, or the two differ.
pub fn new_password(file: Option<&Path>) -> anyhow::Result<SecretString> {
    let is_asked = file.is_none() && std::io::stdin().is_terminal();
    let password = password(file)?;
    if is_asked {
        let again = ask("Repeat the password: ")?;
        let is_same = again.expose_secret() == password.expose_secret();
        anyhow::ensure!(is_same, "the two passwords differ; nothing was changed");
    }
    Ok(password)
}

/// Reads a password: from the first line of `file` or of the standard input, or from the terminal.
///
/// # Errors
/// It cannot be read.
pub fn password(file: Option<&Path>) -> anyhow::Result<SecretString> {
    match file {
        Some(path) => std::fs::File::open(path)
            .map_err(anyhow::Error::from)
            .and_then(|file| first_line(BufReader::new(file)))
            .with_context(|| format!("no password can be read from {}", path.display())),
        None if std::io::stdin().is_terminal() => ask("Password: "),
        None => first_line(std::io::stdin().lock())
            .context("no password can be read from the standard input"),
    }
}

fn ask(prompt: &str) -> anyhow::Result<SecretString> {
    let password = rpassword::prompt_password(prompt);
    Ok(password.context("no password can be read from the terminal")?.into())
}

fn first_line(mut reader: impl BufRead) -> anyhow::Result<SecretString> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!line.is_empty(), "the first line is empty");
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_file_is_the_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " with blanks \r\nsecond").unwrap();
        let read = new_password(Some(file.path())).unwrap();
        assert_eq!(read.expose_secret(), " with blanks ");
        std::fs::write(file.path(), "\n").unwrap();
        assert!(password(Some(file.path())).is_err());
        assert!(
            password(Some(Path::new("/nowhere"))).unwrap_err().to_string().contains("/nowhere")
        );
    }
}
