//! The settings of mail.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use common::config::Settings;
use lettre::message::Mailbox;
use secrecy::SecretString;

/// The settings of mail.
#[derive(Debug, Clone, Default)]
pub struct MailConfig {
    /// The mail server; without one, mails are logged.
    pub smtp: Option<SmtpConfig>,
    /// The default recipients.
    pub to: Vec<Mailbox>,
}

/// The mail server.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// User and password, if the server requires a login.
    pub login: Option<(String, SecretString)>,
    /// A PEM file of additional certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// The sender.
    pub from: Mailbox,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// By STARTTLS, which is required. Only the greeting and EHLO are sent in plain text.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Not encrypted.
    None,
}

impl SmtpTls {
    /// The default port of such servers.
    fn default_port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

impl FromStr for SmtpTls {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "starttls" => Ok(Self::StartTls),
            "tls" => Ok(Self::Tls),
            "none" => Ok(Self::None),
            _ => Err("it is `starttls`, `tls` or `none`"),
        }
    }
}

impl fmt::Display for SmtpTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        })
    }
}

impl MailConfig {
    /// Reads `smtp_host`, `smtp_port`, `smtp_tls`, `smtp_user`, `smtp_password`, `smtp_ca_file`,
    /// `mail_from` and `mail_to`. Invalid values are recorded in `settings`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let host = settings.optional("smtp_host");
        let tls = settings.value("smtp_tls", SmtpTls::StartTls);
        let port = settings.value("smtp_port", tls.default_port());
        let login = (settings.optional("smtp_user"), settings.secret("smtp_password"));
        let ca_file = settings.optional("smtp_ca_file").map(PathBuf::from);
        let from = settings.optional("mail_from");
        let to = settings.optional("mail_to").unwrap_or_default();

        let addresses = to.split(',').map(str::trim).filter(|address| !address.is_empty());
        let to = addresses.filter_map(|address| mailbox(settings, "mail_to", address)).collect();
        let from_was_given = from.is_some();
        let from = from.and_then(|from| sender(settings, &from));
        let Some(host) = host else { return Self { smtp: None, to } };
        if !from_was_given {
            settings.problem("`mail_from`, the sender, must be set if `smtp_host` is set");
        }
        let login = match login {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => {
                settings.problem("`smtp_user` and `smtp_password` must be set both or not at all");
                None
            }
        };
        if login.is_some() && tls == SmtpTls::None && !is_this_machine(&host) {
            settings.problem(format!(
                "`smtp_tls` is `none`: the password would reach {host} in the clear; use \
                 `starttls` or `tls`, or leave `smtp_user` and `smtp_password` out"
            ));
        }
        let smtp = from.map(|from| SmtpConfig { host, port, tls, login, ca_file, from });
        Self { smtp, to }
    }
}

fn mailbox(settings: &mut Settings, name: &str, text: &str) -> Option<Mailbox> {
    match super::mailbox(text) {
        Ok(mailbox) => Some(mailbox),
        Err(error) => {
            settings.problem(format!("`{name}`: `{text}` {error}"));
            None
        }
    }
}

/// Reads the sender. Lettre parses it again from the finished mail, and accepts fewer addresses.
fn sender(settings: &mut Settings, text: &str) -> Option<Mailbox> {
    let mailbox = mailbox(settings, "mail_from", text)?;
    if mailbox.to_string().parse::<Mailbox>().is_err() {
        settings
            .problem(format!("`mail_from`: `{text}` cannot send mail; give an address in ASCII"));
        return None;
    }
    Some(mailbox)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<MailConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, content).unwrap();
        let mut settings = Settings::load(Some(&file), "MAIL_CONFIG_TEST");
        let config = MailConfig::from_settings(&mut settings);
        let shown = settings.finish().map_err(|error| error.to_string())?.to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        Ok(config)
    }

    #[test]
    fn all_settings_have_defaults() {
        assert!(read("").unwrap().smtp.is_none());
        let config = read(
            "mail_to = \"a@example.org, Bea <b@example.org>, \\\"Dr. Bö\\\" <info@उदाहरण.परीक्षा>\"",
        );
        let to: Vec<_> = config.unwrap().to.iter().map(ToString::to_string).collect();
        let named = "\"Dr. Bö\" <info@xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g>";
        assert_eq!(to, ["a@example.org", "Bea <b@example.org>", named]);
    }

    #[test]
    fn all_settings_can_be_set() {
        let config = read(
            "smtp_host = \"mail.example.org\"\nsmtp_user = \"me\"\nsmtp_password = \"hunter2\"\n\
             mail_from = \"Reports <reports@example.org>\"\n",
        );
        let smtp = config.unwrap().smtp.unwrap();
        assert_eq!((smtp.port, smtp.tls), (587, SmtpTls::StartTls));
        assert!(smtp.login.is_some());
        assert_eq!(smtp.from.email.to_string(), "reports@example.org");
        for (tls, port) in [("starttls", 587), ("tls", 465), ("none", 25)] {
            let host = "smtp_host = \"mail.example.org\"\nmail_from = \"a@example.org\"\n";
            let config = read(&format!("{host}smtp_tls = \"{tls}\"\n")).unwrap();
            assert_eq!(config.smtp.unwrap().port, port);
        }
    }

    #[test]
    fn invalid_settings_are_named() {
        let host = "smtp_host = \"mail.example.org\"\n";
        let from = "mail_from = \"a@example.org\"\n";
        let login = "smtp_user = \"me\"\nsmtp_password = \"hunter2\"\n";
        for (content, problem) in [
            (host.to_owned(), "`mail_from`, the sender, must be set"),
            (format!("{host}mail_from = \"me\"\n"), "`mail_from`: `me` is not an e-mail address"),
            ("mail_to = \"a@example.org,me\"\n".to_owned(), "`mail_to`: `me` is not"),
            (format!("{host}{from}smtp_user = \"me\"\n"), "both or not at all"),
            (format!("{host}{from}smtp_tls = \"maybe\"\n"), "`starttls`, `tls` or `none`"),
            (format!("{host}{from}{login}smtp_tls = \"none\"\n"), "in the clear"),
        ] {
            let error = read(&content).unwrap_err();
            assert!(error.contains(problem), "{content}: {error}");
        }
        let here = format!("smtp_host = \"127.0.0.1\"\n{from}{login}smtp_tls = \"none\"\n");
        assert!(read(&here).unwrap().smtp.is_some());
    }
}
