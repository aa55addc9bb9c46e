//! TLS between machines: the API behind a proxy, the broker and the database.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::fleet::Fleet;
use super::fleet::load::Load;
use super::fleet::services::Services;
use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::process::taskctl;

/// A proxy that terminates TLS for clients, until it is dropped.
struct Proxy {
    url: String,
    certificate: String,
}

impl Proxy {
    async fn start(target: std::net::SocketAddr) -> Self {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], secret)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client may disconnect at any time.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { url, certificate: key.cert.pem() }
    }
}

/// Runs `taskctl` outside of the runtime, which carries its bytes.
async fn run(proxy: &Proxy, home: &Path, token: &str, arguments: &[&str]) -> Output {
    let mut command = taskctl();
    command.env("XDG_CONFIG_HOME", home).env("TASKCTL_TOKEN", token);
    command.args(["--server", &proxy.url]).args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_uses_tls_for_the_api_the_broker_and_the_database() {
    let services = Services::shared();
    let folder = TempDir::new().unwrap();
    let ca_of_services = services.run(&["ca-file"]);
    let mut fleet = Fleet::start_with_tls(services, ca_of_services.trim()).await;
    let proxy = Proxy::start(fleet.front.address).await;
    // One file for the broker and the proxy.
    let ca_file = folder.path().join("ca.pem");
    let of_services = std::fs::read_to_string(ca_of_services.trim()).unwrap();
    std::fs::write(&ca_file, of_services + &proxy.certificate).unwrap();
    let ca_file = ca_file.to_str().unwrap();
    fleet.add_worker_with_tls(2, &proxy.url, ca_file).await;
    let since = Instant::now();
    let load = Load::start(&fleet.api, 50).done().await;
    load.is_done(&fleet, since).await;
    let connections =
        fleet.services.run(&["rabbitmqctl", "--quiet", "list_connections", "name", "ssl"]);
    let with_tls = connections.lines().filter(|line| line.trim().ends_with("true")).count();
    assert!(with_tls >= 3, "the task manager's and both of the worker: {connections}");

    let input = folder.path().join("songs.csv");
    let output = folder.path().join("sums.csv");
    std::fs::write(&input, SAMPLE).unwrap();
    let (input, result) = (input.to_str().unwrap(), output.to_str().unwrap());
    let token = fleet.api.token().to_owned();
    let upload = ["--ca-file", ca_file, "upload", "--wait", input, "--output", result];
    let done = run(&proxy, folder.path(), &token, &upload).await;
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(std::fs::read_to_string(&output).unwrap(), SAMPLE_SUMS);

    let untrusted = run(&proxy, folder.path(), &token, &["list"]).await;
    assert_eq!(untrusted.status.code(), Some(3));
    assert!(said(&untrusted).contains("--ca-file"), "{}", said(&untrusted));
    let wrong = ["--ca-file", ca_of_services.trim(), "list"];
    let wrong = run(&proxy, folder.path(), &token, &wrong).await;
    assert_eq!(wrong.status.code(), Some(3));
    assert!(said(&wrong).contains("ca.pem (`ca_file`)"), "{}", said(&wrong));
    let missing = run(&proxy, folder.path(), &token, &["--ca-file", "/nowhere.pem", "list"]).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("/nowhere.pem"), "{}", said(&missing));
    fleet.ends_and_leaves_nothing().await;
}
