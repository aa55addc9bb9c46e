//! Settings: defaults, then a file, then the environment, with all problems reported together.
//!
//! Settings are flat: `listen` in the file is `PREFIX_LISTEN` in the environment. A program reads
//! each one by name with its default; remaining names are unknown settings.
//!
//! A secret may also be in a separate file: `jwt_key_file` names it, or it is a credential that
//! systemd passes to the service, named like the variable in lower case (`prefix_jwt_key`).

mod reference;
mod switch;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use config::{Config, ConfigError, Environment, File, FileFormat};
use secrecy::SecretString;

pub use self::reference::Description;
pub use self::switch::Switch;

/// The variable that names the folder of a service's credentials.
const CREDENTIALS_FOLDER: &str = "CREDENTIALS_DIRECTORY";
/// Replaces a secret that is set.
const MASK: &str = "********";

/// The settings of a program while it reads them.
#[derive(Debug)]
pub struct Settings {
    prefix: String,
    /// The folder of the credentials that systemd passes to the service.
    credentials: Option<PathBuf>,
    given: BTreeMap<String, Given>,
    effective: Vec<Effective>,
    /// The settings that may be in a file of their own.
    secrets: Vec<&'static str>,
    problems: Vec<String>,
}

#[derive(Debug)]
struct Given {
    value: Value,
    origin: Origin,
}

#[derive(Debug)]
enum Value {
    One(String),
    /// Possible only in a file.
    List(Vec<String>),
}

/// Where a setting's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Default,
    File(PathBuf),
    Credential(PathBuf),
    Environment(String),
    CommandLine,
}

impl Value {
    /// None for a table, or a list of anything but single values.
    fn read(value: config::Value) -> Option<Self> {
        match value.kind {
            config::ValueKind::Array(items) => {
                let items = items.into_iter().map(|item| item.into_string().ok());
                items.collect::<Option<_>>().map(Self::List)
            }
            _ => value.into_string().ok().map(Self::One),
        }
    }
}

impl Origin {
    /// A value of a higher rank overrides others.
    fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Credential(_) => 2,
            Self::Environment(_) => 3,
            Self::CommandLine => 4,
        }
    }
}

/// The source of a secret.
#[derive(Debug)]
enum Secret {
    Direct(Given),
    /// The value is the path of a file.
    InFile(Given),
}

impl Secret {
    fn given(&self) -> &Given {
        match self {
            Self::Direct(given) | Self::InFile(given) => given,
        }
    }
}

/// Reads a file that contains only a secret, without its final line break.
fn read_secret(path: &Value) -> Result<Value, String> {
    let Value::One(path) = path else {
        return Err("must name a single file, not a list".to_owned());
    };
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(format!("is in {path}, which is empty")),
        Ok(text) => Ok(Value::One(text.trim().to_owned())),
        Err(error) => Err(format!("is in {path}, which cannot be read: {error}")),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) | Self::Credential(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

#[derive(Debug, Clone)]
struct Effective {
    name: &'static str,
    shown: String,
    origin: Origin,
}

/// All problems of the settings.
#[derive(Debug, thiserror::Error)]
#[error("invalid settings:\n{}", problems.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError {
    problems: Vec<String>,
}

impl SettingsError {
    /// An error that names `problems`, if there are any.
    ///
    /// # Errors
    /// `problems` is not empty.
    pub fn unless_empty(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

/// The settings in force: secrets are masked.
#[derive(Debug, Clone, Default)]
pub struct EffectiveSettings(Vec<Effective>);

/// A setting in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectiveSetting<'a> {
    /// Its name in the settings file.
    pub name: &'static str,
    /// Its value as the settings file would have it; none for a secret that is set.
    pub value: Option<&'a str>,
    /// Whether it is not set.
    pub is_default: bool,
}

impl EffectiveSettings {
    /// Every setting, in the order in which the program reads them.
    pub fn iter(&self) -> impl Iterator<Item = EffectiveSetting<'_>> {
        self.0.iter().map(|Effective { name, shown, origin }| EffectiveSetting {
            name,
            value: Some(shown.as_str()).filter(|shown| *shown != MASK),
            is_default: *origin == Origin::Default,
        })
    }

    /// Replaces the value of a setting by one from the command line.
    pub fn replace(&mut self, name: &str, value: &impl fmt::Display) {
        if let Some(setting) = self.0.iter_mut().find(|setting| setting.name == name) {
            setting.shown = value.to_string();
            setting.origin = Origin::CommandLine;
        }
    }
}

impl fmt::Display for EffectiveSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &self.0 {
            writeln!(f, "{} = {:?}  # {}", setting.name, setting.shown, setting.origin)?;
        }
        Ok(())
    }
}

/// The environment variable `name`, if it is set and not empty; for programs without settings.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Settings {
    /// Reads `file`, if given, and the variables that start with `prefix` and `_`.
    #[must_use]
    pub fn load(file: Option<&Path>, prefix: &str) -> Self {
        Self::from_sources(file, prefix, None)
    }

    /// Settings of which none is set, to ask a program which ones it reads.
    #[must_use]
    pub fn unset(prefix: &str) -> Self {
        Self::from_sources(None, prefix, Some(HashMap::new()))
    }

    /// Like [`load`](Self::load), with `variables` instead of the environment.
    fn from_sources(
        file: Option<&Path>,
        prefix: &str,
        variables: Option<HashMap<String, String>>,
    ) -> Self {
        let credentials = match &variables {
            Some(variables) => variables.get(CREDENTIALS_FOLDER).cloned(),
            None => variable(CREDENTIALS_FOLDER),
        };
        let mut settings = Self {
            prefix: prefix.to_owned(),
            credentials: credentials.map(PathBuf::from),
            given: BTreeMap::new(),
            effective: Vec::new(),
            secrets: Vec::new(),
            problems: Vec::new(),
        };
        if let Some(path) = file {
            let source = File::from(path).format(FileFormat::Toml);
            let built = Config::builder().add_source(source).build();
            settings.add(built, |_| Origin::File(path.to_owned()));
        }
        let environment = Environment::with_prefix(prefix).prefix_separator("_").source(variables);
        let built = Config::builder().add_source(environment).build();
        let prefix = prefix.to_owned();
        settings.add(built, |name| Origin::Environment(variable_of(&prefix, name)));
        settings
    }

    fn add(&mut self, built: Result<Config, ConfigError>, origin: impl Fn(&str) -> Origin) {
        let table =
            built.and_then(|config| config.try_deserialize::<BTreeMap<String, config::Value>>());
        match table {
            Ok(table) => {
                for (name, value) in table {
                    let origin = origin(&name);
                    match Value::read(value) {
                        Some(value) => {
                            self.given.insert(name, Given { value, origin });
                        }
                        None => self.problems.push(format!(
                            "`{name}` ({origin}) must be a value or a list of values, not a table"
                        )),
                    }
                }
            }
            Err(error) => self.problems.push(error.to_string()),
        }
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let (value, origin) = match self.given.remove(name) {
            None => (default, Origin::Default),
            Some(Given { value, origin }) => {
                let parsed = match &value {
                    Value::One(text) => parse(text),
                    Value::List(_) => Err("must be a single value, not a list".to_owned()),
                };
                match parsed {
                    Ok(value) => (value, origin),
                    Err(reason) => {
                        self.problems.push(format!("`{name}` ({origin}) {reason}"));
                        (default, origin)
                    }
                }
            }
        };
        let shown = show(&value);
        self.effective.push(Effective { name, shown, origin });
        value
    }

    /// A setting of any type that can be parsed from a text.
    pub fn value<T>(&mut self, name: &'static str, default: T) -> T
    where
        T: FromStr<Err: fmt::Display> + fmt::Display,
    {
        let parse = |text: &str| {
            text.parse().map_err(|error| format!("is `{text}`, which is invalid: {error}"))
        };
        self.read(name, default, parse, T::to_string)
    }

    /// A path.
    pub fn path(&mut self, name: &'static str, default: &Path) -> PathBuf {
        self.read(
            name,
            default.to_owned(),
            |text| Ok(text.into()),
            |path| path.display().to_string(),
        )
    }

    /// An address with a port that may be absent or empty.
    pub fn address(&mut self, name: &'static str) -> Option<SocketAddr> {
        let parse = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                format!("is `{text}`, not an address with a port such as 127.0.0.1:9000")
            }),
        };
        let show = |value: &Option<SocketAddr>| value.map(|it| it.to_string()).unwrap_or_default();
        self.read(name, None, parse, show)
    }

    /// A text that may be absent or empty.
    pub fn optional(&mut self, name: &'static str) -> Option<String> {
        let parse = |text: &str| Ok((!text.is_empty()).then(|| text.to_owned()));
        self.read(name, None, parse, |value| value.clone().unwrap_or_default())
    }

    /// Several texts: a list in the file, or one comma-separated text. Blanks around them and empty
    /// ones are ignored; if none is left, the setting counts as absent.
    pub fn list(&mut self, name: &'static str, default: &str) -> Vec<String> {
        if let Some(Given { value, .. }) = self.given.get_mut(name)
            && let Value::List(items) = value
        {
            *value = Value::One(items.join(","));
        }
        let items = |text: &str| {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(str::to_owned).collect::<Vec<_>>()
        };
        let parse = |text: &str| Ok(Some(items(text)).filter(|items| !items.is_empty()));
        let show = |items: &Option<Vec<String>>| match items {
            Some(items) => items.join(", "),
            None => default.to_owned(),
        };
        self.read(name, None, parse, show).unwrap_or_else(|| items(default))
    }

    /// A secret that may be absent; never shown.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.find_secret(name);
        let parse = |text: &str| Ok((!text.is_empty()).then(|| SecretString::from(text)));
        self.read(name, None, parse, |value| if value.is_some() { MASK } else { "" }.to_owned())
    }

    /// A text that may contain a secret, such as a URL with a password: a set value is never shown,
    /// the default is.
    pub fn secret_or(&mut self, name: &'static str, default: &str) -> SecretString {
        self.find_secret(name);
        let shown = if self.given.contains_key(name) { MASK } else { default }.to_owned();
        self.read(name, default.into(), |text| Ok(text.into()), |_| shown)
    }

    /// Replaces the given values of a secret by the one of the highest rank: a variable, then a
    /// credential, then the settings file; the first and the last of them may name a file.
    fn find_secret(&mut self, name: &'static str) {
        self.secrets.push(name);
        let direct = self.given.remove(name);
        let file = self.given.remove(&format!("{name}_file"));
        if let (Some(direct), Some(file)) = (&direct, &file)
            && direct.origin.rank() == file.origin.rank()
        {
            self.problems.push(format!(
                "`{name}` ({}) and `{name}_file` ({}) are both set; set one of them",
                direct.origin, file.origin
            ));
        }
        let credential = self.credential(name);
        let found = [direct.map(Secret::Direct), file.map(Secret::InFile), credential];
        let found = found.into_iter().flatten().max_by_key(|secret| secret.given().origin.rank());
        match found {
            None => {}
            Some(Secret::Direct(given)) => {
                self.given.insert(name.to_owned(), given);
            }
            Some(Secret::InFile(Given { value, origin })) => match read_secret(&value) {
                Ok(value) => {
                    self.given.insert(name.to_owned(), Given { value, origin });
                }
                Err(problem) => {
                    self.problems.push(format!("the secret `{name}` ({origin}) {problem}"));
                }
            },
        }
    }

    /// The credential of a secret, if any.
    fn credential(&self, name: &str) -> Option<Secret> {
        let file = format!("{}_{name}", self.prefix.to_ascii_lowercase());
        let path = self.credentials.as_ref()?.join(file);
        let value = Value::One(path.to_str().filter(|_| path.exists())?.to_owned());
        Some(Secret::InFile(Given { value, origin: Origin::Credential(path) }))
    }

    /// A time span such as `30s`, `10m` or `7d`.
    pub fn duration(&mut self, name: &'static str, default: Duration) -> Duration {
        let parse = |text: &str| {
            humantime::parse_duration(text)
                .map_err(|_| format!("is `{text}`, not a time span such as 30s, 10m or 7d"))
        };
        self.read(name, default, parse, |value| show_duration(*value))
    }

    /// A number of bytes such as `512MiB`.
    pub fn bytes(&mut self, name: &'static str, default: u64) -> u64 {
        let parse = |text: &str| {
            text.parse::<ByteSize>()
                .map(|size| size.as_u64())
                .map_err(|_| format!("is `{text}`, not a size such as 1048576, 512MiB or 32GiB"))
        };
        self.read(name, default, parse, |value| ByteSize::b(*value).to_string())
    }

    /// Adds a problem of the combination of values.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Finishes reading, after all known settings were read.
    ///
    /// # Errors
    /// Every invalid setting, and every unknown one.
    pub fn finish(mut self) -> Result<EffectiveSettings, SettingsError> {
        let known: Vec<_> = self.effective.iter().map(|setting| setting.name).collect();
        for (name, given) in &self.given {
            self.problems.push(format!(
                "`{name}` ({}) is not a setting of {}; there are {}",
                given.origin,
                self.prefix.to_ascii_lowercase(),
                known.join(", ")
            ));
        }
        if self.problems.is_empty() {
            Ok(EffectiveSettings(self.effective))
        } else {
            Err(SettingsError { problems: self.problems })
        }
    }
}

/// The environment variable of a setting.
fn variable_of(prefix: &str, name: &str) -> String {
    format!("{prefix}_{}", name.to_ascii_uppercase())
}

/// A time span in the largest unit that gives a whole number, in the format of settings.
fn show_duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 4] =
        [(24 * 3_600_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let millis = duration.as_millis();
    let unit = UNITS.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "ms"));
    format!("{}{name}", millis / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Option<HashMap<String, String>> {
        Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn the_environment_overrides_the_file_and_the_file_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "port = 1\nlimit = \"2MiB\"\n").unwrap();
        let mut settings =
            Settings::from_sources(Some(&file), "UNIT_TEST", variables(&[("UNIT_TEST_PORT", "2")]));
        assert_eq!(settings.value("port", 0_u16), 2);
        assert_eq!(settings.bytes("limit", 5), 2 << 20);
        assert_eq!(settings.duration("age", Duration::from_secs(30)), Duration::from_secs(30));
        let shown = settings.finish().unwrap().to_string();
        assert!(shown.contains("port = \"2\"  # UNIT_TEST_PORT"), "{shown}");
        assert!(shown.contains("limit = \"2.0 MiB\""), "{shown}");
        assert!(shown.contains("age = \"30s\"  # default"), "{shown}");
    }

    #[test]
    fn durations_are_shown_in_the_format_of_settings() {
        let shown = [(0, "0ms"), (1_500, "1500ms"), (90_000, "90s"), (7_776_000_000, "90d")];
        for (millis, text) in shown {
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn all_problems_are_reported_together() {
        let given = variables(&[
            ("UNIT_TEST_PORT", "many"),
            ("UNIT_TEST_AGE", "soon"),
            ("UNIT_TEST_METRICS", "localhost"),
            ("UNIT_TEST_COLOUR", "red"),
        ]);
        let mut settings = Settings::from_sources(None, "UNIT_TEST", given);
        settings.value("port", 0_u16);
        settings.duration("age", Duration::ZERO);
        settings.address("metrics");
        let message = settings.finish().unwrap_err().to_string();
        for part in [
            "`port` (UNIT_TEST_PORT) is `many`",
            "`age`",
            "`metrics` (UNIT_TEST_METRICS) is `localhost`, not an address",
            "`colour` (UNIT_TEST_COLOUR) is not a setting",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn lists_are_arrays_in_the_file_and_comma_separated_in_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "urls = [\"http://a\", \" http://b \"]\nport = [1, 2]\n").unwrap();
        let given = variables(&[("UNIT_TEST_NAMES", "c, d,")]);
        let mut settings = Settings::from_sources(Some(&file), "UNIT_TEST", given);
        assert_eq!(settings.list("urls", "http://z"), ["http://a", "http://b"]);
        assert_eq!(settings.list("names", "z"), ["c", "d"]);
        assert_eq!(settings.list("others", "y,z"), ["y", "z"]);
        settings.value("port", 0_u16);
        let message = settings.finish().unwrap_err().to_string();
        assert!(message.contains("`port`") && message.contains("not a list"), "{message}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let given = variables(&[("UNIT_TEST_TOKEN", "hunter2"), ("UNIT_TEST_URL", "hunter2")]);
        let mut settings = Settings::from_sources(None, "UNIT_TEST", given);
        let token = settings.secret("token");
        let url = settings.secret_or("url", "sqlite://tasks.sqlite");
        assert!(!format!("{token:?}{url:?}").contains("hunter2"));
        let mut in_force = settings.finish().unwrap();
        let shown = in_force.to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("token = \"********\"  # UNIT_TEST_TOKEN"), "{shown}");
        let expected = |name, value| EffectiveSetting { name, value, is_default: false };
        in_force.replace("url", &"of the command line");
        let all = in_force.iter().collect::<Vec<_>>();
        assert_eq!(all, [expected("token", None), expected("url", Some("of the command line"))]);
    }

    #[test]
    fn a_secret_is_read_from_the_file_that_a_setting_names() {
        use secrecy::ExposeSecret;
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("token");
        std::fs::write(&secret, "hunter2\n").unwrap();
        let secret = secret.to_str().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, format!("token_file = {secret:?}\nurl = \"of the file\"\n")).unwrap();
        let given = variables(&[("UNIT_TEST_URL_FILE", secret)]);
        let mut settings = Settings::from_sources(Some(&file), "UNIT_TEST", given);
        assert_eq!(settings.secret("token").unwrap().expose_secret(), "hunter2");
        assert_eq!(settings.secret_or("url", "default").expose_secret(), "hunter2");
        let shown = settings.finish().unwrap().to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("url = \"********\"  # UNIT_TEST_URL_FILE"), "{shown}");
    }

    #[test]
    fn a_credential_overrides_the_file_and_a_variable_the_credential() {
        use secrecy::ExposeSecret;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "token = \"file\"\nkey = \"file\"\nurl = \"file\"\n").unwrap();
        for name in ["unit_test_token", "unit_test_key", "other_url"] {
            std::fs::write(folder.path().join(name), "credential\n").unwrap();
        }
        let credentials = folder.path().to_str().unwrap();
        let given =
            variables(&[(CREDENTIALS_FOLDER, credentials), ("UNIT_TEST_KEY", "environment")]);
        let mut settings = Settings::from_sources(Some(&file), "UNIT_TEST", given);
        assert_eq!(settings.secret("token").unwrap().expose_secret(), "credential");
        assert_eq!(settings.secret("key").unwrap().expose_secret(), "environment");
        assert_eq!(settings.secret("url").unwrap().expose_secret(), "file");
        assert!(settings.secret("missing").is_none());
        let shown = settings.finish().unwrap().to_string();
        assert!(shown.contains(&format!("# {credentials}/unit_test_token")), "{shown}");
    }

    #[test]
    fn a_secret_that_is_ambiguous_or_unreadable_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let given = variables(&[
            ("UNIT_TEST_TOKEN", "hunter2"),
            ("UNIT_TEST_TOKEN_FILE", "/nowhere"),
            ("UNIT_TEST_KEY_FILE", "/nowhere"),
            ("UNIT_TEST_URL_FILE", empty.to_str().unwrap()),
            ("UNIT_TEST_PORT_FILE", "/nowhere"),
        ]);
        let mut settings = Settings::from_sources(None, "UNIT_TEST", given);
        settings.secret("token");
        settings.secret("key");
        settings.secret_or("url", "default");
        settings.value("port", 0_u16);
        let message = settings.finish().unwrap_err().to_string();
        for part in [
            "`token` (UNIT_TEST_TOKEN) and `token_file`",
            "`key` (UNIT_TEST_KEY_FILE) is in /nowhere, which cannot be read",
            "which is empty",
            "`port_file` (UNIT_TEST_PORT_FILE) is not a setting",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem() {
        let settings =
            Settings::from_sources(Some(Path::new("/nowhere.toml")), "UNIT_TEST", variables(&[]));
        assert!(settings.finish().unwrap_err().to_string().contains("nowhere.toml"));
    }
}
