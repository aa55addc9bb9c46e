//! `message_validation`: validates a message by the number that is drawn for it.
//!
//! After a bad number, a second one is drawn later. The task manager schedules this as a delay of
//! the task, so that no slot is occupied meanwhile. The checkpoint is the number of draws; the last
//! draw decides.

use std::time::Duration;

use common::message::{Category, Draw, Validation};
use common::problem::Problem;
use common::task::spec::MessageValidationSpec;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::processor::{Completed, Context, ProcessError, Processor};

/// The delay after a bad number.
const PAUSE: Duration = Duration::from_secs(4);

/// Validates a message.
#[derive(Debug)]
pub(super) struct ValidateMessage {
    pub(super) spec: MessageValidationSpec,
}

/// The state of earlier attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    /// How many numbers were drawn; all of them were bad.
    draws: u8,
}

/// The outcome of the draws so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Done(Validation),
    DrawAgain(Checkpoint),
}

impl Processor for ValidateMessage {
    type Output = Validation;

    async fn process(self, ctx: &Context) -> Result<Completed<Validation>, ProcessError> {
        let checkpoint = match ctx.checkpoint() {
            None => None,
            Some(value) => Some(Checkpoint::deserialize(value).map_err(|error| unknown(&error))?),
        };
        let draw = || Draw(rand::rng().random_range(Draw::RANGE));
        match step(Draw(self.spec.number), checkpoint, draw) {
            Step::Done(result) => Ok(Completed { result, output: None }),
            Step::DrawAgain(checkpoint) => match serde_json::to_value(checkpoint) {
                Ok(checkpoint) => Err(ProcessError::later(PAUSE, checkpoint)),
                Err(error) => Err(unknown(&error)),
            },
        }
    }
}

/// Decides by `first`, the number that was drawn with the message, or by one that `draw` returns.
fn step(first: Draw, checkpoint: Option<Checkpoint>, draw: impl FnOnce() -> Draw) -> Step {
    let done = |category, number: Draw, draws| {
        Step::Done(Validation { category, number: number.0, draws })
    };
    match checkpoint {
        None if first.is_good() => done(Category::Direct, first, 1),
        None => Step::DrawAgain(Checkpoint { draws: 1 }),
        Some(Checkpoint { draws }) => {
            let second = draw();
            let category = if second.is_good() { Category::Retried } else { Category::Failed };
            done(category, second, draws.saturating_add(1))
        }
    }
}

fn unknown(error: &serde_json::Error) -> ProcessError {
    let detail = format!("the checkpoint of the task is not one of this kind: {error}");
    ProcessError::fail(Problem::new(500, "internal", "Internal error", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Option<Checkpoint> = Some(Checkpoint { draws: 1 });

    fn category(step: Step) -> Category {
        match step {
            Step::Done(validation) => validation.category,
            Step::DrawAgain(_) => unreachable!("the second number decides"),
        }
    }

    #[test]
    fn a_good_number_is_direct_and_a_bad_one_is_drawn_again() {
        for number in Draw::RANGE {
            let step = step(Draw(number), None, || unreachable!("nothing is drawn immediately"));
            if number % 10 == 0 {
                assert_eq!(step, Step::DrawAgain(Checkpoint { draws: 1 }), "{number}");
            } else {
                let validation = Validation { category: Category::Direct, number, draws: 1 };
                assert_eq!(step, Step::Done(validation), "{number}");
            }
        }
    }

    #[test]
    fn the_second_number_decides() {
        for number in Draw::RANGE {
            let category = if number % 10 == 0 { Category::Failed } else { Category::Retried };
            let validation = Validation { category, number, draws: 2 };
            assert_eq!(step(Draw(20), ONCE, || Draw(number)), Step::Done(validation));
        }
    }

    #[test]
    fn ninety_percent_are_direct_nine_retried_and_one_failed() {
        let mut counts = [0; 3];
        for first in Draw::RANGE {
            for second in Draw::RANGE {
                let category = match step(Draw(first), None, || Draw(second)) {
                    Step::Done(validation) => validation.category,
                    Step::DrawAgain(once) => {
                        category(step(Draw(first), Some(once), || Draw(second)))
                    }
                };
                counts[category as usize] += 1;
            }
        }
        assert_eq!(counts, [3_240, 324, 36]);
    }

    #[test]
    fn drawn_numbers_are_within_the_range() {
        let mut seen = [false; 61];
        for _ in 0..10_000 {
            let Draw(number) = Draw(rand::rng().random_range(Draw::RANGE));
            seen[usize::from(number)] = true;
        }
        assert!(!seen[0] && seen[1..].iter().all(|seen| *seen));
    }
}
