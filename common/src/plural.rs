//! Nouns after numbers.

/// The noun for `count`: `one` for 1, otherwise `many`.
#[must_use]
pub fn plural<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let nouns = [0, 1, 2, 21].map(|count| plural(count, "row", "rows"));
        assert_eq!(nouns, ["rows", "row", "rows", "rows"]);
    }
}
