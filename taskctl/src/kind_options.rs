//! The parameters of kinds of tasks as options of the command line, and the kinds as topics of
//! `taskctl help`.
//!
//! A new parameter of a kind is one entry of [`PARAMETERS`].

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use common::task::TaskKind;

use crate::failure::Failure;
use crate::numbers;

use TaskKind::{CsvAggregation, CsvPreview, DataUpload, FileStatistics};

/// A parameter of kinds of tasks.
struct Parameter {
    /// The name in the API.
    name: &'static str,
    /// The option `--OPTION`: the name with `-` for `_`.
    option: &'static str,
    short: Option<char>,
    kinds: Kinds,
    value: Value,
    help: &'static str,
}

/// Kinds, and the heading of their options.
type Kinds = (&'static [TaskKind], &'static str);

const OF_AGGREGATIONS: Kinds = (&[CsvAggregation], "Options of csv_aggregation");
const OF_AGGREGATIONS_AND_LOADS: Kinds =
    (&[CsvAggregation, DataUpload], "Options of csv_aggregation and data_upload");
const OF_CSV_FILES: Kinds =
    (&[CsvAggregation, DataUpload, CsvPreview], "Options of all kinds that read CSV files");

/// The value of a parameter.
enum Value {
    /// Any text, under this name.
    Text(&'static str),
    /// One of these words, under this name.
    OneOf(&'static str, &'static [&'static str]),
    /// A single character.
    Character,
    /// A number of bytes, with or without a unit.
    Size,
}

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "group_by",
        option: "group-by",
        short: Some('g'),
        kinds: OF_AGGREGATIONS,
        value: Value::Text("COLUMN"),
        help: "A column whose values form a group; repeat it for several; by default `Song` and \
               `Date`",
    },
    Parameter {
        name: "sum",
        option: "sum",
        short: None,
        kinds: OF_AGGREGATIONS,
        value: Value::Text("COLUMN"),
        help: "A column of whole numbers to sum; repeat it for several; by default `Number of \
               Plays`",
    },
    Parameter {
        name: "total_header",
        option: "total-header",
        short: None,
        kinds: OF_AGGREGATIONS,
        value: Value::Text("NAME"),
        help: "The name of the last sum in the header of the result; by default that of its column",
    },
    Parameter {
        name: "memory_limit",
        option: "memory-limit",
        short: None,
        kinds: OF_AGGREGATIONS,
        value: Value::Size,
        help: "The memory for groups, such as 256MiB or 1G; more groups use temporary files",
    },
    Parameter {
        name: "on_bad_row",
        option: "on-bad-row",
        short: None,
        kinds: OF_AGGREGATIONS_AND_LOADS,
        value: Value::OneOf("ACTION", &["fail", "skip"]),
        help: "What to do with invalid rows: fail and name them (the default of \
               csv_aggregation), or skip and list them (the default of data_upload)",
    },
    Parameter {
        name: "delimiter",
        option: "delimiter",
        short: Some('d'),
        kinds: OF_CSV_FILES,
        value: Value::OneOf(
            "CHARACTER",
            &["auto", "comma", "semicolon", "tab", "pipe", ",", ";", "|"],
        ),
        help: "The character between fields; detected by default",
    },
    Parameter {
        name: "encoding",
        option: "encoding",
        short: None,
        kinds: OF_CSV_FILES,
        value: Value::OneOf("NAME", &["auto", "utf-8", "windows-1252", "utf-16"]),
        help: "The encoding of the text; by default that of the byte order mark, or else UTF-8",
    },
    Parameter {
        name: "quote",
        option: "quote",
        short: None,
        kinds: OF_CSV_FILES,
        value: Value::Character,
        help: "The character around fields that contain delimiters; by default `\"`",
    },
    Parameter {
        name: "escape",
        option: "escape",
        short: None,
        kinds: OF_CSV_FILES,
        value: Value::Character,
        help: "The character that makes the next one in a quoted field ordinary, such as `\\`; by \
               default there is none, and quotes are doubled",
    },
    Parameter {
        name: "comment",
        option: "comment",
        short: None,
        kinds: OF_CSV_FILES,
        value: Value::Character,
        help: "The character at the start of lines that are comments, such as `#`; by default no \
               line is one",
    },
    Parameter {
        name: "decimal",
        option: "decimal",
        short: None,
        kinds: OF_AGGREGATIONS,
        value: Value::OneOf("MARK", &["comma", "point", ",", "."]),
        help: "The character before decimals of summed numbers, which must be zeros",
    },
    Parameter {
        name: "thousands",
        option: "thousands",
        short: None,
        kinds: OF_AGGREGATIONS,
        value: Value::OneOf(
            "MARK",
            &["comma", "point", "apostrophe", "space", "underscore", ",", ".", "'", " ", "_"],
        ),
        help: "The character between groups of three digits of summed numbers",
    },
];

/// The kinds that take a file, which are those that people name.
const FILE_KINDS: [TaskKind; 4] = [CsvAggregation, DataUpload, CsvPreview, FileStatistics];

impl Parameter {
    fn arg(&self) -> Arg {
        let arg = Arg::new(self.name)
            .long(self.option)
            .help(self.help)
            .help_heading(self.kinds.1)
            .action(ArgAction::Append);
        let arg = match self.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        match self.value {
            Value::Text(name) => arg.value_name(name),
            Value::OneOf(name, names) => arg.value_name(name).value_parser(names.to_vec()),
            Value::Character => arg.value_name("CHARACTER"),
            Value::Size => arg.value_name("SIZE").value_parser(numbers::size),
        }
    }

    fn is_of(&self, kind: TaskKind) -> bool {
        self.kinds.0.contains(&kind)
    }
}

/// The parameters of a task that a command line names, in its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct KindOptions {
    /// Names and values as the API takes them.
    pub(crate) params: Vec<(String, String)>,
    /// The parameters that were given as options.
    options: Vec<&'static str>,
}

impl KindOptions {
    /// Checks that the kind takes the options. What `--param` names is left to the server, which
    /// may be of a later version.
    ///
    /// # Errors
    /// The kind takes other options.
    pub(crate) fn check(&self, kind: TaskKind) -> Result<(), Failure> {
        let given = PARAMETERS.iter().filter(|parameter| self.options.contains(&parameter.name));
        let Some(other) = given.into_iter().find(|parameter| !parameter.is_of(kind)) else {
            return Ok(());
        };
        let taken: Vec<_> = PARAMETERS
            .iter()
            .filter(|parameter| parameter.is_of(kind))
            .map(|parameter| format!("--{}", parameter.option))
            .collect();
        let taken = match taken.is_empty() {
            true => "it takes none".to_owned(),
            false => format!("it takes {}", taken.join(", ")),
        };
        let kinds: Vec<_> = other.kinds.0.iter().map(|kind| kind.as_str()).collect();
        Err(Failure::usage(format!(
            "--{} is an option of {}, not of {kind}: {taken}.",
            other.option,
            kinds.join(" and ")
        )))
    }

    /// The parameter `name` as it was given: `--group-by` or `group_by`.
    pub(crate) fn given_as(&self, name: &str) -> String {
        match self.options.contains(&name) {
            true => format!("--{}", name.replace('_', "-")),
            false => name.to_owned(),
        }
    }
}

/// The text with parameters as the API names them (`on_bad_row=skip`) written as options.
pub(crate) fn as_options(text: &str) -> String {
    PARAMETERS.iter().fold(text.to_owned(), |text, parameter| {
        text.replace(&format!("{}=", parameter.name), &format!("--{} ", parameter.option))
    })
}

impl Args for KindOptions {
    fn augment_args(command: Command) -> Command {
        let param = Arg::new("param")
            .long("param")
            .short('p')
            .value_name("NAME=VALUE")
            .value_parser(parameter)
            .action(ArgAction::Append)
            .help(
                "Any parameter by its name in the API, for example `on_bad_row=skip`; repeat it \
                   for several.",
            );
        command.args(PARAMETERS.iter().map(Parameter::arg)).arg(param)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KindOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        let mut options = Vec::new();
        for Parameter { name, .. } in PARAMETERS {
            let Some(values) = matches.get_many::<String>(name) else { continue };
            options.push(*name);
            let places = matches.indices_of(name).into_iter().flatten();
            let values = values.map(|value| ((*name).to_owned(), value.clone()));
            given.extend(places.zip(values));
        }
        if let Some(values) = matches.get_many::<(String, String)>("param") {
            let places = matches.indices_of("param").into_iter().flatten();
            given.extend(places.zip(values.cloned()));
        }
        // Columns are in the order of the command line.
        given.sort_by_key(|(place, _)| *place);
        let params = given.into_iter().map(|(_, parameter)| parameter).collect();
        Ok(Self { params, options })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Parses `NAME=VALUE`; the kind of task checks names and values.
fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has the form NAME=VALUE")?;
    // The name is sent in a header of the form's part.
    if name.is_empty() || name.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
        return Err("the name before `=` is empty or contains an invalid character".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses the name of a kind that takes a file. The others are known, and refused with the reason.
pub(crate) fn file_kind() -> impl TypedValueParser<Value = TaskKind> {
    parser(|kind| !FILE_KINDS.contains(&kind))
}

/// Parses the name of any kind.
pub(crate) fn any_kind() -> impl TypedValueParser<Value = TaskKind> {
    parser(|_| false)
}

fn parser(is_hidden: fn(TaskKind) -> bool) -> impl TypedValueParser<Value = TaskKind> {
    let name = move |kind: TaskKind| {
        PossibleValue::new(kind.as_str()).help(about(kind)).hide(is_hidden(kind))
    };
    PossibleValuesParser::new(TaskKind::ALL.map(name))
        .try_map(|name| name.parse::<TaskKind>().map_err(|error| error.to_string()))
}

/// The kind that `text` names, if such tasks take a file.
pub(crate) fn named_file_kind(text: &str) -> Option<TaskKind> {
    FILE_KINDS.into_iter().find(|kind| kind.as_str() == text)
}

fn about(kind: TaskKind) -> &'static str {
    match kind {
        CsvAggregation => "Sums of a CSV file's columns by groups of equal rows",
        DataUpload => "Loads the rows of a CSV file into the database",
        CsvPreview => "The columns and first rows of a CSV file",
        FileStatistics => "Lines, words and characters of any file",
        TaskKind::MessageValidation => "Validates a message",
        TaskKind::UserEvent => "Records an event of a user",
        TaskKind::ReportEmail => "Sends the report of user events by e-mail",
        TaskKind::BulkAction => "Stops, kills, resumes or deletes many tasks",
    }
}

fn description(kind: TaskKind) -> &'static str {
    match kind {
        CsvAggregation => {
            "Sums columns of a CSV file by groups of equal rows. The result is a CSV file with a \
             row for each group, sorted. The file may be compressed by gzip or zstd."
        }
        DataUpload => {
            "Loads the columns `name` and `email` of a CSV file into the database of the server. \
             `taskctl run` only checks the file."
        }
        CsvPreview => "Shows the columns of a CSV file with their types, and its first rows.",
        _ => "Counts lines, words and characters of any file, and determines its type and SHA-256.",
    }
}

fn examples(kind: TaskKind) -> &'static str {
    match kind {
        CsvAggregation => {
            "Examples:\n  taskctl run csv_aggregation visits.csv --group-by City --sum Visits\n  \
             taskctl upload csv_aggregation visits.csv --group-by City --group-by Day --sum \
             Visits --output sums.csv"
        }
        DataUpload => {
            "Examples:\n  taskctl upload data_upload people.csv --wait\n  taskctl rows --last"
        }
        CsvPreview => "Example:\n  taskctl run csv_preview visits.csv",
        _ => "Example:\n  taskctl run file_statistics notes.md",
    }
}

/// The kinds as hidden commands, so that `taskctl help KIND` describes them.
pub(crate) fn topics() -> impl Iterator<Item = Command> {
    FILE_KINDS.into_iter().map(|kind| {
        let mine = PARAMETERS.iter().filter(move |parameter| parameter.is_of(kind));
        let mine = mine.map(|parameter| parameter.arg());
        Command::new(kind.as_str())
            .about(about(kind))
            .long_about(description(kind))
            .override_usage(format!(
                "taskctl upload {kind} FILE... [OPTIONS]\n       taskctl run {kind} FILE [OPTIONS]"
            ))
            .args(mine)
            .arg(Arg::new("files").action(ArgAction::Append).hide(true))
            .after_help(examples(kind))
            .hide(true)
    })
}

/// Whether `name` is a topic, and what to say if it is used like a command.
pub(crate) fn use_of_topic(name: &str, matches: &ArgMatches) -> Option<Result<(), clap::Error>> {
    let kind = named_file_kind(name)?;
    Some(match matches.get_many::<String>("files").is_some() {
        false => Ok(()),
        true => Err(clap::Error::raw(
            ErrorKind::MissingSubcommand,
            format!(
                "{kind} is a kind of task; say what to do with the file:\n  taskctl upload {kind} \
                 FILE\n  taskctl run {kind} FILE\n"
            ),
        )),
    })
}

#[cfg(test)]
mod tests {
    use common::task::spec::TaskSpec;

    use super::*;

    fn parse(args: &[&str]) -> Result<KindOptions, clap::Error> {
        let command = KindOptions::augment_args(Command::new("x").no_binary_name(true));
        KindOptions::from_arg_matches(&command.try_get_matches_from(args)?)
    }

    #[test]
    fn every_parameter_of_the_api_is_an_option_and_vice_versa() {
        let mut options: Vec<_> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
        let mut parameters: Vec<_> = TaskSpec::parameter_names().collect();
        options.sort_unstable();
        parameters.sort_unstable();
        assert_eq!(options, parameters);
    }

    #[test]
    fn kinds_take_the_parameters_that_are_their_options() {
        for Parameter { name, option, kinds, value, .. } in PARAMETERS {
            assert_eq!(*option, name.replace('_', "-"));
            let value = match value {
                Value::Text(_) => "x",
                Value::OneOf(_, names) => names[0],
                Value::Character => "#",
                Value::Size => "1000",
            };
            for kind in FILE_KINDS {
                let given = [((*name).to_owned(), value.to_owned())];
                let is_taken = TaskSpec::from_parameters(kind, &given).is_ok();
                assert_eq!(is_taken, kinds.0.contains(&kind), "{kind} {name}");
            }
        }
    }

    #[test]
    fn options_and_parameters_keep_their_order() {
        let options =
            parse(&["-g", "City", "-p", "group_by=Day", "--group-by", "x=y", "--sum", "Visits"]);
        let expected =
            [("group_by", "City"), ("group_by", "Day"), ("group_by", "x=y"), ("sum", "Visits")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(options.unwrap().params, expected);
    }

    #[test]
    fn an_option_of_another_kind_is_refused() {
        let options = parse(&["--group-by", "City"]).unwrap();
        assert!(options.check(CsvAggregation).is_ok());
        let refused = format!("{:?}", options.check(DataUpload).unwrap_err());
        for words in ["--group-by is an option of csv_aggregation", "it takes --on-bad-row"] {
            assert!(refused.contains(words), "{refused}");
        }
        assert!(parse(&["--on-bad-row", "ignore"]).is_err());
        assert!(parse(&["--param", "colour=red"]).unwrap().check(DataUpload).is_ok());
    }

    #[test]
    fn advice_names_options() {
        assert_eq!(
            as_options("pass on_bad_row=skip or group_by=COLUMN"),
            "pass --on-bad-row skip or --group-by COLUMN"
        );
    }
}
