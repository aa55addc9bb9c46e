//! The wire format of a mail (RFC 5322).

use std::error::Error;
use std::time::SystemTime;

use lettre::address::Envelope;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue, Headers, To};
use lettre::message::{Attachment, Mailbox, Mailboxes, Message, MultiPart};

use super::Mail;

/// The recommended maximum length of a header line in bytes (RFC 5322, 2.1.1).
const LINE: usize = 78;

/// The bytes of the mail.
pub(super) fn message(
    mail: &Mail,
    from: &Mailbox,
    to: &[Mailbox],
    message_id: String,
) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let recipients = to.iter().map(|mailbox| mailbox.email.clone()).collect();
    let (name, content) = mail.attachment.clone();
    let body = MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone());
    let attachment =
        Attachment::new(name.to_owned()).body(content, ContentType::parse("application/json")?);
    let message = Message::builder()
        // By default lettre parses it from the headers, which fails for some addresses.
        .envelope(Envelope::new(Some(from.email.clone()), recipients)?)
        .from(from.clone())
        .raw_header(folded("To", to)?)
        .subject(&mail.subject)
        .message_id(Some(message_id))
        .date(SystemTime::from(mail.date))
        .header(AutoSubmitted)
        .multipart(MultiPart::mixed().multipart(body).singlepart(attachment))?;
    Ok(message.formatted())
}

/// A folded header of addresses; no address is split.
fn folded(
    name: &'static str,
    mailboxes: &[Mailbox],
) -> Result<HeaderValue, Box<dyn Error + Send + Sync>> {
    let name = HeaderName::new_from_ascii(name.to_owned())?;
    let mut value = String::new();
    let mut column = name.len() + ": ".len();
    for mailbox in mailboxes {
        let text = encoded(mailbox);
        if !value.is_empty() {
            value.push(',');
            column += 1;
            // The space and, perhaps, the next comma.
            if column + text.len() + 2 > LINE {
                value.push_str("\r\n");
                column = 0;
            }
            value.push(' ');
            column += 1;
        }
        column = match text.rsplit_once('\n') {
            Some((_, last)) => last.len(),
            None => column + text.len(),
        };
        value.push_str(&text);
    }
    Ok(HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value))
}

/// A mailbox, encoded for a header.
fn encoded(mailbox: &Mailbox) -> String {
    let mut headers = Headers::new();
    headers.set(To::from(Mailboxes::from(mailbox.clone())));
    let line = headers.to_string();
    line.trim_start_matches("To:").trim().to_owned()
}

/// Prevents automatic replies (RFC 3834).
#[derive(Debug, Clone, Copy)]
struct AutoSubmitted;

impl AutoSubmitted {
    const VALUE: &str = "auto-generated";
}

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), Self::VALUE.to_owned())
    }
}
