//! The number of small files uploaded per second.

use std::cell::Cell;
use std::time::Instant;

use anyhow::Context;
use futures_util::future::try_join_all;
use rand::Rng;
use serde_json::{Value, json};

use crate::account::Account;
use crate::arguments::{Protocol, Uploads};
use crate::http::Connection;
use crate::quantiles::Quantiles;

/// Uploads the files by concurrent clients, each with one upload at a time, until all are accepted.
pub async fn measure(account: &Account, load: &Uploads) -> anyhow::Result<Value> {
    let mut connections = Vec::new();
    for _ in 0..load.clients.clamp(1, load.files.max(1)) {
        connections.push(account.connect().await?);
    }
    let next = Cell::new(0);
    let take = || {
        let number = next.replace(next.get() + 1);
        (number < load.files).then_some(number)
    };
    let start = Instant::now();
    let sending = connections.into_iter().map(|mut connection| async move {
        // The same file again would be another case.
        let mut file = vec![0; load.size];
        rand::rng().fill_bytes(&mut file);
        let mut times = Vec::new();
        while let Some(number) = take() {
            for (byte, new) in file.iter_mut().zip(number.to_le_bytes()) {
                *byte = new;
            }
            let sent = Instant::now();
            upload(account, &mut connection, load.protocol, &file).await?;
            times.push(sent.elapsed());
        }
        anyhow::Ok(times)
    });
    let times = try_join_all(sending).await?.concat();
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "mode": "uploads",
        "files": load.files,
        "clients": load.clients,
        "size": load.size,
        "uploads_per_second": load.files as f64 / seconds,
        "uploads": Quantiles::of(times).to_json(),
    }))
}

/// Uploads a file, of which the server gathers statistics.
async fn upload(
    account: &Account,
    connection: &mut Connection,
    protocol: Protocol,
    file: &[u8],
) -> anyhow::Result<()> {
    let length = file.len();
    let create = format!("Tus-Resumable: 1.0.0\r\nUpload-Length: {length}\r\n");
    let bytes = "Content-Type: application/offset+octet-stream\r\n";
    match protocol {
        Protocol::Body => {
            let path = "/v1/file_statistics?file_name=small.bin";
            let request = account.body("POST", path, "", file);
            connection.send(&request).await?.expect(202)?;
        }
        Protocol::Tus => {
            let request = account.body("POST", "/v1/uploads", &create, b"");
            let created = connection.send(&request).await?.expect(201)?;
            let upload = created.header("location").context("no Location")?.to_owned();
            let headers = format!("Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n{bytes}");
            let request = account.body("PATCH", &upload, &headers, file);
            connection.send(&request).await?.expect(204)?;
        }
        Protocol::TusAtOnce => {
            let headers = format!("{create}{bytes}");
            let request = account.body("POST", "/v1/uploads", &headers, file);
            connection.send(&request).await?.expect(201)?;
        }
    }
    Ok(())
}
