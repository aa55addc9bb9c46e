//! Progress on standard error: bars on a terminal, otherwise a line at every change.

use std::time::{Duration, Instant};

use common::task::{TaskState, TaskView};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::console::{is_quiet, note};
use crate::pace::Pace;
use crate::view;

/// A transfer of bytes: its position, and its pace.
#[derive(Debug, Clone)]
pub(crate) struct TransferBar {
    bar: ProgressBar,
    pace: Pace,
}

impl TransferBar {
    /// Shows that `what` starts; `total` in bytes, if known.
    pub(crate) fn start(what: &str, total: Option<u64>) -> Self {
        let bar = Self::prepare(what);
        bar.start_at(0, total);
        bar
    }

    /// Shows that `what` will start soon.
    pub(crate) fn prepare(what: &str) -> Self {
        let bar = new_bar();
        let pace = Pace::default();
        bar.set_style(style("{msg}  {spinner} {pace}").with_key("pace", pace.clone()));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, pace }
    }

    /// Shows that it starts behind `position` bytes; `total` in bytes, if known.
    pub(crate) fn start_at(&self, position: u64, total: Option<u64>) {
        let template = match total {
            Some(total) => {
                self.bar.set_length(total);
                "{msg}  {bar:20} {bytes} of {total_bytes}  {pace}"
            }
            None => {
                self.bar.unset_length();
                "{msg}  {spinner} {bytes}  {pace}"
            }
        };
        if self.bar.is_hidden() {
            let size = total.map(|total| format!(" ({})", HumanBytes(total))).unwrap_or_default();
            let from = match position {
                0 => String::new(),
                position => format!(", from {}", HumanBytes(position)),
            };
            self.note(&format!("{}{size}{from}", self.bar.message()));
        }
        self.bar.set_style(style(template).with_key("pace", self.pace.clone()));
        self.bar.set_position(position);
        self.pace.restart();
    }

    /// Whether there is no terminal to show it on.
    pub(crate) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// Sets the number of bytes from the start.
    pub(crate) fn at(&self, bytes: u64) {
        self.pace.advance();
        self.bar.set_position(bytes);
    }

    /// Shows that the transfer pauses, after this number of failures.
    pub(crate) fn wait(&self, pause: Duration, failures: u32) {
        self.pace.wait(Instant::now() + pause, failures);
    }

    /// The number of bytes so far.
    pub(crate) fn position(&self) -> u64 {
        self.bar.position()
    }

    /// Prints a message above it.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }

    /// Shows that something else is transferred now, of unknown size.
    pub(crate) fn continue_as(&self, what: &'static str) {
        self.bar.set_message(what);
        self.bar.unset_length();
        let style = style("{msg}  {spinner} {bytes}  {pace}");
        self.bar.set_style(style.with_key("pace", self.pace.clone()));
        self.bar.set_position(0);
        self.pace.restart();
    }

    /// Changes the label.
    pub(crate) fn rename(&self, what: &'static str) {
        self.bar.set_message(what);
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The progress of a task that is being waited for.
#[derive(Debug)]
pub(crate) struct WaitingBar {
    bar: ProgressBar,
    shown: Option<Shown>,
}

/// The content of the last line, so that it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shown {
    State(TaskState),
    ServerDown,
}

impl WaitingBar {
    /// Shows nothing yet. Dropping the bar removes it.
    pub(crate) fn start() -> Self {
        let bar = new_bar();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, shown: None }
    }

    /// Shows the progress of the task.
    pub(crate) fn show(&mut self, task: &TaskView) {
        let text = view::state_phrase(task);
        match view::done_of_total(task) {
            Some((done, total)) => {
                self.bar.set_style(style("{bar:30} {msg}"));
                self.bar.set_length(total);
                self.bar.set_position(done);
            }
            None => self.bar.set_style(style("{spinner} {msg}")),
        }
        self.say(Shown::State(task.state), text);
    }

    /// Shows that the server does not answer.
    pub(crate) fn server_down(&mut self) {
        self.bar.set_style(style("{spinner} {msg}"));
        self.say(Shown::ServerDown, "server not reachable, waiting…".to_owned());
    }

    fn say(&mut self, what: Shown, text: String) {
        if self.bar.is_hidden() && self.shown != Some(what) {
            note(&text);
        }
        self.shown = Some(what);
        self.bar.set_message(text);
    }
}

fn new_bar() -> ProgressBar {
    if is_quiet() { ProgressBar::hidden() } else { ProgressBar::no_length() }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
