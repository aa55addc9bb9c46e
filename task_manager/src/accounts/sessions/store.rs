//! SQL on `sessions` and `revoked_tokens`. No function opens a transaction.

use chrono::NaiveDateTime;
use common::task::UserId;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use uuid::Uuid;

use super::tokens::Session;
use super::{Client, ListedSession};
use crate::db::schema::{revoked_tokens, sessions};
use crate::db::{DbConnection, DbResult, Id, moment, on_either, one_of};
use crate::paging::{Cursor, after_cursor};

/// Lists a new session.
pub(super) fn insert(conn: &mut DbConnection, session: Session, client: &Client) -> DbResult<()> {
    let created_at = moment(session.created_at.naive_utc());
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(Id(session.id)),
            sessions::user_id.eq(Id(session.user.0)),
            sessions::created_at.eq(created_at.clone()),
            sessions::expires_at.eq(moment(session.expires_at.naive_utc())),
            sessions::last_used_at.eq(created_at),
            sessions::address.eq(client.address.to_string()),
            sessions::user_agent.eq(client.user_agent.as_deref()),
        ))
        .execute(conn)?;
    Ok(())
}

/// At most `limit` sessions of a user that have not expired at `now`, the newest first.
pub(super) fn list(
    conn: &mut DbConnection,
    user: UserId,
    before: Option<Cursor>,
    limit: i64,
    now: NaiveDateTime,
) -> DbResult<Vec<ListedSession>> {
    let mut query = sessions::table
        .filter(sessions::user_id.eq(Id(user.0)))
        .filter(sessions::expires_at.gt(now))
        .order((sessions::created_at.desc(), sessions::id.desc()))
        .limit(limit)
        .select(SessionRow::as_select())
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(after_cursor!(before, sessions::created_at, sessions::id));
    }
    Ok(query.load(conn)?.into_iter().map(SessionRow::listed).collect())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions)]
struct SessionRow {
    id: Id,
    created_at: NaiveDateTime,
    expires_at: NaiveDateTime,
    last_used_at: NaiveDateTime,
    address: String,
    user_agent: Option<String>,
}

impl SessionRow {
    fn listed(self) -> ListedSession {
        ListedSession {
            session_id: self.id.0,
            created_at: self.created_at.and_utc(),
            expires_at: self.expires_at.and_utc(),
            last_used_at: self.last_used_at.and_utc(),
            address: self.address,
            user_agent: self.user_agent,
            current: false,
        }
    }
}

/// When a session of the user expires; none if there is no such session.
pub(super) fn expiry(
    conn: &mut DbConnection,
    user: UserId,
    session: Uuid,
) -> DbResult<Option<NaiveDateTime>> {
    let found = sessions::table
        .find(Id(session))
        .filter(sessions::user_id.eq(Id(user.0)))
        .select(sessions::expires_at)
        .first(conn)
        .optional()?;
    Ok(found)
}

/// The sessions of a user with their expiry, except one.
pub(super) fn others(
    conn: &mut DbConnection,
    user: UserId,
    except: Option<Uuid>,
) -> DbResult<Vec<(Uuid, NaiveDateTime)>> {
    let found: Vec<(Id, NaiveDateTime)> = sessions::table
        .filter(sessions::user_id.eq(Id(user.0)))
        .select((sessions::id, sessions::expires_at))
        .load(conn)?;
    let others = found.into_iter().filter(|(id, _)| Some(id.0) != except);
    Ok(others.map(|(id, expires_at)| (id.0, expires_at)).collect())
}

/// Ends a session: revokes its token, and lists it no longer; idempotent.
pub(super) fn end(
    conn: &mut DbConnection,
    user: UserId,
    session: Uuid,
    expires_at: NaiveDateTime,
) -> DbResult<()> {
    diesel::delete(sessions::table.find(Id(session))).execute(conn)?;
    let inserted = diesel::insert_into(revoked_tokens::table)
        .values((
            revoked_tokens::jti.eq(Id(session)),
            revoked_tokens::user_id.eq(Id(user.0)),
            revoked_tokens::expires_at.eq(moment(expires_at)),
        ))
        .execute(conn);
    match inserted {
        Ok(_) | Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Records that sessions were used.
pub(super) fn set_last_used(
    conn: &mut DbConnection,
    ids: &[Id],
    now: NaiveDateTime,
) -> DbResult<()> {
    let used = diesel::update(sessions::table.filter(one_of(sessions::id, ids)))
        .set(sessions::last_used_at.eq(now));
    on_either!(conn, |conn| used.execute(conn))?;
    Ok(())
}

/// Deletes sessions, and revocations of tokens, that expired before `before`.
pub(super) fn forget_expired(conn: &mut DbConnection, before: NaiveDateTime) -> DbResult<()> {
    diesel::delete(sessions::table.filter(sessions::expires_at.lt(before))).execute(conn)?;
    diesel::delete(revoked_tokens::table.filter(revoked_tokens::expires_at.lt(before)))
        .execute(conn)?;
    Ok(())
}
