//! Sending mail by SMTP.
//!
//! # Invariants
//! - A mail that is sent again has the same Message-ID and date.
//! - A recipient that is refused does not prevent delivery to the others.
//! - A password is never sent in plain text, except on this machine.
//!
//! # Not here
//! The content of mails (`processors`).

pub mod config;
mod message;
#[cfg(test)]
pub(crate) mod sink;
mod smtp;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use common::mail_address::MailAddress;
use common::task::TaskId;
use lettre::Address;
use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};

use self::config::MailConfig;
use self::smtp::{Failure, Server};

/// A mail to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its Message-ID is derived from this.
    pub id: TaskId,
    /// The date of the mail.
    pub date: DateTime<Utc>,
    /// The subject.
    pub subject: String,
    /// The content as plain text.
    pub text: String,
    /// The content as HTML.
    pub html: String,
    /// The name and the content of an attached JSON file.
    pub attachment: (&'static str, String),
}

/// The outcome of sending a mail. Each recipient is in one of the lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// The mail server has accepted it for these.
    pub accepted: Vec<String>,
    /// It can be sent to these later.
    pub deferred: Vec<Refusal>,
    /// It can never be sent to these.
    pub refused: Vec<Refusal>,
}

/// A recipient to whom a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The recipient as given.
    pub recipient: String,
    /// The answer of the mail server, if there was one.
    pub reason: String,
}

/// A recipient: as given, and in the form for mail servers.
#[derive(Debug, Clone)]
struct Recipient {
    given: String,
    mailbox: Mailbox,
}

/// Sends mail, if a server is configured. Clones share their settings.
#[derive(Debug, Clone, Default)]
pub struct Mailer {
    smtp: Option<Smtp>,
    to: Vec<String>,
}

#[derive(Debug, Clone)]
struct Smtp {
    server: Server,
    from: Mailbox,
}

impl Mailer {
    /// A mailer with these settings.
    ///
    /// # Errors
    /// The file with certificates cannot be read.
    pub fn new(config: MailConfig) -> anyhow::Result<Self> {
        let MailConfig { smtp, to } = config;
        let smtp = match smtp {
            Some(smtp) => Some(Smtp { server: Server::new(&smtp)?, from: smtp.from }),
            None => None,
        };
        Ok(Self { smtp, to: to.iter().map(ToString::to_string).collect() })
    }

    /// The default recipients.
    #[must_use]
    pub fn default_recipients(&self) -> Vec<String> {
        self.to.clone()
    }

    /// Why nothing can be sent to `recipients`; `None` if it can.
    #[must_use]
    pub fn obstacle(&self, recipients: &[String]) -> Option<&'static str> {
        match self.smtp {
            None => Some("no SMTP configured"),
            Some(_) if recipients.is_empty() => Some("no recipients configured"),
            Some(_) => None,
        }
    }

    /// The Message-ID of a mail; `None` if no mail can be sent.
    #[must_use]
    pub fn message_id(&self, mail: &Mail) -> Option<String> {
        self.smtp.as_ref().map(|smtp| smtp.message_id(mail))
    }

    /// Sends a mail to `recipients`.
    pub async fn send(&self, mail: &Mail, recipients: &[String]) -> Delivery {
        let mut delivery = Delivery::default();
        let mut groups = [Vec::new(), Vec::new()];
        for given in recipients {
            match mailbox(given) {
                // Intermediate servers may refuse a mail with non-ASCII addresses, so the other
                // recipients get a separate mail.
                Ok(mailbox) => {
                    let is_ascii = AsRef::<str>::as_ref(&mailbox.email).is_ascii();
                    let recipient = Recipient { given: given.clone(), mailbox };
                    groups[usize::from(!is_ascii)].push(recipient);
                }
                Err(reason) => {
                    let reason = format!("`{given}` {reason}");
                    delivery.refused.push(Refusal { recipient: given.clone(), reason });
                }
            }
        }
        for group in groups.into_iter().filter(|group| !group.is_empty()) {
            self.send_to(mail, group, &mut delivery).await;
        }
        delivery
    }

    async fn send_to(&self, mail: &Mail, mut pending: Vec<Recipient>, delivery: &mut Delivery) {
        let sent = match &self.smtp {
            Some(smtp) => smtp.send(mail, &mut pending, delivery).await,
            None => Err(Failure::Permanent("no SMTP configured".to_owned())),
        };
        let given = pending.into_iter().map(|recipient| recipient.given);
        let refusals = |reason: String| {
            given.clone().map(move |recipient| Refusal { recipient, reason: reason.clone() })
        };
        match sent {
            Ok(()) => delivery.accepted.extend(given),
            Err(Failure::Transient(reason)) => delivery.deferred.extend(refusals(reason)),
            Err(Failure::Permanent(reason)) => delivery.refused.extend(refusals(reason)),
        }
    }
}

impl Smtp {
    fn message_id(&self, mail: &Mail) -> String {
        format!("<{}@{}>", mail.id, self.from.email.domain())
    }

    /// Sends the mail to the `pending` recipients. Those that the server refuses or defers are
    /// moved to `delivery`.
    async fn send(
        &self,
        mail: &Mail,
        pending: &mut Vec<Recipient>,
        delivery: &mut Delivery,
    ) -> Result<(), Failure> {
        let to: Vec<Mailbox> = pending.iter().map(|recipient| recipient.mailbox.clone()).collect();
        let message = message::message(mail, &self.from, &to, self.message_id(mail))
            .map_err(|error| Failure::Permanent(format!("the mail cannot be written: {error}")))?;
        let is_ascii = |mailbox: &Mailbox| AsRef::<str>::as_ref(&mailbox.email).is_ascii();
        let needs_utf8 = !to.iter().chain([&self.from]).all(is_ascii);

        let mut connection = self.server.connect().await?;
        connection.begin(&self.from.email, needs_utf8).await?;
        for recipient in pending.clone() {
            let Err(failure) = connection.offer(&recipient.mailbox.email).await else { continue };
            let (reason, list) = match failure {
                smtp::Refused::Recipient(Failure::Transient(reason)) => {
                    (reason, &mut delivery.deferred)
                }
                smtp::Refused::Recipient(Failure::Permanent(reason)) => {
                    (reason, &mut delivery.refused)
                }
                smtp::Refused::Connection(failure) => return Err(failure),
            };
            pending.retain(|other| other.given != recipient.given);
            list.push(Refusal { recipient: recipient.given, reason });
        }
        if !pending.is_empty() {
            connection.finish(&message).await?;
        }
        connection.close().await;
        Ok(())
    }
}

/// Parses `ada@example.org` or `Ada <ada@example.org>`.
///
/// # Errors
/// The text is neither. The message is a predicate whose subject is the text.
fn mailbox(text: &str) -> Result<Mailbox, String> {
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim(), address),
        None => ("", text),
    };
    let address = MailAddress::parse(address).map_err(|error| error.to_string())?;
    let email = Address::new_dangerous(address.local_part(), address.ascii_domain());
    if name.is_empty() {
        return Ok(Mailbox::new(None, email));
    }
    // The name is parsed with an ASCII address, since lettre accepts fewer addresses.
    let named: Mailbox = format!("{name} <name@example.org>")
        .parse()
        .map_err(|error| format!("is not a name and an e-mail address: {error}"))?;
    Ok(Mailbox::new(named.name, email))
}
