//! An order-preserving encoding of several columns as one key.
//!
//! A single column is stored as it is. Several are joined: each is terminated by a byte 0, and the
//! bytes 0 and 1 within a column are escaped as 1, 1 and 1, 2. The end of a column therefore sorts
//! before any continuation.

use crate::text::Span;

/// Plain columns of up to this many bytes are copied with a fixed length.
pub(crate) const SHORT: usize = 16;

/// Encodes one of several columns at the start of `key` and returns the length. `key` must have
/// room for twice the column and one byte more.
pub(crate) fn write_column(mut column: &[u8], key: &mut [u8]) -> usize {
    let mut length = 0;
    let mut write = |bytes: &[u8]| {
        key[length..length + bytes.len()].copy_from_slice(bytes);
        length += bytes.len();
    };
    while let Some(at) = memchr::memchr2(0, 1, column) {
        write(&column[..at]);
        write(&[1, column[at] + 1]);
        column = &column[at + 1..];
    }
    write(column);
    write(&[0]);
    length
}

/// Like [`write_column`], for the column at `span` of `data` if it contains no byte to escape. `key`
/// must have room for [`SHORT`] bytes more.
#[inline(always)]
pub(crate) fn write_plain_column(data: &[u8], span: Span, key: &mut [u8]) -> usize {
    match data[span.start()..].first_chunk::<SHORT>() {
        // A copy of fixed length needs no call of `memcpy`.
        Some(column) if span.len() <= SHORT => {
            key[..SHORT].copy_from_slice(column);
            key[span.len()] = 0;
            span.len() + 1
        }
        _ => write_column(span.of(data), key),
    }
}

/// Appends one of several columns to `key`, encoded.
pub(crate) fn push_column(key: &mut Vec<u8>, column: &[u8]) {
    let start = key.len();
    key.resize(start + 2 * column.len() + 1, 0);
    let length = write_column(column, &mut key[start..]);
    key.truncate(start + length);
}

/// The part of `key` that encodes its first `count` columns, at least one. `None` if `key` is a
/// truncated key that ends within them.
pub(crate) fn first_columns(key: &[u8], count: usize) -> Option<&[u8]> {
    let end = memchr::memchr_iter(0, key).nth(count.checked_sub(1)?)?;
    Some(&key[..=end])
}

/// Decodes the columns of a key with `count` columns and calls `each` with every one. A single
/// column is stored as it is unless the key is `joined`, that is, encoded so that another column
/// can follow.
pub(crate) fn columns(key: &[u8], count: usize, joined: bool, mut each: impl FnMut(&[u8])) {
    if count == 1 && !joined {
        return each(key);
    }
    if memchr::memchr(1, key).is_none() {
        return key.split(|byte| *byte == 0).take(count).for_each(each);
    }
    let mut rest = key;
    let mut column = Vec::new();
    while let Some(at) = memchr::memchr2(0, 1, rest) {
        column.extend_from_slice(&rest[..at]);
        if rest[at] == 0 {
            each(&column);
            column.clear();
            rest = &rest[at + 1..];
        } else {
            column.extend(rest.get(at + 1).map(|byte| byte - 1));
            rest = rest.get(at + 2..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(values: &[Vec<u8>]) -> Vec<u8> {
        let mut key = Vec::new();
        for value in values {
            push_column(&mut key, value);
        }
        key
    }

    fn column() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0..4_u8, 0..4)
    }

    proptest! {
        #[test]
        fn keys_sort_like_columns_and_are_decoded(
            a in proptest::collection::vec(column(), 3..=3),
            b in proptest::collection::vec(column(), 3..=3),
        ) {
            let key = encode(&a);
            prop_assert_eq!(key.cmp(&encode(&b)), a.cmp(&b));
            let mut decoded = Vec::new();
            columns(&key, 3, true, |column| decoded.push(column.to_vec()));
            prop_assert_eq!(&decoded, &a);
            for count in 1..=3 {
                let first = encode(&a[..count]);
                prop_assert_eq!(first_columns(&key, count), Some(&*first));
                prop_assert_eq!(first_columns(&first[..first.len() - 1], count), None);
            }
        }
    }
}
