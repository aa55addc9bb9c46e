//! The reference of a program's commands, generated from its arguments.

use std::fmt::Write;

use clap::{Arg, Command};

/// Every command of a program with its arguments, as Markdown: the program is a heading of level
/// two, each command one of level three.
pub(super) fn markdown(mut program: Command) -> String {
    program.build();
    let mut text = format!("## {}\n", program.get_name());
    describe(&program, None, &mut text);
    add_commands(&program, &program, program.get_name(), &mut text);
    text
}

fn add_commands(program: &Command, parent: &Command, path: &str, text: &mut String) {
    for command in parent.get_subcommands().filter(|command| !command.is_hide_set()) {
        let path = format!("{path} {}", command.get_name());
        // A group of commands is not a command itself.
        if !command.has_subcommands() {
            let _ = write!(text, "\n### {path}\n");
            describe(command, Some(program), text);
        }
        add_commands(program, command, &path, text);
    }
}

/// Global options, and those under a heading of the program, are described with it.
fn describe(command: &Command, program: Option<&Command>, text: &mut String) {
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = write!(text, "\n{}\n", sentence(about.to_string()));
    }
    let aliases: Vec<_> = command.get_visible_aliases().map(|name| format!("`{name}`")).collect();
    if !aliases.is_empty() {
        let _ = write!(text, "\nAlias: {}.\n", aliases.join(", "));
    }
    let usage = command.clone().render_usage().to_string();
    let _ = write!(text, "\n```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let mut arguments = command.get_arguments().filter(|argument| {
        let is_builtin = matches!(argument.get_id().as_str(), "help" | "version");
        let is_shared = program.is_some_and(|program| {
            argument.is_global_set()
                || program.get_arguments().any(|of_all| is_same(of_all, argument))
        });
        !is_builtin && !argument.is_hide_set() && !is_shared
    });
    if let Some(first) = arguments.next() {
        text.push_str("\n| argument | meaning |\n|---|---|\n");
        for argument in std::iter::once(first).chain(arguments) {
            let _ = writeln!(text, "| `{argument}` | {} |", meaning(argument));
        }
    }
}

fn is_same(one: &Arg, other: &Arg) -> bool {
    let heading = one.get_help_heading();
    heading.is_some() && heading == other.get_help_heading() && one.get_id() == other.get_id()
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
    let words: Vec<_> = help.iter().flat_map(|help| help.split_whitespace()).collect();
    let mut meaning = sentence(words.join(" "));
    if argument.get_action().takes_values() {
        let values = argument.get_possible_values();
        let values: Vec<_> = values.iter().filter(|value| !value.is_hide_set()).collect();
        if !values.is_empty() {
            let names: Vec<_> = values.iter().map(|it| format!("`{}`", it.get_name())).collect();
            let _ = write!(meaning, " One of {}.", names.join(", "));
        }
        let defaults = argument.get_default_values();
        if !defaults.is_empty() {
            let defaults: Vec<_> = defaults.iter().map(|it| it.to_string_lossy()).collect();
            let _ = write!(meaning, " Default: `{}`.", defaults.join(", "));
        }
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(meaning, " Variable: `{}`.", variable.to_string_lossy());
    }
    // An unescaped bar would end the cell.
    meaning.replace('|', "\\|")
}

/// Adds the full stop that clap removes.
fn sentence(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::builder::PossibleValue;

    use super::*;

    #[test]
    fn commands_and_arguments_are_listed() {
        let values = [PossibleValue::new("a"), PossibleValue::new("b").hide(true)];
        let program = Command::new("program")
            .about("Does things")
            .disable_help_subcommand(true)
            .arg(
                Arg::new("server").long("server").global(true).default_value("here").help("Where."),
            )
            .subcommand(
                Command::new("work")
                    .about("Works")
                    .visible_alias("toil")
                    .arg(Arg::new("file").help("A|B.").value_parser(values)),
            )
            .subcommand(Command::new("group").subcommand(Command::new("one").about("One of them")))
            .subcommand(Command::new("secret").hide(true));
        assert_eq!(
            markdown(program),
            "## program\n\nDoes things.\n\n```text\nprogram [OPTIONS] [COMMAND]\n```\n\n\
             | argument | meaning |\n|---|---|\n| `--server <server>` | Where. Default: `here`. |\n\
             \n### program work\n\nWorks.\n\nAlias: `toil`.\n\n```text\nprogram work [OPTIONS] [file]\n```\n\n\
             | argument | meaning |\n|---|---|\n| `[file]` | A\\|B. One of `a`. |\n\
             \n### program group one\n\nOne of them.\n\n```text\nprogram group one [OPTIONS]\n```\n"
        );
    }
}
