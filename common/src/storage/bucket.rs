//! The storage in a bucket, of S3 or a similar service.
//!
//! # Invariants
//! - No object is ever in memory as a whole, unless it is small.
//! - Objects with the names of outputs are created by a condition and never replaced.
//!
//! # Not here
//! S3's requests that `object_store` lacks (`s3`), the settings (`location`).

mod concatenate;
mod connect;
mod gathered;
mod http;
mod multipart;
mod ranges;
mod s3;
pub(super) mod staged;
mod unfinished;
mod writer;

pub(super) use self::ranges::{OpenObject, ReadAhead};
pub use self::unfinished::Unfinished;
pub(super) use self::writer::ObjectUpload;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
#[cfg(test)]
use futures_util::stream::TryStreamExt;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::time::timeout;

use self::s3::S3;
use super::{ObjectKey, StorageError, keys};

/// How long the bucket may take to answer a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// A bucket. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    client: Arc<Client>,
}

struct Client {
    objects: Arc<dyn ObjectStore>,
    multipart: Arc<dyn MultipartStore>,
    pages: Arc<dyn PaginatedListStore>,
    signer: Arc<dyn Signer>,
    /// More requests, if the service has them.
    s3: Option<S3>,
    /// The start of the names of all objects.
    prefix: Path,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("objects", &self.objects).finish_non_exhaustive()
    }
}

impl Bucket {
    /// The name of an object.
    fn path(&self, key: ObjectKey) -> Path {
        self.join(&key.path())
    }

    fn join(&self, path: &Path) -> Path {
        self.client.prefix.parts().chain(path.parts()).collect()
    }

    /// The key of an object; none for a foreign one.
    fn key(&self, path: &Path) -> Option<ObjectKey> {
        let parts = path.prefix_match(&self.client.prefix)?;
        ObjectKey::parse(parts.collect::<Path>().as_ref())
    }

    /// Whether objects can be listed, which proves that the bucket exists and the access key is
    /// accepted.
    pub(super) async fn check(&self) -> Result<(), StorageError> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let prefix = Some(self.client.prefix.as_ref()).filter(|prefix| !prefix.is_empty());
        let listed = timeout(CHECK_TIMEOUT, self.client.pages.list_paginated(prefix, options));
        match listed.await {
            Ok(listed) => Ok(listed.map(drop)?),
            Err(_) => {
                let reason = format!("no answer within {} s", CHECK_TIMEOUT.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, reason).into())
            }
        }
    }

    /// The size and version of an object, if it exists.
    async fn head(&self, path: &Path) -> object_store::Result<Option<ObjectMeta>> {
        match self.client.objects.head(path).await {
            Ok(object) => Ok(Some(object)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn presigned(
        &self,
        key: ObjectKey,
        disposition: &str,
        media_type: &str,
        valid_for: Duration,
    ) -> Result<Option<String>, StorageError> {
        let options = SignedUrlOptions::new().with_query([
            ("response-content-disposition", disposition),
            ("response-content-type", media_type),
        ]);
        let (path, signer) = (self.path(key), &self.client.signer);
        match signer.signed_url_opts(Method::GET, &path, valid_for, &options).await {
            Ok(url) => Ok(Some(url.into())),
            Err(object_store::Error::NotSupported { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn delete(&self, key: ObjectKey) -> Result<(), StorageError> {
        Ok(self.delete_path(&self.path(key)).await?)
    }

    async fn delete_path(&self, path: &Path) -> object_store::Result<()> {
        match self.client.objects.delete(path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            deleted => deleted,
        }
    }

    /// The names of all objects, after the prefix.
    #[cfg(test)]
    pub(super) async fn names(&self) -> Vec<String> {
        let objects = self.client.objects.list(Some(&self.client.prefix));
        let name = |object: ObjectMeta| {
            let parts = object.location.prefix_match(&self.client.prefix);
            parts.into_iter().flatten().collect::<Path>().to_string()
        };
        objects.map_ok(name).try_collect().await.unwrap_or_default()
    }

    /// The keys of the objects in `folder` that were written more than `age` ago.
    pub(super) fn list(
        &self,
        folder: &Path,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        let bucket = self.clone();
        let objects = self.client.objects.list(Some(&self.join(folder)));
        keys(objects, age, move |path| bucket.key(path))
    }
}
