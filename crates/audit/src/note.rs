//! Signed notes (C2SP signed-note): a text and, under it, a line for each signature.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// How a signature line begins.
const DASH: &str = "— ";

/// Notes longer than this are not looked at.
const LONGEST: usize = 64 * 1024;

/// A text is no signed note, or not of the kind expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a signed note: {0}")]
pub struct NoteError(pub(crate) &'static str);

/// One signature under a note. Whose it is, its name and number say; whether it holds is for
/// whoever knows that key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The key's number: the first four bytes of a hash over name, kind and key.
    pub id: [u8; 4],
    /// What the key's kind says: an Ed25519 signature, or a time and one.
    pub bytes: Vec<u8>,
}

/// What kind of signature a key makes; part of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureKind {
    /// Ed25519 over the text.
    Plain,
    /// Ed25519 over a time and the text (C2SP tlog-cosignature).
    Timed,
}

impl SignatureKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Plain => 0x01,
            Self::Timed => 0x04,
        }
    }

    /// The number of a key under a name.
    pub(crate) fn id(self, name: &str, key: &[u8; 32]) -> [u8; 4] {
        let hash = Sha256::new().chain_update(name).chain_update([b'\n', self.byte()]);
        let hash = hash.chain_update(key).finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

/// A text with its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// What is signed; ends with a line feed.
    pub(crate) text: String,
    pub(crate) signatures: Vec<NoteSignature>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.bytes].concat();
        write!(f, "{DASH}{} {}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let wrong = NoteError("a signature line is not of its form");
        let (name, bytes) =
            line.strip_prefix(DASH).and_then(|rest| rest.split_once(' ')).ok_or(wrong)?;
        let bytes = STANDARD.decode(bytes).map_err(|_| wrong)?;
        let (id, bytes) = bytes.split_first_chunk::<4>().ok_or(wrong)?;
        if !is_key_name(name) || bytes.is_empty() {
            return Err(wrong);
        }
        Ok(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > LONGEST {
            return Err(NoteError("it is too long"));
        }
        if note.chars().any(|c| c.is_ascii_control() && c != '\n') {
            return Err(NoteError("it holds control characters"));
        }
        let at = note.rfind("\n\n").ok_or(NoteError("it has no signatures"))?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError("it ends within a line"))?;
        let signatures = lines.split('\n').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }
}

/// Whether a word may name a key, and so a log: something, without spaces and plus signs.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// The notes of a text in which several stand one after the other, empty lines between.
pub(crate) fn notes(text: &str) -> impl Iterator<Item = &str> {
    // A note has one empty line within; after its signatures comes another, or the next note.
    let mut rest = text.trim_start_matches('\n');
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.find("\n\n").map_or(rest.len(), |at| at + 2);
        while rest[end..].starts_with(DASH) {
            end += rest[end..].find('\n').map_or(rest.len() - end, |at| at + 1);
        }
        let (note, after) = rest.split_at(end);
        rest = after.trim_start_matches('\n');
        Some(note)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\n\
        ed è subito sera.\n\n\
        — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMou\
        FSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

    #[test]
    fn the_specification_s_example_is_read_and_written() {
        let note: Note = EXAMPLE.parse().unwrap();
        assert!(note.text.ends_with("sera.\n") && note.text.contains("\n\n"));
        assert_eq!(note.signatures[0].name, "quasimodo.example/salvatore");
        assert_eq!(note.signatures[0].bytes.len(), 64);
        assert_eq!(note.to_string(), EXAMPLE);
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for wrong in [
            "",
            "text\n",
            "text\n\n",
            "text\n\n— name\n",
            "text\n\n— name %%\n",
            "text\n\n— na+me AAAAAAAA\n",
            "text\n\n— name AAAAAA==\n",
            "text\n\n- name AAAAAAAA\n",
            "text\n\n— name AAAAAAAA",
            "te\rxt\n\n— name AAAAAAAA\n",
            &format!("{}\n\n— name AAAAAAAA\n", "x".repeat(LONGEST)),
        ] {
            assert!(wrong.parse::<Note>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_of_notes_is_taken_apart() {
        let one = "a\n1\nx\n\n— a AAAAAAAA\n— b AAAAAAAA\n";
        let two = "a\n2\ny\n\n— a AAAAAAAA\n";
        for text in [format!("{one}\n{two}"), format!("{one}{two}"), format!("\n{one}\n\n{two}\n")]
        {
            assert_eq!(notes(&text).collect::<Vec<_>>(), [one, two]);
        }
        assert_eq!(notes("").count(), 0);
    }
}
