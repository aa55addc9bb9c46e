//! The user who sends the requests.

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;

use crate::http::{self, Connection};

const PASSWORD: &str = "Pa55word!";

/// A user who is logged in. A standalone server requires no login, but this way the tasks belong to
/// the user.
#[derive(Debug)]
pub struct Account {
    address: String,
    headers: String,
    name: String,
}

#[derive(Deserialize)]
struct Session {
    token: String,
}

impl Account {
    /// Logs in at `server`, as a new user if `user` is `None`.
    pub async fn open(server: &str, user: Option<&str>) -> anyhow::Result<Self> {
        let address = server.strip_prefix("http://").unwrap_or(server).trim_end_matches('/');
        let name = user.map_or_else(|| format!("load{:08x}", rand::random::<u32>()), str::to_owned);
        let mut headers = format!("Host: {address}\r\n");
        let mut connection = Connection::open(address).await?;
        let credentials = json!({"username": name, "password": PASSWORD}).to_string();
        let sign_up = http::post("/v1/users", &headers, &credentials);
        let answer = connection.send(&sign_up).await?;
        // 409: the user exists already.
        if answer.status != 409 {
            answer.expect(201).context("cannot sign up")?;
        }
        let log_in = http::post("/v1/sessions", &headers, &credentials);
        let answer = connection.send(&log_in).await?.expect(201).context("cannot log in")?;
        let session: Session = serde_json::from_slice(answer.body)?;
        headers.push_str(&format!("Authorization: Bearer {}\r\n", session.token));
        Ok(Self { address: address.to_owned(), headers, name })
    }

    /// Opens a new connection.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(&self.address).await
    }

    /// The name of the user.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of a GET request.
    pub fn get(&self, path: &str) -> Vec<u8> {
        http::get(path, &self.headers)
    }

    /// The bytes of a request for an endless stream.
    pub fn get_stream(&self, path: &str) -> Vec<u8> {
        http::get_stream(path, &self.headers)
    }

    /// The bytes of a POST request with JSON.
    pub fn post(&self, path: &str, json: &str) -> Vec<u8> {
        http::post(path, &self.headers, json)
    }

    /// The bytes of a request with any body. Each of the `headers` ends with a line break.
    pub fn body(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        http::body(method, path, &format!("{}{headers}", self.headers), body)
    }
}
