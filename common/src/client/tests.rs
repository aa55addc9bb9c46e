//! Redirects from a task manager to a bucket, on real loopback addresses.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// Reads a request, sends `response`, and returns the request.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, response: &str) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.unwrap();
        request.push(byte.to_ascii_lowercase());
    }
    stream.write_all(response.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    String::from_utf8(request).unwrap()
}

/// An acceptor of TLS connections to `localhost`, and its certificate as a PEM file.
fn acceptor() -> (TlsAcceptor, String) {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], secret)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), key.cert.pem())
}

#[tokio::test]
async fn a_redirect_from_a_plain_server_to_tls_is_followed_if_trusted_and_gets_no_token() {
    let (acceptor, certificate) = acceptor();
    let bucket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let location = format!("https://localhost:{}/key?x=1", bucket.local_addr().unwrap().port());
    let redirect = format!(
        "HTTP/1.1 307 X\r\ncontent-length: 0\r\nlocation: {location}\r\nconnection: close\r\n\r\n"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, certificate).unwrap();

    for is_trusted in [true, false] {
        let trust = Trust::with_file(is_trusted.then_some(file.path())).unwrap();
        let client = ApiClient::trusting(&url, Some("secret".to_owned().into()), trust).unwrap();
        let redirecting = async {
            let (stream, _) = server.accept().await.unwrap();
            answer(stream, &redirect).await
        };
        let delivering = async {
            let (stream, _) = bucket.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { return None };
            Some(answer(stream, "HTTP/1.1 206 X\r\ncontent-length: 4\r\n\r\nrest").await)
        };
        let asking = async {
            let request = client.request(Method::GET, "/download").header("Range", "bytes=5-");
            let response = client.send(request).await?;
            response.bytes().await.map_err(|error| client.unreachable(&error))
        };
        let (asked, delivered, answered) = tokio::join!(redirecting, delivering, asking);

        assert!(asked.contains("authorization: bearer secret"), "{asked}");
        if is_trusted {
            let delivered = delivered.unwrap();
            assert!(delivered.starts_with("get /key?x=1 "), "{delivered}");
            assert!(delivered.contains("range: bytes=5-"), "{delivered}");
            assert!(!delivered.contains("secret"), "{delivered}");
            assert_eq!(answered.unwrap(), "rest");
        } else {
            assert_eq!(delivered, None);
            assert!(answered.unwrap_err().to_string().contains("ca_file"));
        }
    }
}
