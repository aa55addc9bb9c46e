//! The commands of a document, and what they print.

/// Stands before a block that is left out, with the reason behind it.
const NOT_TESTED: &str = "<!-- not tested here: ";
/// Stands before a block whose commands do not succeed.
const FAILS: &str = "<!-- these commands fail -->";
/// Stands for anything in an expected output.
const ANYTHING: char = '…';

/// A block of commands.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub commands: String,
    pub may_fail: bool,
    /// The block without a language behind it.
    pub expected: Option<String>,
}

impl Step {
    /// Whether an output has the lines that the document shows, in their order.
    pub fn is_printed_in(&self, output: &str) -> bool {
        let mut rest = output;
        let expected = self.expected.as_deref().unwrap_or_default();
        expected.split(ANYTHING).map(str::trim).all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

/// The blocks of `sh` that are to be run, in order.
pub fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::<Step>::new();
    let (mut before, mut is_output) = ("", false);
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let block = format!("{}\n", block.join("\n"));
            let is_tested = language == "sh" && !before.starts_with(NOT_TESTED);
            if is_tested {
                let may_fail = before == FAILS;
                steps.push(Step { commands: block, may_fail, expected: None });
            } else if is_output
                && language.is_empty()
                && let Some(step) = steps.last_mut()
            {
                step.expected = Some(block);
            }
            is_output = is_tested;
        }
        before = line;
    }
    steps
}

#[test]
fn blocks_are_found_in_order_and_left_out_where_a_document_says_so() {
    let document = "```sh\na\nb\n```\n\ntext\n\n```\nout\n```\n\n```\nother\n```\n\
                    <!-- not tested here: it never ends -->\n```sh\nc\n```\n```\nnothing\n```\n\
                    <!-- these commands fail -->\n```sh\nd\n```\n```json\n{}\n```\n";
    let succeeds =
        Step { commands: "a\nb\n".to_owned(), may_fail: false, expected: Some("out\n".to_owned()) };
    let fails = Step { commands: "d\n".to_owned(), may_fail: true, expected: None };
    assert_eq!(steps(document), [succeeds, fails]);
}

#[test]
fn an_ellipsis_stands_for_anything() {
    let step = |expected: &str| Step { expected: Some(expected.to_owned()), ..Step::default() };
    let output = "Accepted as task 42.\nqueued\nDone in 3 s.\n";
    assert!(step("Accepted as task ….\n…\nDone in … s.\n").is_printed_in(output));
    assert!(
        step("Accepted as task ….\nDone in … s.\n")
            .is_printed_in("Accepted as task 1.\nDone in 2 s.\n")
    );
    assert!(!step("Done in … s.\nAccepted\n").is_printed_in(output));
    assert!(!step("Accepted as task 43.\n").is_printed_in(output));
    assert!(Step::default().is_printed_in(output));
}
