//! Writing TOML by hand, so that it reads as if a person wrote it.

use std::fmt::Write;

/// One table of the file.
#[derive(Debug, Default)]
pub(super) struct Table {
    header: String,
    keys: Vec<(String, String)>,
}

impl Table {
    /// `[[name]]`.
    pub(super) fn of_list(name: &str) -> Self {
        Self { header: format!("[[{name}]]"), keys: Vec::new() }
    }

    /// `[name]`.
    pub(super) fn single(name: &str) -> Self {
        Self { header: format!("[{name}]"), keys: Vec::new() }
    }

    /// A key with a value that is TOML already.
    pub(super) fn raw(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.keys.push((key.to_owned(), value.into()));
        self
    }

    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, quoted(value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn write(&self, out: &mut String) {
        if !out.is_empty() {
            out.push('\n');
        }
        let width = self.keys.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        // Writing into a string does not fail.
        let _ = writeln!(out, "{}", self.header);
        for (key, value) in &self.keys {
            let _ = writeln!(out, "{key:width$} = {value}");
        }
    }
}

/// A basic string. JSON's escapes are TOML's, but for the slash, which needs none.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// `{ env = "NAME" }`.
pub(super) fn env(name: &str) -> String {
    format!("{{ env = {} }}", quoted(name))
}
