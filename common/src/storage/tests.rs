//! The conformance suite that every kind of storage must pass, and tests of each kind.
//!
//! Tests of buckets use the server of S3 whose URL is in `TEST_S3_URL`; `make test` starts one.

mod bench;
mod buckets;
mod files;
mod folders;
mod relay;
mod staged;
