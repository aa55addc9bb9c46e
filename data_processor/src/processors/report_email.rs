//! `report_email`: sends the report of a schedule by e-mail, or logs it where no mail can be sent.
//!
//! # Invariants
//! - A report is sent at least once: a worker that dies after the server's yes sends it again, with
//!   the same Message-ID, by which mailboxes can tell.
//! - A recipient that is refused keeps the report from no other. What the server has said of each
//!   is the checkpoint: a later attempt sends only to those that were put off.
//!
//! # Not here
//! SMTP (`mail`), when a report is due (the task manager).

mod rendering;

use std::time::Duration;

use common::problem::Problem;
use common::task::spec::ReportEmailSpec;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use self::rendering::{html, json, subject, text};
use crate::mail::{Delivery, Mail, Mailer, Refusal};
use crate::processor::{Completed, Context, Interrupted, ProcessError, Processor};

/// How long after a first failure it is tried again; each further time after four times as long, so
/// that servers are met again that first put off whom they do not know, often for five minutes.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);
/// So many recipients are named in an error at most.
const NAMED: usize = 10;

/// Sends a report.
#[derive(Debug)]
pub(super) struct SendReport {
    pub(super) spec: ReportEmailSpec,
    pub(super) mailer: Mailer,
}

/// What became of a report; the `result` of the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct SentReport {
    /// Whether it was sent: `false` where no mail can be sent.
    sent: bool,
    /// Who was to get it.
    recipients: Vec<String>,
    /// Those of them who did not get it, and why.
    refused: Vec<Refusal>,
    /// The mail's, where it was sent.
    message_id: Option<String>,
}

/// What is settled already; the checkpoint of the task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Settled {
    /// Who has got it.
    accepted: Vec<String>,
    /// Who will never get it.
    refused: Vec<Refusal>,
}

impl Settled {
    /// What an earlier attempt left.
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
            true => mailer.usual_recipients(),
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

/// Why a mail was not sent: each reason once, behind those whom it is about.
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

/// How long to wait after the attempt of this number.
fn pause(attempt: u32) -> Duration {
    let factor = 4_u32.saturating_pow(attempt.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_put_off_for_five_minutes_are_met_again() {
        let pauses: Vec<u64> = (1..=6).map(|attempt| pause(attempt).as_secs()).collect();
        assert_eq!(pauses, [5, 20, 80, 320, 1280, 1800]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn a_reason_is_given_once_for_all_that_it_is_about() {
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
