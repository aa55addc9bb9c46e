//! Fields of the span of a request, which every later line of its log carries.

use tracing::Span;

/// Adds the task to the span.
pub fn log_task(task_id: impl std::fmt::Display) {
    Span::current().record("task_id", tracing::field::display(task_id));
}

/// Adds the user to the span.
pub fn log_user(user_id: impl std::fmt::Display) {
    Span::current().record("user_id", tracing::field::display(user_id));
}
