//! Makes the clients of a bucket from the settings.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::client::StaticCredentialProvider;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use secrecy::ExposeSecret;

use super::http::Connector;
use super::s3::{RETRY_TIMEOUT, S3};
use super::{Bucket, Client};
use crate::storage::location::{AccessKey, BucketUrl, Service, StorageConfig};
use crate::tls::Trust;

type Cause = Box<dyn Error + Send + Sync>;

const DEFAULT_REGION: &str = "us-east-1";

impl Bucket {
    /// Makes the clients; sends nothing yet.
    pub(in crate::storage) fn connect(
        config: &StorageConfig,
        url: &BucketUrl,
        trust: &Trust,
    ) -> Result<Self, Cause> {
        let connector = Connector::new(trust)?;
        let prefix = Path::parse(&url.prefix)?;
        let client = match url.service {
            Service::S3 => s3(config, url, &connector, prefix)?,
            #[cfg(feature = "azure")]
            Service::Azure => azure(url, &connector, prefix)?,
            #[cfg(feature = "gcs")]
            Service::Gcs => gcs(url, &connector, prefix)?,
            #[cfg(not(all(feature = "azure", feature = "gcs")))]
            _ => return Err("this program was built without this service".into()),
        };
        Ok(Self { client: Arc::new(client) })
    }
}

impl Client {
    fn new<T>(store: T, s3: Option<S3>, prefix: Path) -> Self
    where
        T: ObjectStore + MultipartStore + PaginatedListStore + Signer,
    {
        let store = Arc::new(store);
        Self {
            objects: Arc::clone(&store) as _,
            multipart: Arc::clone(&store) as _,
            pages: Arc::clone(&store) as _,
            signer: store,
            s3,
            prefix,
        }
    }
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    }
}

/// What the settings leave open comes from the variables `AWS_…`, a web identity, or the role of the
/// machine.
fn s3(
    config: &StorageConfig,
    url: &BucketUrl,
    connector: &Connector,
    prefix: Path,
) -> Result<Client, Cause> {
    let builder = AmazonS3Builder::from_env();
    let variable = |key| builder.get_config_value(&key);
    if variable(AmazonS3ConfigKey::Checksum).is_some() {
        return Err("AWS_CHECKSUM_ALGORITHM is not supported".into());
    }
    let endpoint = config.endpoint.clone();
    let endpoint = endpoint.or_else(|| variable(AmazonS3ConfigKey::S3Endpoint));
    let endpoint = endpoint.or_else(|| variable(AmazonS3ConfigKey::Endpoint));
    let region = config.region.clone().or_else(|| variable(AmazonS3ConfigKey::Region));
    let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let is_signed = variable(AmazonS3ConfigKey::SkipSignature).as_deref() != Some("true");
    // The certificate of `*.s3.amazonaws.com` is not valid for names with dots.
    let has_plain_name = endpoint.is_none() && !url.bucket.contains('.');
    let virtual_hosted = config.virtual_hosted.or(has_plain_name);
    let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let bucket_url = bucket_url(&endpoint, &url.bucket, virtual_hosted)?;
    let mut builder = builder
        .with_bucket_name(&url.bucket)
        .with_region(&region)
        // "Virtual" means that the URL is that of the bucket, whatever it looks like. The first of
        // the two would take precedence over the second.
        .with_config(AmazonS3ConfigKey::S3Endpoint, &bucket_url)
        .with_endpoint(&bucket_url)
        .with_virtual_hosted_style_request(true)
        // Not every service has the request that deletes several objects.
        .with_disable_bulk_delete(true)
        .with_retry(retries())
        .with_http_connector(connector.clone());
    if let Some(AccessKey { id, secret, session_token }) = &config.access_key {
        let token = session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let secret_key = secret.expose_secret().to_owned();
        let credential = AwsCredential { key_id: id.clone(), secret_key, token };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
    }
    let store = builder.build()?;
    let s3 = S3 {
        http: connector.client(),
        credentials: Arc::clone(store.credentials()),
        region,
        bucket: url.bucket.clone(),
        url: bucket_url,
        is_signed,
    };
    Ok(Client::new(store, Some(s3), prefix))
}

/// The URL of a bucket: `https://bucket.host` or `https://host/bucket`.
fn bucket_url(endpoint: &str, bucket: &str, virtual_hosted: bool) -> Result<String, Cause> {
    let endpoint = endpoint.trim_end_matches('/');
    let (scheme, host) = endpoint.split_once("://").ok_or("the endpoint is not a URL")?;
    Ok(match virtual_hosted {
        true => format!("{scheme}://{bucket}.{host}"),
        false => format!("{scheme}://{host}/{bucket}"),
    })
}

/// Account and access key come from the variables `AZURE_STORAGE_…`, or from the role of the machine.
#[cfg(feature = "azure")]
fn azure(url: &BucketUrl, connector: &Connector, prefix: Path) -> Result<Client, Cause> {
    let builder = object_store::azure::MicrosoftAzureBuilder::from_env()
        .with_container_name(&url.bucket)
        .with_retry(retries())
        .with_http_connector(connector.clone());
    Ok(Client::new(builder.build()?, None, prefix))
}

/// The access key comes from the variables `GOOGLE_…`, or from the role of the machine.
#[cfg(feature = "gcs")]
fn gcs(url: &BucketUrl, connector: &Connector, prefix: Path) -> Result<Client, Cause> {
    let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&url.bucket)
        .with_retry(retries())
        .with_http_connector(connector.clone());
    Ok(Client::new(builder.build()?, None, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_is_in_the_host_or_in_the_path() {
        let url = |endpoint, is_virtual| bucket_url(endpoint, "files", is_virtual).unwrap();
        assert_eq!(url("http://127.0.0.1:9000/", false), "http://127.0.0.1:9000/files");
        assert_eq!(url("https://s3.test", true), "https://files.s3.test");
        assert!(bucket_url("localhost", "files", false).is_err());
    }
}
