//! What clients of older revisions cannot read is said otherwise, or left out.
//!
//! 2024-11-05 has no audio and no annotations of tools; up to 2025-03-26 there are no links to
//! resources, structured results or titles; up to 2025-06-18 no icons and no tasks; before
//! 2026-07-28 structured results are objects.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::revision::Revision;
use super::write::{Shape, task_fields};
use crate::edit;

/// A result as a client with a handshake reads it.
pub(super) fn result(revision: Revision, shape: Shape, text: &str) -> Cow<'_, str> {
    let text = match shape {
        Shape::Task => task_fields(text, revision),
        _ => Cow::Borrowed(text),
    };
    let mut gone: Vec<&str> = Vec::new();
    if edit::mentions(&text, "\"resultType\"") {
        gone.push("resultType");
    }
    if shape == Shape::Resource && edit::mentions(&text, "\"ttlMs\"") {
        gone.extend(["ttlMs", "cacheScope"]);
    }
    if edit::mentions(&text, "structuredContent") {
        let structured = edit::member(&text, "structuredContent");
        let wrong = structured.is_some_and(|value| !value.starts_with('{'));
        if wrong || revision < Revision::Jun2025 {
            gone.push("structuredContent");
        }
    }
    let text = if gone.is_empty() { text } else { less(text, &gone) };
    match shape {
        Shape::Call => contents(revision, text, "content"),
        Shape::Prompt => messages(revision, text),
        _ => text,
    }
}

fn less<'a>(text: Cow<'a, str>, names: &[&str]) -> Cow<'a, str> {
    match edit::without(&text, names) {
        Some(Cow::Owned(less)) => Cow::Owned(less),
        _ => text,
    }
}

/// Whether there may be anything in it that the revision does not know.
fn suspect(revision: Revision, text: &str) -> bool {
    let has = |words| edit::mentions(text, words);
    (revision < Revision::Nov2025 && has("\"icons\""))
        || (revision < Revision::Jun2025 && has("resource_link"))
        || (revision < Revision::Mar2025 && has("\"audio\""))
}

fn contents<'a>(revision: Revision, text: Cow<'a, str>, name: &str) -> Cow<'a, str> {
    if !suspect(revision, &text) {
        return text;
    }
    let items = edit::member(&text, name).and_then(|list| {
        let items: Vec<&RawValue> = serde_json::from_str(list).ok()?;
        Some(items.iter().map(|item| content(revision, item.get())).collect::<Vec<_>>().join(","))
    });
    match items.and_then(|items| edit::replace(&text, name, &format!("[{items}]"))) {
        Some(edited) => Cow::Owned(edited),
        None => text,
    }
}

fn messages(revision: Revision, text: Cow<'_, str>) -> Cow<'_, str> {
    if !suspect(revision, &text) {
        return text;
    }
    let items = edit::member(&text, "messages").and_then(|list| {
        let items: Vec<&RawValue> = serde_json::from_str(list).ok()?;
        let items = items.iter().map(|item| {
            let told = edit::member(item.get(), "content").map(|one| content(revision, one));
            let edited = told.and_then(|told| edit::replace(item.get(), "content", &told));
            edited.map_or(Cow::Borrowed(item.get()), Cow::Owned)
        });
        Some(items.collect::<Vec<_>>().join(","))
    });
    match items.and_then(|items| edit::replace(&text, "messages", &format!("[{items}]"))) {
        Some(edited) => Cow::Owned(edited),
        None => text,
    }
}

/// One block of content.
fn content(revision: Revision, block: &str) -> Cow<'_, str> {
    let word = |name| {
        let text = edit::member(block, name)?;
        serde_json::from_str::<String>(text).ok()
    };
    let said =
        |text: String| Cow::Owned(format!(r#"{{"type":"text","text":{}}}"#, edit::quote(&text)));
    match word("type").as_deref() {
        Some("resource_link") if revision < Revision::Jun2025 => {
            let uri = word("uri").unwrap_or_default();
            match word("title").or_else(|| word("name")) {
                Some(name) => said(format!("{name}: {uri}")),
                None => said(uri),
            }
        }
        Some("audio") if revision < Revision::Mar2025 => {
            let kind = word("mimeType").unwrap_or_else(|| "unknown kind".into());
            said(format!("[audio, {kind}: this client's protocol version has no audio]"))
        }
        _ if revision < Revision::Nov2025 => {
            edit::without(block, &["icons"]).unwrap_or(Cow::Borrowed(block))
        }
        _ => Cow::Borrowed(block),
    }
}

/// A tool's definition as a client of the revision reads it.
pub(super) fn tool(revision: Revision, text: &str) -> Cow<'_, str> {
    let mut gone: Vec<&str> = Vec::new();
    let mut drop = |since: Revision, names: &[&'static str]| {
        if revision < since {
            gone.extend(names.iter().filter(|name| edit::mentions(text, name)));
        }
    };
    drop(Revision::Nov2025, &["icons", "execution"]);
    drop(Revision::Jun2025, &["title", "outputSchema"]);
    drop(Revision::Mar2025, &["annotations"]);
    if !revision.is_modern() && !gone.contains(&"outputSchema") && is_no_object(text) {
        gone.push("outputSchema");
    }
    if gone.is_empty() { Cow::Borrowed(text) } else { less(Cow::Borrowed(text), &gone) }
}

/// Before 2026-07-28 an output schema had to describe an object.
fn is_no_object(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Schema<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<Cow<'a, str>>,
    }
    if !edit::mentions(text, "outputSchema") {
        return false;
    }
    edit::member(text, "outputSchema").is_some_and(|schema| {
        edit::read::<Schema<'_>>(schema.as_bytes())
            .map_or(true, |schema| schema.kind.as_deref() != Some("object"))
    })
}

/// A prompt's, resource's or template's definition as a client of the revision reads it.
pub(super) fn item(revision: Revision, text: &str) -> Cow<'_, str> {
    let mut gone: Vec<&str> = Vec::new();
    if revision < Revision::Nov2025 && edit::mentions(text, "icons") {
        gone.push("icons");
    }
    if revision < Revision::Jun2025 && edit::mentions(text, "title") {
        gone.push("title");
    }
    if gone.is_empty() { Cow::Borrowed(text) } else { less(Cow::Borrowed(text), &gone) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_as_the_revision_can_read_it() {
        let link = r#"{"content":[{"type":"resource_link","uri":"u:1","name":"n","icons":[]}]}"#;
        let audio = r#"{"content":[{"type":"audio","mimeType":"audio/wav","data":"x"}],"z":1e2}"#;
        let structured = r#"{"content":[],"structuredContent":{"a":1}}"#;
        let list = r#"{"content":[],"structuredContent":[1]}"#;
        let modern = r#"{"content":[],"resultType":"complete"}"#;
        for (revision, text, told) in [
            (Revision::Mar2025, link, r#"{"content":[{"type":"text","text":"n: u:1"}]}"#),
            (
                Revision::Jun2025,
                link,
                r#"{"content":[{"type":"resource_link","uri":"u:1","name":"n"}]}"#,
            ),
            (Revision::Nov2025, link, link),
            (
                Revision::Nov2024,
                audio,
                r#"{"content":[{"type":"text","text":"[audio, audio/wav: this client's protocol version has no audio]"}],"z":1e2}"#,
            ),
            (Revision::Mar2025, audio, audio),
            (Revision::Mar2025, structured, r#"{"content":[]}"#),
            (Revision::Jun2025, structured, structured),
            (Revision::Nov2025, list, r#"{"content":[]}"#),
            (Revision::Nov2025, modern, r#"{"content":[]}"#),
        ] {
            assert_eq!(result(revision, Shape::Call, text), told, "{revision:?}");
        }
        let prompt =
            r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"u:1"}}]}"#;
        assert_eq!(
            result(Revision::Nov2024, Shape::Prompt, prompt),
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"u:1"}}]}"#
        );
        let read = r#"{"contents":[],"ttlMs":5,"cacheScope":"public"}"#;
        assert_eq!(result(Revision::Nov2025, Shape::Resource, read), r#"{"contents":[]}"#);
    }

    #[test]
    fn definitions_lose_what_the_revision_does_not_know() {
        let text = r#"{"name":"t","title":"T","icons":[],"execution":{},"annotations":{"title":"A"},"outputSchema":{"type":"object"},"x":1.0}"#;
        for (revision, told) in [
            (Revision::Nov2024, r#"{"name":"t","x":1.0}"#),
            (Revision::Mar2025, r#"{"name":"t","annotations":{"title":"A"},"x":1.0}"#),
            (
                Revision::Jun2025,
                r#"{"name":"t","title":"T","annotations":{"title":"A"},"outputSchema":{"type":"object"},"x":1.0}"#,
            ),
            (Revision::Nov2025, text),
            (Revision::Modern, text),
        ] {
            assert_eq!(tool(revision, text), told, "{revision:?}");
        }
        let array = r#"{"name":"t","outputSchema":{"type":"array"}}"#;
        assert_eq!(tool(Revision::Nov2025, array), r#"{"name":"t"}"#);
        assert_eq!(tool(Revision::Modern, array), array);
        assert_eq!(
            item(Revision::Mar2025, r#"{"uri":"u","title":"T","icons":[]}"#),
            r#"{"uri":"u"}"#
        );
    }
}
