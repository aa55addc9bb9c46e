//! `report_email`: sends the report of a schedule by e-mail, or logs it if no mail server is
//! configured.
//!
//! # Invariants
//! - A report is sent at least once. If a worker dies after the server has accepted it, it is sent
//!   again with the same Message-ID, so mail programs can detect the duplicate.
//! - A refused recipient does not prevent delivery to the others. The checkpoint has the server's
//!   answer for each recipient, so a later attempt sends only to those that were deferred.
//!
//! # Not here
//! SMTP (`mail`); when a report is due (the task manager).

mod rendering;

use std::time::Duration;

use common::problem::Problem;
use common::task::spec::ReportEmailSpec;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use self::rendering::{html, json, subject, text};
use crate::mail::{Delivery, Mail, Mailer, Refusal};
use crate::processor::{Completed, Context, Interrupted, ProcessError, Processor};

/// The delay after the first failure; it is multiplied by four after each further one. This suits
/// greylisting servers, which defer mail from unknown senders, often for five minutes.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The maximum delay.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);
/// The maximum number of recipients that an error names.
const NAMED: usize = 10;

/// Sends a report.
#[derive(Debug)]
pub(super) struct SendReport {
    pub(super) spec: ReportEmailSpec,
    pub(super) mailer: Mailer,
}

/// The outcome of a report; the `result` of the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct SentReport {
    /// Whether it was sent; `false` if no mail can be sent.
    sent: bool,
    /// The intended recipients.
    recipients: Vec<String>,
    /// The recipients that were refused, and why.
    refused: Vec<Refusal>,
    /// The Message-ID of the mail, if it was sent.
    message_id: Option<String>,
}

/// The recipients that are settled; the checkpoint of the task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Settled {
    /// The mail server has accepted the report for these.
    accepted: Vec<String>,
    /// The mail server has refused these permanently.
    refused: Vec<Refusal>,
}

impl Settled {
    /// The recipients that earlier attempts settled.
    fn of(ctx: &Context) -> Result<Self, ProcessError> {
        let checkpoint = ctx.checkpoint().map(Self::deserialize).transpose();
        checkpoint.map(Option::unwrap_or_default).map_err(|error| {
            let detail = format!("the checkpoint of the task is not one of this kind: {error}");
            ProcessError::fail(Problem::new(500, "internal", "Internal error", detail))
        })
    }

    fn has(&self, recipient: &String) -> bool {
        let mut refused = self.refused.iter().map(|refusal| &refusal.recipient);
        self.accepted.contains(recipient) || refused.any(|refused| refused == recipient)
    }
}

impl Processor for SendReport {
    type Output = SentReport;

    async fn process(self, ctx: &Context) -> Result<Completed<SentReport>, ProcessError> {
        let Self {
            spec: ReportEmailSpec { schedule, recipients, report, cities_left_out },
            mailer,
        } = self;
        let recipients = match recipients.is_empty() {
            true => mailer.default_recipients(),
            false => recipients,
        };
        let mail = Mail {
            id: ctx.task_id(),
            date: report.timestamp,
            subject: subject(&report),
            text: text(&report, cities_left_out),
            html: html(&report, cities_left_out),
            attachment: ("user-events.json", json(&report)),
        };
        if let Some(obstacle) = mailer.obstacle(&recipients) {
            info!(
                schedule,
                ?recipients,
                subject = mail.subject,
                content = mail.text,
                "Report not sent: {obstacle}"
            );
            let (refused, message_id) = (Vec::new(), None);
            let result = SentReport { sent: false, recipients, refused, message_id };
            return Ok(Completed { result, output: None });
        }
        let mut settled = Settled::of(ctx)?;
        let open = recipients.iter().filter(|recipient| !settled.has(recipient));
        let open: Vec<String> = open.cloned().collect();
        let Delivery { accepted, deferred, refused } = tokio::select! {
            delivery = mailer.send(&mail, &open) => delivery,
            () = ctx.interrupted() => return Err(Interrupted.into()),
        };
        settled.accepted.extend(accepted);
        settled.refused.extend(refused);
        if !deferred.is_empty() {
            return Err(ProcessError::Retry {
                after: Some(pause(ctx.attempt())),
                checkpoint: serde_json::to_value(&settled).ok(),
                reason: Some(reasons(&deferred)),
            });
        }
        let Settled { accepted, refused } = settled;
        if accepted.is_empty() {
            return Err(ProcessError::fail(Problem::new(
                422,
                "mail_refused",
                "The report could not be sent",
                reasons(&refused),
            )));
        }
        let message_id = mailer.message_id(&mail);
        info!(schedule, recipients = ?accepted, message_id, "report sent");
        if !refused.is_empty() {
            warn!(schedule, "report refused by the mail server: {}", reasons(&refused));
        }
        let result = SentReport { sent: true, recipients, refused, message_id };
        Ok(Completed { result, output: None })
    }
}

/// Why a mail was not sent: each reason once, after the recipients that it applies to.
fn reasons(refusals: &[Refusal]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for Refusal { recipient, reason } in refusals {
        match groups.iter_mut().find(|(of_group, _)| of_group == reason) {
            Some((_, recipients)) => recipients.push(recipient),
            None => groups.push((reason, vec![recipient])),
        }
    }
    let mut left = NAMED;
    let groups = groups.into_iter().map(|(reason, recipients)| {
        let named = recipients.len().min(left);
        left -= named;
        let more = match recipients.len() - named {
            0 => String::new(),
            more if named == 0 => format!("{more} recipients"),
            more => format!(" and {more} more"),
        };
        format!("{}{more}: {reason}", recipients[..named].join(", "))
    });
    groups.collect::<Vec<_>>().join("; ")
}

/// The delay after this attempt.
fn pause(attempt: u32) -> Duration {
    let factor = 4_u32.saturating_pow(attempt.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_outlast_greylisting() {
        let pauses: Vec<u64> = (1..=6).map(|attempt| pause(attempt).as_secs()).collect();
        assert_eq!(pauses, [5, 20, 80, 320, 1280, 1800]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn each_reason_is_given_once_for_all_its_recipients() {
        let refusal =
            |recipient: String, reason: &str| Refusal { recipient, reason: reason.into() };
        let few = [
            refusal("a@x.org".into(), "unknown"),
            refusal("b@x.org".into(), "full"),
            refusal("c@x.org".into(), "unknown"),
        ];
        assert_eq!(reasons(&few), "a@x.org, c@x.org: unknown; b@x.org: full");
        let many: Vec<_> = (0..12).map(|n| refusal(format!("{n}@x.org"), "away")).collect();
        assert!(reasons(&many).ends_with("9@x.org and 2 more: away"), "{}", reasons(&many));
    }
}
