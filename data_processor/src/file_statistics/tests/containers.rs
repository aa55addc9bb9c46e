//! Tests of containers: OLE compound files and ZIP archives.

use super::super::BLOCK;
use super::{binary, found};

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";

/// Where an archive stores the size of an entry.
#[derive(Clone, Copy, PartialEq)]
enum Sizes {
    Before,
    Behind,
}

/// An archive of these entries, none of them compressed.
fn zip(entries: &[(&str, &[u8])], sizes: Sizes) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let size = u32::try_from(data.len()).unwrap().to_le_bytes();
        let before = if sizes == Sizes::Before { size } else { [0; 4] };
        let flags = if sizes == Sizes::Before { [0, 0] } else { [8, 0] };
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        archive.extend([b"PK\x03\x04\x14\0", &flags[..], &[0; 10], &before, &before].concat());
        archive.extend([&length[..], &[0, 0], name.as_bytes(), data].concat());
        if sizes == Sizes::Behind {
            archive.extend([b"PK\x07\x08", &[0; 4][..], &size, &size].concat());
        }
        directory.extend([b"PK\x01\x02\x14\0\x14\0", &flags[..], &[0; 10], &size, &size].concat());
        directory.extend([&length[..], &[0; 16], name.as_bytes()].concat());
    }
    let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
    let end = [b"PK\x05\x06", &[0; 8][..], &size, &[0; 6]].concat();
    [archive, directory, end].concat()
}

fn names(names: &[&'static str]) -> Vec<(&'static str, &'static [u8])> {
    names.iter().map(|name| (*name, &b"<data/>"[..])).collect()
}

#[test]
fn archives_are_identified_by_their_entries() {
    const TYPES: &str = "[Content_Types].xml";
    for (entries, media_type) in [
        (vec![TYPES, "_rels/.rels", "docProps/core.xml", "word/document.xml"], DOCX),
        (vec!["word/document.xml", "word/media/a.png", "_rels/.rels", TYPES], DOCX),
        (vec![TYPES, "xl/workbook.xml"], XLSX),
        (vec!["ppt/presentation.xml", TYPES], PPTX),
        (vec![TYPES, "3D/3dmodel.model"], "model/3mf"),
        (vec!["META-INF/MANIFEST.MF"], "application/java-archive"),
        (vec!["a/B.class", "META-INF/MANIFEST.MF", "a/C.class"], "application/java-archive"),
        (
            vec!["META-INF/MANIFEST.MF", "AndroidManifest.xml", "classes.dex"],
            "application/vnd.android.package-archive",
        ),
        (vec!["META-INF/container.xml", "a.xhtml"], "application/epub+zip"),
        (vec!["doc.kml"], "application/vnd.google-earth.kmz"),
        (vec!["word/list.txt", "notes.txt"], "application/zip"),
        (vec!["old/META-INF/MANIFEST.MF"], "application/zip"),
    ] {
        for sizes in [Sizes::Before, Sizes::Behind] {
            let archive = zip(&names(&entries), sizes);
            for name in ["a", "a.zip", "a.csv", "a.bin"] {
                assert_eq!(found(&archive, name), binary(media_type), "{entries:?} as {name}");
            }
        }
    }
}

#[test]
fn an_archive_may_declare_its_type() {
    for media_type in [
        "application/vnd.oasis.opendocument.text",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.graphics-template",
        "application/epub+zip",
        "image/openraster",
    ] {
        let line = format!("{media_type}\n");
        for (content, sizes) in
            [(media_type, Sizes::Before), (media_type, Sizes::Behind), (&line, Sizes::Before)]
        {
            let entries = [("mimetype", content.as_bytes()), ("META-INF/MANIFEST.MF", b"x")];
            assert_eq!(found(&zip(&entries, sizes), "a.jar"), binary(media_type));
        }
    }
    for nonsense in ["", "text/html", "application/", "application/<b>", "application/a/b"] {
        let entries = [("mimetype", nonsense.as_bytes()), ("a", b"x")];
        let archive = zip(&entries, Sizes::Before);
        assert_eq!(found(&archive, "a"), binary("application/zip"), "{nonsense}");
    }
}

#[test]
fn the_name_chooses_among_matching_formats() {
    let word = zip(&names(&["[Content_Types].xml", "word/document.xml"]), Sizes::Before);
    let macros = "application/vnd.ms-word.document.macroEnabled.12";
    let template = "application/vnd.openxmlformats-officedocument.wordprocessingml.template";
    for (name, media_type) in [
        ("a.docm", macros),
        ("a.dotx", template),
        ("a.docx", DOCX),
        ("a.xlsx", DOCX),
        ("a.jar", DOCX),
    ] {
        assert_eq!(found(&word, name), binary(media_type), "{name}");
    }
    let plain = zip(&names(&["a/B.class"]), Sizes::Before);
    for (name, media_type) in [
        ("a.jar", "application/java-archive"),
        ("a.docx", DOCX),
        ("a.odt", "application/vnd.oasis.opendocument.text"),
        ("a.xls", "application/zip"),
        ("a.txt", "application/zip"),
    ] {
        assert_eq!(found(&plain, name), binary(media_type), "{name}");
    }
    assert_eq!(found(&zip(&[], Sizes::Before), "a"), binary("application/zip"));
}

#[test]
fn large_archives_are_identified_by_their_start_or_end() {
    let picture = vec![b'P'; 2 * BLOCK];
    let large = ("media/picture.png", &picture[..]);
    let (types, word) = (("[Content_Types].xml", &b"x"[..]), ("word/document.xml", &b"x"[..]));
    for sizes in [Sizes::Before, Sizes::Behind] {
        for entries in [[types, word, large], [large, word, types], [types, large, word]] {
            assert_eq!(found(&zip(&entries, sizes), "a"), binary(DOCX));
        }
    }
    // The directory is longer than the part of the end that is kept.
    let many: Vec<String> =
        (0..5_000).map(|n| format!("a/long/name/of/a/class/{n}.class")).collect();
    let classes = many.iter().map(|name| (name.as_str(), &b"x"[..]));
    let entries: Vec<_> = classes.chain([("META-INF/MANIFEST.MF", &b"x"[..])]).collect();
    let java = binary("application/java-archive");
    assert_eq!(found(&zip(&entries, Sizes::Before), "a"), java);
}

#[test]
fn entries_of_nested_archives_are_ignored() {
    let inner = zip(&names(&["META-INF/MANIFEST.MF"]), Sizes::Before);
    let outer = zip(&[("lib.jar", &inner), ("notes.txt", b"x")], Sizes::Before);
    assert_eq!(found(&outer, "a"), binary("application/zip"));
}

#[test]
fn truncated_and_damaged_archives_are_archives() {
    let whole = zip(&names(&["[Content_Types].xml", "word/document.xml"]), Sizes::Before);
    for end in 4..whole.len() {
        let (media_type, ..) = found(&whole[..end], "a");
        assert!([DOCX, "application/zip"].contains(&media_type.as_str()), "{end}: {media_type}");
    }
    for at in 4..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] = 0xFF;
        assert!(found(&damaged, "a").2.is_none(), "{at}");
    }
}

#[test]
fn real_documents_are_recognised() {
    let docx = include_bytes!("samples/document.docx");
    assert_eq!(found(docx, "a"), binary(DOCX), "by python-docx");
    let xls = include_bytes!("samples/sheet.xls");
    assert_eq!(found(xls, "a.doc"), binary("application/vnd.ms-excel"), "by xlwt");
}

/// An entry of a directory: its name, kind, neighbours to the left and right, and first child.
fn entry(name: &str, kind: u8, [left, right, child]: [u32; 3], class: &[u8]) -> Vec<u8> {
    let mut entry: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u16::try_from(entry.len() + 2).unwrap().to_le_bytes();
    entry.resize(64, 0);
    entry.extend([&length[..], &[kind, 1]].concat());
    entry.extend([left, right, child].map(u32::to_le_bytes).concat());
    entry.extend(class);
    entry.resize(128, 0);
    entry
}

const NONE: u32 = u32::MAX;

/// A compound file whose directory is in the given sector.
fn ole(directory: &[u8], sector: u32, shift: u16) -> Vec<u8> {
    let mut file = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
    file.resize(30, 0);
    file.extend(shift.to_le_bytes());
    file.resize(48, 0);
    file.extend(sector.to_le_bytes());
    if sector < 0xFFFF_FFFA {
        file.resize((sector as usize + 1) << shift, 0xFF);
    }
    file.extend(directory);
    file
}

#[test]
fn compound_files_are_identified_by_the_entries_of_their_root() {
    for (name, media_type) in [
        ("Workbook", "application/vnd.ms-excel"),
        ("Book", "application/vnd.ms-excel"),
        ("WordDocument", "application/msword"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("VisioDocument", "application/vnd.visio"),
        ("__properties_version1.0", "application/vnd.ms-outlook"),
        ("__substg1.0_0037001F", "application/vnd.ms-outlook"),
        ("Catalog", "application/x-ole-storage"),
    ] {
        let directory = [
            entry("Root Entry", 5, [NONE, NONE, 2], &[]),
            entry("SummaryInformation", 2, [NONE, NONE, NONE], &[]),
            entry("ObjectPool", 1, [1, 4, 3], &[]),
            // An entry of an embedded document.
            entry("Workbook", 2, [NONE, NONE, NONE], &[]),
            entry(name, 2, [NONE, NONE, NONE], &[]),
        ]
        .concat();
        let blocks = u32::try_from(BLOCK / 512).unwrap();
        for (sector, shift) in
            [(0, 9), (0, 12), (3, 12), (blocks - 2, 9), (blocks - 1, 9), (3 * blocks, 9)]
        {
            let file = ole(&directory, sector, shift);
            assert_eq!(found(&file, "a"), binary(media_type), "{name} in {sector}");
        }
    }
}

#[test]
fn compound_files_are_identified_by_the_class_of_their_root() {
    let of_microsoft =
        |number: u32| [&number.to_le_bytes()[..], b"\0\0\0\0\xC0\0\0\0\0\0\0\x46"].concat();
    let of_powerpoint = b"\x10\x8D\x81\x64\x9B\x4F\xCF\x11\x86\xEA\x00\xAA\x00\xB9\x29\xE8";
    for (class, media_type) in [
        (of_microsoft(0x20810), "application/vnd.ms-excel"),
        (of_microsoft(0x20906), "application/msword"),
        (of_microsoft(0x20D0B), "application/vnd.ms-outlook"),
        (of_microsoft(0xC1084), "application/x-msi"),
        (of_powerpoint.to_vec(), "application/vnd.ms-powerpoint"),
    ] {
        // The names are after the part that is kept.
        let directory = entry("Root Entry", 5, [NONE, NONE, 4_000_000], &class);
        assert_eq!(found(&ole(&directory, 0, 9), "a.doc"), binary(media_type));
    }
}

#[test]
fn unidentified_compound_files_are_named_after_the_file() {
    let bare = ole(&[], 0xFFFF_FFFF, 9);
    let encrypted = [
        entry("Root Entry", 5, [NONE, NONE, 1], &[]),
        entry("EncryptedPackage", 2, [1, 1, 1], &[]),
    ]
    .concat();
    for file in [&bare[..512.min(bare.len())], &ole(&encrypted, 0, 9), &ole(&[], 7, 9)] {
        for (name, media_type) in [
            ("a.ppt", "application/vnd.ms-powerpoint"),
            ("a.XLS", "application/vnd.ms-excel"),
            ("a.doc", "application/msword"),
            ("a.msg", "application/vnd.ms-outlook"),
            ("a.docx", DOCX),
            ("a.txt", "application/x-ole-storage"),
            ("a", "application/x-ole-storage"),
        ] {
            assert_eq!(found(file, name), binary(media_type), "{name}");
        }
    }
}
