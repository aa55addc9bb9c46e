//! A minimal HTTP/1.1 client over one persistent connection.
//!
//! It supports what the task manager sends: a status line, headers, and a body that has a
//! `Content-Length` or is endless. Anything else is an error.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The timeout of an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection for one request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The answer of the server.
#[derive(Debug)]
pub struct Answer<'a> {
    pub status: u16,
    head: &'a [u8],
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// Fails with the body of the answer unless it has this status.
    pub fn expect(self, status: u16) -> anyhow::Result<Self> {
        let body = String::from_utf8_lossy(self.body);
        ensure!(self.status == status, "the server answered {}: {body}", self.status);
        Ok(self)
    }

    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(std::str::from_utf8(self.head).ok()?, name)
    }
}

/// The bytes of a request without a body.
pub fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{headers}\r\n").into_bytes()
}

/// The bytes of a request for an endless stream. It uses HTTP/1.0, so that the answer is not
/// chunked.
pub fn get_stream(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.0\r\n{headers}\r\n").into_bytes()
}

/// The bytes of a POST request with JSON. Each of the `headers` ends with a line break.
pub fn post(path: &str, headers: &str, json: &str) -> Vec<u8> {
    let length = json.len();
    format!(
        "POST {path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{json}"
    )
    .into_bytes()
}

/// The bytes of a request with any body. Each of the `headers` ends with a line break.
pub fn body(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4 << 10) })
    }

    /// Sends a request and waits for the answer.
    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        let exchange = timeout(TIMEOUT, self.exchange(request)).await;
        let (status, head) = exchange.context("the server does not answer")??;
        let (head, body) = self.buffer.split_at(head);
        Ok(Answer { status, head, body })
    }

    /// Sends a request with an endless answer, to be read with [`Self::line`].
    pub async fn listen(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let head = timeout(TIMEOUT, self.begin(request)).await;
        let head = head.context("the server does not answer")??;
        let (status, text) = self.head(head)?;
        ensure!(status == 200, "the server answered {text}");
        self.buffer.drain(..head);
        Ok(())
    }

    /// The next line, including its line break. Cancel-safe.
    pub async fn line(&mut self) -> anyhow::Result<Vec<u8>> {
        let end = self.through(b"\n").await?;
        Ok(self.buffer.drain(..end).collect())
    }

    /// Sends a request; returns the end of the answer's head in the buffer.
    async fn begin(&mut self, request: &[u8]) -> anyhow::Result<usize> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        self.through(b"\r\n\r\n").await
    }

    /// The status and the text of the head that ends at `end`.
    fn head(&self, end: usize) -> anyhow::Result<(u16, &str)> {
        let text = std::str::from_utf8(&self.buffer[..end])?;
        let status = text.get(9..12).and_then(|status| status.parse().ok());
        Ok((status.with_context(|| format!("this is not an HTTP response: {text}"))?, text))
    }

    /// The status, and the start of the body in the buffer.
    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, usize)> {
        let head = self.begin(request).await?;
        let (status, text) = self.head(head)?;
        let length = match status {
            204 => 0,
            _ => content_length(text).with_context(|| format!("no Content-Length: {text}"))?,
        };
        while self.buffer.len() < head + length {
            self.read_more().await?;
        }
        Ok((status, head))
    }

    /// Reads until the buffer contains `end`, and returns the position after it.
    async fn through(&mut self, end: &[u8]) -> anyhow::Result<usize> {
        loop {
            let found = self.buffer.windows(end.len()).position(|bytes| bytes == end);
            match found {
                Some(place) => return Ok(place + end.len()),
                None => self.read_more().await?,
            }
        }
    }

    async fn read_more(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn content_length(head: &str) -> Option<usize> {
    header(head, "content-length")?.parse().ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;

    /// A server that answers each request with the parts of a text, with pauses between them.
    async fn server(answers: [&'static [&'static str]; 2]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut request = [0; 1_000];
                assert_ne!(stream.read(&mut request).await.unwrap(), 0);
                for part in answer {
                    stream.write_all(part.as_bytes()).await.unwrap();
                    sleep(Duration::from_millis(5)).await;
                }
            }
        });
        Connection::open(&address).await.unwrap()
    }

    #[tokio::test]
    async fn answers_that_arrive_in_pieces_are_joined() {
        let first: &[_] = &["HTTP/1.1 202 Acc", "epted\r\nconTent-Length: 5\r\n\r", "\nhe", "llo"];
        let second = &["HTTP/1.1 204 No Content\r\n\r\n"];
        let mut connection = server([first, second]).await;
        let answer = connection.send(&get("/", "")).await.unwrap();
        assert_eq!((answer.status, answer.body), (202, b"hello".as_slice()));
        assert_eq!((answer.header("content-length"), answer.header("no")), (Some("5"), None));
        let answer = connection.send(&post("/", "", "{}")).await.unwrap();
        assert_eq!((answer.status, answer.body), (204, b"".as_slice()));
    }

    #[tokio::test]
    async fn an_endless_answer_is_read_line_by_line() {
        let endless: &[_] = &["HTTP/1.0 200 OK\r\n\r\nfirst\nsec", "ond\n\nthi"];
        let mut connection = server([endless, &[]]).await;
        connection.listen(&get_stream("/", "")).await.unwrap();
        for line in ["first\n", "second\n", "\n"] {
            assert_eq!(connection.line().await.unwrap(), line.as_bytes());
        }
        let refused: &[_] = &["HTTP/1.0 401 Unauthorized\r\n\r\n"];
        let error = server([refused, &[]]).await.listen(&get_stream("/", "")).await.unwrap_err();
        assert!(error.to_string().contains("401 Unauthorized"), "{error}");
    }

    #[tokio::test]
    async fn truncated_answers_and_unexpected_statuses_are_errors() {
        let refused: &[_] = &["HTTP/1.1 422 No\r\ncontent-length: 5\r\n\r\nempty"];
        let broken = &["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"];
        let mut connection = server([refused, broken]).await;
        let answer = connection.send(&get("/", "")).await.unwrap();
        let error = answer.expect(202).unwrap_err().to_string();
        assert_eq!(error, "the server answered 422: empty");
        let error = connection.send(&get("/", "")).await.unwrap_err().to_string();
        assert_eq!(error, "the server closed the connection");
    }
}
