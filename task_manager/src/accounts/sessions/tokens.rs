//! Tokens: JWTs (RFC 9068) signed with HS256.
//!
//! While a key is being replaced, two keys verify: the new one signs, and the `kid` of the header
//! names the key that signed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::clock;
use common::task::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::error;
use uuid::Uuid;

use super::hs256;
use crate::error::Error;

/// The issuer and the audience of tokens.
const ISSUER: &str = "task_manager";
const AUDIENCE: &str = "task_manager/v1";
/// The type of an access token (RFC 9068): tokens for other purposes are refused.
const TOKEN_TYPE: &str = "at+jwt";
/// By how much the clocks of task managers may differ.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// Whether sessions with this id have a row. Those from before the rows have random ids.
pub fn is_listed(session: Uuid) -> bool {
    session.get_version_num() == 7
}

/// A verified token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The token's id.
    pub id: Uuid,
    pub user: UserId,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
}

struct Key {
    id: String,
    secret: SecretString,
    decoding: DecodingKey,
}

impl Key {
    fn new(secret: SecretString) -> Self {
        let bytes = secret.expose_secret().as_bytes();
        let id = hex::encode(&Sha256::digest([b"kid\n", bytes].concat())[..8]);
        let decoding = DecodingKey::from_secret(bytes);
        Self { id, secret, decoding }
    }
}

/// Issues and verifies tokens. Clones share the keys.
#[derive(Clone)]
pub struct Tokens {
    /// The first one signs.
    keys: Arc<[Key]>,
    lifetime: Duration,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| &key.id).collect();
        f.debug_struct("Tokens").field("keys", &ids).field("lifetime", &self.lifetime).finish()
    }
}

impl Tokens {
    /// Signs with `key`; accepts tokens signed with `previous` too.
    pub fn new(key: SecretString, previous: Option<SecretString>, lifetime: Duration) -> Self {
        hs256::install();
        let keys = std::iter::once(key).chain(previous).map(Key::new).collect();
        Self { keys, lifetime }
    }

    /// A new token of `user`.
    pub fn issue(&self, user: UserId) -> Result<(String, Session), Error> {
        let failed = |error: &dyn std::fmt::Display| {
            error!(%error, "a token could not be signed");
            Error::Internal
        };
        let Some(key) = self.keys.first() else { return Err(failed(&"there is no key")) };
        let now = clock::now().timestamp();
        let seconds = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let time = |seconds| DateTime::from_timestamp(seconds, 0);
        let (Some(created_at), Some(expires_at)) = (time(now), time(now.saturating_add(seconds)))
        else {
            return Err(failed(&"its lifetime is too long"));
        };
        let session = Session { id: Uuid::now_v7(), user, created_at, expires_at };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.0,
            jti: session.id,
            iat: now,
            nbf: now,
            exp: expires_at.timestamp(),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(key.id.clone());
        let encoding = EncodingKey::from_secret(key.secret.expose_secret().as_bytes());
        let token = jsonwebtoken::encode(&header, &claims, &encoding).map_err(|e| failed(&e))?;
        Ok((token, session))
    }

    /// The session of a token; none if the token is invalid. Revocation is not checked here.
    pub fn verify(&self, token: &str) -> Option<Session> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(TOKEN_TYPE) {
            return None;
        }
        let kid = header.kid?;
        let key = self.keys.iter().find(|key| key.id == kid)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation).ok()?.claims;
        let created_at = DateTime::from_timestamp(claims.iat, 0)?;
        let expires_at = DateTime::from_timestamp(claims.exp, 0)?;
        Some(Session { id: claims.jti, user: UserId(claims.sub), created_at, expires_at })
    }

    /// A keyed hash of a request that contains a secret. Without the signing key, guesses cannot be
    /// checked against it.
    pub fn fingerprint(&self, content: &[u8]) -> String {
        let message = [b"idempotency\n", content].concat();
        let macs = self.keys.first().map(|key| {
            hs256::mac(key.secret.expose_secret().as_bytes(), &message).unwrap_or_default()
        });
        hex::encode(macs.unwrap_or_default())
    }
}
