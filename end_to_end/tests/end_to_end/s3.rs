//! A bucket of S3, which a fleet or a standalone server can use instead of a folder.

use std::path::Path;
use std::time::Duration;

use common::config::Settings;
use common::storage::{Storage, StorageConfig};
use common::tls::Trust;
use futures_util::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::fleet::services::Services;

/// An empty bucket of the server that all tests share.
pub struct S3Bucket {
    settings: [(&'static str, String); 4],
    storage: Storage,
}

impl S3Bucket {
    pub fn create(services: &Services) -> Self {
        // http://ID:SECRET@HOST:PORT/BUCKET
        let url = services.s3_url.strip_prefix("http://").unwrap();
        let (key, place) = url.split_once('@').unwrap();
        let (id, secret) = key.split_once(':').unwrap();
        let (address, bucket) = place.split_once('/').unwrap();
        let settings = [
            ("storage", format!("s3://{bucket}/fleet-{}", Uuid::new_v4())),
            ("storage_endpoint", format!("http://{address}")),
            ("storage_access_key_id", id.to_owned()),
            ("storage_secret_access_key", secret.to_owned()),
        ];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, toml(&settings)).unwrap();
        let mut read = Settings::load(Some(file.path()), "TEST_BUCKET");
        let config = StorageConfig::from_settings(&mut read, Path::new("."));
        read.finish().unwrap();
        Self { settings, storage: Storage::connect(&config, &Trust::default()).unwrap() }
    }

    /// The environment variables of a program, whose names start with `prefix`.
    pub fn variables(&self, prefix: &str) -> Vec<(String, String)> {
        let variable = |(name, value): &(&str, String)| {
            (format!("{prefix}_{}", name.to_ascii_uppercase()), value.clone())
        };
        self.settings.iter().map(variable).collect()
    }

    /// The lines of a settings file.
    pub fn toml(&self) -> String {
        toml(&self.settings)
    }

    /// Every file in the bucket, by its name, and every unfinished one, sorted.
    pub async fn files(&self) -> Vec<String> {
        let zero = Duration::ZERO;
        let complete = self.storage.list_inputs(zero).chain(self.storage.list_outputs(zero));
        let mut files: Vec<String> =
            complete.map_ok(|key| key.to_string()).try_collect().await.unwrap();
        let staged = self.storage.list_staged(zero).map_ok(|key| format!("staged {key}"));
        files.extend(staged.try_collect::<Vec<_>>().await.unwrap());
        let unfinished = self.storage.list_unfinished(zero);
        let unfinished = unfinished.map_ok(|file| format!("unfinished {}", file.key));
        files.extend(unfinished.try_collect::<Vec<_>>().await.unwrap());
        files.sort();
        files
    }
}

fn toml(settings: &[(&str, String)]) -> String {
    settings.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect()
}
