//! The columns of a group as one key that sorts like them, column by column.
//!
//! One column is the key as it is. Several are joined, each behind it a byte 0; a byte 0 or 1 in a
//! column is written as 1 and then 1 or 2. So the end of a column sorts before all that could follow.

/// Writes one of several columns to the start of `key`, which has twice the room and one byte more,
/// and returns how many bytes it takes.
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

/// Appends one of several columns to `key`.
pub(crate) fn push_column(key: &mut Vec<u8>, column: &[u8]) {
    let start = key.len();
    key.resize(start + 2 * column.len() + 1, 0);
    let length = write_column(column, &mut key[start..]);
    key.truncate(start + length);
}

/// The first columns of a key of several, so many of them, at least one; `None` where it is only
/// the start of a key and ends before they do.
pub(crate) fn first_columns(key: &[u8], count: usize) -> Option<&[u8]> {
    let end = memchr::memchr_iter(0, key).nth(count.checked_sub(1)?)?;
    Some(&key[..=end])
}

/// Calls `each` with every column of a key of so many columns. One column stands as it is, unless it
/// is `joined` with what is not part of the key.
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

    fn key(values: &[Vec<u8>]) -> Vec<u8> {
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
        fn keys_sort_like_columns_and_can_be_read_back(
            a in proptest::collection::vec(column(), 3..=3),
            b in proptest::collection::vec(column(), 3..=3),
        ) {
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
            let mut found = Vec::new();
            columns(&key(&a), 3, true, |column| found.push(column.to_vec()));
            prop_assert_eq!(&found, &a);
            let key_of_all = key(&a);
            for count in 1..=3 {
                let first = key(&a[..count]);
                prop_assert_eq!(first_columns(&key_of_all, count), Some(&*first));
                prop_assert_eq!(first_columns(&first[..first.len() - 1], count), None);
            }
        }
    }
}
