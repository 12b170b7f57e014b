//! Nothing panics, whatever comes.

use bytes::{Bytes, BytesMut};
use doorward_core::{Frame, ModelEvent};
use doorward_wire::{Destination, Dialect, Quirks, ReadError, WriterOptions};
use proptest::prelude::*;

use crate::cases::{all, read_answer, speak, spoken, wire};

fn every() -> Vec<&'static dyn Dialect> {
    spoken().map(speak).collect()
}

fn try_all(bytes: &[u8]) {
    for from in every() {
        if let Ok(mut call) = from.read_call(Bytes::copy_from_slice(bytes)) {
            for to in every() {
                for hide in [false, true] {
                    for tool in &mut call.tools {
                        tool.hidden = hide;
                    }
                    let to_model = Destination { ask_usage: true, ..Destination::new("m\"\\") };
                    if let Ok(written) = to.write_call(&call, &to_model) {
                        let value = serde_json::from_slice::<serde_json::Value>(&written.body);
                        assert!(value.is_ok(), "from {from:?} to {to:?}");
                    }
                }
            }
        }
        for streaming in [false, true] {
            let (frames, _) = read_answer(from, streaming, bytes, 16);
            for to in every() {
                for array in [false, true] {
                    write_all(to, streaming, array, to.id() == from.id(), &frames);
                }
            }
        }
        let error = from.read_error(500, Bytes::copy_from_slice(bytes));
        for to in every() {
            to.write_error(&error, "req_1");
        }
    }
}

fn write_all(to: &dyn Dialect, streaming: bool, array: bool, same_dialect: bool, frames: &[Frame]) {
    let options =
        WriterOptions { streaming, array, same_dialect, strip_usage: true, ..Default::default() };
    let (mut writer, mut out) = (to.writer(options), BytesMut::new());
    for frame in frames {
        writer.write(frame, &mut out);
    }
    writer.finish(&mut out);
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(50_000), close.repeat(50_000));
    let results = deep(r#"{"type":"tool_result","tool_use_id":"t","content":["#, "]}");
    for body in [
        deep("[", "]"),
        deep(r#"{"a":"#, "}"),
        format!(r#"{{"model":"m","messages":{}}}"#, deep("[", "]")),
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":{}}}]}}"#, deep("[", "]")),
        format!(r#"{{"model":"m","messages":[],"extra":{}}}"#, deep("[", "]")),
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{results}]}}]}}"#),
        format!(r#"{{"type":"message","content":[{}]}}"#, deep("[", "]")),
        format!(r#"{{"contents":[{{"parts":{}}}]}}"#, deep("[", "]")),
        format!(r#"{{"contents":[{{"parts":[{{"hologram":{}}}]}}]}}"#, deep("[", "]")),
        format!(
            r#"{{"contents":[],"tools":[{{"functionDeclarations":[{{"name":"a","parameters":{}}}]}}]}}"#,
            deep(r#"{"properties":{"a":"#, "}}")
        ),
        format!(r#"[{{"candidates":{}}}]"#, deep("[", "]")),
        format!(r#"{{"model":"m","input":{}}}"#, deep("[", "]")),
        format!(r#"{{"model":"m","input":[{{"type":"hologram","x":{}}}]}}"#, deep("[", "]")),
        format!(r#"{{"status":"completed","output":{}}}"#, deep("[", "]")),
        format!(r#"{{"prompt":{}}}"#, deep("[", "]")),
        format!(
            r#"{{"prompt":[{{"role":"assistant","content":[{{"type":"tool-call","toolCallId":"c","toolName":"f","input":{}}}]}}]}}"#,
            deep("[", "]")
        ),
    ] {
        try_all(body.as_bytes());
    }
    let body = format!(
        r#"{{"model":"m","messages":[],"contents":[],"input":[],"prompt":[],"extra":{}}}"#,
        deep("[", "]")
    );
    for dialect in every() {
        let error = dialect.read_call(Bytes::from(body.clone())).unwrap_err();
        assert_eq!(error.to_string(), "extra: nested too deep");
    }
}

#[test]
fn broken_utf8_is_an_error() {
    let body = Bytes::from_static(b"{\"model\":\"m\",\"messages\":[],\"x\":\"\xff\"}");
    for dialect in every() {
        assert_eq!(dialect.read_call(body.clone()).unwrap_err(), ReadError::Utf8 { at: 32 });
    }
}

#[test]
fn too_many_fields_are_refused() {
    let fields: Vec<String> = (0..1000).map(|n| format!("\"f{n}\":1")).collect();
    let body = format!("{{\"model\":\"m\",\"messages\":[],{}}}", fields.join(","));
    assert!(every()[0].read_call(Bytes::from(body)).is_err());
}

#[test]
fn a_whole_answer_beyond_the_limit_is_refused() {
    for dialect in every() {
        let (mut reader, mut frames) = (dialect.reader(false, &Quirks::none()), Vec::new());
        let piece = Bytes::from(vec![b' '; 1 << 20]);
        let result = (0..65).try_for_each(|_| reader.push(piece.clone(), &mut frames));
        assert!(matches!(result, Err(ReadError::TooLarge { .. })));
    }
}

#[test]
fn a_failed_reader_reads_no_more() {
    for dialect in every() {
        let (mut reader, mut frames) = (dialect.reader(true, &Quirks::none()), Vec::new());
        let name = dialect.id().as_str();
        let broken = match name {
            "bedrock-converse" => ":event-type messageStart {broken",
            "ollama-chat" => "{broken\n",
            _ => "data: {broken\n\n",
        };
        let first = reader.push(Bytes::from(wire(name, true, broken)), &mut frames);
        assert!(first.is_err());
        let good = Bytes::from_static(b"data: {\"choices\":[]}\n\n");
        assert_eq!(reader.push(good, &mut frames), first);
        assert_eq!(reader.finish(&mut frames), first);
        assert!(frames.is_empty());
    }
}

#[test]
fn a_writer_without_an_end_ends_with_an_error() {
    let start = ModelEvent::Start { id: "i".into(), model: "m".into(), created: None, usage: None };
    for dialect in every() {
        for streaming in [false, true] {
            let options = WriterOptions { streaming, ..Default::default() };
            let (mut writer, mut out) = (dialect.writer(options), BytesMut::new());
            writer.write(&Frame::of(vec![start.clone()]), &mut out);
            writer.finish(&mut out);
            let text = String::from_utf8_lossy(&out);
            assert!(text.contains("stopped before its end"), "{text}");
            assert!(!text.contains("[DONE]") && !text.contains("message_stop"), "{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        try_all(&bytes);
    }

    /// Real bodies with pieces changed get much further in.
    #[test]
    fn mangled_bodies_do_not_panic(
        folder in prop::sample::select(vec!["calls", "answers"]),
        pick in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), mutation()), 0..6),
    ) {
        let cases = all(folder);
        let (words, text) = pick.get(&cases).from();
        let mut bytes = text.trim_end().as_bytes().to_vec();
        for (at, (length, with)) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, with.bytes());
        }
        if let (Some(&"stream"), Ok(text)) = (words.get(1), std::str::from_utf8(&bytes)) {
            bytes = wire(words[0], true, text);
        }
        try_all(&bytes);
    }
}

fn mutation() -> impl Strategy<Value = (usize, &'static str)> {
    let with = vec!["", "\"", "{}", "[]", "null", "5", "-1", "\\u0000", "}", "]", ",", "\n\n", "é"];
    (0_usize..12, prop::sample::select(with))
}
