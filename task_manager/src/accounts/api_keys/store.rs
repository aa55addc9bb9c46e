//! SQL on `api_keys`. No function opens a transaction.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use common::task::UserId;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use uuid::Uuid;

use super::new_key::NewKey;
use super::scopes::Scopes;
use super::secret::{self, PresentedKey};
use super::{ApiKeyUse, Found, ListedKey, USE_INTERVAL};
use crate::accounts::users::Role;
use crate::db::schema::{api_keys, users};
use crate::db::{
    self, DbConnection, DbError, DbResult, Id, locked, moment, moment_or_null, on_either, one_of,
};

/// The keys with these ids whose owners exist and are not disabled.
pub(super) fn find(conn: &mut DbConnection, ids: &[Uuid]) -> DbResult<Vec<Option<Found>>> {
    type Row = (Id, Id, Vec<u8>, String, Option<NaiveDateTime>, String);
    let distinct: Vec<Id> =
        ids.iter().copied().collect::<BTreeSet<_>>().into_iter().map(Id).collect();
    let query = api_keys::table
        .inner_join(users::table.on(users::id.eq(api_keys::user_id)))
        .filter(one_of(api_keys::id, &distinct))
        .filter(users::disabled.eq(false))
        .select((
            api_keys::id,
            api_keys::user_id,
            api_keys::hash,
            api_keys::scopes,
            api_keys::expires_at,
            users::role,
        ));
    let rows: Vec<Row> = on_either!(conn, |conn| query.load(conn))?;
    let found = |(id, user, hash, scopes, expires_at, role): &Row| {
        let key = ApiKeyUse {
            id: id.0,
            user: UserId(user.0),
            // A role of another version may permit less than ours, so it permits nothing here.
            role: role.parse().ok()?,
            scopes: Scopes::from_text(scopes),
            expires_at: expires_at.map(|time| time.and_utc()),
        };
        Some(Found { key, hash: hash.as_slice().try_into().ok()? })
    };
    Ok(ids.iter().map(|id| rows.iter().find(|row| row.0.0 == *id).and_then(found)).collect())
}

/// Locks the row of a user until the transaction ends; returns the role, or none if the user does
/// not exist or is disabled.
pub(super) fn lock_owner(conn: &mut DbConnection, user: UserId) -> DbResult<Option<Role>> {
    let row = users::table.find(Id(user.0)).select((users::role, users::disabled));
    let rows = locked!(conn, row, (String, bool))?;
    let enabled = rows.into_iter().find(|(_, is_disabled)| !is_disabled);
    Ok(enabled.and_then(|(role, _)| role.parse().ok()))
}

/// How many keys a user has.
pub(super) fn count(conn: &mut DbConnection, user: UserId) -> DbResult<i64> {
    Ok(api_keys::table.filter(api_keys::user_id.eq(Id(user.0))).count().get_result(conn)?)
}

/// Stores a new key; none if its owner has another one of the name.
pub(super) fn insert(
    conn: &mut DbConnection,
    user: UserId,
    key: PresentedKey,
    new: &NewKey,
) -> DbResult<Option<ListedKey>> {
    let created_at = db::now(conn)?;
    let inserted = diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(Id(key.id)),
            api_keys::user_id.eq(Id(user.0)),
            api_keys::name.eq(&new.name),
            api_keys::hash.eq(key.hash.as_slice()),
            api_keys::scopes.eq(new.scopes.to_text()),
            api_keys::created_at.eq(moment(created_at)),
            api_keys::expires_at.eq(moment_or_null(new.expires_at.map(|time| time.naive_utc()))),
        ))
        .execute(conn);
    match inserted {
        Ok(_) => Ok(list_where(conn, user, Some(key.id))?.pop()),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys)]
struct KeyRow {
    id: Id,
    name: String,
    scopes: String,
    created_at: NaiveDateTime,
    expires_at: Option<NaiveDateTime>,
    last_used_at: Option<NaiveDateTime>,
}

impl KeyRow {
    fn listed(self) -> ListedKey {
        ListedKey {
            key_id: self.id.0,
            name: self.name,
            prefix: secret::prefix(self.id.0),
            scopes: Scopes::from_text(&self.scopes).list(),
            created_at: self.created_at.and_utc(),
            expires_at: self.expires_at.map(|time| time.and_utc()),
            last_used_at: self.last_used_at.map(|time| time.and_utc()),
        }
    }
}

/// All keys of a user, the newest first.
pub(super) fn list(conn: &mut DbConnection, user: UserId) -> DbResult<Vec<ListedKey>> {
    list_where(conn, user, None)
}

fn list_where(conn: &mut DbConnection, user: UserId, id: Option<Uuid>) -> DbResult<Vec<ListedKey>> {
    let mut query = api_keys::table
        .filter(api_keys::user_id.eq(Id(user.0)))
        .order((api_keys::created_at.desc(), api_keys::id.desc()))
        .select(KeyRow::as_select())
        .into_boxed();
    if let Some(id) = id {
        query = query.filter(api_keys::id.eq(Id(id)));
    }
    Ok(query.load(conn)?.into_iter().map(KeyRow::listed).collect())
}

/// Whether a user exists.
pub(super) fn has_user(conn: &mut DbConnection, user: UserId) -> DbResult<bool> {
    let found: Option<Id> =
        users::table.find(Id(user.0)).select(users::id).first(conn).optional()?;
    Ok(found.is_some())
}

/// Removes a key of a user; returns it, or none if the user has no such key.
pub(super) fn remove(
    conn: &mut DbConnection,
    user: UserId,
    id: Uuid,
) -> DbResult<Option<ListedKey>> {
    let Some(key) = list_where(conn, user, Some(id))?.pop() else { return Ok(None) };
    let removed = diesel::delete(api_keys::table.find(Id(id))).execute(conn)?;
    Ok((removed > 0).then_some(key))
}

/// Records that keys were used; those that another task manager has just recorded stay.
pub(super) fn set_last_used(
    conn: &mut DbConnection,
    ids: &[Id],
    now: NaiveDateTime,
) -> Result<(), DbError> {
    let is_old = api_keys::last_used_at.is_null().or(api_keys::last_used_at.le(now - USE_INTERVAL));
    let used = diesel::update(api_keys::table.filter(one_of(api_keys::id, ids)).filter(is_old))
        .set(api_keys::last_used_at.eq(now));
    on_either!(conn, |conn| used.execute(conn))?;
    Ok(())
}
