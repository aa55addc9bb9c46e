//! The question on Ctrl-C while waiting for a task: stop it, kill it, or leave it running.

use std::io::{self, IsTerminal};

use crate::console::complain;

/// The user's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Stop it and roll back.
    Stop,
    /// End it and keep its data.
    Kill,
    /// Leave it running.
    Leave,
}

/// Whether the program runs on a terminal.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks until it gets an answer; end of input or Ctrl-C leaves the task running.
pub(crate) async fn ask() -> Answer {
    loop {
        complain(
            "\nThe task is still running. [s]top it and roll back its data, [k]ill it and \
             keep its data, or [l]eave it running (Enter or Ctrl-C)?",
        );
        // On Ctrl-C the thread keeps waiting; the program ends soon.
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
            None => complain("Please answer with s, k or l."),
        }
    }
}

/// Asks for a confirmation; anything but yes is none.
pub(crate) async fn confirm(question: &str) -> bool {
    complain(&format!("{question} [y/N]"));
    // On Ctrl-C the thread keeps waiting; the program ends soon.
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    tokio::select! {
        line = line => matches!(line, Ok(Ok(line)) if is_yes(&line)),
        _ = tokio::signal::ctrl_c() => false,
    }
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
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
        let confirmed = ["y\n", " Yes\n", "\n", "", "no\n", "ye\n"].map(is_yes);
        assert_eq!(confirmed, [true, true, false, false, false, false]);
    }
}
