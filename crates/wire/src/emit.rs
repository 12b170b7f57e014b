//! Writing JSON text and SSE events.

use std::fmt::{Display, Write};

use bytes::{BufMut, BytesMut};

/// Writes an object.
pub(crate) fn object(out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
    out.put_u8(b'{');
    fill(&mut Object { out, first: true });
    out.put_u8(b'}');
}

/// An object being written.
pub(crate) struct Object<'o> {
    out: &'o mut BytesMut,
    first: bool,
}

impl Object<'_> {
    /// Writes the member's name; its value is to follow.
    fn key(&mut self, name: &str) -> &mut BytesMut {
        if !std::mem::take(&mut self.first) {
            self.out.put_u8(b',');
        }
        string(self.out, name);
        self.out.put_u8(b':');
        self.out
    }

    pub(crate) fn str(&mut self, name: &str, text: &str) {
        string(self.key(name), text);
    }

    pub(crate) fn opt_str(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.str(name, text);
        }
    }

    /// Writes a value that is JSON text already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        self.key(name).put_slice(json.as_bytes());
    }

    /// Writes a number or a boolean.
    pub(crate) fn value(&mut self, name: &str, value: impl Display) {
        display(self.key(name), value);
    }

    pub(crate) fn opt(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.key(name), fill);
    }

    pub(crate) fn array(&mut self, name: &str, fill: impl FnOnce(&mut Array<'_>)) {
        let out = self.key(name);
        out.put_u8(b'[');
        fill(&mut Array { out, first: true });
        out.put_u8(b']');
    }
}

/// An array being written.
pub(crate) struct Array<'o> {
    out: &'o mut BytesMut,
    first: bool,
}

impl Array<'_> {
    fn item(&mut self) -> &mut BytesMut {
        if !std::mem::take(&mut self.first) {
            self.out.put_u8(b',');
        }
        self.out
    }

    pub(crate) fn str(&mut self, text: &str) {
        string(self.item(), text);
    }

    pub(crate) fn raw(&mut self, json: &str) {
        self.item().put_slice(json.as_bytes());
    }

    /// Writes a number or a boolean.
    pub(crate) fn value(&mut self, value: impl Display) {
        display(self.item(), value);
    }

    pub(crate) fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.item(), fill);
    }

    pub(crate) fn array(&mut self, fill: impl FnOnce(&mut Array<'_>)) {
        let out = self.item();
        out.put_u8(b'[');
        fill(&mut Array { out, first: true });
        out.put_u8(b']');
    }
}

/// Writes a string, quoted.
pub(crate) fn string(out: &mut BytesMut, text: &str) {
    out.reserve(text.len() + 2);
    out.put_u8(b'"');
    escaped(out, text);
    out.put_u8(b'"');
}

/// Writes a string's inside (RFC 8259 §7).
pub(crate) fn escaped(out: &mut BytesMut, text: &str) {
    let (bytes, mut from) = (text.as_bytes(), 0);
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.put_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.put_slice(b"\\\""),
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            _ => display(out, format_args!("\\u{byte:04x}")),
        }
    }
    out.put_slice(&bytes[from..]);
}

/// A string's inside, as JSON writes it.
pub(crate) fn escape(text: &str) -> String {
    let mut out = BytesMut::with_capacity(text.len());
    escaped(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

fn display(out: &mut BytesMut, value: impl Display) {
    // A `BytesMut` grows, so nothing can fail here.
    let _ = write!(out, "{value}");
}

/// Writes one SSE event whose data is an object.
pub(crate) fn sse(out: &mut BytesMut, event: Option<&str>, fill: impl FnOnce(&mut Object<'_>)) {
    if let Some(event) = event {
        out.put_slice(b"event: ");
        out.put_slice(event.as_bytes());
        out.put_u8(b'\n');
    }
    out.put_slice(b"data: ");
    object(out, fill);
    out.put_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_went() {
        for text in ["", "plain", "q\" b\\ n\n r\r t\t nul\0 esc\u{1b} é 😀"] {
            let mut out = BytesMut::new();
            string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
