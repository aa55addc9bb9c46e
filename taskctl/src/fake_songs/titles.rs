//! Titles of songs, composed of words.

use common::random::Random;

const ADJECTIVES: [&str; 20] = [
    "Golden",
    "Midnight",
    "Broken",
    "Electric",
    "Silent",
    "Crimson",
    "Endless",
    "Hollow",
    "Velvet",
    "Paper",
    "Distant",
    "Burning",
    "Gentle",
    "Neon",
    "Wild",
    "Über",
    "Décadent",
    "Ñandú",
    "Señorita",
    "Lonely",
];

const NOUNS: [&str; 25] = [
    "River",
    "Heart",
    "Summer",
    "Mirror",
    "Highway",
    "Garden",
    "Thunder",
    "Letter",
    "Shadow",
    "Carnival",
    "Harbour",
    "Satellite",
    "Lullaby",
    "Telephone",
    "Avalanche",
    "Café",
    "Straße",
    "Corazón",
    "Été",
    "Smörgåsbord",
    "Żubr",
    "Москва",
    "東京",
    "Promise",
    "Window",
];

/// The texts around the two words, with the commas, quotes and parentheses of real titles.
const FORMS: [[&str; 2]; 10] = [
    ["", ""],
    ["The ", ""],
    ["", ", Baby"],
    ["My ", " Is Gone"],
    ["\"", "\" (Live)"],
    ["Hey, ", ""],
    ["Dancing on a ", ""],
    ["", " Blues"],
    ["(I Want a) ", ""],
    ["Say \"Yes\", ", ""],
];

const COMBINATIONS: u64 = (ADJECTIVES.len() * NOUNS.len() * FORMS.len()) as u64;
/// Coprime to the number of combinations, so that steps of it reach all of them.
const STRIDE: u64 = 1_237;

/// `count` distinct titles, as CSV fields.
pub(super) fn titles(count: u32, random: &mut Random) -> Vec<String> {
    let start = random.below(COMBINATIONS);
    (0..u64::from(count))
        .map(|song| {
            let title = title((start + song * STRIDE) % COMBINATIONS);
            match song / COMBINATIONS {
                0 => field(&title),
                round => field(&format!("{title}, Pt. {}", round + 1)),
            }
        })
        .collect()
}

fn title(combination: u64) -> String {
    let mut rest = combination as usize;
    let mut pick = |count: usize| {
        let index = rest % count;
        rest /= count;
        index
    };
    let [before, behind] = FORMS[pick(FORMS.len())];
    let (adjective, noun) = (ADJECTIVES[pick(ADJECTIVES.len())], NOUNS[pick(NOUNS.len())]);
    format!("{before}{adjective} {noun}{behind}")
}

fn field(text: &str) -> String {
    if text.contains([',', '"']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn titles_differ() {
        for seed in 0..3 {
            let titles: BTreeSet<_> = titles(20_000, &mut Random::new(seed)).into_iter().collect();
            assert_eq!(titles.len(), 20_000);
        }
    }

    #[test]
    fn few_titles_need_quoting() {
        let titles = titles(40, &mut Random::new(0));
        for part in [",", "\"\""] {
            assert!(titles.iter().any(|title| title.contains(part)), "{part}");
        }
        assert!(titles.iter().any(|title| !title.is_ascii()));
        assert!(titles.iter().any(|title| !title.starts_with('"')));
    }
}
