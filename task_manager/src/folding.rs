//! Unicode folding: texts that readers consider equal are found by any of their spellings.
//!
//! # Invariants
//! - Texts that differ only in case, in the encoding of accents or in a compatibility form fold to
//!   the same text, by Unicode's full case folding and NFKC (`toNFKC_Casefold`): `Straße` and
//!   `STRAẞE`, `ﬁ` and `FI`, `ς` and `Σ`.
//! - Invisible characters (soft hyphens, joiners, variation selectors) are ignored.
//! - `I`, `i`, `İ` and `ı` fold to the same letter: their case mapping depends on the language,
//!   which is unknown.
//! - Accents stay. Folding is idempotent.
//!
//! # Not here
//! Word boundaries (`kinds::message_validation::terms`).

use icu_casemap::CaseMapper;
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// The dot above an `i`, as a separate character.
const DOT_ABOVE: char = '\u{307}';
/// The combining class of marks above a letter: the first one replaces its dot.
const ABOVE: u8 = 230;

/// The folded form of `text`.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed: String = text.nfkd().filter(|c| !is_ignorable(*c)).collect();
    let folded = CaseMapper::new().fold_string(&decomposed);
    let mut has_dot = false;
    let one_i = folded.nfd().filter_map(|c| match c {
        'i' | 'ı' => {
            has_dot = true;
            Some('i')
        }
        DOT_ABOVE if has_dot => None,
        c => {
            has_dot &= !matches!(canonical_combining_class(c), 0 | ABOVE);
            Some(c)
        }
    });
    one_i.nfc().collect()
}

/// Whether a character is invisible and ignored.
pub fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_ignores_case_and_spelling() {
        for spellings in [
            vec!["Straße", "STRASSE", "STRAẞE", "straſſe", "Stra\u{ad}ße"],
            vec!["Österreich", "O\u{308}sterreich", "öSTERREICH", "Öｓｔｅｒｒｅｉｃｈ"],
            vec!["ΟΔΟΣ", "οδος", "οδοσ"],
            vec!["ΆΪΣ", "άϊς", "α\u{301}ι\u{308}ς"],
            vec!["ᾳ", "αι", "ᾼ", "ΑΙ", "α\u{345}"],
            vec!["ﬁne", "FINE", "fine"],
            vec!["H₂O", "h2o", "Ｈ２Ｏ", "H²O"],
            vec!["Kelvin", "\u{212a}ELVIN"],
            vec!["ПРИВЕТ", "привет"],
            vec!["Йод", "И\u{306}ОД"],
            vec!["ԵՒ", "և", "եւ"],
            vec!["Ꮳꮃꭹ", "ᏣᎳᎩ", "ꮳꮃꭹ"],
            vec!["ᲥᲐᲠᲗᲣᲚᲘ", "ქართული"],
            vec!["한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"],
            vec!["하", "ㅎㅏ"],
            vec!["क़लम", "क\u{93c}लम"],
            vec!["क्\u{200d}ष", "क्ष"],
            vec!["ทำ", "ทํา"],
            vec!["Việt", "Vie\u{323}\u{302}t", "Viê\u{323}t", "VI\u{1ec6}T"],
            vec!["مرحبا", "ﻣﺮﺣﺒﺎ"],
            vec!["لا", "ﻻ"],
            vec!["カタカナ", "ｶﾀｶﾅ"],
            vec!["ガ", "ｶﾞ", "カ\u{3099}"],
            vec!["𐐀", "𐐨"],
            vec!["ŉ", "ʼN"],
            vec!["ǆ", "Ǆ", "ǅ", "dž"],
            vec!["", "\u{ad}\u{200b}\u{fe0f}"],
        ] {
            for other in &spellings[1..] {
                assert_eq!(fold(spellings[0]), fold(other), "{} and {other}", spellings[0]);
            }
        }
        for (one, other) in [("cafe", "café"), ("e", "ё"), ("й", "и"), ("a", "а"), ("л", "ль")]
        {
            assert_ne!(fold(one), fold(other));
        }
    }

    #[test]
    fn dotted_and_dotless_i_fold_to_the_same_letter() {
        for i in ["I", "i", "İ", "ı", "I\u{307}", "i\u{307}", "ı\u{307}"] {
            assert_eq!(fold(i), "i");
            assert_eq!(fold(&format!("D{i}YARBAKIR")), "diyarbakir");
        }
        // Lithuanian writes the dot below an accent, too.
        assert_eq!(fold("i\u{307}\u{301}"), "í");
        assert_eq!(fold("Į\u{307}\u{301}"), fold("į\u{301}"));
        assert_ne!(fold("ï"), fold("i"));
        assert_ne!(fold("ė"), fold("e"), "the dot of another letter is an accent");
    }

    #[test]
    fn folding_is_idempotent_and_ignores_case() {
        let mut folding = 0;
        for c in (0..=0x0010_FFFF).filter_map(char::from_u32) {
            let cases = [c.to_lowercase().to_string(), c.to_uppercase().to_string()];
            if cases.iter().all(|case| case.chars().eq([c])) && [c].into_iter().nfkd().eq([c]) {
                continue;
            }
            folding += 1;
            let folded = fold(&c.to_string());
            assert_eq!(fold(&folded), folded, "{c:?}");
            assert!(cases.iter().all(|case| fold(case) == folded), "{c:?}: {cases:?}");
        }
        assert!(folding > 15_000, "{folding}");
    }
}
