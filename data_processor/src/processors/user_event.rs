//! `user_event`: returns the event as the result of its task. The task manager records it exactly
//! once, in the transaction of the completion.

use common::user_event::UserEvent;

use crate::processor::{Completed, Context, ProcessError, Processor};

/// Records an event.
#[derive(Debug)]
pub(super) struct RecordEvent {
    pub(super) event: UserEvent,
}

impl Processor for RecordEvent {
    type Output = UserEvent;

    async fn process(self, _ctx: &Context) -> Result<Completed<UserEvent>, ProcessError> {
        Ok(Completed { result: self.event, output: None })
    }
}
