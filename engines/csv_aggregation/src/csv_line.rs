//! Fields and numbers as CSV: minimal quoting.

/// Appends a field, in quotes where it needs them. A row has more than one field, so an empty one
/// needs none.
pub(crate) fn push_field(output: &mut Vec<u8>, field: &[u8]) {
    if !is_special(field) {
        return output.extend_from_slice(field);
    }
    output.push(b'"');
    for part in field.split_inclusive(|byte| *byte == b'"') {
        output.extend_from_slice(part);
        if part.ends_with(b"\"") {
            output.push(b'"');
        }
    }
    output.push(b'"');
}

/// Whether the field needs quotes. Most fields are short, so a word at a time is quickest.
#[inline]
fn is_special(field: &[u8]) -> bool {
    let (words, rest) = field.as_chunks::<8>();
    if words.iter().any(|word| is_special_word(u64::from_ne_bytes(*word))) {
        return true;
    }
    match field.last_chunk::<8>() {
        Some(last) => !rest.is_empty() && is_special_word(u64::from_ne_bytes(*last)),
        None => rest.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')),
    }
}

/// Whether one of the bytes needs quotes.
#[inline]
fn is_special_word(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Sets the highest bit of a zero byte; of others only above a zero one.
    let find = |byte: u8| {
        let zero = word ^ (ONES * u64::from(byte));
        zero.wrapping_sub(ONES) & !zero
    };
    (find(b',') | find(b'"') | find(b'\n') | find(b'\r')) & (ONES << 7) != 0
}

/// Appends a number in decimal.
pub(crate) fn push_number(output: &mut Vec<u8>, number: i64) {
    // The digits of a `u64` from the last to the first.
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        output.push(b'-');
    }
    output.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_quotes_gets_them_wherever_it_stands() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut field = vec![b'a'; length];
                    field[at] = byte;
                    assert_eq!(is_special(&field), b",\"\n\r".contains(&byte), "{field:?}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, -1, 1234567890, i64::MAX, i64::MIN] {
            let mut output = b"x".to_vec();
            push_number(&mut output, number);
            assert_eq!(String::from_utf8(output).unwrap(), format!("x{number}"));
        }
    }
}
