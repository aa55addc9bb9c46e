//! E-mail addresses: the same rules for stored addresses and for recipients of mail.
//!
//! # Invariants
//! - An address is stored in Unicode's composed form (NFC), so that it has one spelling.
//! - Every valid address can be passed to a mail server: its domain has a form in ASCII.
//!
//! # Not here
//! Display names (`Ada <ada@example.org>`), and whether a mailbox exists.

use std::borrow::Cow;

use email_address::{EmailAddress, Options};
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The longest address in bytes: RFC 5321 (4.5.3.1.3) limits a path to 256, including `<` and `>`.
pub const MAX_BYTES: usize = 254;
/// The longest part before the `@` in bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// The combining class of marks that remove the vowel of a letter.
const VIRAMA: u8 = 9;

/// Why a text is not an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMailAddress {
    /// It is too long.
    #[error("has more than {MAX_BYTES} bytes")]
    TooLong,
    /// It is malformed.
    #[error("is not an e-mail address: {0}")]
    Invalid(String),
}

/// A bare address, as mail servers accept it: no `Ada <ada@example.org>`, no `ada@[127.0.0.1]`.
/// Hosts of a private network need no dot. Beyond ASCII it may contain letters, digits and marks of
/// every script (RFC 6531), and its domain may be an internationalized one (UTS 46).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailAddress<'a> {
    text: Cow<'a, str>,
    /// The domain in ASCII, if it differs.
    ascii_domain: Option<String>,
}

impl<'a> MailAddress<'a> {
    /// Parses an address.
    ///
    /// # Errors
    /// The text is not an address.
    pub fn parse(text: &'a str) -> Result<Self, InvalidMailAddress> {
        if text.is_ascii() {
            if text.len() > MAX_BYTES {
                return Err(InvalidMailAddress::TooLong);
            }
            check_syntax(text)?;
            return Ok(Self { text: Cow::Borrowed(text), ascii_domain: None });
        }
        let text: Cow<'_, str> = match is_nfc(text) {
            true => Cow::Borrowed(text),
            false => Cow::Owned(text.nfc().collect()),
        };
        if text.len() > MAX_BYTES {
            return Err(InvalidMailAddress::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or_else(|| invalid("it has no `@`"))?;
        if local.len() > MAX_LOCAL_BYTES {
            return Err(invalid(format!("more than {MAX_LOCAL_BYTES} bytes are before the `@`")));
        }
        check_characters(local)?;
        check_characters(domain)?;
        let ascii_domain = match domain.is_ascii() {
            true => None,
            false => Some(
                idna::domain_to_ascii_strict(domain)
                    .map_err(|_| invalid(format!("`{domain}` cannot be the name of a host")))?,
            ),
        };
        // Only the ASCII characters and their positions remain to be checked.
        let local: String = local.chars().map(|c| if c.is_ascii() { c } else { 'x' }).collect();
        check_syntax(&format!("{local}@{}", ascii_domain.as_deref().unwrap_or(domain)))?;
        Ok(Self { text, ascii_domain })
    }

    /// The address in composed form.
    #[must_use]
    pub fn into_text(self) -> Cow<'a, str> {
        self.text
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.parts().0
    }

    /// The part after the `@`, in ASCII (Punycode), as mail servers and the DNS need it.
    #[must_use]
    pub fn ascii_domain(&self) -> &str {
        self.ascii_domain.as_deref().unwrap_or(self.parts().1)
    }

    fn parts(&self) -> (&str, &str) {
        self.text.rsplit_once('@').unwrap_or((&self.text, ""))
    }
}

fn invalid(why: impl Into<String>) -> InvalidMailAddress {
    InvalidMailAddress::Invalid(why.into())
}

fn check_syntax(address: &str) -> Result<(), InvalidMailAddress> {
    let options = Options::default()
        .without_display_text()
        .without_domain_literal()
        .with_no_minimum_sub_domains();
    EmailAddress::parse_with_options(address, options)
        .map(drop)
        .map_err(|error| invalid(error.to_string().trim_end_matches('.')))
}

/// Every character beyond ASCII must be visible: a letter, a digit, or a mark on one; no symbol,
/// blank or control character.
fn check_characters(part: &str) -> Result<(), InvalidMailAddress> {
    let mut characters = part.chars().peekable();
    let mut before = None;
    while let Some(c) = characters.next() {
        let is_good = c.is_ascii()
            || match c {
                '\u{200C}' | '\u{200D}' => joins(before, characters.peek().copied()),
                c if is_invisible(c) => false,
                c if is_combining_mark(c) => before.is_some_and(is_letter_or_mark),
                c => c.is_alphanumeric(),
            };
        if !is_good {
            let code = u32::from(c);
            return Err(invalid(format!("U+{code:04X} cannot be in one at this place")));
        }
        before = Some(c);
    }
    Ok(())
}

fn is_letter_or_mark(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Whether a joiner or non-joiner between these changes their rendering (RFC 5892, appendix A,
/// without its table of joining letters).
fn joins(before: Option<char>, next: Option<char>) -> bool {
    let is_letter = |c: char| !c.is_ascii() && is_letter_or_mark(c);
    before.is_some_and(|c| canonical_combining_class(c) == VIRAMA)
        || before.is_some_and(is_letter) && next.is_some_and(is_letter)
}

/// Letters and marks that are invisible: fillers and variation selectors.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}' | '\u{E0100}'..='\u{E01EF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str) -> Result<String, InvalidMailAddress> {
        MailAddress::parse(text).map(|address| address.into_text().into_owned())
    }

    #[test]
    fn letters_and_marks_of_every_script_are_accepted() {
        for address in [
            "info@उदाहरण.परीक्षा",
            "info@ตัวอย่าง.ไทย",
            "श्री@उदाहरण.परीक्षा",
            "น้ำ@ตัวอย่าง.ไทย",
            "தமிழ்@உதாரணம்.பரிட்சை",
            "বাংলা.ভাষা@উদাহরণ.পরীক্ষা",
            "তথ্য্য@উদাহরণ.বাংলা",
            "مُحَمَّد@مثال.إختبار",
            "دانا@مثال.آزمایشی",
            "می\u{200C}خواهم@مثال.آزمایشی",
            "שָׁלוֹם@דוגמה.טעסט",
            "nguyễn.văn@vídụ.vn",
            "김치@예시.한국",
            "ශ්\u{200D}රී@උදාහරණ.ලංකා",
            "ខ្មែរ@ឧទាហរណ៍.ខ្មែរ",
            "မြန်မာ@ဥပမာ.မြန်မာ",
            "пример@пример.рф",
            "δοκιμή@παράδειγμα.ελ",
            "ηλίας+α@παράδειγμα.ελ",
            "用户@例子.中国",
            "ユーザー@例え.テスト",
            "straße@straße.de",
            "\"ü ü\"@example.org",
            "q\u{303}@example.org",
        ] {
            assert_eq!(stored(address), Ok(address.to_owned()));
        }
    }

    #[test]
    fn an_address_has_one_spelling() {
        for (written, kept) in [
            ("Jose\u{301}@example.org", "José@example.org"),
            ("nguye\u{302}\u{303}n@example.org", "nguyễn@example.org"),
            ("\u{1100}\u{1175}\u{11B7}@\u{110B}\u{1168}.kr", "김@예.kr"),
            ("info@mu\u{308}nchen.de", "info@münchen.de"),
            // The Kelvin sign normalizes to a K.
            ("\u{212A}@example.org", "K@example.org"),
        ] {
            assert_eq!(stored(written), Ok(kept.to_owned()));
        }
    }

    #[test]
    fn ascii_stays_unchanged() {
        for address in ["a@example.org", "a.b+c@localhost", "\"a b\"@example.org", "x@my_host"] {
            assert_eq!(stored(address), Ok(address.to_owned()));
        }
    }

    #[test]
    fn invalid_addresses_are_refused() {
        let long_label = format!("a@{}.org", "ü".repeat(60));
        for text in [
            "",
            "@",
            "ü",
            "ü@",
            "@ü.de",
            "ü@@example.org",
            "ü@ö@example.org",
            "Ада <ada@example.org>",
            "ü ü@example.org",
            ".ü@example.org",
            "ü..ü@example.org",
            "ü@example..org",
            "ü@example.org.",
            "ü@-ü.de",
            "ü@ü-.de",
            "ü@ü_ü.de",
            "ü@ü.de/ü",
            "ü@[127.0.0.1]",
            "a@ü\u{a0}ü.de",
            "a\u{200B}b@example.org",
            "a\u{200D}b@example.org",
            "\u{200C}می@مثال.آزمایشی",
            "\u{202E}ü@example.org",
            "ü\u{2028}@example.org",
            "ü\u{85}@example.org",
            "\u{301}a@example.org",
            "a.\u{301}b@example.org",
            "a@\u{301}b.org",
            "ü\u{FE0F}@example.org",
            "\u{3164}@example.org",
            "\u{E000}@example.org",
            "\u{FFFD}@example.org",
            "😀@example.org",
            "a@😀.example.org",
            "a＠example.org",
            "a@例子。中国",
            // A domain that mixes directions cannot be displayed unambiguously.
            "a@مثالabc.org",
            &long_label,
        ] {
            assert!(stored(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_measured_in_the_composed_form() {
        let decomposed = format!("{}@example.org", "e\u{301}".repeat(32));
        assert!(decomposed.find('@') > Some(MAX_LOCAL_BYTES));
        assert_eq!(stored(&decomposed), Ok(format!("{}@example.org", "é".repeat(32))));
        assert!(stored(&format!("{}@example.org", "é".repeat(33))).is_err());
        let label = "a".repeat(60);
        let long = format!("ü@{label}.{label}.{label}.{label}.org");
        assert!(long.len() <= MAX_BYTES && stored(&long).is_ok());
        assert_eq!(stored(&long.replace(".org", ".museum")), Ok(long.replace(".org", ".museum")));
        assert_eq!(stored(&format!("{long}anisation")), Err(InvalidMailAddress::TooLong));
        assert_eq!(stored(&"a".repeat(255)), Err(InvalidMailAddress::TooLong));
        // The limit of a domain label applies to its DNS form.
        assert!(stored("a@कखगघङचछजझञटठडढणतथदधन.भारत").is_ok());
    }

    #[test]
    fn mail_servers_get_the_domain_in_ascii() {
        for (address, local, domain) in [
            ("a@example.org", "a", "example.org"),
            ("ü@München.de", "ü", "xn--mnchen-3ya.de"),
            ("info@उदाहरण.परीक्षा", "info", "xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g"),
            ("\"a@b\"@example.org", "\"a@b\"", "example.org"),
        ] {
            let address = MailAddress::parse(address).unwrap();
            assert_eq!((address.local_part(), address.ascii_domain()), (local, domain));
        }
    }
}
