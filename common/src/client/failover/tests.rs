//! Task managers that hang, refuse and recover, on real loopback addresses.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::*;

const PATIENCE: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(10);

/// Answers every request with its name, unless it hangs.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<Infallible>,
}

impl Server {
    async fn start(status: &'static str) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), status).await
    }

    async fn at(address: SocketAddr, status: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let (name, count) = (url.clone(), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (name, count) = (name.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).await.unwrap_or(0) > 0 {
                        count.fetch_add(1, Ordering::Relaxed);
                        if status == "hangs" {
                            continue;
                        }
                        let body = json!({"name": name}).to_string();
                        let length = body.len();
                        let answer =
                            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Self { url, requests, _task: AbortOnDropHandle::new(task) }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn post(client: &FailoverClient) -> Result<String, ClientError> {
    let answer: Value = client.post("/claims", &json!({}), DEADLINE, PATIENCE).await?;
    Ok(answer["name"].as_str().unwrap().to_owned())
}

fn client_of(servers: &[&Server]) -> FailoverClient {
    let urls: Vec<_> = servers.iter().map(|server| server.url.clone()).collect();
    FailoverClient::new(&urls, None, &Trust::default()).unwrap()
}

#[tokio::test]
async fn a_hanging_server_costs_one_timeout() {
    let [hangs, answers] = [Server::start("hangs").await, Server::start("200 OK").await];
    let client = client_of(&[&hangs, &answers]);
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(post(&client).await.unwrap(), answers.url);
    }
    assert!(start.elapsed() >= PATIENCE);
    assert_eq!((hangs.requests(), answers.requests()), (1, 20), "it is no longer called first");
}

#[tokio::test]
async fn a_failing_server_costs_no_timeout() {
    let [fails, answers] =
        [Server::start("503 Service Unavailable").await, Server::start("200 OK").await];
    let gone = Server::start("200 OK").await;
    let client = client_of(&[&gone, &fails, &answers]);
    drop(gone);
    let answer: Value =
        client.post("/claims", &json!({}), DEADLINE, DEADLINE).await.expect("long before that");
    assert_eq!(answer["name"], answers.url);
}

#[tokio::test]
async fn a_refusal_causes_no_failover() {
    let [refuses, answers] = [Server::start("403 Forbidden").await, Server::start("200 OK").await];
    let error = post(&client_of(&[&refuses, &answers])).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(answers.requests(), 0);
}

#[tokio::test]
async fn a_slow_answer_survives_the_failover_of_another_call() {
    let [first, second] = [Server::start("hangs").await, Server::start("hangs").await];
    let client = client_of(&[&first, &second]);
    let short = Duration::from_secs(1);
    let answer = client.post::<Value>("/claims", &json!({}), short, PATIENCE).await;
    assert!(answer.unwrap_err().is_transient());
    assert_eq!((first.requests(), second.requests()), (1, 1));
}

#[tokio::test]
async fn each_address_of_a_host_name_is_a_server() {
    let hangs = Server::start("hangs").await;
    let port = hangs.url.rsplit(':').next().unwrap().parse().unwrap();
    let address = |last| SocketAddr::from(([127, 0, 0, last], port));
    let answers = Server::at(address(2), "200 OK").await;
    let name = format!("http://managers.test:{port}");
    let client = FailoverClient::new(&[name], None, &Trust::default()).unwrap();
    client.learn(vec![Some(vec![address(1), address(2)])]);
    assert_eq!(post(&client).await.unwrap(), answers.url);
    assert_eq!(post(&client).await.unwrap(), answers.url);
    assert_eq!(hangs.requests(), 1);
    // A removed address is no longer called.
    client.learn(vec![Some(vec![address(2), address(3)])]);
    let known: Vec<_> = client.known().targets.iter().map(|target| target.address).collect();
    assert_eq!(known, [Some(address(2)), Some(address(3))]);
    client.learn(vec![None]);
    assert_eq!(client.known().targets.len(), 2, "a failing name server changes nothing");
}

#[tokio::test]
async fn without_a_url_there_is_no_client() {
    assert!(FailoverClient::new(&[], None, &Trust::default()).is_err());
    assert!(FailoverClient::new(&["nonsense".to_owned()], None, &Trust::default()).is_err());
}
