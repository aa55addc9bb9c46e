//! Files of people, and the expected rows in the database.

use bytes::Bytes;
use common::report::RejectedRow;
use common::task::{AcceptedTask, TaskId};
use rand::RngExt;
use rand::rngs::StdRng;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::{Api, accepted};

/// A row as the API lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Person {
    pub row: u64,
    pub name: String,
    pub email: String,
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next_page_token: Option<String>,
}

/// A file `name,email` with its contents.
#[derive(Debug, Clone)]
pub struct People {
    pub content: Bytes,
    good: Vec<Person>,
    /// The numbers of the invalid rows.
    bad: Vec<u64>,
}

impl People {
    /// `rows` random rows, about every hundredth of which is invalid.
    pub fn random(random: &mut StdRng, rows: u64) -> Self {
        let mut content = "email,name\r\n".to_owned();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for row in 1..=rows {
            let tag: u32 = random.random_range(0..1_000_000);
            let email = format!("person.{row}.{tag}@example.org");
            let (field, name) = match random.random_range(0..200) {
                0 => (format!("\"{tag}"), None),
                1 => (String::new(), None),
                2..50 => (format!("\"Nguyễn, \"\"{tag}\"\"\""), Some(format!("Nguyễn, \"{tag}\""))),
                _ => (format!(" Person {tag} "), Some(format!("Person {tag}"))),
            };
            match name {
                Some(name) => {
                    content += &format!("{email},{field}\r\n");
                    good.push(Person { row, name, email });
                }
                // An unclosed quote would swallow all following rows.
                None => {
                    content += &format!("nobody,{}\r\n", field.trim_matches('"'));
                    bad.push(row);
                }
            }
        }
        Self { content: content.into(), good, bad }
    }

    /// The number of rows, valid and invalid.
    pub fn count(&self) -> u64 {
        (self.good.len() + self.bad.len()) as u64
    }

    /// Uploads the file.
    pub async fn upload(&self, api: &Api) -> AcceptedTask {
        let request = api.request(Method::POST, "/v1/data_uploads?file_name=people.csv");
        let request = request.header("content-type", "text/csv").body(self.content.clone());
        accepted(request.send().await.unwrap()).await
    }

    /// Asserts that a task has loaded every row once and in order, and rejected the others.
    pub async fn assert_loaded(&self, api: &Api, id: TaskId) {
        let rows = rows(api, id).await;
        if rows != self.good {
            let first = rows.iter().zip(&self.good).find(|(found, expected)| found != expected);
            panic!("{} rows of {}, the first other one: {first:?}", rows.len(), self.good.len());
        }
        let rejected: Vec<RejectedRow> = list(api, id, "rejected").await;
        let rejected: Vec<_> = rejected.iter().map(|rejected| rejected.row).collect();
        assert_eq!(rejected, self.bad);
        let result = api.task(id).await.result.unwrap();
        assert_eq!(result["rows_loaded"], self.good.len());
        assert_eq!(result["rows_rejected"], self.bad.len());
    }
}

/// The rows that a task has loaded.
pub async fn rows(api: &Api, id: TaskId) -> Vec<Person> {
    list(api, id, "rows").await
}

async fn list<T: DeserializeOwned>(api: &Api, id: TaskId, what: &str) -> Vec<T> {
    let mut all = Vec::new();
    let path = format!("/v1/data_uploads/{id}/{what}?page_size=10000");
    let mut next = path.clone();
    loop {
        let response = api.get(&next).await;
        assert_eq!(response.status(), StatusCode::OK);
        let page: Page<T> = response.json().await.unwrap();
        all.extend(page.items);
        let Some(token) = page.next_page_token else { return all };
        next = format!("{path}&page_token={token}");
    }
}
