//! SQL on `uploads`. No function opens a transaction.

use std::time::Duration;

use chrono::NaiveDateTime;
use common::storage::Staged;
use common::task::{TaskId, TaskState, UserId};
use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::{Role, UploadState};
use crate::db::schema::{tasks, uploads};
use crate::db::{self, DbConnection, DbError, DbResult, Id, locked, on_either, one_of};
use crate::tasks::store::{signed, to_json};

/// An upload, read from its row.
#[derive(Debug, Clone)]
pub struct ResumableUpload {
    pub id: TaskId,
    pub owner: UserId,
    pub state: UploadState,
    pub role: Role,
    /// The uploads that a final one is made of, in order.
    pub parts: Vec<TaskId>,
    /// The upload that took a partial one.
    pub final_id: Option<TaskId>,
    /// The task that the upload created or resumed.
    pub task_id: Option<TaskId>,
    /// The size of the whole file in bytes, if known.
    pub size: Option<u64>,
    /// How many bytes are stored.
    pub received: u64,
    /// The [`Intake`](super::intake::Intake) after these bytes; none before the first one, and for
    /// partial uploads.
    pub intake: Option<String>,
    pub staged: Option<Staged>,
    /// The metadata as the client gave it.
    pub metadata: Option<String>,
    /// The number of the request that may write.
    pub writer: u32,
    pub held_until: Option<NaiveDateTime>,
    pub expires_at: NaiveDateTime,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = uploads)]
struct Row {
    id: Id,
    owner: Id,
    state: String,
    role: String,
    parts: Option<String>,
    final_id: Option<Id>,
    task_id: Option<Id>,
    size: Option<i64>,
    received: i64,
    intake: Option<String>,
    staged: Option<String>,
    metadata: Option<String>,
    writer: i32,
    held_until: Option<NaiveDateTime>,
    expires_at: NaiveDateTime,
}

impl Row {
    fn read(self) -> DbResult<ResumableUpload> {
        let id = |id: Id| TaskId(id.0);
        let count = |value: i64| u64::try_from(value).map_err(DbError::corrupt);
        let staged = self.staged.map(|text| serde_json::from_str(&text).map_err(DbError::corrupt));
        let parts = self.parts.map(|text| serde_json::from_str(&text).map_err(DbError::corrupt));
        Ok(ResumableUpload {
            id: id(self.id),
            owner: UserId(self.owner.0),
            state: self.state.parse().map_err(DbError::corrupt)?,
            role: self.role.parse().map_err(DbError::corrupt)?,
            parts: parts.transpose()?.unwrap_or_default(),
            final_id: self.final_id.map(id),
            task_id: self.task_id.map(id),
            size: self.size.map(count).transpose()?,
            received: count(self.received)?,
            intake: self.intake,
            staged: staged.transpose()?,
            metadata: self.metadata,
            writer: u32::try_from(self.writer).map_err(DbError::corrupt)?,
            held_until: self.held_until,
            expires_at: self.expires_at,
        })
    }
}

/// A new upload.
#[derive(Debug, Clone)]
pub struct NewRow {
    pub id: TaskId,
    pub owner: UserId,
    pub state: UploadState,
    pub role: Role,
    pub parts: Vec<TaskId>,
    pub size: Option<u64>,
    pub received: u64,
    pub metadata: Option<String>,
}

/// Inserts an upload.
pub fn insert(
    conn: &mut DbConnection,
    new: &NewRow,
    now: NaiveDateTime,
    expires_at: NaiveDateTime,
) -> DbResult<()> {
    let parts = (!new.parts.is_empty()).then(|| to_json(&new.parts)).transpose()?;
    diesel::insert_into(uploads::table)
        .values((
            uploads::id.eq(Id(new.id.0)),
            uploads::owner.eq(Id(new.owner.0)),
            uploads::state.eq(new.state.as_str()),
            uploads::role.eq(new.role.as_str()),
            uploads::parts.eq(parts),
            uploads::size.eq(new.size.map(bytes).transpose()?),
            uploads::received.eq(bytes(new.received)?),
            uploads::metadata.eq(&new.metadata),
            uploads::created_at.eq(now),
            uploads::expires_at.eq(expires_at),
        ))
        .execute(conn)?;
    Ok(())
}

fn bytes(count: u64) -> DbResult<i64> {
    i64::try_from(count).map_err(DbError::corrupt)
}

/// The upload, regardless of its owner.
pub fn find(conn: &mut DbConnection, id: TaskId) -> DbResult<Option<ResumableUpload>> {
    let row: Option<Row> =
        uploads::table.find(Id(id.0)).select(Row::as_select()).first(conn).optional()?;
    row.map(Row::read).transpose()
}

/// Locks an upload until the transaction ends, with the database's time when it was locked.
pub fn find_and_lock(
    conn: &mut DbConnection,
    id: TaskId,
) -> DbResult<Option<(ResumableUpload, NaiveDateTime)>> {
    let rows: Vec<(Row, NaiveDateTime)> = locked!(
        conn,
        uploads::table.filter(uploads::id.eq(Id(id.0))).select((Row::as_select(), db::clock())),
        (Row, NaiveDateTime)
    )?;
    let found = rows.into_iter().next().map(|(row, now)| Ok((row.read()?, now)));
    found.transpose()
}

/// Makes `writer` the request that may write to an upload that the caller has locked.
pub fn hold(
    conn: &mut DbConnection,
    id: TaskId,
    writer: u32,
    until: NaiveDateTime,
) -> DbResult<()> {
    diesel::update(uploads::table.find(Id(id.0)))
        .set((
            uploads::writer.eq(signed(writer)),
            uploads::held_until.eq(until),
            uploads::release_requested.eq(false),
        ))
        .execute(conn)?;
    Ok(())
}

/// Asks the request that holds the upload to release it.
pub fn request_release(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    diesel::update(uploads::table.find(Id(id.0)))
        .set(uploads::release_requested.eq(true))
        .execute(conn)?;
    Ok(())
}

/// What a writer learns of its hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldStatus {
    /// The number of the request that may write.
    pub writer: u32,
    /// Whether another request waits for the upload.
    pub release_requested: bool,
    /// The state of the upload's task; none for a partial upload, and if the task is gone.
    pub task: Option<TaskState>,
}

/// The state of a hold; none if the upload is gone.
pub fn hold_status(conn: &mut DbConnection, id: TaskId) -> DbResult<Option<HoldStatus>> {
    let found: Option<(i32, bool, Option<String>)> = uploads::table
        .left_join(tasks::table.on(tasks::id.eq(uploads::id)))
        .filter(uploads::id.eq(Id(id.0)))
        .select((uploads::writer, uploads::release_requested, tasks::state.nullable()))
        .first(conn)
        .optional()?;
    let Some((writer, release_requested, task)) = found else { return Ok(None) };
    Ok(Some(HoldStatus {
        writer: u32::try_from(writer).map_err(DbError::corrupt)?,
        release_requested,
        task: task.map(|state| state.parse().map_err(DbError::corrupt)).transpose()?,
    }))
}

/// Extends the hold of `writer`; false if it has lost or released the upload.
pub fn renew(
    conn: &mut DbConnection,
    id: TaskId,
    writer: u32,
    until: NaiveDateTime,
) -> DbResult<bool> {
    let held = uploads::table
        .find(Id(id.0))
        .filter(uploads::writer.eq(signed(writer)))
        .filter(uploads::held_until.is_not_null());
    Ok(diesel::update(held).set(uploads::held_until.eq(until)).execute(conn)? == 1)
}

/// Ends the hold of `writer`, if it still has the upload: `held_until` is null if it writes no more,
/// or in the past if the storage may still be busy with it. Its number ends too, so that a renewal
/// that is in flight comes too late.
pub fn release(
    conn: &mut DbConnection,
    id: TaskId,
    writer: u32,
    held_until: Option<NaiveDateTime>,
) -> DbResult<()> {
    let held = uploads::table.find(Id(id.0)).filter(uploads::writer.eq(signed(writer)));
    diesel::update(held)
        .set((
            uploads::writer.eq(uploads::writer + 1),
            uploads::held_until.eq(held_until),
            uploads::release_requested.eq(false),
        ))
        .execute(conn)?;
    Ok(())
}

/// Ends all holds: at the start of the only process, nobody writes.
pub fn release_all(conn: &mut DbConnection) -> DbResult<()> {
    diesel::update(uploads::table.filter(uploads::held_until.is_not_null()))
        .set((uploads::held_until.eq(None::<NaiveDateTime>), uploads::release_requested.eq(false)))
        .execute(conn)?;
    Ok(())
}

/// The stored bytes of an upload.
#[derive(Debug, Clone)]
pub struct Received {
    pub state: UploadState,
    pub size: Option<u64>,
    pub received: u64,
    pub intake: Option<String>,
    pub staged: Option<Staged>,
    /// Until when the writer holds the upload; none if it releases it.
    pub held_until: Option<NaiveDateTime>,
    pub expires_at: NaiveDateTime,
}

/// Records what `writer` has stored; false if it has lost the upload.
pub fn set_received(
    conn: &mut DbConnection,
    id: TaskId,
    writer: u32,
    received: &Received,
) -> DbResult<bool> {
    let held = uploads::table
        .find(Id(id.0))
        .filter(uploads::writer.eq(signed(writer)))
        .filter(uploads::state.eq(UploadState::Receiving.as_str()));
    let updated = diesel::update(held)
        .set((
            uploads::state.eq(received.state.as_str()),
            uploads::size.eq(received.size.map(bytes).transpose()?),
            uploads::received.eq(bytes(received.received)?),
            uploads::intake.eq(&received.intake),
            uploads::staged.eq(received.staged.as_ref().map(to_json).transpose()?),
            uploads::held_until.eq(received.held_until),
            uploads::expires_at.eq(received.expires_at),
        ))
        .execute(conn)?;
    Ok(updated == 1)
}

/// Marks an upload as done, with its task if it has one.
pub fn set_done(
    conn: &mut DbConnection,
    id: TaskId,
    task_id: Option<TaskId>,
    expires_at: NaiveDateTime,
) -> DbResult<()> {
    diesel::update(uploads::table.find(Id(id.0)))
        .set((
            uploads::state.eq(UploadState::Done.as_str()),
            uploads::task_id.eq(task_id.map(|id| Id(id.0))),
            uploads::received.eq(diesel::dsl::sql::<diesel::sql_types::BigInt>("size")),
            uploads::staged.eq(None::<String>),
            uploads::intake.eq(None::<String>),
            uploads::held_until.eq(None::<NaiveDateTime>),
            uploads::expires_at.eq(expires_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Marks partial uploads as taken by `final_id`, so that they live as long as it does.
pub fn take_parts(
    conn: &mut DbConnection,
    parts: &[TaskId],
    final_id: TaskId,
    expires_at: NaiveDateTime,
) -> DbResult<()> {
    let ids: Vec<Id> = parts.iter().map(|id| Id(id.0)).collect();
    diesel::update(uploads::table.filter(uploads::id.eq_any(ids)))
        .set((uploads::final_id.eq(Id(final_id.0)), uploads::expires_at.eq(expires_at)))
        .execute(conn)?;
    Ok(())
}

/// Removes uploads.
pub fn remove(conn: &mut DbConnection, ids: &[TaskId]) -> DbResult<()> {
    let ids: Vec<Id> = ids.iter().map(|id| Id(id.0)).collect();
    diesel::delete(uploads::table.filter(uploads::id.eq_any(ids))).execute(conn)?;
    Ok(())
}

/// Uploads that have all bytes, are not done, and are held by no request.
pub fn unfinished(
    conn: &mut DbConnection,
    now: NaiveDateTime,
    limit: i64,
) -> DbResult<Vec<TaskId>> {
    let ids: Vec<Id> = uploads::table
        .filter(uploads::state.eq(UploadState::Received.as_str()))
        .filter(uploads::held_until.is_null().or(uploads::held_until.lt(now)))
        .order(uploads::id)
        .limit(limit)
        .select(uploads::id)
        .load(conn)?;
    Ok(ids.into_iter().map(|id| TaskId(id.0)).collect())
}

/// Uploads after `after` that expired before `now`, or whose task was stopped or is gone before it
/// got its file.
pub fn useless(
    conn: &mut DbConnection,
    now: NaiveDateTime,
    after: Option<TaskId>,
    limit: i64,
) -> DbResult<Vec<TaskId>> {
    let initializing = tasks::table
        .filter(tasks::id.eq(uploads::id))
        .filter(tasks::state.eq(TaskState::Initializing.as_str()));
    let unfinished = [UploadState::Receiving.as_str(), UploadState::Received.as_str()];
    let is_orphan = uploads::state
        .eq_any(unfinished)
        .and(uploads::role.ne(Role::Partial.as_str()))
        .and(not(exists(initializing)));
    let ids: Vec<Id> = uploads::table
        .filter(uploads::expires_at.lt(now).or(is_orphan))
        .filter(uploads::id.gt(Id(after.map_or(uuid::Uuid::nil(), |id| id.0))))
        .order(uploads::id)
        .limit(limit)
        .select(uploads::id)
        .load(conn)?;
    Ok(ids.into_iter().map(|id| TaskId(id.0)).collect())
}

/// Those of the uploads that exist.
pub fn known(conn: &mut DbConnection, ids: &[TaskId]) -> DbResult<Vec<TaskId>> {
    let ids: Vec<Id> = ids.iter().map(|id| Id(id.0)).collect();
    let found: Vec<Id> = on_either!(conn, |conn| uploads::table
        .filter(one_of(uploads::id, &ids))
        .select(uploads::id)
        .load(conn))?;
    Ok(found.into_iter().map(|id| TaskId(id.0)).collect())
}

/// Records how much of the file of an `initializing` task has arrived, and extends its lease; false
/// if the task is in another state.
pub fn task_progress(
    conn: &mut DbConnection,
    id: TaskId,
    progress: &common::task::Progress,
    now: NaiveDateTime,
    lease: Duration,
) -> DbResult<bool> {
    let updated = diesel::update(tasks::table.find(Id(id.0)))
        .filter(tasks::state.eq(TaskState::Initializing.as_str()))
        .set((
            tasks::progress.eq(to_json(progress)?),
            tasks::changed_at.eq(now),
            tasks::leased_until.eq(now + lease),
        ))
        .execute(conn)?;
    Ok(updated == 1)
}
