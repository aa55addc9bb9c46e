//! Sending mail by SMTP.
//!
//! # Invariants
//! - A mail that is sent again has the same Message-ID and date.
//! - A password never travels in the clear, except on this machine.
//!
//! # Not here
//! What is sent (`processors`).

pub mod config;
#[cfg(test)]
pub(crate) mod sink;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use anyhow::Context;
use chrono::{DateTime, Utc};
use common::task::TaskId;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, Message, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::ExposeSecret;

use self::config::{MailConfig, SmtpConfig, SmtpTls};

/// How long the server may take for each of its answers.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A mail to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    /// What its Message-ID is made of.
    pub id: TaskId,
    /// When it was written.
    pub date: DateTime<Utc>,
    /// Who gets it.
    pub recipients: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// The content as plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// The name of a JSON file that goes along, and what is in it.
    pub attachment: (&'static str, String),
}

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It may be sent later.
    #[error("{0}")]
    MayPass(String),
    /// The server has refused it for good, or it is no mail.
    #[error("{0}")]
    Stays(String),
}

/// Sends mail, where the settings say how. Clones are alike.
#[derive(Debug, Clone, Default)]
pub struct Mailer {
    smtp: Option<Smtp>,
    to: Vec<String>,
}

#[derive(Debug, Clone)]
struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// Sends mail as `config` says.
    ///
    /// # Errors
    /// The file with certificates cannot be read.
    pub fn new(config: MailConfig) -> anyhow::Result<Self> {
        let MailConfig { smtp, to } = config;
        let smtp = match smtp {
            Some(smtp) => Some(Smtp { transport: transport(&smtp)?, from: smtp.from }),
            None => None,
        };
        Ok(Self { smtp, to: to.iter().map(ToString::to_string).collect() })
    }

    /// Who gets what is meant for nobody else.
    #[must_use]
    pub fn usual_recipients(&self) -> Vec<String> {
        self.to.clone()
    }

    /// Why nothing can be sent to `recipients`, if that is so.
    #[must_use]
    pub fn obstacle(&self, recipients: &[String]) -> Option<&'static str> {
        match self.smtp {
            None => Some("no SMTP configured"),
            Some(_) if recipients.is_empty() => Some("no recipients configured"),
            Some(_) => None,
        }
    }

    /// Sends a mail; answers its Message-ID.
    ///
    /// # Errors
    /// The server does not take it, now or ever.
    pub async fn send(&self, mail: &Mail) -> Result<String, MailError> {
        let Some(Smtp { transport, from }) = &self.smtp else {
            return Err(MailError::Stays("no SMTP configured".to_owned()));
        };
        let message_id = format!("<{}@{}>", mail.id, from.email.domain());
        let message = message(mail, from, &message_id)?;
        match transport.send(message).await {
            Ok(_) => Ok(message_id),
            Err(error) => {
                let reason = format!("the mail server: {}", chain(&error));
                Err(match error.is_permanent() {
                    true => MailError::Stays(reason),
                    false => MailError::MayPass(reason),
                })
            }
        }
    }
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

fn message(mail: &Mail, from: &Mailbox, message_id: &str) -> Result<Message, MailError> {
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(&mail.subject)
        .message_id(Some(message_id.to_owned()))
        .date(SystemTime::from(mail.date));
    for recipient in &mail.recipients {
        let mailbox: Mailbox = recipient.parse().map_err(|error| {
            MailError::Stays(format!(
                "`{recipient}` is no address that mail can be sent to: {error}"
            ))
        })?;
        builder = builder.to(mailbox);
    }
    let (name, content) = mail.attachment.clone();
    let body = MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone());
    let stays = |error: &dyn std::fmt::Display| {
        MailError::Stays(format!("the mail cannot be written: {error}"))
    };
    let json = ContentType::parse("application/json").map_err(|error| stays(&error))?;
    let attachment = Attachment::new(name.to_owned()).body(content, json);
    let whole = MultiPart::mixed().multipart(body).singlepart(attachment);
    builder.multipart(whole).map_err(|error| stays(&error))
}

fn transport(config: &SmtpConfig) -> anyhow::Result<AsyncSmtpTransport<Tokio1Executor>> {
    let tls = match config.tls {
        SmtpTls::None => Tls::None,
        SmtpTls::StartTls => Tls::Required(tls_parameters(config)?),
        SmtpTls::Tls => Tls::Wrapper(tls_parameters(config)?),
    };
    // "Dangerous" is that it begins without TLS, which is set here.
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port)
        .tls(tls)
        .timeout(Some(TIMEOUT));
    if let Some((user, password)) = &config.login {
        let password = password.expose_secret().to_owned();
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
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
