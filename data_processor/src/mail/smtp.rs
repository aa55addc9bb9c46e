//! An SMTP session that reports the answer for each recipient.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use common::causes::with_causes;
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use secrecy::ExposeSecret;

use super::config::{SmtpConfig, SmtpTls};

/// The timeout of each answer of the server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may succeed later.
    Transient(String),
    /// It will never succeed.
    Permanent(String),
}

/// What a failed `RCPT` affects.
#[derive(Debug)]
pub(super) enum Refused {
    /// Only the recipient.
    Recipient(Failure),
    /// The whole session, which has ended.
    Connection(Failure),
}

/// A mail server, and how to connect to it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
}

#[derive(Clone)]
enum Security {
    None,
    StartTls(TlsParameters),
    Tls(TlsParameters),
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::StartTls(_) => "StartTls",
            Self::Tls(_) => "Tls",
        })
    }
}

/// A connection to a mail server. An error ends it.
pub(super) struct Connection(AsyncSmtpConnection);

impl Server {
    /// The server of the settings.
    ///
    /// # Errors
    /// The file with certificates cannot be read.
    pub(super) fn new(config: &SmtpConfig) -> anyhow::Result<Self> {
        let security = match config.tls {
            SmtpTls::None => Security::None,
            SmtpTls::StartTls => Security::StartTls(tls_parameters(config)?),
            SmtpTls::Tls => Security::Tls(tls_parameters(config)?),
        };
        let login = config.login.as_ref().map(|(user, password)| {
            Credentials::new(user.clone(), password.expose_secret().to_owned())
        });
        Ok(Self { host: config.host.clone(), port: config.port, security, credentials: login })
    }

    /// Connects and logs in.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let hello = ClientId::default();
        let wrapper = match &self.security {
            Security::Tls(parameters) => Some(parameters.clone()),
            Security::None | Security::StartTls(_) => None,
        };
        let server = (self.host.as_str(), self.port);
        let connect =
            AsyncSmtpConnection::connect_tokio1(server, Some(TIMEOUT), &hello, wrapper, None);
        let mut connection = with_timeout(connect).await?;
        if let Security::StartTls(parameters) = &self.security {
            with_timeout(connection.starttls(parameters.clone(), &hello)).await?;
        }
        if let Some(credentials) = &self.credentials {
            with_timeout(connection.auth(DEFAULT_MECHANISMS, credentials)).await?;
        }
        Ok(Connection(connection))
    }
}

impl Connection {
    /// Starts a mail. `needs_utf8` is set if any of its addresses is not ASCII.
    pub(super) async fn begin(&mut self, from: &Address, needs_utf8: bool) -> Result<(), Failure> {
        let mut parameters = Vec::new();
        if needs_utf8 {
            let server = self.0.server_info();
            if !server.supports_feature(Extension::SmtpUtfEight) {
                return Err(Failure::Permanent(
                    "the mail server does not support addresses with non-ASCII letters (it does \
                     not offer SMTPUTF8)"
                        .to_owned(),
                ));
            }
            parameters.push(MailParameter::SmtpUtfEight);
            if server.supports_feature(Extension::EightBitMime) {
                parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
            }
        }
        with_timeout(self.0.command(Mail::new(Some(from.clone()), parameters))).await?;
        Ok(())
    }

    /// Adds a recipient.
    pub(super) async fn offer(&mut self, to: &Address) -> Result<(), Refused> {
        let answered =
            tokio::time::timeout(TIMEOUT, self.0.command(Rcpt::new(to.clone(), vec![]))).await;
        match answered {
            Ok(Ok(_)) => Ok(()),
            // After a 421, the server closes the connection (RFC 5321, 3.8).
            Ok(Err(error)) if error.status().is_some_and(|code| code.to_string() != "421") => {
                Err(Refused::Recipient(failure(&error)))
            }
            Ok(Err(error)) => Err(Refused::Connection(failure(&error))),
            Err(_) => Err(Refused::Connection(no_answer())),
        }
    }

    /// Sends the mail to the recipients that the server accepted.
    pub(super) async fn finish(&mut self, message: &[u8]) -> Result<(), Failure> {
        with_timeout(self.0.command(Data)).await?;
        with_timeout(self.0.message(message)).await?;
        Ok(())
    }

    /// Ends the session. The answer is ignored, since the mail is sent already.
    pub(super) async fn close(mut self) {
        let _ = with_timeout(self.0.quit()).await;
    }
}

async fn with_timeout<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(|error| failure(&error)),
        Err(_) => Err(no_answer()),
    }
}

fn no_answer() -> Failure {
    Failure::Transient(format!("the mail server gave no answer in {} s", TIMEOUT.as_secs()))
}

fn failure(error: &Error) -> Failure {
    let reason = format!("the mail server: {}", with_causes(error));
    if error.is_permanent() { Failure::Permanent(reason) } else { Failure::Transient(reason) }
}

fn tls_parameters(config: &SmtpConfig) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.ca_file {
        let read = || format!("the certificates in {} (`smtp_ca_file`)", path.display());
        let pem = std::fs::read(path).with_context(read)?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).with_context(read)?);
    }
    builder.build().context("TLS for mail cannot be set up")
}
