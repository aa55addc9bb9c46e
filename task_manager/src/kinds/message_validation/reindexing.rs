//! A backfill that recomputes the terms of messages stored by older versions.
//!
//! Until then, such a message is found only by words whose terms have not changed.

use super::store;
use super::terms::{self, VERSION as TERMS_VERSION};
use crate::backfill::{Batch, Column};
use crate::db::{DbConnection, DbResult};

/// How many messages, of up to 16 KiB each, are read together.
const BATCH: i64 = 250;
/// Messages get their numbers before they are committed: so many before the bookmark are read
/// again.
const MARGIN: i64 = 10_000;

/// The terms of messages.
#[derive(Debug)]
pub struct Terms;

impl Column for Terms {
    const NAME: &'static str = "message_terms";
    const VERSION: i32 = TERMS_VERSION;
    /// The number of a message, and its terms.
    type Change = (i64, String);

    fn read(conn: &mut DbConnection, bookmark: &str) -> DbResult<Batch<Self::Change>> {
        let found = store::with_terms_after(conn, number(bookmark), BATCH)?;
        let last = found.last().map(|(sequence, ..)| sequence.to_string());
        let changes = found.into_iter().filter_map(|(sequence, message, stored)| {
            let terms = terms::indexed(&message);
            (terms != stored).then_some((sequence, terms))
        });
        Ok(Batch { last, changes: changes.collect() })
    }

    fn write(conn: &mut DbConnection, changes: &[Self::Change]) -> DbResult<()> {
        changes.iter().try_for_each(|(sequence, terms)| store::set_terms(conn, *sequence, terms))
    }

    fn before(bookmark: &str) -> String {
        number(bookmark).saturating_sub(MARGIN).max(0).to_string()
    }
}

/// Messages are numbered from 1.
fn number(bookmark: &str) -> i64 {
    bookmark.parse().unwrap_or(0)
}
