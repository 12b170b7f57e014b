//! Letters that look like others (after Unicode TR 39, the part that imitates ASCII).

/// Look-alikes and the ASCII letters they imitate.
const LOOKS: [(&str, &str); 8] = [
    // Cyrillic
    ("аеорсухіјѕԁԛԝһӏвмнткьпгз", "aeopcyxijsdqwhlbmhtkbnr3"),
    ("АВЕКМНОРСТУХІЈЅԌԚԜҮЗ", "ABEKMHOPCTYXIJSGQWY3"),
    // Greek
    ("αοιορνυτκχγηωεβ", "aoiopvutkxynweb"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
    // Armenian, Cherokee and other single letters
    ("օսոհցգզքԼՕՏ", "ounhgqqpLOS"),
    ("ᎪᏴᏟᎠᎬᏀᎻᎫᏦᏞᎷΝᏢᎡᏚᎢᏙᎳᏃ", "ABCDEGHJKLMNPRSTVWZ"),
    // Latin outside ASCII
    ("ıɑɡɩȷʟɴʀʏᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢſ", "iagijlnryacdejkmoptuvwzs"),
    // Dashes, dots and underlines
    ("‐‑‒–—−․‿＿ˍ", "------.___"),
];

/// The ASCII character that this one looks like, if it is none itself.
pub(super) fn ascii_twin(c: char) -> Option<char> {
    if c.is_ascii() {
        return None;
    }
    let code = u32::from(c);
    match code {
        // Fullwidth forms.
        0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0),
        // Mathematical letters: bold, italic, script, fraktur, double-struck, sans, monospace.
        0x1D400..=0x1D6A3 => {
            let at = (code - 0x1D400) % 52;
            char::from_u32(if at < 26 { 0x41 + at } else { 0x61 + at - 26 })
        }
        0x1D7CE..=0x1D7FF => char::from_u32(0x30 + (code - 0x1D7CE) % 10),
        // Circled letters.
        0x24B6..=0x24CF => char::from_u32(0x41 + code - 0x24B6),
        0x24D0..=0x24E9 => char::from_u32(0x61 + code - 0x24D0),
        _ => LOOKS.iter().find_map(|(strange, plain)| {
            strange.chars().zip(plain.chars()).find(|(look, _)| *look == c).map(|(_, twin)| twin)
        }),
    }
}

/// The text as a hurried reader sees it: look-alikes folded, what is invisible left out.
pub(super) fn folded(text: &str) -> String {
    let seen = text.chars().filter(|c| !super::inspect::is_hidden(*c));
    seen.map(|c| ascii_twin(c).unwrap_or(c)).collect()
}

/// A name without case and separators, look-alikes folded: two names with the same skeleton are
/// taken for each other.
pub(super) fn skeleton(name: &str) -> String {
    let seen = folded(name);
    seen.chars()
        .filter(|c| !matches!(c, '_' | '-' | '.' | ' ' | '/' | ':'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_pairs_up() {
        for (strange, plain) in LOOKS {
            assert_eq!(strange.chars().count(), plain.chars().count(), "{strange}");
            assert!(strange.chars().all(|c| !c.is_ascii()) && plain.is_ascii(), "{strange}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for name in [
            "read_file",
            "readFile",
            "Read-File",
            "reаd_file",
            "ｒｅａｄ_file",
            "𝐫𝐞𝐚𝐝file",
            "re\u{200b}ad_file",
        ] {
            assert_eq!(skeleton(name), "readfile", "{name}");
        }
        assert_ne!(skeleton("read_files"), "readfile");
        assert_eq!(folded("日本"), "日本");
    }
}
