//! The file name that the server suggests for a result, made safe for this machine.

/// The base name in a `Content-Disposition` (RFC 6266), if it is usable. It always names a visible
/// file in the current folder.
pub(crate) fn from_content_disposition(header: &[u8]) -> Option<String> {
    let header = String::from_utf8_lossy(header);
    let parameters = parameters(&header);
    let find = |wanted: &str| {
        parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    };
    let extended = find("filename*").and_then(extended_value);
    sanitized(&extended.or_else(|| find("filename").map(str::to_owned))?)
}

/// The `name=value` parts after the first semicolon; names in lower case, quotes resolved.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut part = String::new();
    let mut characters = header.chars();
    let mut quoted = false;
    loop {
        let next = characters.next();
        match next {
            Some('\\') if quoted => part.extend(characters.next()),
            Some('"') => quoted = !quoted,
            Some(character) if quoted || character != ';' => part.push(character),
            _ => {
                if let Some((name, value)) = part.split_once('=') {
                    parameters.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                }
                part.clear();
                if next.is_none() {
                    return parameters;
                }
            }
        }
    }
}

/// `UTF-8''na%C3%AFve.csv` (RFC 8187); other character sets are left to the plain `filename`.
fn extended_value(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn sanitized(name: &str) -> Option<String> {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let visible: String = base.chars().filter(|character| !character.is_control()).collect();
    // A leading dot would hide the file, or make it a shell's configuration.
    let name = visible.trim().trim_start_matches('.').trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(header: &str) -> Option<String> {
        from_content_disposition(header.as_bytes())
    }

    #[test]
    fn file_names_are_parsed_per_rfc_6266() {
        for (header, expected) in [
            ("attachment; filename=\"plays.csv\"", "plays.csv"),
            ("attachment; filename=plays.csv", "plays.csv"),
            ("attachment; FileName = \"a; b\\\".csv\"; size=3", "a; b\".csv"),
            (
                "attachment; filename=\"na_ve.csv\"; filename*=UTF-8''na%C3%AFve%20x.csv",
                "naïve x.csv",
            ),
            ("attachment; filename=\"plain.csv\"; filename*=latin1''x.csv", "plain.csv"),
            ("attachment; filename=\"plain.csv\"; filename*=UTF-8''%ZZ.csv", "plain.csv"),
        ] {
            assert_eq!(name(header).as_deref(), Some(expected), "{header}");
        }
    }

    #[test]
    fn a_name_cannot_leave_the_folder_or_hide() {
        for (header, expected) in [
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename*=UTF-8''..%2F..%2F.bashrc", Some("bashrc")),
            ("attachment; filename=\"C:\\\\temp\\\\x.csv\"", Some("x.csv")),
            ("attachment; filename=\"a\u{7}b.csv\"", Some("ab.csv")),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename=\"folder/\"", None),
            ("attachment; filename=\"\"", None),
            ("attachment", None),
        ] {
            assert_eq!(name(header).as_deref(), expected, "{header}");
        }
    }
}
