//! The texts in a JSON text, changed where they stand; every other byte stays.

use std::ops::Range;

use serde_json::value::RawValue;

/// Members whose texts are bytes of media (MCP `ImageContent`, `BlobResourceContents`, Gemini
/// `inlineData`): where such a text is long and nothing but base64, it is not looked at.
const MEDIA: [&str; 2] = ["data", "blob"];
const SHORT: usize = 1024;

/// Changes one text; `None`: it stays.
pub(super) type Edit<'a, E> = dyn FnMut(&str) -> Result<Option<String>, E> + 'a;

/// Changes the texts of a value, keys and long numbers included; `None`: all stay.
pub(super) fn edit<E>(
    value: &RawValue,
    edit: &mut Edit<'_, E>,
) -> Result<Option<Box<RawValue>>, E> {
    Ok(edit_text(value.get(), edit)?.and_then(|text| RawValue::from_string(text).ok()))
}

/// The same for a JSON text that may be none: that is one text then.
pub(super) fn edit_text<E>(json: &str, edit: &mut Edit<'_, E>) -> Result<Option<String>, E> {
    if serde_json::from_str::<&RawValue>(json).is_err() {
        return edit(json);
    }
    let mut out = String::new();
    let (mut kept, mut at, mut last) = (0, 0, String::new());
    let bytes = json.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        let (token, text) = match byte {
            b'"' => {
                let token = at..string_end(bytes, at);
                (token.clone(), serde_json::from_str::<String>(&json[token]).unwrap_or_default())
            }
            b'-' | b'0'..=b'9' => {
                let token = at..number_end(bytes, at);
                (token.clone(), json[token].to_owned())
            }
            _ => {
                at += 1;
                continue;
            }
        };
        at = token.end;
        let is_text = byte == b'"';
        let media = is_text && MEDIA.contains(&last.as_str()) && is_media(&text);
        // No number of fewer digits is anybody's.
        let looked = if is_text { !media } else { text.len() >= 8 };
        if let Some(changed) = if looked { edit(&text)? } else { None } {
            put(json, &mut out, kept..token.start);
            out.push_str(&serde_json::Value::String(changed).to_string());
            kept = token.end;
        }
        if is_text {
            last = text;
        }
    }
    if kept == 0 {
        return Ok(None);
    }
    put(json, &mut out, kept..json.len());
    Ok(Some(out))
}

fn put(json: &str, out: &mut String, range: Range<usize>) {
    out.push_str(json.get(range).unwrap_or_default());
}

fn is_media(text: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte);
    text.len() > SHORT && text.bytes().all(base64)
}

/// Behind the quotes that end a string.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn number_end(bytes: &[u8], start: usize) -> usize {
    let digits = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    start + bytes[start..].iter().take_while(|byte| digits(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_change_where_they_stand() {
        let mut upper = |text: &str| {
            Ok::<_, ()>((text.contains('a') || text.contains('4')).then(|| text.to_uppercase()))
        };
        for (json, changed) in [
            (r#"{ "k": ["x", 1.50, "\u0061\n"] }"#, Some("{ \"k\": [\"x\", 1.50, \"A\\n\"] }")),
            (r#"{"a":41111111,"b":4}"#, Some(r#"{"A":"41111111","b":4}"#)),
            (r#"{"x":"\\\"y"}"#, None),
            ("no json, a", Some("NO JSON, A")),
            ("true", None),
        ] {
            assert_eq!(edit_text(json, &mut upper).unwrap().as_deref(), changed, "{json}");
        }
        let mut long = |text: &str| Ok::<_, ()>((text.len() > SHORT).then(String::new));
        let data = |text: &str| format!(r#"{{"data":"{}"}}"#, text.repeat(SHORT));
        assert_eq!(edit_text(&data("aB"), &mut long), Ok(None));
        assert_eq!(edit_text(&data("a "), &mut long), Ok(Some(r#"{"data":""}"#.to_owned())));
    }
}
