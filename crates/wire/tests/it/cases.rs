//! Cases in files: sections under `=== title` lines.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use doorward_core::{DialectId, Frame, ModelEvent, Usage};
use doorward_wire::eventstream::{Splitter, encode};
use doorward_wire::{Dialect, Quirks, ReadError, dialect};

/// One case file.
pub(crate) struct Case {
    pub(crate) path: PathBuf,
    pub(crate) sections: Vec<(String, String)>,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The first section: the words of its title after `from`, and its text.
    pub(crate) fn from(&self) -> (Vec<&str>, &str) {
        let (title, text) = &self.sections[0];
        let mut words: Vec<&str> = title.split(' ').collect();
        assert_eq!(words.remove(0), "from", "{}", self.path.display());
        (words, text)
    }

    /// Fails unless every section after the first is as `actual` says, and none is missing. With
    /// `BLESS` in the environment the file is written anew instead, to be read as a diff.
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    pub(crate) fn check(&self, actual: &[(String, String)]) {
        let mut text = format!("=== {}\n{}", self.sections[0].0, self.sections[0].1);
        for (title, section) in actual {
            write!(text, "=== {title}\n{section}").unwrap();
        }
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&self.path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&self.path).unwrap();
        assert!(text == expected, "{} is not\n{text}", self.path.display());
    }
}

/// All cases in a folder of `testdata`.
pub(crate) fn all(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Case {
    let text = std::fs::read_to_string(&path).unwrap();
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("=== ") {
            Some(title) => sections.push((title.trim_end().to_owned(), String::new())),
            None => sections.last_mut().expect("a title comes first").1.push_str(line),
        }
    }
    Case { path, sections }
}

/// A dialect by its name.
pub(crate) fn speak(name: &str) -> &'static dyn Dialect {
    DialectId::named(name).and_then(dialect).unwrap_or_else(|| panic!("no dialect {name}"))
}

/// Every dialect's name.
pub(crate) fn spoken() -> impl Iterator<Item = &'static str> {
    DialectId::ALL.into_iter().filter(|id| dialect(*id).is_some()).map(DialectId::as_str)
}

/// Whether a dialect streams in AWS's binary form. In case files each message is a line:
/// `:event-type contentBlockDelta {…}` or `:exception-type throttlingException {…}`; a line that
/// begins with `half` is the first half of such a message, elsewhere one without its line end.
fn is_binary(name: &str) -> bool {
    name == DialectId::BEDROCK_CONVERSE.as_str()
}

/// The bytes that a case's text stands for.
pub(crate) fn wire(name: &str, streaming: bool, text: &str) -> Vec<u8> {
    if !streaming {
        // A body's last line feed belongs to the file.
        return text.trim_end().as_bytes().to_vec();
    }
    if !is_binary(name) {
        let (whole, half) = text.split_once("half ").unwrap_or((text, ""));
        return [whole, half.trim_end()].concat().into_bytes();
    }
    let mut out = BytesMut::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let whole = line.strip_prefix("half ").unwrap_or(line);
        let mut words = whole.splitn(3, ' ');
        let (Some(header), Some(kind), Some(payload)) = (words.next(), words.next(), words.next())
        else {
            // A mangled case.
            out.extend_from_slice(line.as_bytes());
            continue;
        };
        let message = if header == ":event-type" { "event" } else { "exception" };
        let before = out.len();
        let headers =
            [(":message-type", message), (header, kind), (":content-type", "application/json")];
        encode(&headers, payload.as_bytes(), &mut out);
        if whole != line {
            out.truncate(before + (out.len() - before) / 2);
        }
    }
    out.to_vec()
}

/// What a case says of bytes.
pub(crate) fn shown(name: &str, streaming: bool, bytes: &[u8]) -> String {
    if !streaming || !is_binary(name) {
        return String::from_utf8(bytes.to_vec()).unwrap();
    }
    let (mut splitter, mut messages) = (Splitter::new(1 << 20), Vec::new());
    splitter.push(Bytes::copy_from_slice(bytes), &mut messages).unwrap();
    assert_eq!(splitter.finish(), None, "whole messages");
    let mut out = String::new();
    for message in messages {
        let kinds = [":event-type", ":exception-type"];
        let kind = kinds.into_iter().find_map(|kind| Some((kind, message.header(kind)?)));
        let (header, kind) = kind.unwrap();
        let payload = String::from_utf8(message.payload().to_vec()).unwrap();
        writeln!(out, "{header} {kind} {payload}").unwrap();
    }
    out
}

/// Reads an answer cut into pieces of `size` bytes.
pub(crate) fn read_answer(
    dialect: &dyn Dialect,
    streaming: bool,
    bytes: &[u8],
    size: usize,
) -> (Vec<Frame>, Result<(), ReadError>) {
    let (mut reader, mut frames) = (dialect.reader(streaming, &Quirks::none()), Vec::new());
    for piece in bytes.chunks(size.max(1)) {
        if let Err(error) = reader.push(Bytes::copy_from_slice(piece), &mut frames) {
            return (frames, Err(error));
        }
    }
    let end = reader.finish(&mut frames);
    (frames, end)
}

/// One line for each frame.
pub(crate) fn lines(frames: &[Frame]) -> String {
    let mut out = String::new();
    for frame in frames {
        let events: Vec<String> = frame.events.iter().map(line).collect();
        let made = if frame.raw.is_none() { "(made) " } else { "" };
        let text = if events.is_empty() { "-".to_owned() } else { events.join(" | ") };
        writeln!(out, "{made}{text}").unwrap();
    }
    out
}

fn line(event: &ModelEvent) -> String {
    match event {
        ModelEvent::Start { id, model, created, usage } => {
            let usage = usage.map(|usage| format!(" {}", counted(&usage))).unwrap_or_default();
            format!("start {id:?} {model:?} {created:?}{usage}")
        }
        ModelEvent::Text { choice, text } => format!("text {choice} {text:?}"),
        ModelEvent::Refusal { choice, text } => format!("refusal {choice} {text:?}"),
        ModelEvent::Reasoning { choice, text } => format!("reasoning {choice} {text:?}"),
        ModelEvent::ReasoningSignature { state } => {
            format!("signature {:?} {:?}", state.issuer, state.data)
        }
        ModelEvent::RedactedReasoning { state } => {
            format!("redacted {:?} {:?}", state.issuer, state.data)
        }
        ModelEvent::Media { choice, media } => format!("media {choice} {media:?}"),
        ModelEvent::Citation { choice, citation } => format!("citation {choice} {citation:?}"),
        ModelEvent::Logprobs { choice, json } => format!("logprobs {choice} {json}"),
        ModelEvent::Billed(billed) => format!("{billed:?}"),
        ModelEvent::ToolStart { call, choice, id, name, state } => {
            let state = state.as_ref().map(|state| format!(" {:?} {:?}", state.issuer, state.data));
            format!("call {call} of {choice} {id:?} {name:?}{}", state.unwrap_or_default())
        }
        ModelEvent::ToolDelta { call, json } => format!("args {call} {json:?}"),
        ModelEvent::ToolEnd { call } => format!("end {call}"),
        ModelEvent::Usage(usage) => format!("usage {}", counted(usage)),
        ModelEvent::Finish { choice, reason, native } => {
            format!("finish {choice} {reason:?} {native:?}")
        }
        ModelEvent::Error { code, message } => format!("error {code:?} {message:?}"),
        ModelEvent::Done => "done".to_owned(),
    }
}

fn counted(usage: &Usage) -> String {
    serde_json::to_string(usage).unwrap()
}
