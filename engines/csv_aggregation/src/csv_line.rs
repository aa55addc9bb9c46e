//! Formats CSV fields and numbers, with minimal quoting.

/// Appends a field, quoted if necessary. Empty fields are not quoted: a row has at least two
/// fields, so it cannot be mistaken for a blank line.
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

/// Whether the field needs quotes. Eight bytes at a time, which is fastest for short fields.
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

/// Whether one of these eight bytes needs quotes.
#[inline]
fn is_special_word(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Sets the highest bit of zero bytes. A borrow can set others, but only above a zero byte.
    let find = |byte: u8| {
        let zero = word ^ (ONES * u64::from(byte));
        zero.wrapping_sub(ONES) & !zero
    };
    (find(b',') | find(b'"') | find(b'\n') | find(b'\r')) & (ONES << 7) != 0
}

/// Appends a number in decimal.
pub(crate) fn push_number(output: &mut Vec<u8>, number: i64) {
    // The digits of the largest `u64`, filled from the end.
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
    fn special_bytes_are_found_at_every_position() {
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
    fn numbers_are_formatted_in_decimal() {
        for number in [0, 7, 10, -1, 1234567890, i64::MAX, i64::MIN] {
            let mut output = b"x".to_vec();
            push_number(&mut output, number);
            assert_eq!(String::from_utf8(output).unwrap(), format!("x{number}"));
        }
    }
}
