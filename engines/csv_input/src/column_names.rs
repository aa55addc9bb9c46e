//! Which column of a file is meant by a name.

/// Other names of well-known columns, in lower case. The first one that a file has is taken.
const ALIASES: [(&str, &[&str]); 2] = [
    (
        "email",
        &[
            "e-mail",
            "mail",
            "email address",
            "e-mail address",
            "mail address",
            "email_address",
            "emailaddress",
            "e-mail-adresse",
            "mailadresse",
            "adresse e-mail",
            "courriel",
        ],
    ),
    (
        "name",
        &[
            "full name",
            "full_name",
            "fullname",
            "full-name",
            "display name",
            "vollst\u{e4}ndiger name",
            "nom complet",
            "nom",
        ],
    ),
];

/// The positions of the columns of a file that `column` means: those of this very name, or else of
/// this name in upper or lower case, or else of an alias. More than one is ambiguous. `names` are
/// trimmed.
pub(crate) fn matching(names: &[impl AsRef<str>], column: &str) -> Vec<usize> {
    let all = |is_meant: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..names.len()).filter(|index| is_meant(names[*index].as_ref())).collect()
    };
    let exact = all(&|name| name == column);
    if !exact.is_empty() {
        return exact;
    }
    let lower = column.to_lowercase();
    let alike = all(&|name| name.to_lowercase() == lower);
    if !alike.is_empty() {
        return alike;
    }
    let aliases = ALIASES.iter().find(|(name, _)| *name == lower).map(|(_, aliases)| *aliases);
    let found =
        aliases.unwrap_or_default().iter().map(|alias| all(&|name| name.to_lowercase() == *alias));
    found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_very_name_comes_before_similar_ones() {
        assert_eq!(matching(&["EMAIL", "email", "E-Mail"], "email"), [1]);
        assert_eq!(matching(&["E-Mail", "EMAIL"], "email"), [1]);
        assert_eq!(matching(&["Mail", "E-Mail"], "email"), [1]);
        assert_eq!(matching(&["GR\u{d6}SSE"], "gr\u{f6}sse"), [0]);
        assert_eq!(matching(&["Full Name", "nom"], "Name"), [0]);
    }

    #[test]
    fn several_similar_names_are_ambiguous() {
        assert_eq!(matching(&["Song", "song", "SONG"], "song"), [1]);
        assert_eq!(matching(&["Song", "SONG"], "song"), [0, 1]);
    }

    #[test]
    fn other_columns_have_no_aliases() {
        assert!(matching(&["Title", "Mail"], "Song").is_empty());
        assert!(matching(&["email"], "e-mail").is_empty());
    }

    #[test]
    fn aliases_are_in_lower_case() {
        for (name, aliases) in ALIASES {
            for alias in [&[name][..], aliases].concat() {
                assert_eq!(alias, alias.to_lowercase());
            }
        }
    }
}
