//! Forms that are split or cut anywhere, with any timing.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, BoxStream};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::*;
use crate::api::request::file::incoming;

const BOUNDARY: &str = "edge";
/// Looks like a boundary in places.
const FILE: &str = "a,b\r\n--edg\r\n\r--e\r";
const LONG: Duration = Duration::from_secs(3600);

fn form(after_file: &str) -> String {
    format!(
        "--edge\r\nContent-Disposition: form-data; name=\"on_bad_row\"\r\n\r\nskip\r\n\
         --edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\n\
         {FILE}\r\n{after_file}--edge--\r\n"
    )
}

/// The form as its reader received it.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    parameters: Vec<(String, String)>,
    file_name: Option<String>,
    file: Vec<u8>,
}

fn complete() -> Received {
    Received {
        parameters: vec![("on_bad_row".to_owned(), "skip".to_owned())],
        file_name: Some("x.csv".to_owned()),
        file: FILE.into(),
    }
}

/// Reads a form, and cancels the wait for its next bytes twice a second, like a reader that polls
/// something else in between.
async fn receive(body: ByteStream) -> Result<Received, Error> {
    let mut form = read_form(body, BOUNDARY.to_owned()).await?;
    let mut file = Vec::new();
    let mut ticks = interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {}
            bytes = form.file.next() => match bytes? {
                Some(bytes) => file.extend_from_slice(&bytes),
                None => break,
            },
        }
    }
    assert!(form.file.next().await?.is_none(), "an ended file stays ended");
    let Form { parameters, file_name, .. } = form;
    Ok(Received { parameters, file_name, file })
}

/// A body of pieces, each of which arrives `delay` after the one before.
fn pieces(pieces: &[&str], delay: Duration) -> BoxStream<'static, io::Result<Bytes>> {
    let pieces: VecDeque<_> =
        pieces.iter().map(|piece| Bytes::copy_from_slice(piece.as_bytes())).collect();
    stream::iter(pieces)
        .then(move |piece| async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            Ok(piece)
        })
        .boxed()
}

fn body(parts: &[&str], delay: Duration) -> ByteStream {
    incoming(pieces(parts, delay), LONG)
}

/// Just longer than the reader's interval.
const LATE: Duration = Duration::from_millis(501);

/// Delays around the reader's interval of half a second.
fn delays() -> impl Iterator<Item = Duration> {
    [0, 1, 499, 500, 501, 1_250].into_iter().map(Duration::from_millis)
}

#[tokio::test(start_paused = true)]
async fn a_complete_form_is_read_wherever_it_is_split_and_whenever_it_arrives() {
    let form = form("");
    for at in 0..=form.len() {
        let (first, second) = form.split_at(at);
        for delay in delays() {
            let received = receive(body(&[first, second], delay)).await;
            assert_eq!(received.unwrap(), complete(), "{at} {delay:?}");
        }
        // More splits after the file, where an earlier version depended on the timing.
        for second_at in (at..=form.len()).rev().take(20) {
            let (second, third) = second.split_at(second_at - at);
            let received = receive(body(&[first, second, third], LATE)).await;
            assert_eq!(received.unwrap(), complete(), "{at} {second_at}");
        }
    }
    let bytes: Vec<_> = (0..form.len()).map(|at| &form[at..=at]).collect();
    for delay in delays() {
        assert_eq!(receive(body(&bytes, delay)).await.unwrap(), complete());
    }
}

#[tokio::test(start_paused = true)]
async fn a_form_without_its_closing_boundary_is_refused_wherever_it_ends() {
    let form = form("");
    // The line end after the closing boundary may be missing, if the body is complete.
    let closed = form.len() - 2;
    for length in 0..=form.len() {
        let (sent, _) = form.split_at(length);
        for at in (0..=length).rev().take(5) {
            let (first, second) = sent.split_at(at);
            for delay in [Duration::ZERO, LATE] {
                let received = receive(body(&[first, second], delay)).await;
                match length {
                    _ if length >= closed => assert_eq!(received.unwrap(), complete()),
                    _ => assert!(
                        matches!(received, Err(Error::BadRequest(_))),
                        "{length} {at} {delay:?}: {received:?}"
                    ),
                }
                let cut = pieces(&[first, second], delay)
                    .chain(stream::once(async { Err(io::ErrorKind::UnexpectedEof.into()) }));
                let received = receive(incoming(cut, LONG)).await;
                assert!(
                    matches!(received, Err(Error::UploadCut(_))),
                    "cut at {length}, {at} {delay:?}: {received:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_field_after_the_file_is_refused_wherever_the_form_is_split() {
    let form =
        form("--edge\r\nContent-Disposition: form-data; name=\"on_bad_row\"\r\n\r\nskip\r\n");
    for at in 0..=form.len() {
        let (first, second) = form.split_at(at);
        for delay in delays() {
            let received = receive(body(&[first, second], delay)).await;
            let Err(Error::InvalidParameters(errors)) = received else {
                panic!("{at} {delay:?}: {received:?}");
            };
            assert_eq!(errors[0].field.as_deref(), Some("on_bad_row"));
        }
    }
}

/// A body with a prepared answer to each poll.
struct Polls(VecDeque<Poll<Option<io::Result<Bytes>>>>);

impl Stream for Polls {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let answer = self.0.pop_front().unwrap_or(Poll::Ready(None));
        if answer.is_pending() {
            cx.waker().wake_by_ref();
        }
        answer
    }
}

#[tokio::test]
async fn a_form_that_arrives_with_its_end_between_two_polls_is_read() {
    let form = form("");
    for at in 0..=form.len() {
        let (first, second) = form.split_at(at);
        let ready = |part: &str| Poll::Ready(Some(Ok(Bytes::copy_from_slice(part.as_bytes()))));
        let polls = [Poll::Pending, ready(first), ready(second), Poll::Ready(None)];
        let received = receive(incoming(Polls(polls.into()), LONG)).await;
        assert_eq!(received.unwrap(), complete(), "{at}");
    }
}

#[tokio::test]
async fn a_reader_that_is_cancelled_at_every_poll_loses_nothing() {
    let form = form("");
    let bytes: Vec<_> = (0..form.len()).map(|at| &form[at..=at]).collect();
    let body = incoming(pieces(&bytes, Duration::ZERO), LONG);
    let mut form = read_form(body, BOUNDARY.to_owned()).await.unwrap();
    let mut file = Vec::new();
    loop {
        match form.file.next().now_or_never() {
            Some(Ok(Some(bytes))) => file.extend_from_slice(&bytes),
            Some(Ok(None)) => break,
            Some(Err(error)) => panic!("{error:?}"),
            None => tokio::task::yield_now().await,
        }
    }
    assert_eq!(file, FILE.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_form_that_stalls_anywhere_times_out() {
    let form = form("");
    let idle = Duration::from_secs(60);
    for length in 0..form.len() {
        let stalled = pieces(&[&form[..length]], Duration::ZERO).chain(stream::pending());
        let received = receive(incoming(stalled, idle)).await;
        assert!(
            matches!(received, Err(Error::UploadIdle { timeout }) if timeout == idle),
            "{length}: {received:?}"
        );
    }
}

#[tokio::test]
async fn bytes_after_the_closing_boundary_are_ignored_up_to_a_limit() {
    let epilogue = |length: usize| format!("{}{}", form(""), "x".repeat(length));
    let received = receive(body(&[&epilogue(1_000)], Duration::ZERO)).await;
    assert_eq!(received.unwrap(), complete());
    let long = epilogue(1 << 20);
    let parts: Vec<_> = long.as_bytes().chunks(1_000).collect();
    let parts: Vec<_> = parts.iter().map(|part| std::str::from_utf8(part).unwrap()).collect();
    let received = receive(body(&parts, Duration::ZERO)).await;
    assert!(matches!(received, Err(Error::BadRequest(_))), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_body_is_drained_until_it_pauses() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(1);
    let stream = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|bytes| (bytes, receiver))
    });
    // The reader is dropped while the file is arriving; the client continues to send.
    let start = "--edge\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
    sender.send(Ok(start.into())).await.unwrap();
    let form = read_form(incoming(stream, LONG), BOUNDARY.to_owned()).await.unwrap();
    drop(form);
    for _ in 0..100 {
        sender.send(Ok("more".into())).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(20), sender.closed()).await.unwrap();
}
