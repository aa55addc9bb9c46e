//! Formats that may consist of plain text, so that no byte distinguishes them from text. They are
//! recognised by a first line that no other text has.

use super::Form;

/// Where the second line of an archive's first member header ends, in bytes.
const MEMBER_END: usize = 66;

/// The format of a file that starts with `start`, and whether it is counted as text. PostScript is,
/// since it is a program; the others are not, since their bytes are not what a reader sees.
pub(super) fn document(start: &[u8]) -> Option<(&'static str, Form)> {
    let line = start.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    match line.trim_ascii_end() {
        [b'%', b'P', b'D', b'F', b'-', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Some(("application/pdf", Form::Binary))
        }
        [b'{', b'\\', b'r', b't', b'f', b'0'..=b'9' | b'\\', ..] => {
            Some(("application/rtf", Form::Binary))
        }
        b"!<arch>" if start.get(MEMBER_END..MEMBER_END + 2) == Some(b"`\n") => {
            Some(("application/x-unix-archive", Form::Binary))
        }
        line if is_postscript(line) && !start.contains(&0) => {
            Some(("application/postscript", Form::Text))
        }
        _ => None,
    }
}

/// More than `%!` is required, because magic comments of TeX also start with it.
fn is_postscript(line: &[u8]) -> bool {
    line == b"%!" || line == b"%!PS" || line.starts_with(b"%!PS-Adobe-")
}
