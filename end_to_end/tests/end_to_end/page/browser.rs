//! A headless Chromium, steered by WebDriver.
//!
//! # Invariants
//! - No browser outlives its test.
//! - A test that calls [`Browser::finish`] has seen no error of a script and no violation of the
//!   Content-Security-Policy.

use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use fantoccini::elements::{Element, ElementRef};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::end_to_end::api::{eventually, eventually_within};
use crate::end_to_end::process::Process;

/// The limit of a start, even on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A browser with one tab.
pub struct Browser {
    client: Client,
    _chromium: Chromium,
    /// Dropped after the browser.
    _driver: Process,
}

impl Browser {
    /// Starts one with a window of 1280 by 900 pixels.
    pub async fn start() -> Self {
        let driver = Process::spawn(Command::new("chromedriver").arg("--port=0"));
        let port = eventually_within(START, "chromedriver listens", async || {
            driver.find(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
        })
        .await;
        // Without the sandbox, since it refuses to work as root, as which containers run tests; and
        // without /dev/shm, which is small in containers.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1280,900",
        ];
        let capabilities = json!({
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(serde_json::from_value(capabilities).unwrap())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let pid = client.capabilities().unwrap()["goog:processID"].as_u64().unwrap();
        Self { client, _chromium: Chromium(pid), _driver: driver }
    }

    /// Closes it.
    ///
    /// # Panics
    /// A script failed, or the Content-Security-Policy was violated.
    pub async fn finish(self) {
        let errors = self.errors().await;
        assert_eq!(errors, Vec::<String>::new(), "the console has no errors");
        self.client.close().await.unwrap();
    }

    /// The errors in the console since the last call, without those of requests that failed: the
    /// page handles them.
    pub async fn errors(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(ReadLog).await.unwrap();
        let text = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        let is_error = |entry: &&Value| entry["level"] == "SEVERE" && entry["source"] != "network";
        entries.as_array().unwrap().iter().filter(is_error).map(text).collect()
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// Waits until the path of the address is this one.
    pub async fn wait_for_path(&self, path: &str) {
        eventually(&format!("the address becomes {path}"), async || {
            let url = self.client.current_url().await.unwrap();
            (url.path() == path).then_some(())
        })
        .await;
    }

    /// Runs the body of a function in the page and returns what it returns.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.client.execute(script, arguments.to_vec()).await.unwrap()
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        let text = self.run("return document.body.innerText", &[]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The title of the tab.
    pub async fn title(&self) -> String {
        self.client.title().await.unwrap()
    }

    /// Waits until the page shows a text.
    pub async fn sees(&self, text: &str) {
        let what = format!("the page shows {text:?}");
        eventually(&what, async || self.text().await.contains(text).then_some(())).await;
    }

    /// Waits until a script returns true.
    pub async fn wait_for(&self, what: &str, script: &str, arguments: &[Value]) {
        eventually(what, async || {
            (self.run(script, arguments).await == Value::Bool(true)).then_some(())
        })
        .await;
    }

    /// Waits for an element that is displayed.
    pub async fn find(&self, selector: &str) -> Element {
        eventually(&format!("{selector} is displayed"), async || {
            for found in self.client.find_all(Locator::Css(selector)).await.unwrap() {
                if found.is_displayed().await.unwrap_or_default() {
                    return Some(found);
                }
            }
            None
        })
        .await
    }

    /// Waits for a button or link with this text or label, and clicks it.
    pub async fn click(&self, name: &str) {
        eventually(&format!("{name:?} can be clicked"), async || {
            self.element(FIND_CONTROL, name).await?.click().await.ok()
        })
        .await;
    }

    /// Types into the field with this label or name, which is emptied before.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = eventually(&format!("there is a field {label:?}"), async || {
            self.element(FIND_FIELD, label).await
        })
        .await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Chooses the option with this value in the list with this label or name.
    pub async fn choose(&self, label: &str, value: &str) {
        let list = eventually(&format!("there is a list {label:?}"), async || {
            self.element(FIND_FIELD, label).await
        })
        .await;
        list.select_by_value(value).await.unwrap();
    }

    /// The element that a script returns for a name.
    async fn element(&self, script: &str, name: &str) -> Option<Element> {
        let found = self.run(script, &[json!(name)]).await;
        // An element is an object whose only value is its id.
        let id = found.as_object()?.values().next()?.as_str()?.to_owned();
        Some(Element::from_element_id(self.client.clone(), ElementRef::from(id)))
    }

    /// Presses a key in the page.
    pub async fn press(&self, key: &str) {
        self.client.active_element().await.unwrap().send_keys(key).await.unwrap();
    }

    /// Drops a file of this machine on the page.
    pub async fn drop_file(&self, path: &Path) {
        self.run(ADD_INPUT, &[]).await;
        let input = self.client.find(Locator::Id("dropped")).await.unwrap();
        input.send_keys(&path.display().to_string()).await.unwrap();
        self.run(DROP, &[]).await;
    }

    /// Resizes the window. Not to a phone, whose window would grow with a page that is too wide.
    pub async fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Prefers a light or a dark scheme.
    pub async fn prefer_scheme(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [feature]})).await;
    }

    /// Sends at most so many bytes per second.
    pub async fn limit_upload(&self, bytes_per_second: u32) {
        self.devtools("Network.enable", json!({})).await;
        let conditions = json!({
            "offline": false, "latency": 0, "downloadThroughput": -1,
            "uploadThroughput": bytes_per_second,
        });
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// A picture of the window as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    async fn devtools(&self, command: &'static str, parameters: Value) {
        self.client.issue_cmd(Devtools { command, parameters }).await.unwrap();
    }
}

/// The first button or link with a text or label; in a dialog, if one is open.
const FIND_CONTROL: &str = "
    const place = [...document.querySelectorAll('dialog[open]')].pop() ?? document;
    const name = (element) => (element.getAttribute('aria-label') ?? element.innerText).trim();
    const controls = [...place.querySelectorAll('button, a, summary, label.check')];
    return controls.find((element) => name(element) === arguments[0] && element.checkVisibility()) ?? null;
";

/// The first field with a label or name; in a dialog, if one is open.
const FIND_FIELD: &str = "
    const place = [...document.querySelectorAll('dialog[open]')].pop() ?? document;
    const names = (field) => [
        field.getAttribute('aria-label'), field.name,
        ...[...(field.labels ?? [])].map((label) => label.firstChild.textContent.trim()),
    ];
    const fields = [...place.querySelectorAll('input, textarea, select')];
    return fields.find((field) => names(field).includes(arguments[0]) && field.checkVisibility()) ?? null;
";

const ADD_INPUT: &str = "
    document.getElementById('dropped')?.remove();
    const input = document.createElement('input');
    input.type = 'file';
    input.id = 'dropped';
    document.body.append(input);
";

const DROP: &str = "
    const input = document.getElementById('dropped');
    const data = new DataTransfer();
    for (const file of input.files) data.items.add(file);
    input.remove();
    for (const type of ['dragenter', 'dragover', 'drop']) {
        const event = new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector('main').dispatchEvent(event);
    }
";

/// The process of a browser, which is killed when it is dropped: its driver may be gone already.
struct Chromium(u64);

impl Drop for Chromium {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s KILL \"$1\" 2>/dev/null", "sh", &self.0.to_string()]);
        let _ = kill.status();
    }
}

/// Reads the console; a command of chromedriver that WebDriver does not have.
#[derive(Debug)]
struct ReadLog;

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

/// A command of Chromium's DevTools.
#[derive(Debug)]
struct Devtools {
    command: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({"cmd": self.command, "params": self.parameters});
        (Method::POST, Some(body.to_string()))
    }
}

type ParseError = <Url as FromStr>::Err;
