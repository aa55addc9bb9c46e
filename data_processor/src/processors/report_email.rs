//! `report_email`: sends the report of a schedule by e-mail, or logs it where no mail can be sent.
//!
//! # Invariants
//! - A report is sent at least once: a worker that dies behind the server's yes sends it again, with
//!   the same Message-ID, by which mailboxes can tell.
//!
//! # Not here
//! SMTP (`mail`), when a report is due (the task manager).

mod rendering;

use std::time::Duration;

use common::problem::Problem;
use common::task::spec::ReportEmailSpec;
use serde::Serialize;
use tracing::info;

use self::rendering::{html, json, subject, text};
use crate::mail::{Mail, MailError, Mailer};
use crate::processor::{Completed, Context, Interrupted, ProcessError, Processor};

/// How long after a first failure it is tried again; each further time after four times as long, so
/// that servers are met again that first put off whom they do not know, often for five minutes.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);

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
    /// The mail's, where it was sent.
    message_id: Option<String>,
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
            recipients,
        };
        if let Some(obstacle) = mailer.obstacle(&mail.recipients) {
            info!(
                schedule,
                recipients = ?mail.recipients,
                subject = mail.subject,
                content = mail.text,
                "Report not sent: {obstacle}"
            );
            let result = SentReport { sent: false, recipients: mail.recipients, message_id: None };
            return Ok(Completed { result, output: None });
        }
        let sent = tokio::select! {
            sent = mailer.send(&mail) => sent,
            () = ctx.interrupted() => return Err(Interrupted.into()),
        };
        match sent {
            Ok(message_id) => {
                info!(schedule, recipients = ?mail.recipients, message_id, "report sent");
                let (recipients, message_id) = (mail.recipients, Some(message_id));
                let result = SentReport { sent: true, recipients, message_id };
                Ok(Completed { result, output: None })
            }
            Err(MailError::MayPass(reason)) => {
                Err(ProcessError::retry_after(pause(ctx.attempt()), reason))
            }
            Err(MailError::Stays(reason)) => Err(ProcessError::fail(Problem::new(
                422,
                "mail_refused",
                "The report could not be sent",
                reason,
            ))),
        }
    }
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
}
