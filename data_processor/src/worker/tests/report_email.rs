//! Reports by e-mail, sent by a complete worker, and user events.

use std::time::Duration;

use common::report::Event;
use common::task::TaskId;
use common::task::spec::{ReportEmailSpec, TaskSpec};
use common::user_event::UserEventsReport;
use serde_json::{Value, json};

use super::harness::{Harness, eventually};
use crate::mail::Mailer;
use crate::mail::config::{MailConfig, SmtpConfig, SmtpTls};
use crate::mail::sink::{Security, Sink};

fn spec(recipients: &[&str]) -> TaskSpec {
    TaskSpec::ReportEmail(ReportEmailSpec {
        schedule: "user_events_report".to_owned(),
        recipients: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
        report: UserEventsReport {
            timestamp: "2026-01-31T12:00:00Z".parse().unwrap(),
            stats: [("Berlin".to_owned(), 3), ("Portland".to_owned(), 12)].into(),
        },
        cities_left_out: 0,
    })
}

async fn task(harness: &Harness, recipients: &[&str]) -> TaskId {
    let task = harness.task(|attempt| attempt.spec = spec(recipients));
    harness.publish(&[task]).await;
    task
}

fn mailer(sink: &Sink) -> Mailer {
    let smtp = SmtpConfig {
        host: "127.0.0.1".to_owned(),
        port: sink.address.port(),
        tls: SmtpTls::None,
        login: None,
        ca_file: None,
        from: "reports@example.org".parse().unwrap(),
    };
    let to = vec!["usual@example.org".parse().unwrap()];
    Mailer::new(MailConfig { smtp: Some(smtp), to }).unwrap()
}

fn completed(event: Event) -> Value {
    match event {
        Event::Completed { result, output: None } => result,
        event => unreachable!("it is valid: {event:?}"),
    }
}

#[tokio::test]
async fn a_report_is_sent_as_text_html_and_json() {
    let sink = Sink::start(Security::None).await;
    let mut harness = Harness::new().await;
    let task = task(&harness, &["a@example.org", "b@example.org"]).await;
    harness.start_with_mail(mailer(&sink));
    let id = format!("<{task}@example.org>");
    let recipients = ["a@example.org", "b@example.org"];
    let result = json!({"sent": true, "recipients": recipients, "refused": [], "message_id": id});
    assert_eq!(completed(harness.ended(task).await), result);
    let received = sink.received().remove(0);
    assert_eq!(received.to, recipients);
    assert_eq!(received.header("Message-ID"), id);
    assert_eq!(received.header("Subject"), "User events by city, 2026-01-31 12:00 UTC");
    let content = &received.content;
    assert!(content.contains("Portland        12\r\n\r\n2 cities, 15 users"), "{content}");
    assert!(content.contains("<tr><td>Berlin</td><td align=3D\"right\">3</td></tr>"), "{content}");
    let (_, json) = content.split_once("filename=\"user-events.json\"").unwrap();
    let json = &json[json.find('{').unwrap()..=json.rfind('}').unwrap()];
    let expected =
        json!({"timestamp": "2026-01-31T12:00:00Z", "stats": {"Berlin": 3, "Portland": 12}});
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), expected);
    harness.end().await;
}

#[tokio::test]
async fn a_deferred_report_is_sent_again_with_the_same_message_id() {
    let sink = Sink::start(Security::None).await;
    sink.answer_next("451 come again later");
    let mut harness = Harness::new().await;
    let task = task(&harness, &[]).await;
    harness.start_with_mail(mailer(&sink));
    match harness.ended(task).await {
        Event::Retry { after: Some(after), checkpoint: Some(_), reason: Some(reason), .. } => {
            assert!(after >= 5.0 && reason.contains("come again later"), "{after}: {reason}");
        }
        event => unreachable!("it is transient: {event:?}"),
    }
    // As the task manager does after the delay.
    harness.api.script().attempts.get_mut(&task).unwrap().attempt = 2;
    harness.publish(&[task]).await;
    eventually("it ends again", || harness.api.script().final_events(task).len() == 2).await;
    assert!(matches!(harness.api.script().final_events(task)[1], Event::Completed { .. }));
    let received = sink.received();
    assert_eq!(received.len(), 2);
    for mail in &received {
        assert_eq!(mail.to, ["usual@example.org"], "the default recipient");
        assert_eq!(mail.header("Message-ID"), format!("<{task}@example.org>"));
        assert_eq!(mail.header("Date"), received[0].header("Date"));
    }
    harness.end().await;
}

#[tokio::test]
async fn a_refused_report_fails() {
    let sink = Sink::start(Security::None).await;
    let mut harness = Harness::new().await;
    let task = task(&harness, &["nobody@example.org"]).await;
    harness.start_with_mail(mailer(&sink));
    match harness.ended(task).await {
        Event::Failed { error } => {
            assert_eq!(error.code, "mail_refused");
            assert!(error.detail.contains("no such user"), "{error}");
        }
        event => unreachable!("it is permanent: {event:?}"),
    }
    assert!(sink.received().is_empty());
    harness.end().await;
}

#[tokio::test]
async fn refused_recipients_are_reported_and_deferred_ones_retried() {
    let sink = Sink::start(Security::None).await;
    sink.refuse("gone@example.org", "550 no mailbox here");
    sink.refuse("busy@example.org", "450 mailbox busy");
    let mut harness = Harness::new().await;
    let recipients = ["a@example.org", "gone@example.org", "busy@example.org"];
    let task = task(&harness, &recipients).await;
    harness.start_with_mail(mailer(&sink));
    let checkpoint = match harness.ended(task).await {
        Event::Retry { checkpoint, reason: Some(reason), .. } => {
            assert!(
                reason.starts_with("busy@example.org: ") && reason.contains("busy"),
                "{reason}"
            );
            checkpoint
        }
        event => unreachable!("it is transient: {event:?}"),
    };
    sink.accept("busy@example.org");
    // Recipients that have been settled are not tried again.
    sink.accept("gone@example.org");
    {
        let mut script = harness.api.script();
        let attempt = script.attempts.get_mut(&task).unwrap();
        (attempt.attempt, attempt.checkpoint) = (2, checkpoint);
    }
    harness.publish(&[task]).await;
    eventually("it ends again", || harness.api.script().final_events(task).len() == 2).await;
    let result = completed(harness.api.script().final_events(task)[1].clone());
    let reason = "the mail server: permanent error (550): no mailbox here";
    let refused = json!([{"recipient": "gone@example.org", "reason": reason}]);
    assert_eq!((&result["recipients"], &result["refused"]), (&json!(recipients), &refused));
    let received = sink.received();
    let to: Vec<_> = received.iter().map(|mail| mail.to.join(",")).collect();
    assert_eq!(to, ["a@example.org", "busy@example.org"]);
    assert_eq!(received[0].header("Message-ID"), received[1].header("Message-ID"));
    harness.end().await;
}

#[tokio::test]
async fn a_report_is_processed_without_a_mail_server() {
    let mut harness = Harness::new().await;
    let task = task(&harness, &["a@example.org"]).await;
    harness.start_real();
    let result =
        json!({"sent": false, "recipients": ["a@example.org"], "refused": [], "message_id": null});
    assert_eq!(completed(harness.ended(task).await), result);
    harness.end().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_mail_server() {
    // A server that accepts connections and sends nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = Sink::start(Security::None).await;
    sink.address = silent.local_addr().unwrap();
    let mut harness = Harness::new().await;
    let task = task(&harness, &["a@example.org"]).await;
    harness.start_with_mail(mailer(&sink));
    let (_connection, _) = silent.accept().await.unwrap();
    let ended = std::time::Instant::now();
    harness.end().await;
    assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
    let events = harness.api.script().final_events(task);
    assert_eq!(events, [Event::Released { checkpoint: None }]);
}

#[tokio::test]
async fn a_user_event_is_its_own_result() {
    let event = json!({
        "id": "a-1",
        "address": {"city": "Berlin", "state": "Berlin", "country": "Germany", "postCode": "10115"},
        "datetime": "2019-05-07T19:54:13.563Z",
    });
    let mut harness = Harness::new().await;
    let spec = TaskSpec::UserEvent(serde_json::from_value(event.clone()).unwrap());
    let task = harness.task(|attempt| attempt.spec = spec);
    harness.publish(&[task]).await;
    harness.start_real();
    assert_eq!(completed(harness.ended(task).await), event);
    harness.end().await;
}
