//! Group commit on both databases.

use std::sync::mpsc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::backend::Backend;
use crate::db::own::OwnDatabase;

/// Runs each test with a database that is waited for in place (MySQL), and with one that is not.
macro_rules! threaded_backend_tests {
    ($($name:ident),* $(,)?) => {
        mod standalone {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::fixture(super::Backend::Standalone).await).await;
            })*
        }
        mod fleet {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::fixture(super::Backend::Fleet).await).await;
            })*
        }
    };
}

threaded_backend_tests![
    concurrent_requests_share_a_group,
    a_group_completes_without_its_callers,
    a_failing_item_affects_no_other,
    a_panic_ends_only_its_own_group,
    waits_for_a_hanging_database_are_bounded,
];

/// An item that fails, and one that panics.
const BAD: u32 = 13;
const PANICS: u32 = 17;
const DEADLINE: Duration = Duration::from_secs(20);

/// Groups that block until the test releases them.
struct Fixture {
    grouped: GroupCommit<u32, u32>,
    begun: mpsc::Receiver<Vec<u32>>,
    go_on: mpsc::Sender<()>,
    committed: Arc<Mutex<Vec<u32>>>,
    _own: OwnDatabase,
}

async fn fixture(backend: Backend) -> Fixture {
    let own = OwnDatabase::empty(backend).await;
    let (tell, begun) = mpsc::channel();
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let apply = move |_: &mut DbConnection, items: &[u32]| {
        tell.send(items.to_vec()).unwrap();
        told.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        assert!(!items.contains(&PANICS), "this one panics");
        match items.contains(&BAD) {
            true => Err(DbError::corrupt("a bad one")),
            false => Ok(items.iter().map(|item| item * 10).collect()),
        }
    };
    let committed = Arc::<Mutex<Vec<u32>>>::default();
    let results = Arc::clone(&committed);
    let grouped = GroupCommit::writing(own.db.clone(), apply, move |group| {
        results.lock().unwrap().extend_from_slice(group)
    });
    Fixture { grouped, begun, go_on, committed, _own: own }
}

impl Fixture {
    fn submit(&self, item: u32) -> JoinHandle<DbResult<u32>> {
        let grouped = self.grouped.clone();
        tokio::spawn(async move { grouped.submit(item).await })
    }

    fn next_group(&self) -> Vec<u32> {
        let mut group =
            tokio::task::block_in_place(|| self.begun.recv_timeout(DEADLINE)).expect("a group");
        group.sort_unstable();
        group
    }

    async fn until_waiting(&self, count: usize) {
        let waiting = async {
            while self.grouped.0.queue().waiting.len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("they are queued");
    }
}

async fn answer(submitted: JoinHandle<DbResult<u32>>) -> DbResult<u32> {
    tokio::time::timeout(DEADLINE, submitted).await.expect("an answer").unwrap()
}

async fn concurrent_requests_share_a_group(fixture: Fixture) {
    let first = fixture.submit(1);
    assert_eq!(fixture.next_group(), [1], "it runs immediately, on its own");
    let others: Vec<_> = (2..7).map(|item| fixture.submit(item)).collect();
    fixture.until_waiting(5).await;
    fixture.go_on.send(()).unwrap();
    assert_eq!(fixture.next_group(), [2, 3, 4, 5, 6]);
    assert_eq!(answer(first).await.unwrap(), 10, "the first is answered during the second group");
    fixture.go_on.send(()).unwrap();
    for (item, other) in (2..7).zip(others) {
        assert_eq!(answer(other).await.unwrap(), item * 10);
    }
    let again = fixture.submit(7);
    assert_eq!(fixture.next_group(), [7], "the queue is served again");
    fixture.go_on.send(()).unwrap();
    assert_eq!(answer(again).await.unwrap(), 70);
}

async fn a_group_completes_without_its_callers(fixture: Fixture) {
    let first = fixture.submit(1);
    assert_eq!(fixture.next_group(), [1]);
    let (second, third) = (fixture.submit(2), fixture.submit(3));
    fixture.until_waiting(2).await;
    first.abort();
    second.abort();
    fixture.go_on.send(()).unwrap();
    assert_eq!(fixture.next_group(), [2, 3]);
    fixture.go_on.send(()).unwrap();
    assert_eq!(answer(third).await.unwrap(), 30);
    let mut committed = fixture.committed.lock().unwrap().clone();
    committed.sort_unstable();
    assert_eq!(committed, [10, 20, 30]);
}

async fn a_failing_item_affects_no_other(fixture: Fixture) {
    let first = fixture.submit(1);
    assert_eq!(fixture.next_group(), [1]);
    let (good, bad) = (fixture.submit(2), fixture.submit(BAD));
    fixture.until_waiting(2).await;
    // The first, the two together, and each of them.
    for _ in 0..4 {
        fixture.go_on.send(()).unwrap();
    }
    answer(first).await.unwrap();
    assert_eq!(answer(good).await.unwrap(), 20);
    assert!(matches!(answer(bad).await, Err(DbError::Corrupt(_))));
    assert_eq!(*fixture.committed.lock().unwrap(), [10, 20]);
}

async fn a_panic_ends_only_its_own_group(fixture: Fixture) {
    let panics = fixture.submit(PANICS);
    assert_eq!(fixture.next_group(), [PANICS]);
    let waiting = fixture.submit(1);
    fixture.until_waiting(1).await;
    fixture.go_on.send(()).unwrap();
    let told = panics.await;
    assert!(!matches!(told, Ok(Ok(_))), "{told:?}");
    assert_eq!(fixture.next_group(), [1]);
    fixture.go_on.send(()).unwrap();
    assert_eq!(answer(waiting).await.unwrap(), 10);
    let panics = fixture.submit(PANICS);
    assert_eq!(fixture.next_group(), [PANICS]);
    fixture.go_on.send(()).unwrap();
    let told = panics.await;
    assert!(!matches!(told, Ok(Ok(_))), "{told:?}");
    let next = fixture.submit(2);
    assert_eq!(fixture.next_group(), [2]);
    fixture.go_on.send(()).unwrap();
    assert_eq!(answer(next).await.unwrap(), 20);
}

async fn waits_for_a_hanging_database_are_bounded(fixture: Fixture) {
    let (hang, hung) = mpsc::channel::<()>();
    let hung = Mutex::new(hung);
    let reading = GroupCommit::reading(fixture._own.db.clone(), move |_, items: &[u32]| {
        let _ = hung.lock().unwrap().recv_timeout(DEADLINE);
        Ok(items.to_vec())
    });
    let submit = |item| {
        let reading = reading.clone();
        tokio::spawn(async move { reading.submit(item).await })
    };
    let _first = submit(1);
    let others: Vec<_> = (2..100).map(submit).collect();
    let begin = std::time::Instant::now();
    for other in others {
        let answer = tokio::time::timeout(READ_LIMIT * 2, other).await.expect("an answer").unwrap();
        assert!(matches!(answer, Err(DbError::Overloaded)), "{answer:?}");
    }
    assert!(begin.elapsed() < READ_LIMIT * 2);
    drop(hang);
    assert_eq!(answer(submit(100)).await.unwrap(), 100, "it continues when the database does");
}
