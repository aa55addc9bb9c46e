//! A mail server for tests. It implements enough of SMTP and records the mails that it receives.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The only user, and the password.
pub(crate) const LOGIN: (&str, &str) = ("me", "Pa55word!");
/// Both, encoded for `AUTH PLAIN`.
const PLAIN_LOGIN: &str = "AG1lAFBhNTV3b3JkIQ==";

/// A mail that was received.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) from: String,
    /// The parameters of the `MAIL` command.
    pub(crate) parameters: String,
    pub(crate) to: Vec<String>,
    pub(crate) content: String,
    pub(crate) with_login: bool,
    pub(crate) with_tls: bool,
}

impl Received {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> String {
        let start = format!("{name}: ");
        let line = self.content.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.content)).to_owned()
    }
}

/// Whether the server requires TLS, and which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    None,
    StartTls,
    Tls,
}

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    /// The certificate of the server, as PEM.
    pub(crate) certificate: String,
    state: Arc<State>,
}

struct State {
    security: Security,
    acceptor: TlsAcceptor,
    received: Mutex<Vec<Received>>,
    answers: Mutex<VecDeque<&'static str>>,
    /// The answers to refused recipients.
    refused: Mutex<BTreeMap<&'static str, &'static str>>,
    supports_utf8: AtomicBool,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Sink {
    /// Starts a server, which ends with the test.
    pub(crate) async fn start(security: Security) -> Self {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], secret)
            .unwrap();
        let state = Arc::new(State {
            security,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            received: Mutex::default(),
            answers: Mutex::default(),
            refused: Mutex::default(),
            supports_utf8: AtomicBool::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                // A client may disconnect at any time.
                tokio::spawn(async move { state.serve(Box::new(stream)).await });
            }
        });
        Self { address, certificate: key.cert.pem(), state }
    }

    /// Refuses the next mail with `answer`, after its content.
    pub(crate) fn answer_next(&self, answer: &'static str) {
        self.state.answers.lock().unwrap().push_back(answer);
    }

    /// Refuses a recipient with `answer` from now on.
    pub(crate) fn refuse(&self, recipient: &'static str, answer: &'static str) {
        self.state.refused.lock().unwrap().insert(recipient, answer);
    }

    /// Accepts a recipient again.
    pub(crate) fn accept(&self, recipient: &str) {
        self.state.refused.lock().unwrap().remove(recipient);
    }

    /// Offers SMTPUTF8 from now on.
    pub(crate) fn enable_utf8(&self) {
        self.state.supports_utf8.store(true, Ordering::SeqCst);
    }

    /// All mails so far, including refused ones.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }
}

impl State {
    async fn serve(&self, mut stream: Box<dyn Stream>) -> std::io::Result<()> {
        let mut with_tls = self.security == Security::Tls;
        if with_tls {
            stream = Box::new(self.acceptor.accept(stream).await?);
        }
        let mut lines = BufReader::new(stream);
        lines.write_all(b"220 sink ESMTP\r\n").await?;
        let mut with_login = false;
        let mut mail = Received::default();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            let verb = line.split([' ', ':']).next().unwrap().to_ascii_uppercase();
            let needs_tls = self.security != Security::None && !with_tls;
            let answer = match verb.as_str() {
                "EHLO" if needs_tls => "250-sink\r\n250 STARTTLS".to_owned(),
                "EHLO" if self.supports_utf8.load(Ordering::SeqCst) => {
                    "250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN".to_owned()
                }
                "EHLO" => "250-sink\r\n250-8BITMIME\r\n250 AUTH PLAIN".to_owned(),
                "STARTTLS" if needs_tls => {
                    lines.write_all(b"220 go on\r\n").await?;
                    let stream: Box<dyn Stream> = Box::new(lines.into_inner());
                    let secret: Box<dyn Stream> = Box::new(self.acceptor.accept(stream).await?);
                    lines = BufReader::new(secret);
                    with_tls = true;
                    continue;
                }
                _ if needs_tls => "530 STARTTLS first".to_owned(),
                "AUTH" => {
                    with_login = line.ends_with(PLAIN_LOGIN);
                    if with_login { "235 welcome" } else { "535 wrong user or password" }.to_owned()
                }
                "MAIL" => {
                    mail = Received { with_login, with_tls, ..Received::default() };
                    mail.from = address(line);
                    mail.parameters = line.split_once("> ").unwrap_or_default().1.to_owned();
                    "250 ok".to_owned()
                }
                "RCPT" if line.contains("nobody@") => "550 no such user".to_owned(),
                "RCPT" => {
                    let to = address(line);
                    let refused = self.refused.lock().unwrap().get(to.as_str()).copied();
                    if refused.is_none() {
                        mail.to.push(to);
                    }
                    refused.unwrap_or("250 ok").to_owned()
                }
                "DATA" => {
                    lines.write_all(b"354 go on\r\n").await?;
                    mail.content = content(&mut lines).await?;
                    self.received.lock().unwrap().push(std::mem::take(&mut mail));
                    let answer = self.answers.lock().unwrap().pop_front();
                    answer.unwrap_or("250 taken").to_owned()
                }
                "QUIT" => "221 bye".to_owned(),
                _ => "250 ok".to_owned(),
            };
            lines.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}

/// The content after `DATA`, up to the final dot.
async fn content(lines: &mut BufReader<Box<dyn Stream>>) -> std::io::Result<String> {
    let mut content = Vec::new();
    while !content.ends_with(b"\r\n.\r\n") {
        content.push(lines.read_u8().await?);
    }
    let content = String::from_utf8(content).unwrap();
    Ok(content.trim_end_matches(".\r\n").replace("\r\n..", "\r\n."))
}

fn address(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap().to_owned()
}
