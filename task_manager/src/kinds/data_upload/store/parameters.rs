//! MySQL's statements for rows: parametrized inserts for a few numbers of rows, each prepared once.
//! They take two thirds of the time that a JSON text takes.

use common::report::MAX_BATCH_ROWS;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Text, Unsigned};

use crate::db::{Id, cached, known_by_text};

/// A row of a file: its number, the name and the e-mail address.
type Row = (u64, String, String);

/// The numbers of rows of statements. Preparing one takes as long as executing it, and the server
/// caches each per connection; so there are few, and most batches need only one.
const LENGTHS: [usize; 4] = [MAX_BATCH_ROWS, MAX_BATCH_ROWS / 10, MAX_BATCH_ROWS / 100, 1];

/// Rows of a task.
pub(super) struct Parameters<'a> {
    pub(super) task_id: Id,
    pub(super) rows: &'a [Row],
}

impl Parameters<'_> {
    /// Inserts them; returns how many.
    pub(super) fn execute(&self, conn: &mut MysqlConnection) -> QueryResult<usize> {
        // A session variable instead of a parameter in each row: a repeated value costs as much as
        // any other.
        let task = sql_query("SET @task_id = ?").bind::<Binary, _>(self.task_id);
        cached(task).execute_on(conn, Mysql)?;
        pieces(self.rows).try_fold(0, |inserted, rows| Ok(inserted + Insert(rows).execute(conn)?))
    }
}

/// Splits rows into chunks of the lengths of statements, the longest first.
fn pieces(mut rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    std::iter::from_fn(move || {
        let length = LENGTHS.into_iter().find(|length| *length <= rows.len())?;
        let (piece, rest) = rows.split_at(length);
        rows = rest;
        Some(piece)
    })
}

/// One statement, for rows of the task `@task_id`.
struct Insert<'a>(&'a [Row]);

impl QueryFragment<Mysql> for Insert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("INSERT INTO file_data (task_id, `row`, name, email, created_at, updated_at)");
        for (place, (row, name, email)) in self.0.iter().enumerate() {
            out.push_sql(if place == 0 { " VALUES (@task_id, " } else { ", (@task_id, " });
            out.push_bind_param::<Unsigned<BigInt>, _>(row)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(name)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(email)?;
            out.push_sql(", UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))");
        }
        Ok(())
    }
}

known_by_text!(Insert<'a>);

impl RunQueryDsl<MysqlConnection> for Insert<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_into_chunks_of_few_lengths() {
        let row = |number| (number, String::new(), String::new());
        let rows: Vec<Row> = (0..2 * MAX_BATCH_ROWS as u64).map(row).collect();
        let longest = MAX_BATCH_ROWS;
        for (count, expected) in
            [(0, 0), (1, 1), (longest - 1, 9 + 9 + 19), (longest, 1), (longest + 1, 2)]
        {
            let pieces: Vec<_> = pieces(&rows[..count]).collect();
            assert_eq!(pieces.len(), expected, "{count} rows");
            assert!(pieces.iter().all(|piece| LENGTHS.contains(&piece.len())));
            assert_eq!(pieces.concat(), rows[..count]);
        }
    }
}
