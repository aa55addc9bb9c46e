//! Mail to a real server on this machine.

use common::task::TaskId;

use super::config::{MailConfig, SmtpConfig, SmtpTls};
use super::sink::{LOGIN, Security, Sink};
use super::{Mail, MailError, Mailer};

fn mail(recipients: &[&str]) -> Mail {
    Mail {
        id: TaskId::new(),
        date: "2026-01-31T12:00:00Z".parse().unwrap(),
        recipients: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
        subject: "Numbers".to_owned(),
        text: "one\n.two\n".to_owned(),
        html: "<p>one</p>".to_owned(),
        attachment: ("numbers.json", "{\"one\": 1}".to_owned()),
    }
}

/// How the server is reached, where it asks for what it is given.
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

fn reason(error: MailError) -> (bool, String) {
    match error {
        MailError::MayPass(reason) => (true, reason),
        MailError::Stays(reason) => (false, reason),
    }
}

#[tokio::test]
async fn a_mail_has_all_its_parts() {
    let sink = Sink::start(Security::None).await;
    let mail = mail(&["a@example.org", "Bea <b@example.org>"]);
    let id = mailer(config(&sink, SmtpTls::None)).send(&mail).await.unwrap();
    assert_eq!(id, format!("<{}@example.org>", mail.id));
    let received = sink.received().remove(0);
    assert_eq!(received.from, "reports@example.org");
    assert_eq!(received.to, ["a@example.org", "b@example.org"]);
    assert!(received.with_login && !received.with_tls);
    assert_eq!(received.header("Message-ID"), id);
    assert_eq!(received.header("Subject"), "Numbers");
    assert_eq!(received.header("From"), "Reports <reports@example.org>");
    assert_eq!(received.header("Date"), "Sat, 31 Jan 2026 12:00:00 +0000");
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
async fn a_connection_is_kept_secret() {
    for (security, tls) in [(Security::StartTls, SmtpTls::StartTls), (Security::Tls, SmtpTls::Tls)]
    {
        let sink = Sink::start(security).await;
        trusting(&sink, tls).send(&mail(&["a@example.org"])).await.unwrap();
        let received = sink.received().remove(0);
        assert!(received.with_tls && received.with_login, "{security:?}");
    }
}

#[tokio::test]
async fn nothing_is_told_to_a_server_that_is_not_trusted() {
    for (security, tls) in [
        // Its certificate is nobody's that the system trusts.
        (Security::StartTls, SmtpTls::StartTls),
        (Security::Tls, SmtpTls::Tls),
        // It offers no TLS where TLS is asked for.
        (Security::None, SmtpTls::StartTls),
    ] {
        let sink = Sink::start(security).await;
        let error = mailer(config(&sink, tls)).send(&mail(&["a@example.org"])).await.unwrap_err();
        let (may_pass, reason) = reason(error);
        assert!(may_pass, "{reason}");
        assert!(sink.received().is_empty(), "{security:?}");
    }
}

#[tokio::test]
async fn what_may_pass_and_what_stays_is_told_apart() {
    let sink = Sink::start(Security::None).await;
    let sender = mailer(config(&sink, SmtpTls::None));
    for (answer, may_pass) in [("451 later", true), ("552 too large", false)] {
        sink.answer_next(answer);
        let error = sender.send(&mail(&["a@example.org"])).await.unwrap_err();
        let (given, reason) = reason(error);
        assert_eq!(given, may_pass, "{answer}");
        assert!(reason.contains(&answer[4..]), "{reason}");
    }
    let refused = sender.send(&mail(&["nobody@example.org"])).await.unwrap_err();
    assert_eq!(
        reason(refused),
        (false, "the mail server: permanent error (550): no such user".to_owned())
    );
    let wrong = sender.send(&mail(&["not an address"])).await.unwrap_err();
    assert!(reason(wrong).1.contains("`not an address` is no address"));

    let login = Some((LOGIN.0.to_owned(), "wrong".into()));
    let stranger = mailer(SmtpConfig { login, ..config(&sink, SmtpTls::None) });
    assert!(!reason(stranger.send(&mail(&["a@example.org"])).await.unwrap_err()).0);

    // Nobody listens on a port that was just given back.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let nowhere = mailer(SmtpConfig { port, ..config(&sink, SmtpTls::None) });
    let (may_pass, reason) = reason(nowhere.send(&mail(&["a@example.org"])).await.unwrap_err());
    assert!(may_pass && reason.contains("refused"), "{reason}");
}

#[test]
fn certificates_that_are_none_stop_the_start() {
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
