//! The list of tasks and the screen of one task.

use common::task::TaskState;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::end_to_end::api::{Api, eventually};
use crate::end_to_end::people::{People, rows};
use crate::end_to_end::plays::{SAMPLE, SAMPLE_SUMS};
use crate::end_to_end::standalone::Standalone;

/// Generates user events, a task each, and waits until all are processed.
async fn generate_events(api: &Api, count: usize) {
    let path = format!("/v1/user_events/generate/{count}");
    let response = api.request(Method::POST, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    eventually("all events are recorded", async || {
        (count_tasks(api, "processed").await == count as u64).then_some(())
    })
    .await;
}

async fn count_tasks(api: &Api, state: &str) -> u64 {
    let counts: Value =
        api.get(&format!("/v1/tasks/counts?state={state}")).await.json().await.unwrap();
    counts["total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_kill_keeps_the_loaded_rows_and_a_stop_removes_them() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let people = People::random(&mut StdRng::seed_from_u64(7), 300_000);
    let task = people.upload(&server.api).await.task.task_id;
    let browser = Browser::start().await;
    browser.open(&format!("{}/tasks/{task}", server.api.url)).await;
    browser.sees("Processing").await;
    eventually("some rows are loaded", async || {
        let progress = server.api.task(task).await.progress;
        progress.filter(|progress| progress.done > 0)
    })
    .await;
    browser.sees(" rejected so far").await;

    browser.click("Kill").await;
    browser.sees("it can be resumed from there").await;
    browser.click("Kill").await;
    browser.sees("Killed").await;
    assert_eq!(server.api.task(task).await.state, TaskState::Killed);
    assert_ne!(rows(&server.api, task).await, [], "a kill keeps the rows");

    browser.click("Stop").await;
    browser.sees("rolls back everything it wrote").await;
    browser.click("Stop").await;
    browser.sees("Stopped").await;
    assert_eq!(rows(&server.api, task).await, [], "a stop removes the rows");
    browser.finish().await;
}

#[tokio::test]
async fn a_task_with_a_wrong_delimiter_runs_again_with_the_right_one() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let file = SAMPLE.replace(',', ";");
    let task = server.api.accept("&delimiter=comma", file).await;
    server.api.wait_for_end(task).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/tasks/{task}", server.api.url)).await;
    browser.click("Run again separated by semicolons").await;
    browser.sees("Processed").await;
    browser.sees("In The End").await;
    // How the file was read is part of the result.
    browser.sees("Separated by").await;
    browser.sees("semicolons").await;
    browser.finish().await;
}

#[tokio::test]
async fn a_task_shows_its_result_and_runs_again_with_other_columns() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let task = server.api.accept("", SAMPLE).await;
    assert_eq!(server.api.result(task).await, SAMPLE_SUMS);
    let browser = Browser::start().await;
    browser.open(&format!("{}/tasks/{task}", server.api.url)).await;
    browser.sees("Processed").await;
    browser.sees("In The End").await;
    browser.sees("1,500").await;

    browser.click("Run again").await;
    browser.fill("Columns to group by, one per line", "Song").await;
    browser.click("Run again").await;
    browser.sees("Umbrella").await;
    let again = eventually("the second task is processed", async || {
        let tasks = server.api.tasks().await;
        tasks.into_iter().find(|it| it.task_id != task && it.state == TaskState::Processed)
    })
    .await;
    browser.wait_for_path(&format!("/tasks/{}", again.task_id)).await;
    let sums = "Song,Number of Plays\nIn The End,2000\nUmbrella,400\n";
    assert_eq!(server.api.result(again.task_id).await, sums);
    browser.finish().await;
}

#[tokio::test]
async fn an_action_applies_to_all_tasks_that_match() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    generate_events(&server.api, 1_000).await;
    let other = server.api.accept("", SAMPLE).await;
    server.api.result(other).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/tasks?kind=user_event", server.api.url)).await;
    browser.find("[role=row][data-key]").await;
    browser.run(FIRST_ROW, &[]).await;
    browser.press("x").await;
    browser.sees("1 selected").await;
    browser.click("Select all 1,000 that match").await;
    browser.sees("All 1,000 that match").await;
    browser.click("Delete").await;
    browser.sees("This cannot be undone.").await;
    browser.click("Delete 1,000 tasks").await;
    browser.sees("1,000 tasks deleted.").await;
    let left = server.api.tasks().await;
    let kinds: Vec<_> = left.iter().map(|task| task.kind.to_string()).collect();
    assert_eq!(kinds, ["bulk_action", "csv_aggregation"]);
    let result = left[0].result.as_ref().unwrap();
    assert_eq!((&result["done"], &result["not_possible"]), (&json!(1_000), &json!(0)));
    browser.finish().await;
}

#[tokio::test]
async fn ten_thousand_tasks_are_listed_with_few_elements_and_no_long_frame() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    generate_events(&server.api, 10_000).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/tasks", server.api.url)).await;
    browser.sees("10,000").await;
    browser.wait_for("the last of them are shown", SCROLL_DOWN, &[json!(10_000)]).await;
    let elements = browser.run("return document.querySelectorAll('main *').length", &[]).await;
    assert!(elements.as_u64().unwrap() < 2_000, "{elements} elements");

    browser.run(WATCH_FRAMES, &[]).await;
    browser
        .run("setTimeout(() => { const end = Date.now() + 300; while (Date.now() < end); })", &[])
        .await;
    browser.wait_for("a frame of 300 ms is noticed", "return longestFrame >= 290", &[]).await;
    // The machine may be busy with others, which makes frames longer, but not all of them.
    let mut longest = f64::INFINITY;
    for _ in 0..3 {
        browser.run("longestFrame = 0", &[]).await;
        browser.run(SCROLL_THROUGH, &[]).await;
        browser.wait_for("all rows were shown", "return isScrolled", &[]).await;
        for is_selected in [true, false] {
            browser.run("document.querySelector('[role=columnheader] input').click()", &[]).await;
            let expected =
                "return document.body.innerText.includes('10,000 selected') === arguments[0]";
            browser.wait_for("the selection is shown", expected, &[json!(is_selected)]).await;
        }
        let frame = browser.run("return longestFrame", &[]).await.as_f64().unwrap();
        longest = longest.min(frame);
    }
    println!("the longest frame took {longest} ms");
    assert!(longest < LONGEST_FRAME, "a frame took {longest} ms");
    browser.finish().await;
}

/// How long a frame may take, in milliseconds. The browser of the tests has no graphics card, so that
/// frames take longer there than in front of people.
const LONGEST_FRAME: f64 = 200.0;

/// Notes the longest time that the page was busy without a break, from 50 ms on.
const WATCH_FRAMES: &str = "
    window.longestFrame = 0;
    const observer = new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) longestFrame = Math.max(longestFrame, duration);
    });
    observer.observe({ type: 'longtask' });
    observer.observe({ type: 'long-animation-frame' });
";

/// Scrolls from the last row to the first one, a window in each frame.
const SCROLL_THROUGH: &str = "
    window.isScrolled = false;
    let top = document.documentElement.scrollHeight;
    const step = () => {
        top -= innerHeight;
        scrollTo(0, Math.max(0, top));
        if (top > 0) requestAnimationFrame(step);
        else isScrolled = true;
    };
    requestAnimationFrame(step);
";

/// Makes the first row of the list the active one.
const FIRST_ROW: &str = "document.querySelector('[role=row][data-key]').focus()";

/// Scrolls to the end; whether it is the end of so many rows.
const SCROLL_DOWN: &str = "
    scrollTo(0, document.documentElement.scrollHeight);
    const rows = [...document.querySelectorAll('[role=row][aria-rowindex]')];
    return Math.max(...rows.map((row) => Number(row.getAttribute('aria-rowindex')))) > arguments[0];
";
