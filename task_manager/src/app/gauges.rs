//! The metrics that scrapes read from the database, the broker and the disk.

use common::queue::Publisher;
use common::storage::Storage;
use common::task::{TaskKind, TaskState};
use tracing::debug;

use crate::backlog::{self, Backlog, KindBacklog};
use crate::db::Database;
use crate::metrics::metrics;

/// Where the values are read.
#[derive(Debug, Clone)]
pub struct Gauges {
    pub db: Database,
    pub publisher: Publisher,
    pub storage: Storage,
}

impl Gauges {
    /// Sets the gauges. Those that cannot be read keep their values.
    pub async fn refresh(&self) {
        // Before the backlog is read, which uses a connection itself.
        for pool in self.db.usage() {
            metrics().set_connections(pool.name, pool.in_use, pool.limit);
        }
        let (backlog, checked, space) =
            tokio::join!(backlog::read(&self.db), self.publisher.check(), self.storage.space());
        match backlog {
            Ok(backlog) => set_backlog(&backlog),
            Err(error) => debug!(%error, "the backlog cannot be read for the metrics"),
        }
        metrics().set_broker_up(checked.is_ok());
        if let Ok(Some(space)) = space {
            metrics().set_storage(space.free, space.total);
        }
    }
}

fn set_backlog(backlog: &Backlog) {
    for kind in TaskKind::ALL {
        let found = backlog.kinds.iter().find(|found| found.kind == kind);
        let (queued, processing) = match found {
            Some(KindBacklog { queued, processing, .. }) => (*queued, *processing),
            None => (0, 0),
        };
        metrics().set_tasks(kind, TaskState::Queued, queued);
        metrics().set_tasks(kind, TaskState::Processing, processing);
    }
    metrics().set_outbox(backlog.outbox.rows, backlog.outbox.lag_seconds());
}
