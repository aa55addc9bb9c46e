//! `user_event`: hands an event over to be recorded. That it is recorded once is the task manager's
//! business, which does it together with the completion.

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
