//! Tests of a worker against a fake task manager.

mod bulk_actions;
mod data_upload;
mod exclusive;
mod fake_load;
mod fake_task_manager;
mod harness;
mod report_email;
mod small_tasks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::problem::Problem;
use common::report::{Event, Outcome, Output};
use common::storage::OutputPart;
use common::task::spec::{CsvAggregationSpec, OnBadRow};
use common::task::{KindName, TaskKind};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use self::harness::{Gate, Harness, Step, eventually};
use super::Process;
use super::attempts::HEARTBEAT;
use crate::budget::Share;
use crate::config::WorkerConfig;
use crate::processor::{Completed, ProcessError};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_result_is_stored_before_it_is_reported() {
    let mut harness = Harness::new().await;
    let content = "Song,Date,Number of Plays\nB,2024-01-01,1\nA,2024-01-01,2\nB,2024-01-01,3\n";
    let task = harness.csv_task(content, CsvAggregationSpec::default()).await;
    harness.publish(&[task]).await;
    harness.start_real();
    let Event::Completed { result, output } = harness.ended(task).await else {
        unreachable!("it is valid")
    };
    let expected = "Song,Date,Number of Plays\nA,2024-01-01,2\nB,2024-01-01,4\n";
    assert_eq!(harness.output(task, OutputPart::Result).as_deref(), Some(expected));
    let size = expected.len() as u64;
    let summary = json!({
        "rows_read": 3, "rows_rejected": 0, "groups": 2, "output_size": size,
        "dialect": {"delimiter": ",", "encoding": "utf-8"}
    });
    assert_eq!(result, summary);
    let expected = Output {
        file_name: "songs-aggregated.csv".to_owned(),
        media_type: "text/csv; charset=utf-8".to_owned(),
        size,
        has_rejected: false,
    };
    assert_eq!(output, Some(expected));
    harness.end().await;
    assert_eq!(harness.depth().await, 0, "the message was acked");
    assert_eq!(harness.api.script().final_events(task).len(), 1, "it was reported once");
}

#[tokio::test]
async fn attempts_share_the_threads_and_the_memory_of_the_worker() {
    let mut harness = Harness::new().await;
    let shares = Arc::new(Mutex::new(Vec::new()));
    let (taken, gate) = (Arc::clone(&shares), Arc::new(Semaphore::new(0)));
    let open = Arc::clone(&gate);
    let process: Process = Arc::new(move |_, ctx| {
        let (taken, gate) = (Arc::clone(&taken), Arc::clone(&gate));
        async move {
            taken.lock().unwrap().push(ctx.budget().share());
            gate.acquire().await.unwrap().forget();
            Ok(Completed { result: Value::Null, output: None })
        }
        .boxed()
    });
    let tasks: Vec<_> = (0..3).map(|_| harness.task(|_| {})).collect();
    harness.publish(&tasks).await;
    harness.start(3, Duration::ZERO, process);
    eventually("all three run", || shares.lock().unwrap().len() == 3).await;
    {
        let mut shares = shares.lock().unwrap();
        let limit = WorkerConfig::default().memory_limit;
        assert_eq!(shares.iter().map(Share::memory).sum::<u64>(), limit / 3 * 3);
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!(shares.iter().map(Share::threads).sum::<usize>() <= cores.max(3));
        shares.truncate(1);
        assert_eq!((shares[0].memory(), shares[0].threads()), (limit, cores));
    }
    open.add_permits(3);
    for task in tasks {
        harness.ended(task).await;
    }
    harness.end().await;
}

#[tokio::test]
async fn rejected_rows_are_written_to_a_separate_file() {
    let mut harness = Harness::new().await;
    let spec = CsvAggregationSpec { on_bad_row: OnBadRow::Skip, ..Default::default() };
    let content = "Song,Date,Number of Plays\nA,2024-01-01,many\nA,2024-01-01,2\n";
    let task = harness.csv_task(content, spec).await;
    harness.publish(&[task]).await;
    harness.start_real();
    let Event::Completed { output, .. } = harness.ended(task).await else {
        unreachable!("it is valid")
    };
    assert!(output.unwrap().has_rejected);
    assert!(harness.output(task, OutputPart::Rejected).unwrap().contains("many"));
    harness.end().await;
}

#[tokio::test]
async fn an_invalid_file_fails_and_leaves_no_output() {
    let mut harness = Harness::new().await;
    let content = "Song,Date,Number of Plays\nA,2024-01-01,many\n";
    let task = harness.csv_task(content, CsvAggregationSpec::default()).await;
    harness.publish(&[task]).await;
    harness.start_real();
    let Event::Failed { error } = harness.ended(task).await else { unreachable!("it is bad") };
    assert_eq!((error.code.as_str(), error.errors[0].line), ("bad_rows", Some(2)));
    assert_eq!(harness.output_files(), 0);
    harness.end().await;
}

#[tokio::test]
async fn a_missing_file_is_retried() {
    let mut harness = Harness::new().await;
    let content = "Song,Date,Number of Plays\n";
    let task = harness.csv_task(content, CsvAggregationSpec::default()).await;
    std::fs::remove_dir_all(harness.folder.path().join("raw_data")).unwrap();
    harness.publish(&[task]).await;
    harness.start_real();
    let Event::Retry { reason, .. } = harness.ended(task).await else {
        unreachable!("the input is gone")
    };
    assert!(reason.unwrap().contains("is not in the storage"));
    harness.end().await;
}

#[tokio::test]
async fn a_refused_claim_is_acked() {
    let mut harness = Harness::new().await;
    let known = harness.task(|_| ());
    let unknown = common::task::TaskId::new();
    harness.publish(&[unknown, known]).await;
    let gate = Gate::new();
    gate.let_end(1);
    harness.start(1, LONG, gate.process());
    harness.ended(known).await;
    harness.end().await;
    assert_eq!(harness.depth().await, 0);
    assert_eq!(harness.api.script().claims_of(unknown), 1);
}

#[tokio::test]
async fn waiting_messages_are_claimed_together_up_to_the_slots() {
    let mut harness = Harness::new().await;
    let tasks: Vec<_> = (0..5).map(|_| harness.task(|_| ())).collect();
    harness.publish(&tasks).await;
    let gate = Gate::new();
    harness.start(3, LONG, gate.process());
    gate.until(tasks[2], Step::Started).await;
    assert_eq!(harness.api.script().claims[0].deliveries.len(), 3);
    gate.let_end(5);
    for task in tasks {
        harness.ended(task).await;
    }
    harness.end().await;
}

#[tokio::test]
async fn a_busy_worker_pauses_its_consumer_until_it_has_a_free_slot() {
    let mut harness = Harness::new().await;
    let [first, second, third] = [(); 3].map(|()| harness.task(|_| ()));
    let gate = Gate::new();
    harness.publish(&[first]).await;
    harness.start(1, LONG, gate.process());
    gate.until(first, Step::Started).await;
    // The delivery is held for a second; only the third heartbeat is certainly later than that.
    eventually("heartbeats", || harness.api.script().reports.len() >= 3).await;
    harness.publish(&[second]).await;
    let mut other = harness.queue.consumer(&TaskKind::ALL, 1);
    let delivery = timeout(LONG, other.next()).await.unwrap();
    assert_eq!(delivery.message().task_id, second);
    delivery.ack().await;
    drop(other);
    gate.let_end(2);
    harness.publish(&[third]).await;
    gate.until(third, Step::Completed).await;
    harness.end().await;
    assert_eq!(harness.api.script().claims_of(second), 0);
    assert_eq!(harness.api.script().claims_of(first), 1, "its message was not delivered again");
}

#[tokio::test]
async fn a_message_for_a_running_attempt_is_ignored() {
    let mut harness = Harness::new().await;
    let [task, other] = [(); 2].map(|()| harness.task(|_| ()));
    harness.publish(&[task, task]).await;
    let gate = Gate::new();
    harness.start(3, LONG, gate.process());
    gate.until(task, Step::Started).await;
    harness.publish(&[task, other]).await;
    gate.until(other, Step::Started).await;
    assert_eq!(harness.api.script().claims_of(task), 1);
    gate.let_end(2);
    harness.ended(task).await;
    harness.end().await;
    assert_eq!(harness.api.script().final_events(task).len(), 1);
    assert_eq!(harness.depth().await, 0);
}

#[tokio::test]
async fn an_interrupt_reaches_the_processor_and_ends_the_reports() {
    assert!(HEARTBEAT < Duration::from_secs(1));
    for outcome in [Outcome::Stop, Outcome::Kill, Outcome::LeaseLost] {
        let mut harness = Harness::new().await;
        let task = harness.task(|_| ());
        harness.publish(&[task]).await;
        let gate = Gate::new();
        harness.start(1, LONG, gate.process());
        gate.until(task, Step::Started).await;
        harness.api.script().heartbeats.insert(task, outcome.clone());
        let start = Instant::now();
        gate.until(task, Step::Interrupted).await;
        // A second, and another one for a busy machine.
        assert!(start.elapsed() < Duration::from_secs(2), "{outcome:?}: {:?}", start.elapsed());
        harness.end().await;
        assert_eq!(harness.api.script().final_events(task), [], "{outcome:?}");
    }
}

#[tokio::test]
async fn an_interrupted_aggregation_leaves_no_partial_file() {
    let mut harness = Harness::new().await;
    let spec = CsvAggregationSpec { on_bad_row: OnBadRow::Skip, ..Default::default() };
    let content = "Song,Date,Number of Plays\n".to_owned() + &"A,never,1\n".repeat(4_000_000);
    let task = harness.csv_task(&content, spec).await;
    harness.publish(&[task]).await;
    harness.api.script().heartbeats.insert(task, Outcome::Stop);
    harness.start_real();
    eventually("a partial file of rejected rows", || harness.output_files() > 0).await;
    eventually("no file", || harness.output_files() == 0).await;
    harness.end().await;
    assert_eq!(harness.api.script().final_events(task), []);
}

#[tokio::test]
async fn a_processor_that_ignores_an_interrupt_loses_its_slot() {
    let mut harness = Harness::new().await;
    let [stuck, next] = [(); 2].map(|()| harness.task(|_| ()));
    let gate = Gate::new();
    let process = gate.process();
    harness.publish(&[stuck]).await;
    harness.api.script().heartbeats.insert(stuck, Outcome::Stop);
    harness.start(
        1,
        LONG,
        Arc::new(move |spec, ctx| {
            if ctx.task_id() == stuck { std::future::pending().boxed() } else { process(spec, ctx) }
        }),
    );
    harness.publish(&[next]).await;
    gate.let_end(1);
    harness.ended(next).await;
    harness.end().await;
}

#[tokio::test]
async fn a_thread_that_ignores_an_interrupt_keeps_its_slot_but_delays_no_report() {
    let mut harness = Harness::new().await;
    let [stuck, other, next] = [(); 3].map(|()| harness.task(|_| ()));
    let gate = Gate::new();
    let process = gate.process();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = Arc::new(std::sync::Mutex::new(ended));
    harness.publish(&[stuck, other]).await;
    harness.api.script().heartbeats.insert(stuck, Outcome::Stop);
    harness.start(
        2,
        LONG,
        Arc::new(move |spec, ctx| {
            if ctx.task_id() != stuck {
                return process(spec, ctx);
            }
            let ended = Arc::clone(&ended);
            async move {
                ctx.on_thread(move |_| ended.lock().unwrap().recv().unwrap()).await?;
                Ok(Completed { result: json!(null), output: None })
            }
            .boxed()
        }),
    );
    gate.until(other, Step::Started).await;
    harness.publish(&[next]).await;
    // Until it is interrupted, it is reported together with the other one.
    eventually("only the other one is reported", || {
        let reports = &harness.api.script().reports;
        reports.len() > 2 && reports.iter().rev().take(2).all(|report| report.task_id == other)
    })
    .await;
    assert!(!gate.has(next, Step::Started), "the thread still occupies the slot");
    end.send(()).unwrap();
    gate.until(next, Step::Started).await;
    assert!(!gate.has(other, Step::Completed), "the free slot is that of the thread");
    gate.let_end(2);
    harness.end().await;
    assert_eq!(harness.api.script().final_events(stuck), []);
}

#[tokio::test]
async fn an_outage_of_the_task_manager_loses_no_claim_and_no_final_report() {
    let mut harness = Harness::new().await;
    let [first, second] = [(); 2].map(|()| harness.task(|_| ()));
    let gate = Gate::new();
    harness.publish(&[first]).await;
    harness.start(2, LONG, gate.process());
    gate.until(first, Step::Started).await;
    harness.api.script().is_down = true;
    harness.publish(&[second]).await;
    gate.let_end(2);
    gate.until(first, Step::Completed).await;
    eventually("calls without an answer", || harness.api.script().unanswered >= 4).await;
    harness.api.script().is_down = false;
    for task in [first, second] {
        assert!(matches!(harness.ended(task).await, Event::Completed { .. }));
    }
    harness.end().await;
    assert_eq!(harness.depth().await, 0);
}

#[tokio::test]
async fn a_task_is_released_when_its_lease_expires_without_an_answer() {
    let mut harness = Harness::new().await;
    let task = harness.task(|attempt| attempt.lease = 1);
    harness.publish(&[task]).await;
    let gate = Gate::new();
    harness.start(1, LONG, gate.process());
    gate.until(task, Step::Started).await;
    harness.api.script().is_down = true;
    gate.until(task, Step::Interrupted).await;
    harness.api.script().is_down = false;
    assert_eq!(harness.ended(task).await, Event::Released { checkpoint: None });
    harness.end().await;
}

#[tokio::test]
async fn heartbeats_report_the_progress() {
    let mut harness = Harness::new().await;
    let task = harness.csv_task("0123456789", CsvAggregationSpec::default()).await;
    harness.publish(&[task]).await;
    let gate = Gate::new();
    let process = gate.process();
    harness.start(
        1,
        LONG,
        Arc::new(move |spec, ctx| {
            ctx.progress(4).unwrap();
            ctx.rejected(2);
            process(spec, ctx)
        }),
    );
    eventually("a heartbeat", || !harness.api.script().reports.is_empty()).await;
    let Event::Heartbeat { progress } = harness.api.script().reports[0].event.clone() else {
        unreachable!("it runs")
    };
    let progress = progress.unwrap();
    assert_eq!((progress.done, progress.total, progress.unit.as_str()), (4, Some(10), "bytes"));
    assert!(progress.per_second.unwrap() > 0.0);
    assert_eq!(progress.rejected_rows, Some(2));
    gate.let_end(1);
    harness.end().await;
}

#[tokio::test]
async fn an_idle_worker_reports_itself() {
    let mut harness = Harness::new().await;
    harness.start(3, LONG, Gate::new().process());
    eventually("an announcement", || !harness.api.script().workers.is_empty()).await;
    let worker = harness.api.script().workers[0].clone();
    assert_eq!((worker.name.as_str(), worker.slots, worker.draining), ("test", 3, false));
    assert_eq!(worker.kinds, TaskKind::ALL.map(KindName::from));
    harness.end().await;
}

#[tokio::test]
async fn a_drain_finishes_running_tasks_and_takes_no_others() {
    let mut harness = Harness::new().await;
    let [running, late] = [(); 2].map(|()| harness.task(|_| ()));
    harness.publish(&[running]).await;
    let gate = Gate::new();
    harness.start(2, LONG, gate.process());
    gate.until(running, Step::Started).await;
    harness.shut_down();
    eventually("draining", || harness.api.script().workers.iter().any(|w| w.draining)).await;
    harness.publish(&[late]).await;
    gate.let_end(2);
    harness.end().await;
    assert!(matches!(harness.ended(running).await, Event::Completed { .. }));
    assert_eq!(harness.api.script().claims_of(late), 0);
    assert_eq!(harness.depth().await, 1);
}

#[tokio::test]
async fn a_drain_releases_slow_and_waiting_tasks() {
    let mut harness = Harness::new().await;
    let running = harness.task(|_| ());
    let waiting = harness.task(|attempt| attempt.exclusive = true);
    harness.publish(&[running, waiting]).await;
    let gate = Gate::new();
    harness.start(2, Duration::from_millis(50), gate.process());
    gate.until(running, Step::Started).await;
    harness.end().await;
    for task in [running, waiting] {
        let events = harness.api.script().final_events(task);
        assert_eq!(events, [Event::Released { checkpoint: None }]);
    }
    assert_eq!(harness.depth().await, 0, "they were claimed, so their messages were acked");
}

#[tokio::test]
async fn a_worker_that_ends_during_an_outage_leaves_its_messages_in_the_queue() {
    let mut harness = Harness::new().await;
    harness.api.script().is_down = true;
    let task = harness.task(|_| ());
    harness.publish(&[task]).await;
    harness.start(1, LONG, Gate::new().process());
    eventually("calls without an answer", || harness.api.script().unanswered >= 2).await;
    harness.end().await;
    assert_eq!(harness.depth().await, 1);
}

#[tokio::test]
async fn a_panic_counts_as_a_failure_and_does_not_end_the_worker() {
    let mut harness = Harness::new().await;
    let [first, second, third] = [(); 3].map(|()| harness.task(|_| ()));
    harness.publish(&[first, second, third]).await;
    harness.start(
        1,
        LONG,
        Arc::new(move |_, ctx| {
            async move {
                if ctx.task_id() == first {
                    panic!("of {}", "fear");
                }
                if ctx.task_id() == second {
                    ctx.on_thread(|_| panic!("on a thread")).await?;
                }
                Ok(Completed { result: json!(3), output: None })
            }
            .boxed()
        }),
    );
    let reason = |text: &str| Event::Retry {
        after: None,
        checkpoint: None,
        reason: Some(format!("the processor panicked: {text}")),
        waits_for: None,
    };
    assert_eq!(harness.ended(first).await, reason("of fear"));
    assert_eq!(harness.ended(second).await, reason("on a thread"));
    let completed = Event::Completed { result: json!(3), output: None };
    assert_eq!(harness.ended(third).await, completed);
    harness.end().await;
}

#[tokio::test]
async fn a_task_without_space_waits_and_counts_no_failure() {
    let mut harness = Harness::new().await;
    let task = harness.task(|_| {});
    harness.publish(&[task]).await;
    harness.start(
        1,
        LONG,
        Arc::new(|_, _| {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            async { Err(common::storage::StorageError::from(full).into()) }.boxed()
        }),
    );
    let Event::Retry { after, reason: None, waits_for: Some(what), .. } = harness.ended(task).await
    else {
        panic!("the task does not wait")
    };
    assert_eq!(after, Some(30.0));
    assert!(what.starts_with("no space left: "), "{what}");
    harness.end().await;
}

#[tokio::test]
async fn a_delayed_task_keeps_its_checkpoint() {
    let mut harness = Harness::new().await;
    let task = harness.task(|attempt| attempt.checkpoint = Some(json!({"draws": 1})));
    harness.publish(&[task]).await;
    harness.start(
        1,
        LONG,
        Arc::new(|_, ctx| {
            let draws = ctx.checkpoint().unwrap()["draws"].as_u64().unwrap();
            let checkpoint = json!({"draws": draws + 1});
            async { Err(ProcessError::later(Duration::from_secs(4), checkpoint)) }.boxed()
        }),
    );
    let expected = Event::Retry {
        after: Some(4.0),
        checkpoint: Some(json!({"draws": 2})),
        reason: None,
        waits_for: None,
    };
    assert_eq!(harness.ended(task).await, expected);
    harness.end().await;
}

#[tokio::test]
async fn a_result_that_the_task_manager_rejects_fails_the_task() {
    let mut harness = Harness::new().await;
    let task = harness.task(|_| ());
    harness.publish(&[task]).await;
    let problem = Problem::new(422, "too_large", "Too large", "the result is too large");
    let outcome = Outcome::Rejected { problem: Box::new(problem.clone()) };
    harness.api.script().final_outcomes.insert(task, outcome);
    let gate = Gate::new();
    gate.let_end(1);
    harness.start(1, LONG, gate.process());
    eventually("two reports", || harness.api.script().final_events(task).len() == 2).await;
    harness.end().await;
    let events = harness.api.script().final_events(task);
    assert_eq!(events[1..], [Event::Failed { error: problem }]);
}
