//! What is to become of a task when Ctrl-C is pressed while it is waited for.

use std::io::{self, IsTerminal};

use crate::console::note;

/// What is to become of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Stop it and roll back.
    Stop,
    /// End it and keep what it has done.
    Kill,
    /// Leave it running.
    Leave,
}

/// Whether there is somebody to ask.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks until there is an answer; no answer leaves the task running, and so does Ctrl-C.
pub(crate) async fn ask() -> Answer {
    loop {
        note(
            "\nThe task is still at work. [s]top it and roll back what it wrote, [k]ill it and \
             keep what it wrote, or [l]eave it running (Enter or Ctrl-C)?",
        );
        // The thread stays behind when Ctrl-C comes first; the program ends soon.
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = tokio::select! {
            line = line => line,
            _ = tokio::signal::ctrl_c() => return Answer::Leave,
        };
        let Ok(Ok(line)) = line else { return Answer::Leave };
        match answer(&line) {
            Some(answer) => return answer,
            None => note("Please answer with s, k or l."),
        }
    }
}

fn answer(line: &str) -> Option<Answer> {
    match line.trim().to_lowercase().as_str() {
        "s" | "stop" => Some(Answer::Stop),
        "k" | "kill" => Some(Answer::Kill),
        "" | "l" | "leave" => Some(Answer::Leave),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        assert_eq!(answer("s\n"), Some(Answer::Stop));
        assert_eq!(answer(" Kill \n"), Some(Answer::Kill));
        assert_eq!(answer("\n"), Some(Answer::Leave));
        assert_eq!(answer(""), Some(Answer::Leave), "the end of the input");
        assert_eq!(answer("yes\n"), None);
    }
}
