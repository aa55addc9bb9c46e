//! Cleans the file names that clients send.

use common::task::TaskKind;

/// The longest name that is stored, in characters.
const MAX_LENGTH: usize = 255;

/// The name of an unnamed file. Only files that are read as CSV get that extension.
fn unnamed(kind: TaskKind) -> &'static str {
    if kind.reads_csv() { "upload.csv" } else { "upload" }
}

/// The last part of a path of any system, without control characters, and shortened before its
/// extension if it is too long; a neutral name if nothing is left.
pub fn clean(given: &str, kind: TaskKind) -> String {
    let base = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = base.chars().filter(|c| !c.is_control()).collect();
    let name = plain.trim();
    if name.is_empty() || name == "." || name == ".." {
        return unnamed(kind).to_owned();
    }
    let length = name.chars().count();
    match name.rsplit_once('.') {
        Some((stem, ending)) if length > MAX_LENGTH && ending.chars().count() < 16 => {
            let keep = MAX_LENGTH - ending.chars().count() - 1;
            format!("{}.{ending}", stem.chars().take(keep).collect::<String>())
        }
        _ => name.chars().take(MAX_LENGTH).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(given: &str) -> String {
        super::clean(given, TaskKind::CsvAggregation)
    }

    #[test]
    fn only_the_last_part_of_a_path_is_kept() {
        assert_eq!(clean("songs.csv"), "songs.csv");
        assert_eq!(clean("../../etc/passwd"), "passwd");
        assert_eq!(clean("C:\\data\\große songs.csv"), "große songs.csv");
        assert_eq!(clean("a\r\nb.csv"), "ab.csv");
    }

    #[test]
    fn unnamed_files_get_a_csv_name_only_for_csv_kinds() {
        for given in ["", "..", "dir/", " \t", "\0"] {
            assert_eq!(super::clean(given, TaskKind::CsvAggregation), "upload.csv");
            assert_eq!(super::clean(given, TaskKind::DataUpload), "upload.csv");
            assert_eq!(super::clean(given, TaskKind::FileStatistics), "upload");
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let cleaned = clean(&format!("{}.csv", "é".repeat(400)));
        assert_eq!(cleaned.chars().count(), 255);
        assert!(cleaned.ends_with(".csv"));
    }
}
