//! Mail to an SMTP server on this machine.

use common::task::TaskId;

use super::config::{MailConfig, SmtpConfig, SmtpTls};
use super::sink::{LOGIN, Security, Sink};
use super::{Delivery, Mail, Mailer, Refusal};

fn mail() -> Mail {
    Mail {
        id: TaskId::new(),
        date: "2026-01-31T12:00:00Z".parse().unwrap(),
        subject: "Numbers".to_owned(),
        text: "one\n.two\n".to_owned(),
        html: "<p>one</p>".to_owned(),
        attachment: ("numbers.json", "{\"one\": 1}".to_owned()),
    }
}

/// Settings for `sink`, with its login.
fn config(sink: &Sink, tls: SmtpTls) -> SmtpConfig {
    SmtpConfig {
        host: "localhost".to_owned(),
        port: sink.address.port(),
        tls,
        login: Some((LOGIN.0.to_owned(), LOGIN.1.into())),
        ca_file: None,
        from: "Reports <reports@example.org>".parse().unwrap(),
    }
}

fn mailer(smtp: SmtpConfig) -> Mailer {
    Mailer::new(MailConfig { smtp: Some(smtp), to: Vec::new() }).unwrap()
}

/// A mailer that trusts the server's certificate.
fn trusting(sink: &Sink, tls: SmtpTls) -> Mailer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, &sink.certificate).unwrap();
    mailer(SmtpConfig { ca_file: Some(path), ..config(sink, tls) })
}

async fn send(mailer: &Mailer, recipients: &[&str]) -> Delivery {
    let recipients: Vec<String> = recipients.iter().map(|it| (*it).to_owned()).collect();
    mailer.send(&mail(), &recipients).await
}

/// For the only recipient, whether the failure is transient, and its reason.
async fn failure(mailer: &Mailer, recipient: &str) -> (bool, String) {
    let Delivery { accepted, deferred, refused } = send(mailer, &[recipient]).await;
    assert_eq!(accepted, [""; 0]);
    let is_transient = refused.is_empty();
    let [failure]: [Refusal; 1] = [deferred, refused].concat().try_into().unwrap();
    assert_eq!(failure.recipient, recipient);
    (is_transient, failure.reason)
}

/// The lines of the header `To`, and its unfolded value.
fn to(content: &str) -> (Vec<&str>, String) {
    let header = content.split_once("\r\nTo: ").unwrap().1;
    let lines: Vec<&str> = header.split("\r\n").collect();
    let more = lines.iter().skip(1).take_while(|line| line.starts_with(' ')).count();
    (lines[..=more].to_vec(), lines[..=more].concat())
}

#[tokio::test]
async fn a_mail_has_all_its_parts() {
    let sink = Sink::start(Security::None).await;
    let mail = mail();
    let mailer = mailer(config(&sink, SmtpTls::None));
    let recipients = ["a@example.org", "Bea <b@example.org>"].map(str::to_owned);
    let delivery = mailer.send(&mail, &recipients).await;
    assert_eq!(delivery, Delivery { accepted: recipients.to_vec(), ..Delivery::default() });
    let id = mailer.message_id(&mail).unwrap();
    assert_eq!(id, format!("<{}@example.org>", mail.id));
    let received = sink.received().remove(0);
    assert_eq!(received.from, "reports@example.org");
    assert_eq!(received.to, ["a@example.org", "b@example.org"]);
    assert!(received.with_login && !received.with_tls);
    assert_eq!(received.header("Message-ID"), id);
    assert_eq!(received.header("Subject"), "Numbers");
    assert_eq!(received.header("From"), "Reports <reports@example.org>");
    assert_eq!(received.header("Date"), "Sat, 31 Jan 2026 12:00:00 +0000");
    assert_eq!(received.header("To"), "a@example.org, Bea <b@example.org>");
    assert_eq!(received.header("Auto-Submitted"), "auto-generated");
    let content = &received.content;
    for part in [
        "Content-Type: multipart/mixed",
        "Content-Type: multipart/alternative",
        "Content-Type: text/plain; charset=utf-8",
        "one\r\n.two\r\n",
        "Content-Type: text/html; charset=utf-8",
        "<p>one</p>",
        "Content-Disposition: attachment; filename=\"numbers.json\"",
        "Content-Type: application/json",
        "{\"one\": 1}",
    ] {
        assert!(content.contains(part), "{part} is missing in {content}");
    }
}

#[tokio::test]
async fn connections_are_encrypted() {
    for (security, tls) in [(Security::StartTls, SmtpTls::StartTls), (Security::Tls, SmtpTls::Tls)]
    {
        let sink = Sink::start(security).await;
        let delivery = send(&trusting(&sink, tls), &["a@example.org"]).await;
        assert_eq!(delivery.accepted, ["a@example.org"], "{delivery:?}");
        let received = sink.received().remove(0);
        assert!(received.with_tls && received.with_login, "{security:?}");
    }
}

#[tokio::test]
async fn an_untrusted_server_receives_nothing() {
    for (security, tls) in [
        // The system does not trust its certificate.
        (Security::StartTls, SmtpTls::StartTls),
        (Security::Tls, SmtpTls::Tls),
        // It offers no TLS although TLS is required.
        (Security::None, SmtpTls::StartTls),
    ] {
        let sink = Sink::start(security).await;
        let (is_transient, reason) = failure(&mailer(config(&sink, tls)), "a@example.org").await;
        assert!(is_transient, "{reason}");
        assert!(sink.received().is_empty(), "{security:?}");
    }
}

#[tokio::test]
async fn transient_and_permanent_failures_are_distinguished() {
    let sink = Sink::start(Security::None).await;
    let sender = mailer(config(&sink, SmtpTls::None));
    for (answer, is_transient) in [("451 later", true), ("552 too large", false)] {
        sink.answer_next(answer);
        let (given, reason) = failure(&sender, "a@example.org").await;
        assert_eq!(given, is_transient, "{answer}");
        assert!(reason.contains(&answer[4..]), "{reason}");
    }
    assert_eq!(
        failure(&sender, "nobody@example.org").await,
        (false, "the mail server: permanent error (550): no such user".to_owned())
    );
    let (is_transient, reason) = failure(&sender, "not an address").await;
    assert!(!is_transient && reason.starts_with("`not an address` is not an e-mail"), "{reason}");

    let login = Some((LOGIN.0.to_owned(), "wrong".into()));
    let stranger = mailer(SmtpConfig { login, ..config(&sink, SmtpTls::None) });
    assert!(!failure(&stranger, "a@example.org").await.0);

    // Nothing listens on a port that was just closed.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let nowhere = mailer(SmtpConfig { port, ..config(&sink, SmtpTls::None) });
    let (is_transient, reason) = failure(&nowhere, "a@example.org").await;
    assert!(is_transient && reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn a_refused_recipient_does_not_affect_the_others() {
    let sink = Sink::start(Security::None).await;
    sink.refuse("b@example.org", "550 no mailbox here");
    sink.refuse("c@example.org", "450 mailbox busy");
    let sender = mailer(config(&sink, SmtpTls::None));
    let all = ["a@example.org", "b@example.org", "c@example.org", "me", "d@example.org"];
    let Delivery { accepted, deferred, refused } = send(&sender, &all).await;
    assert_eq!(accepted, ["a@example.org", "d@example.org"]);
    let shown = |refusals: Vec<Refusal>| {
        let shown = refusals.into_iter().map(|it| format!("{}: {}", it.recipient, it.reason));
        shown.collect::<Vec<_>>().join("\n")
    };
    let busy = "c@example.org: the mail server: transient error (450): mailbox busy";
    assert_eq!(shown(deferred), busy);
    let no_mailbox = "b@example.org: the mail server: permanent error (550): no mailbox here";
    let refused = shown(refused);
    assert!(refused.starts_with("me: `me` is not") && refused.ends_with(no_mailbox), "{refused}");
    let received = sink.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].to, accepted);
}

#[tokio::test]
async fn a_server_that_closes_defers_all_recipients() {
    let sink = Sink::start(Security::None).await;
    sink.refuse("b@example.org", "421 closing down");
    let sender = mailer(config(&sink, SmtpTls::None));
    let Delivery { accepted, deferred, refused } =
        send(&sender, &["a@example.org", "b@example.org", "c@example.org"]).await;
    assert_eq!((accepted.len(), deferred.len(), refused.len()), (0, 3, 0));
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn long_lists_of_recipients_are_folded() {
    let sink = Sink::start(Security::None).await;
    let mut recipients: Vec<String> =
        (0..100).map(|n| format!("somebody.{n}@department.example.org")).collect();
    recipients.push(format!("{}@{}.org", "l".repeat(64), "d".repeat(60)));
    recipients
        .push("\"Name, of some length that is more than one line of a header\" <n@x.org>".into());
    recipients
        .push("\"Ünal Ğüçlü, Straße ohne Ende, viel weiter als eine Zeile\" <u@x.org>".into());
    let delivery = mailer(config(&sink, SmtpTls::None)).send(&mail(), &recipients).await;
    assert_eq!(delivery.accepted, recipients);
    let received = sink.received().remove(0);
    assert_eq!(received.to.len(), 103);
    let head = received.content.split("\r\n\r\n").next().unwrap();
    for line in head.split("\r\n") {
        assert!(line.is_ascii() && (line.len() <= 78 || line.contains("llll")), "{line}");
        assert!(line.len() <= 998, "{line}");
    }
    let (lines, whole) = to(&received.content);
    assert!((40..60).contains(&lines.len()), "{} lines", lines.len());
    let addresses: Vec<_> = recipients[..101].to_vec();
    // A name that is longer than a line is encoded so that it can be folded: "Name, of some length
    // ".
    let named = ", =?utf-8?b?TmFtZSwgb2Ygc29tZSBsZW5ndGgg";
    assert!(whole.starts_with(&(addresses.join(", ") + named)), "{whole}");
}

#[tokio::test]
async fn domains_of_any_script_work_with_any_server() {
    let sink = Sink::start(Security::None).await;
    let sender = mailer(config(&sink, SmtpTls::None));
    let delivery = send(&sender, &["info@उदाहरण.परीक्षा"]).await;
    assert_eq!(delivery.accepted, ["info@उदाहरण.परीक्षा"]);
    let received = sink.received().remove(0);
    assert_eq!(received.to, ["info@xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g"]);
    assert_eq!(received.header("To"), received.to[0]);
    assert_eq!(received.parameters, "");
}

#[tokio::test]
async fn local_parts_of_any_script_require_smtputf8() {
    let sink = Sink::start(Security::None).await;
    let sender = mailer(config(&sink, SmtpTls::None));
    let recipients = ["a@example.org", "श्री@उदाहरण.परीक्षा"];
    let Delivery { accepted, refused, .. } = send(&sender, &recipients).await;
    assert_eq!(accepted, ["a@example.org"]);
    assert_eq!(refused[0].recipient, recipients[1]);
    assert!(refused[0].reason.contains("SMTPUTF8"), "{}", refused[0].reason);

    sink.enable_utf8();
    assert_eq!(send(&sender, &recipients).await.accepted, recipients);
    let received = sink.received();
    let [_, plain, utf8] = &received[..] else { unreachable!("three mails: {received:?}") };
    assert_eq!((&plain.to[..], plain.parameters.as_str()), (&["a@example.org".to_owned()][..], ""));
    assert!(plain.content.is_ascii());
    assert_eq!(utf8.to, ["श्री@xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g"]);
    assert_eq!(utf8.parameters, "SMTPUTF8 BODY=8BITMIME");
    assert_eq!(utf8.header("To"), utf8.to[0]);
}

#[test]
fn invalid_certificates_prevent_the_start() {
    let from = "reports@example.org".parse().unwrap();
    let mut smtp = SmtpConfig {
        host: "localhost".to_owned(),
        port: 587,
        tls: SmtpTls::StartTls,
        login: None,
        ca_file: Some("/nowhere/ca.pem".into()),
        from,
    };
    let start =
        |smtp: &SmtpConfig| Mailer::new(MailConfig { smtp: Some(smtp.clone()), to: vec![] });
    let error = format!("{:#}", start(&smtp).unwrap_err());
    assert!(error.contains("/nowhere/ca.pem") && error.contains("`smtp_ca_file`"), "{error}");
    smtp.ca_file = None;
    assert!(start(&smtp).is_ok());
}
