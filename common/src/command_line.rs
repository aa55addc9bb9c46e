//! Parts of the command line that all programs share: their version, completions, manual pages and
//! the reference of their commands.

mod reference;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use chrono::DateTime;
use clap::Command;
use clap_complete::Shell;

/// The version of the program that is being compiled, with commit and date if the build sets
/// `BUILD_COMMIT` and `SOURCE_DATE_EPOCH` (`make programs` and `make dist` do).
///
/// They are read where the macro is expanded, in a `main.rs`, so that another commit recompiles
/// only that file and not every crate.
#[macro_export]
macro_rules! version {
    () => {{
        static VERSION: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
            $crate::command_line::describe_version(
                env!("CARGO_PKG_VERSION"),
                option_env!("BUILD_COMMIT"),
                option_env!("SOURCE_DATE_EPOCH"),
            )
        });
        VERSION.as_str()
    }};
}

/// The text of [`version!`](crate::version): `epoch` is a time in seconds since 1970.
#[must_use]
pub fn describe_version(version: &str, commit: Option<&str>, epoch: Option<&str>) -> String {
    let date = epoch
        .and_then(|epoch| epoch.parse().ok())
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map(|time| time.format("%Y-%m-%d").to_string());
    let commit = commit.filter(|commit| !commit.is_empty()).map(str::to_owned);
    let build: Vec<_> = commit.into_iter().chain(date).collect();
    match build.is_empty() {
        true => version.to_owned(),
        false => format!("{version} ({})", build.join(", ")),
    }
}

/// Writes completions for shells and manual pages of a program into `bash`, `zsh`, `fish` and
/// `man1` in `folder`, and the reference of its commands into `command-line.md`.
///
/// # Errors
/// A file cannot be written.
pub fn write_package_files(mut command: Command, folder: &Path) -> io::Result<()> {
    let pages = folder.join("man1");
    fs::create_dir_all(&pages)?;
    fs::write(folder.join("command-line.md"), reference::markdown(without_help(command.clone())))?;
    // Before the completions, which add `help` subcommands.
    clap_mangen::generate_to(without_help(command.clone()), pages)?;
    let name = command.get_name().to_owned();
    let completions = [
        (Shell::Bash, "bash", name.clone()),
        (Shell::Zsh, "zsh", format!("_{name}")),
        (Shell::Fish, "fish", format!("{name}.fish")),
    ];
    for (shell, kind, file) in completions {
        let folder = folder.join(kind);
        fs::create_dir_all(&folder)?;
        let mut file = File::create(folder.join(file))?;
        clap_complete::generate(shell, &mut command, &name, &mut file);
    }
    Ok(())
}

/// Removes the `help` subcommand of each command, which needs no page: it prints the others.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_contains_the_build_information() {
        let describe = |commit, epoch| describe_version("1.2.3", commit, epoch);
        assert_eq!(describe(None, None), "1.2.3");
        assert_eq!(describe(Some(""), Some("")), "1.2.3");
        assert_eq!(describe(Some("abc"), None), "1.2.3 (abc)");
        assert_eq!(describe(None, Some("86400")), "1.2.3 (1970-01-02)");
        assert_eq!(describe(Some("abc-dirty"), Some("0")), "1.2.3 (abc-dirty, 1970-01-01)");
    }

    #[test]
    fn completions_and_man_pages_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let command = Command::new("program")
            .subcommand(Command::new("work").about("Works").subcommand(Command::new("hard")))
            .subcommand(Command::new("secret").hide(true));
        write_package_files(command, folder.path()).unwrap();
        for file in ["bash/program", "zsh/_program", "fish/program.fish"] {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(text.contains("work"), "{file}");
        }
        let pages = fs::read_dir(folder.path().join("man1")).unwrap();
        let mut pages: Vec<_> = pages.map(|page| page.unwrap().file_name()).collect();
        pages.sort_unstable();
        assert_eq!(pages, ["program-work-hard.1", "program-work.1", "program.1"]);
    }
}
