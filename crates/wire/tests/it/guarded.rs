//! A guard replaces a call in the middle of a forwarded stream: what follows still fits.

use bytes::BytesMut;
use doorward_core::{Frame, ModelEvent};
use doorward_wire::{Dialect, WriterOptions};

use crate::cases::{all, lines, read_answer, shown, speak, wire};

/// Answers with all frames of one call replaced by a call of another tool.
fn replaced(frames: &[Frame], which: u32) -> Vec<Frame> {
    let concerns = |event: &ModelEvent| match event {
        ModelEvent::ToolStart { call, .. }
        | ModelEvent::ToolDelta { call, .. }
        | ModelEvent::ToolEnd { call } => *call == which,
        _ => false,
    };
    let mut out = Vec::new();
    for frame in frames {
        if !frame.events.iter().any(concerns) {
            out.push(frame.clone());
            continue;
        }
        let mut events = Vec::new();
        for event in &frame.events {
            match event {
                ModelEvent::ToolStart { call, choice, id, .. } if *call == which => {
                    let (call, choice, id) = (*call, *choice, id.clone());
                    events.push(ModelEvent::ToolStart {
                        call,
                        choice,
                        id,
                        name: "denied".into(),
                        state: None,
                    });
                    events.push(ModelEvent::ToolDelta { call, json: "{\"why\":1}".into() });
                    events.push(ModelEvent::ToolEnd { call });
                }
                event if concerns(event) => {}
                event => events.push(event.clone()),
            }
        }
        if !events.is_empty() {
            out.push(Frame::of(events));
        }
    }
    out
}

fn write(dialect: &dyn Dialect, options: WriterOptions, frames: &[Frame]) -> Vec<u8> {
    let (mut writer, mut out) = (dialect.writer(options), BytesMut::new());
    for frame in frames {
        writer.write(frame, &mut out);
    }
    writer.finish(&mut out);
    out.to_vec()
}

fn same_dialect() -> WriterOptions {
    WriterOptions { streaming: true, same_dialect: true, ..WriterOptions::default() }
}

/// What a client reads of the stream.
fn calls(frames: &[Frame]) -> Vec<String> {
    let mut calls: Vec<String> = Vec::new();
    for event in frames.iter().flat_map(|frame| &frame.events) {
        match event {
            ModelEvent::ToolStart { name, .. } => calls.push(format!("{name} ")),
            ModelEvent::ToolDelta { call, json } => calls[*call as usize].push_str(json),
            _ => {}
        }
    }
    calls
}

#[test]
fn a_replaced_call_takes_its_place_among_forwarded_ones() {
    for (file, which, expected) in [
        ("chat-parallel-tools-trap-14-18.case", 0, ["denied {\"why\":1}", "now {}"]),
        ("chat-parallel-tools-trap-14-18.case", 1, ["get {\"a\":1}", "denied {\"why\":1}"]),
        ("gemini-parallel-tools-trap-14-25-33.case", 0, ["denied {\"why\":1}", "now {}"]),
        ("gemini-parallel-tools-trap-14-25-33.case", 1, ["get {\"a\":1}", "denied {\"why\":1}"]),
        ("responses-parallel-tools-trap-14-18.case", 0, ["denied {\"why\":1}", "now {}"]),
        ("responses-parallel-tools-trap-14-18.case", 1, ["get {\"a\":1}", "denied {\"why\":1}"]),
        ("messages-thinking-tools-trap-14-31-32.case", 0, ["denied {\"why\":1}", "now {}"]),
        ("messages-thinking-tools-trap-14-31-32.case", 1, ["get {\"a\": 1}", "denied {\"why\":1}"]),
        ("bedrock-thinking-tools-trap-14-15.case", 0, ["denied {\"why\":1}", "now {}"]),
        ("bedrock-thinking-tools-trap-14-15.case", 1, ["get {\"a\": 1}", "denied {\"why\":1}"]),
        ("cohere-tools.case", 0, ["denied {\"why\":1}", "now {}"]),
        ("cohere-tools.case", 1, ["get {\"a\": 1}", "denied {\"why\":1}"]),
        ("ollama-tools-trap-13-25.case", 0, ["denied {\"why\":1}", "now {}"]),
        ("ollama-tools-trap-13-25.case", 1, ["get {\"a\": 1}", "denied {\"why\":1}"]),
    ] {
        let case = all("answers").into_iter().find(|case| case.name() == file).unwrap();
        let (words, text) = case.from();
        let dialect = speak(words[0]);
        let (frames, _) = read_answer(dialect, true, &wire(words[0], true, text), 4096);
        let out = write(dialect, same_dialect(), &replaced(&frames, which));
        let (again, end) = read_answer(dialect, true, &out, 4096);
        let out = shown(words[0], true, &out);
        assert_eq!(end, Ok(()), "{out}");
        assert_eq!(calls(&again), expected, "{out}");
        assert!(!out.contains("told"), "made chunks carry the upstream's id: {out}");
        block_numbers_count_up(&out);
    }
}

/// Anthropic's blocks begin with 0, 1, 2 and each ends before the next begins.
fn block_numbers_count_up(out: &str) {
    let (mut next, mut open) = (0, None);
    for data in out.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(data) else { continue };
        let index = value["index"].as_u64();
        match value["type"].as_str() {
            Some("content_block_start") => {
                assert_eq!((index, open), (Some(next), None), "{out}");
                (open, next) = (index, next + 1);
            }
            Some("content_block_delta") => assert_eq!(index, open, "{out}"),
            Some("content_block_stop") => assert_eq!(index, open.take(), "{out}"),
            Some("message_stop") => assert_eq!(open, None, "{out}"),
            _ => {}
        }
    }
}

#[test]
fn a_call_left_out_closes_the_gap() {
    let file = "messages-thinking-tools-trap-14-31-32.case";
    let case = all("answers").into_iter().find(|case| case.name() == file).unwrap();
    let (_, text) = case.from();
    let dialect = speak("anthropic-messages");
    let (frames, _) = read_answer(dialect, true, text.as_bytes(), 4096);
    let concerns = |frame: &&Frame| {
        !frame.events.iter().any(|event| {
            matches!(
                event,
                ModelEvent::ToolStart { call: 0, .. }
                    | ModelEvent::ToolDelta { call: 0, .. }
                    | ModelEvent::ToolEnd { call: 0 }
            )
        })
    };
    let kept: Vec<Frame> = frames.iter().filter(concerns).cloned().collect();
    let out = shown("anthropic-messages", true, &write(dialect, same_dialect(), &kept));
    block_numbers_count_up(&out);
    assert!(
        out.contains(r#""index":3,"content_block":{"type":"tool_use","id":"toolu_2""#),
        "{out}"
    );
}

#[test]
fn frames_written_anew_and_forwarded_ones_mix_in_any_way() {
    for case in all("answers") {
        let (words, text) = case.from();
        // A call in pieces is made anew as a whole or not at all; ids are made where none came.
        let indivisible =
            ["hosted", "partial", "no-ids"].iter().any(|word| case.name().contains(word));
        if words[1] != "stream" || indivisible {
            continue;
        }
        let dialect = speak(words[0]);
        let (frames, end) = read_answer(dialect, true, &wire(words[0], true, text), 4096);
        if end.is_err() {
            continue;
        }
        // Everything anew, and each single frame anew.
        let masks = (0..frames.len()).map(|at| vec![at]).chain([(0..frames.len()).collect()]);
        for anew in masks {
            let edge = |frame: &Frame| {
                let raw = frame.raw.as_deref().unwrap_or_default();
                raw.windows(16).any(|window| window == b"content_block_st")
            };
            if anew.len() != frames.len() && anew.iter().any(|at| edge(&frames[*at])) {
                // Where a block begins and ends has no event: only its deltas are made anew.
                continue;
            }
            let mut mixed = frames.clone();
            for at in &anew {
                mixed[*at].raw = None;
            }
            let array = text.starts_with('[');
            let out = write(dialect, WriterOptions { array, ..same_dialect() }, &mixed);
            let (again, end) = read_answer(dialect, true, &out, 4096);
            let out = shown(words[0], true, &out);
            let essence = |frames: &[Frame]| {
                let events = frames.iter().flat_map(|frame| frame.events.clone());
                let essential = events.filter(|event| {
                    !matches!(
                        event,
                        ModelEvent::Start { .. }
                            | ModelEvent::Usage(_)
                            | ModelEvent::Billed(_)
                            | ModelEvent::Finish { .. }
                            | ModelEvent::Error { .. }
                    ) && !matches!(event, ModelEvent::ToolDelta { json, .. } if json.is_empty())
                });
                lines(&[Frame::of(essential.collect())])
            };
            assert_eq!(end, Ok(()), "{} {anew:?}\n{out}", case.name());
            assert_eq!(essence(&again), essence(&frames), "{} {anew:?}\n{out}", case.name());
            if words[0] == "anthropic-messages" && case.name() != "messages-no-start.case" {
                block_numbers_count_up(&out);
            }
        }
    }
}

#[test]
fn the_usage_chunk_that_was_asked_for_is_taken_out() {
    let file = "chat-text-usage-after-finish-trap-1-4.case";
    let case = all("answers").into_iter().find(|case| case.name() == file).unwrap();
    let (_, text) = case.from();
    let dialect = speak("openai-chat");
    let (frames, _) = read_answer(dialect, true, text.as_bytes(), 4096);
    let options = WriterOptions { strip_usage: true, ..same_dialect() };
    let out = shown("openai-chat", true, &write(dialect, options, &frames));
    assert!(!out.contains("prompt_tokens"), "{out}");
    assert_eq!(out.matches("\n\n").count(), text.matches("\n\n").count() - 1);
    let cross = WriterOptions { streaming: true, ..WriterOptions::default() };
    let out = shown("openai-chat", true, &write(dialect, cross, &frames));
    assert!(!out.contains("prompt_tokens") && out.ends_with("data: [DONE]\n\n"), "{out}");
}
