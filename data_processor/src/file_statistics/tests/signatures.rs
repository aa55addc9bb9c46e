//! Text that starts with the signature of another format, and formats that are written as text.

use common::file_statistics::Encoding;

use super::super::BLOCK;
use super::{binary, found, text};

/// First bytes that match a signature, in files that are text.
const TEXTS: [&str; 42] = [
    "MAC address,Host\n00:00:5e:00:53:01,printer\n",
    "SQLite keeps a database in one file.\n",
    "070701,Plays\n070702,3\n",
    "BMW is a car.\n",
    "BC,Plays\n",
    "MZ\n",
    "ID3 tags\n",
    "MThd is how MIDI begins.\n",
    "M4A is a format,yes\n",
    "OggS,Plays\n",
    "fLaC is lossless.\n",
    "RIFF,or,AVI and WAVE\n",
    "RIFF: a WAVE of sound\n",
    "FORM: a AIFF file\n",
    "DSD audio,3\n",
    "GIF89a is a picture format.\n",
    "8BPS,Plays\n",
    "AC1015,Plays\n",
    "AT&TFORM: a DJVU file\n",
    "A photo WEBP,3\n",
    "The ftypisom box\n",
    "The moov atom of a film\n",
    "An atom calmdat\n",
    "FLV and SWF\n",
    "FWS,CWS\n",
    "CWS,FWS\n",
    "wOFF2 is a font.\n",
    "OTTO,Plays\n",
    "PK,Plays\nPK00,3\n",
    "Rar! is what it says.\n",
    "BZh91AY&SY is how bzip2 begins.\n",
    "BZ3v1,Plays\n",
    "Cr24,Plays\n",
    "MSCF,Plays\n",
    "ISc(3),Plays\n",
    "LZIP,Plays\n",
    "NES,Plays\n",
    "!<arch> begins an archive.\n",
    "#!AMR\nis a comment.\n",
    "%PDF-1.4 is a version, and %!PS another format.\n",
    "%!TEX root = main.tex\n",
    "{\\rtf is how RTF begins.\n",
];

#[test]
fn valid_text_takes_precedence_over_a_signature() {
    let long = "a long line of words to come, ".repeat(2 * BLOCK / 30);
    // Signatures that are not at the start of the file.
    let deep = [60, 128, 257].map(|at| "x".repeat(at) + "BOOKMOBIDICMustar\n");
    let deep = ["BOOKMOBI", "DICM", "ustar"].iter().zip(deep).map(|(signature, text)| {
        let at = text.find("BOOK").unwrap();
        text[..at].to_owned() + signature + "\n"
    });
    let texts = TEXTS.map(str::to_owned).into_iter().chain(deep);
    for short in texts {
        for text in
            [short.clone(), short.clone() + &long, short.clone() + "Grüße, \t\u{c}\u{1b}[0m"]
        {
            let counts = (
                text.matches('\n').count() as u64,
                text.split_whitespace().count() as u64,
                text.chars().count() as u64,
            );
            for (name, content_type) in
                [("a.csv", "text/csv"), ("a.md", "text/markdown"), ("a.txt", "text/plain")]
            {
                assert_eq!(
                    found(text.as_bytes(), name),
                    super::text(content_type, counts),
                    "{short}"
                );
            }
            let nameless = found(text.as_bytes(), "a");
            let expected =
                if short.starts_with("#!") { "text/x-shellscript" } else { "text/plain" };
            assert_eq!((nameless.0.as_str(), nameless.1), (expected, Encoding::Utf8), "{short}");
        }
    }
}

#[test]
fn one_non_text_byte_confirms_a_signature() {
    let signatures = [
        ("MAC words", "audio/x-ape"),
        ("SQLite words", "application/vnd.sqlite3"),
        ("070701 words", "application/x-cpio"),
        ("BM words", "image/bmp"),
    ];
    let words = " and words without end".repeat(2 * BLOCK / 22);
    for (start, media_type) in signatures {
        for end in ["\0", "\u{1}", "\u{7f}"] {
            for text in [format!("{start}{end}"), format!("{start}{words}{end}")] {
                assert_eq!(found(text.as_bytes(), "a.csv"), binary(media_type), "{start}{end:?}");
            }
        }
    }
}

#[test]
fn text_of_an_unknown_encoding_takes_precedence_after_some_ascii() {
    let latin = b"SQLite is a database: ein schl\xFCssel\n";
    assert_eq!(
        found(latin, "a.txt"),
        ("text/plain".to_owned(), Encoding::Unknown8Bit, Some((1, 6, 36)))
    );
    // bzip2 of `x`, whose bytes may also be letters of some encoding.
    let packed = b"BZh91AY&SY\xB3\xA9\xC4\xD5\xE6\xF7\xA8\xB9\xCA\xDB";
    assert_eq!(found(packed, "a"), binary("application/x-bzip2"));
}

#[test]
fn formats_written_as_text_are_recognised_by_their_first_line() {
    for pdf in ["%PDF-1.4\n1 0 obj\n", "%PDF-1.7\r\n%%EOF", "%PDF-2.0 \r"] {
        assert_eq!(found(pdf.as_bytes(), "a.txt"), binary("application/pdf"), "{pdf}");
    }
    for rtf in ["{\\rtf1\\ansi Words}", "{\\rtf\\ansi Words}"] {
        assert_eq!(found(rtf.as_bytes(), "a.txt"), binary("application/rtf"), "{rtf}");
    }
    let archive = format!("!<arch>\n{:<58}`\nwords\n", "notes.txt/");
    assert_eq!(found(archive.as_bytes(), "a"), binary("application/x-unix-archive"));
    for script in ["%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n", "%!PS\nshowpage\n", "%!\nshowpage\n"] {
        let (media_type, encoding, counts) = found(script.as_bytes(), "a");
        assert_eq!((media_type.as_str(), encoding), ("application/postscript", Encoding::Utf8));
        assert_eq!(counts.unwrap().0, 2, "{script}");
    }
}

#[test]
fn certificates_and_keys_are_text() {
    let certificate = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for name in ["a", "a.pem"] {
        let counted = text("application/x-x509-ca-cert", (3, 5, 59));
        assert_eq!(found(certificate, name), counted, "{name}");
    }
    let message = b"-----BEGIN PGP MESSAGE-----\n";
    assert_eq!(found(message, "a"), text("text/plain", (1, 3, 28)));
    assert_eq!(found(message, "a.md"), text("text/markdown", (1, 3, 28)));
}
