//! Names, URIs and task ids inside messages, exchanged for federated ones and back. Only their
//! bytes change; every other byte stays as the server, or the client, wrote it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::edit;
use crate::uris;

/// What a message is, as far as that decides where URIs stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The result of a tool call, or of `tasks/result`.
    Call,
    /// A task: `CreateTaskResult`, the result of `tasks/get`, or parameters of its notification.
    Task,
    /// The result of `prompts/get`.
    Prompt,
    /// The result of `resources/read`.
    Resource,
    /// A tool's or prompt's definition.
    Definition,
    /// A resource's definition, or parameters of `notifications/resources/updated`.
    Named,
    /// A resource template's definition.
    Template,
}

/// How a server's own URIs and tasks are known in the catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Lettering {
    server: Arc<str>,
    slug: Arc<str>,
}

/// The user interface of a tool (MCP Apps): the key before `_meta.ui.resourceUri` came, and that of
/// `ChatGPT` apps.
const FLAT_UI: [&str; 2] = ["ui/resourceUri", "openai/outputTemplate"];
/// The task that a message belongs to (MCP 2025-11-25, "Related Task Metadata").
const RELATED: &str = "io.modelcontextprotocol/related-task";

impl Lettering {
    pub(crate) fn new(server: Arc<str>) -> Self {
        let slug = uris::slug(&server).into();
        Self { server, slug }
    }

    /// The federated URI or template.
    pub(crate) fn uri(&self, own: &str) -> String {
        uris::federated(&self.slug, own)
    }

    /// The federated id of a task.
    pub(crate) fn task(&self, own: &str) -> String {
        uris::federated_task(&self.server, own)
    }

    /// A server's message with federated URIs and task ids.
    pub(crate) fn inscribe(&self, message: Box<RawValue>, of: Of) -> Box<RawValue> {
        match self.inscribed(message.get(), of) {
            Cow::Borrowed(_) => message,
            Cow::Owned(text) => RawValue::from_string(text).unwrap_or(message),
        }
    }

    fn inscribed<'a>(&self, text: &'a str, of: Of) -> Cow<'a, str> {
        // Most results hold neither; a look is cheaper than a reading. Keys may be escaped.
        let holds = |words: &str| edit::mentions(text, words);
        if !(holds("ri\"") || holds("taskId") || holds("Template\"") || holds("\\u")) {
            return Cow::Borrowed(text);
        }
        let mut edits = Edits { text, cuts: Vec::new() };
        self.object(&mut edits, text, of);
        edits.done()
    }

    fn object(&self, edits: &mut Edits<'_>, object: &str, of: Of) {
        for member in edit::members(object).unwrap_or_default() {
            match (&*member.name, of) {
                ("_meta", _) => self.meta(edits, member.value),
                ("content", Of::Call | Of::Task) => self.blocks(edits, member.value),
                ("messages", Of::Prompt) => {
                    for message in elements(member.value) {
                        each(message, "content", |content| self.blocks(edits, content));
                    }
                }
                ("contents", Of::Resource) => {
                    for content in elements(member.value) {
                        each(content, "uri", |uri| self.set_uri(edits, uri));
                    }
                }
                ("uri", Of::Named) | ("uriTemplate", Of::Template) => {
                    self.set_uri(edits, member.value);
                }
                ("taskId", Of::Task) => self.set_task(edits, member.value),
                ("task", Of::Task) => {
                    each(member.value, "taskId", |id| self.set_task(edits, id));
                }
                // What a finished task brought (MCP 2026-07-28, tasks extension).
                ("result", Of::Task) => self.object(edits, member.value, Of::Call),
                _ => {}
            }
        }
    }

    /// Content blocks: links to resources, and resources themselves.
    fn blocks(&self, edits: &mut Edits<'_>, content: &str) {
        // A prompt's message has one block where a result has many.
        let blocks = if content.starts_with('{') { vec![content] } else { elements(content) };
        for block in blocks {
            each(block, "uri", |uri| self.set_uri(edits, uri));
            each(block, "resource", |resource| {
                each(resource, "uri", |uri| self.set_uri(edits, uri));
            });
        }
    }

    fn meta(&self, edits: &mut Edits<'_>, meta: &str) {
        for member in edit::members(meta).unwrap_or_default() {
            match &*member.name {
                "ui" => each(member.value, "resourceUri", |uri| self.set_uri(edits, uri)),
                key if FLAT_UI.contains(&key) => self.set_uri(edits, member.value),
                RELATED => each(member.value, "taskId", |id| self.set_task(edits, id)),
                _ => {}
            }
        }
    }

    fn set_uri(&self, edits: &mut Edits<'_>, value: &str) {
        if let Some(own) = string(value) {
            edits.set(value, edit::quote(&self.uri(&own)));
        }
    }

    fn set_task(&self, edits: &mut Edits<'_>, value: &str) {
        if let Some(own) = string(value) {
            edits.set(value, edit::quote(&self.task(&own)));
        }
    }
}

/// Changes to a text, made all at once.
struct Edits<'t> {
    text: &'t str,
    cuts: Vec<(usize, usize, String)>,
}

impl<'t> Edits<'t> {
    /// Notes that `value`, a part of the text, becomes `new`.
    fn set(&mut self, value: &str, new: String) {
        let start = (value.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let end = start.wrapping_add(value.len());
        if self.text.get(start..end).is_some_and(|part| part == value) {
            self.cuts.push((start, end, new));
        }
    }

    fn done(mut self) -> Cow<'t, str> {
        if self.cuts.is_empty() {
            return Cow::Borrowed(self.text);
        }
        self.cuts.sort_unstable_by_key(|(start, ..)| *start);
        let more: usize = self.cuts.iter().map(|(.., new)| new.len()).sum();
        let mut written = String::with_capacity(self.text.len() + more);
        let mut at = 0;
        for (start, end, new) in &self.cuts {
            if *start < at {
                continue;
            }
            written.push_str(&self.text[at..*start]);
            written.push_str(new);
            at = *end;
        }
        written.push_str(&self.text[at..]);
        Cow::Owned(written)
    }
}

/// Does something with each member of this name. One that stands twice is done twice: no reader
/// shall find what was not exchanged.
fn each<'a>(object: &'a str, name: &str, mut act: impl FnMut(&'a str)) {
    for member in edit::members(object).unwrap_or_default() {
        if member.name == name {
            act(member.value);
        }
    }
}

fn elements(array: &str) -> Vec<&str> {
    let elements: Vec<&RawValue> = serde_json::from_str(array).unwrap_or_default();
    elements.into_iter().map(RawValue::get).collect()
}

/// A JSON string's text.
pub(crate) fn string(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// A string among a request's parameters, where it stands exactly once.
pub(crate) fn named(params: &str, name: &str) -> Option<String> {
    string(edit::member(params, name)?)
}

/// The parameters with this string exchanged.
pub(crate) fn exchange(params: &RawValue, name: &str, new: &str) -> Option<Box<RawValue>> {
    let text = edit::replace(params.get(), name, &edit::quote(new))?;
    RawValue::from_string(text).ok()
}

/// The parameters with a string within a member exchanged.
pub(crate) fn exchange_in(
    params: &RawValue,
    outer: &str,
    name: &str,
    new: &str,
) -> Option<Box<RawValue>> {
    let inner = edit::replace(edit::member(params.get(), outer)?, name, &edit::quote(new))?;
    RawValue::from_string(edit::replace(params.get(), outer, &inner)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between `«` and `»` is exchanged, and nothing else.
    fn check(of: Of, marked: &str, change: impl Fn(&str) -> String) {
        let own = marked.replace(['«', '»'], "");
        let mut expected = String::new();
        let mut rest = marked;
        while let Some((before, after)) = rest.split_once('«') {
            let (value, after) = after.split_once('»').unwrap();
            expected.push_str(before);
            expected.push_str(&change(value));
            rest = after;
        }
        expected.push_str(rest);
        let lettering = Lettering::new("my_disk".into());
        assert_eq!(lettering.inscribed(&own, of), expected, "{marked}");
        let raw = RawValue::from_string(own).unwrap();
        assert_eq!(lettering.inscribe(raw, of).get(), expected, "{marked}");
    }

    #[test]
    fn uris_in_results_become_federated_and_nothing_else_changes() {
        for (of, marked) in [
            (
                Of::Call,
                r#"{ "content":[ {"type":"text","text":"uri","annotations":{"uri":"x:y"}}, {"type":"resource_link","name":"n" ,"uri" : "«file:///a»","big":1e400}],"structuredContent":{"uri":"file:///a","taskId":"t"}}"#,
            ),
            (
                Of::Call,
                r#"{"content":[{"type":"resource","resource":{"uri":"«file:///a»","mimeType":"a/b","text":"t"}}],"taskId":"t"}"#,
            ),
            (Of::Call, r#"{"content":[{"type":"resource_link","\u0075ri":"«file:///a»"}]}"#),
            (Of::Call, r#"{"content":[{"uri":"«a:b»","uri":"«c:d»"}]}"#),
            (
                Of::Prompt,
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"«test://é»"}}},{"content":[{"uri":"«a:b»"}]}]}"#,
            ),
            (
                Of::Resource,
                r#"{"contents":[{"uri":"«a:b»","text":"{\"uri\":\"c:d\"}"},{"blob":"AA==","uri":"«a:c»"}],"uri":"a:b"}"#,
            ),
            (
                Of::Named,
                r#"{"uri":"«a:b»","name":"n","icons":[{"src":"https://x/y","uri":"z:z"}]}"#,
            ),
            (Of::Template, r#"{"uriTemplate":"«a:{b}»","name":"n","uri":"kept:as-is"}"#),
            (
                Of::Definition,
                r#"{"name":"t","inputSchema":{"properties":{"uri":{"type":"string"}}}}"#,
            ),
            (Of::Call, r#"{"content":[{"type":"resource_link","uri":7},3,null],"contents":[]}"#),
            (Of::Call, r#"{"content":"uri"}"#),
        ] {
            check(of, marked, |uri| format!("my.disk+{uri}"));
        }
    }

    #[test]
    fn user_interfaces_keep_their_scheme() {
        for marked in [
            r#"{"_meta":{"ui":{"visibility":["app"],"resourceUri":"«ui://clock/face»"}}}"#,
            r#"{"name":"t","_meta":{"ui/resourceUri":"«ui://clock/face»","x":"ui://clock/face"}}"#,
            r#"{"_meta":{"openai/outputTemplate":"«ui://clock/face»"}}"#,
        ] {
            check(Of::Definition, marked, |uri| uri.replace("ui://", "ui://my.disk+"));
            check(Of::Call, marked, |uri| uri.replace("ui://", "ui://my.disk+"));
        }
    }

    #[test]
    fn tasks_are_named_after_their_server() {
        for marked in [
            r#"{"taskId":"«t.1»","status":"working","ttl":null}"#,
            r#"{"task":{"taskId":"«t1»","status":"working"}}"#,
            r#"{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"«t1»"}}}"#,
        ] {
            check(Of::Task, marked, |id| format!("my_disk.{id}"));
        }
        let done = r#"{"taskId":"t","result":{"content":[{"uri":"«a:b»"}],"taskId":"own"}}"#;
        let done = done.replace("\"t\"", "\"«t»\"");
        check(Of::Task, &done, |value| match value {
            "t" => "my_disk.t".into(),
            uri => format!("my.disk+{uri}"),
        });
    }

    #[test]
    fn what_holds_none_is_not_read() {
        let lettering = Lettering::new("s".into());
        for text in [r#"{"content":[{"type":"text","text":"hello"}]}"#, "{}", "[", "null"] {
            assert!(
                matches!(lettering.inscribed(text, Of::Call), Cow::Borrowed(same) if same == text)
            );
        }
    }

    #[test]
    fn requests_lead_back() {
        let params = |text: &str| RawValue::from_string(text.into()).unwrap();
        let read = params(r#"{"uri":"s+a:b", "x": 1.0}"#);
        assert_eq!(named(read.get(), "uri").unwrap(), "s+a:b");
        assert_eq!(exchange(&read, "uri", "a:b").unwrap().get(), r#"{"uri":"a:b", "x": 1.0}"#);
        let complete =
            params(r#"{"ref":{"type":"ref/prompt","name":"s__p"},"argument":{"name":"n"}}"#);
        assert_eq!(
            exchange_in(&complete, "ref", "name", "p").unwrap().get(),
            r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"n"}}"#
        );
        assert_eq!(named(r#"{"uri":"a:b","uri":"c:d"}"#, "uri"), None);
    }
}
