//! What is true of every screen.

use serde_json::{Value, json};

use super::browser::Browser;
use crate::end_to_end::standalone::Standalone;

/// The address of each screen and a text that it shows.
const SCREENS: [(&str, &str); 8] = [
    ("/", "Files"),
    ("/tasks", "Tasks"),
    ("/statistics", "Statistics"),
    ("/messages", "Messages"),
    ("/events", "Events"),
    ("/operations", "Operations"),
    ("/account", "Account"),
    ("/nothing/here", "There is nothing at this address"),
];

#[tokio::test]
async fn every_screen_is_accessible_in_each_scheme_and_width() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let browser = Browser::start().await;
    for (path, text) in SCREENS {
        browser.open(&format!("{}{path}", server.api.url)).await;
        browser.sees(text).await;
        for scheme in ["light", "dark"] {
            browser.prefer_scheme(scheme).await;
            for width in [1280, 360] {
                browser.resize(width, 900).await;
                let found = browser.run(include_str!("checks.js"), &[]).await;
                assert_eq!(found, json!([]), "{path}, {scheme}, {width} pixels");
            }
        }
        assert!(browser.title().await.ends_with("· Task platform"), "{path} has a title");
    }
    browser.finish().await;
}

#[tokio::test]
async fn the_keyboard_reaches_everything_in_the_order_of_the_page() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let browser = Browser::start().await;
    browser.open(&server.api.url).await;
    browser.sees("Files").await;
    let mut reached = Vec::new();
    for _ in 0..9 {
        browser.press("\u{e004}").await;
        let focused = browser.run(FOCUSED, &[]).await;
        let Value::String(name) = focused else { panic!("the focus is visible: {focused}") };
        reached.push(name);
    }
    let first = ["Skip to the content", "Task platform", "Files", "Tasks", "Statistics"];
    assert_eq!(reached[..5], first);
    assert_eq!(reached[5..], ["Messages", "Events", "Operations", "local"]);
    browser.finish().await;
}

/// The name of the element with the focus; an object if nothing shows that it has it.
const FOCUSED: &str = "
    const element = document.activeElement;
    const isShown = getComputedStyle(element).boxShadow !== 'none';
    return isShown ? element.innerText.trim() : { element: element.outerHTML };
";
