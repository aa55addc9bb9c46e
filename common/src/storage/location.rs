//! Where files are stored: the settings.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::SecretString;

use crate::config::{Description, Settings, Switch};

/// Where files are stored, and how to get there.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// The folder or the bucket.
    pub location: Location,
    /// The URL of an S3-compatible service; none for Amazon's.
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    /// The access key; none for that of the environment or the machine.
    pub(super) access_key: Option<AccessKey>,
    /// Whether the name of the bucket is part of the host name. `auto`: for Amazon's S3, but not for
    /// an endpoint that is set.
    pub(super) virtual_hosted: Switch,
}

/// Identifies this program to S3.
#[derive(Debug, Clone)]
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) secret: SecretString,
    pub(super) session_token: Option<SecretString>,
}

impl StorageConfig {
    /// The settings of buckets.
    pub const DESCRIPTIONS: [Description; 6] = [
        Description::with_default(
            "storage_endpoint",
            "Amazon's",
            "The URL of an S3-compatible service, such as `https://s3.example.org:9000`. It is used \
             without TLS if it starts with `http://`.",
        ),
        Description::with_default("storage_region", "`us-east-1`", "The region of the bucket."),
        Description::with_default(
            "storage_access_key_id",
            "see [below](#buckets)",
            "The access key of the bucket.",
        ),
        Description::new("storage_secret_access_key", "The secret of the access key."),
        Description::new("storage_session_token", "The token of a temporary access key."),
        Description::new(
            "storage_virtual_hosted",
            "Whether the name of the bucket is part of the host name (`true`) or of the path \
             (`false`). `auto`: of the path if `storage_endpoint` is set.",
        ),
    ];

    /// A local folder.
    #[must_use]
    pub fn folder(folder: &Path) -> Self {
        Self {
            location: Location::Folder(folder.to_owned()),
            endpoint: None,
            region: None,
            access_key: None,
            virtual_hosted: Switch::Auto,
        }
    }

    /// Reads `storage`, by default the folder `default`, and the settings `storage_…` of buckets.
    /// Invalid values are recorded in `settings`.
    pub fn from_settings(settings: &mut Settings, default: &Path) -> Self {
        let config = Self {
            location: settings.value("storage", Location::Folder(default.to_owned())),
            endpoint: settings.optional("storage_endpoint"),
            region: settings.optional("storage_region"),
            access_key: access_key(settings),
            virtual_hosted: settings.value("storage_virtual_hosted", Switch::Auto),
        };
        let is_url = |url: &&String| url.starts_with("http://") || url.starts_with("https://");
        if config.endpoint.as_ref().is_some_and(|url| !is_url(&url)) {
            settings.problem("`storage_endpoint` starts with neither `http://` nor `https://`");
        }
        config
    }
}

fn access_key(settings: &mut Settings) -> Option<AccessKey> {
    let id = settings.optional("storage_access_key_id");
    let secret = settings.secret("storage_secret_access_key");
    let session_token = settings.secret("storage_session_token");
    match (id, secret) {
        (Some(id), Some(secret)) => Some(AccessKey { id, secret, session_token }),
        (None, None) if session_token.is_none() => None,
        _ => {
            settings.problem(
                "`storage_access_key_id` and `storage_secret_access_key` must be set together, \
                 also for a `storage_session_token`",
            );
            None
        }
    }
}

/// A folder or a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A local folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket(BucketUrl),
}

/// `s3://bucket/prefix`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUrl {
    pub(super) service: Service,
    pub(super) bucket: String,
    /// The start of the names of all objects, without slashes at its ends; it may be empty.
    pub(super) prefix: String,
}

/// A service of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    S3,
    Azure,
    Gcs,
}

impl Service {
    const ALL: [Self; 3] = [Self::S3, Self::Azure, Self::Gcs];

    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "az",
            Self::Gcs => "gs",
        }
    }

    /// The cargo feature that this program was built without.
    fn missing_feature(self) -> Option<&'static str> {
        match self {
            Self::Azure if !cfg!(feature = "azure") => Some("azure"),
            Self::Gcs if !cfg!(feature = "gcs") => Some("gcs"),
            _ => None,
        }
    }
}

impl Location {
    /// The name of the kind of storage: `local`, `s3`, `az` or `gs`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "local",
            Self::Bucket(url) => url.service.scheme(),
        }
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Folder(text.into()));
        };
        let Some(service) = Service::ALL.into_iter().find(|service| service.scheme() == scheme)
        else {
            return Err("it is a folder, or a bucket such as s3://BUCKET/PREFIX".to_owned());
        };
        if let Some(feature) = service.missing_feature() {
            return Err(format!("this program was built without the feature `{feature}`"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if bucket.is_empty() || !bucket.chars().all(is_plain) {
            return Err("the name of the bucket is missing or invalid".to_owned());
        }
        let prefix = prefix.trim_matches('/');
        let is_name = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(is_plain);
        if !prefix.is_empty() && !prefix.split('/').all(is_name) {
            return Err(
                "the prefix consists of letters, digits, `-`, `_` and `.`, with single slashes"
                    .to_owned(),
            );
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self::Bucket(BucketUrl { service, bucket, prefix }))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_folders_or_buckets() {
        for text in ["local_storage", "/var/lib/x y", "s3://bucket", "s3://b.c/a/b-1_2.x"] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        let trimmed = "s3://bucket/a/".parse::<Location>().unwrap();
        assert_eq!(trimmed.to_string(), "s3://bucket/a");
        for text in
            ["s3://", "s3:///a", "s3://b/a//c", "s3://b/../c", "s3://b/ä", "ftp://b", "s3://b?c"]
        {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[cfg(not(feature = "gcs"))]
    #[test]
    fn a_bucket_of_a_missing_feature_is_refused() {
        let error = "gs://bucket".parse::<Location>().unwrap_err();
        assert!(error.contains("`gcs`"), "{error}");
    }

    #[test]
    fn incomplete_access_keys_and_endpoints_are_named() {
        let read = |content: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("settings.toml");
            std::fs::write(&file, content).unwrap();
            let mut settings = Settings::load(Some(&file), "STORAGE_TEST");
            StorageConfig::from_settings(&mut settings, Path::new("files"));
            settings.finish().map(|shown| shown.to_string()).map_err(|error| error.to_string())
        };
        let shown = read("").unwrap();
        assert!(shown.contains("storage = \"files\""), "{shown}");
        for content in [
            "storage_access_key_id = \"a\"",
            "storage_secret_access_key = \"a\"",
            "storage_session_token = \"a\"",
            "storage_endpoint = \"localhost:9000\"",
            "storage_virtual_hosted = \"yes\"",
            "storage = \"s3://\"",
        ] {
            assert!(read(content).is_err(), "{content}");
        }
        let key = "storage_access_key_id = \"a\"\nstorage_secret_access_key = \"hidden\"";
        assert!(!read(key).unwrap().contains("hidden"));
    }
}
