//! AWS's binary event stream, and Claude's events within it.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use doorward_core::{Code, Frame, ModelEvent};
use doorward_wire::eventstream::{Message, Splitter, encode};
use doorward_wire::sse;
use doorward_wire::{AnthropicMessages, Dialect, Quirks, ReadError};
use proptest::prelude::*;

use crate::cases::{all, lines, read_answer};

/// Base64 (RFC 4648 §4), so that nothing of the reader's is used to test it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let mut bits = [0; 3];
        bits[..three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for nth in 0..4 {
            let letter = usize::try_from(bits >> (18 - 6 * nth) & 63).unwrap();
            out.push(if nth > three.len() { '=' } else { LETTERS[letter].into() });
        }
    }
    out
}

fn chunk(event: &str, out: &mut BytesMut) {
    let payload = format!(r#"{{"bytes":"{}","p":"abcd"}}"#, base64(event.as_bytes()));
    let headers = [
        (":event-type", "chunk"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    encode(&headers, payload.as_bytes(), out);
}

fn invoked(bytes: &[u8], size: usize) -> (Vec<Frame>, Result<(), ReadError>) {
    let quirks = Quirks { aws_event_stream: true, ..Quirks::none() };
    let (mut reader, mut frames) = (AnthropicMessages.reader(true, &quirks), Vec::new());
    for piece in bytes.chunks(size) {
        if let Err(error) = reader.push(Bytes::copy_from_slice(piece), &mut frames) {
            return (frames, Err(error));
        }
    }
    let end = reader.finish(&mut frames);
    (frames, end)
}

fn joined(frames: &[Frame]) -> Vec<u8> {
    frames.iter().filter_map(|frame| frame.raw.as_deref()).flatten().copied().collect()
}

/// The events of Messages streams, in Bedrock's wrapping, are told as Anthropic's own stream and
/// forwarded as its bytes.
#[test]
fn claude_on_bedrock_is_forwarded_as_anthropics_own_stream() {
    let mut seen = 0;
    for case in all("answers") {
        let (words, text) = case.from();
        if words != ["anthropic-messages", "stream"] || case.name().contains("no-start") {
            continue;
        }
        let (plain, end) = read_answer(&AnthropicMessages, true, text.as_bytes(), 4096);
        if end.is_err() {
            continue;
        }
        let (mut splitter, mut events) = (sse::Splitter::new(1 << 20), Vec::new());
        splitter.push(Bytes::copy_from_slice(text.as_bytes()), &mut events).unwrap();
        let (mut wire, mut expected) = (BytesMut::new(), String::new());
        for event in &events {
            // A stream within messages has no comments.
            let (Some(name), Some(data)) = event.read() else { continue };
            if name == "ping" {
                continue;
            }
            chunk(&data, &mut wire);
            write!(expected, "event: {name}\ndata: {data}\n\n").unwrap();
        }
        for size in [1, 7, 64, wire.len()] {
            let (frames, end) = invoked(&wire, size);
            assert_eq!(end, Ok(()), "{}", case.name());
            assert_eq!(String::from_utf8(joined(&frames)).unwrap(), expected);
            let told = |frames: &[Frame]| {
                let events = frames.iter().flat_map(|frame| frame.events.clone()).collect();
                lines(&[Frame::of(events)])
            };
            assert_eq!(told(&frames), told(&plain), "{}", case.name());
        }
        seen += 1;
    }
    assert!(seen > 2);
}

const START: &str = r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c","content":[]}}"#;

#[test]
fn trap_12_an_exception_within_is_anthropics_error_event() {
    for (name, code, kind) in [
        ("throttlingException", Code::RateLimited, "rate_limit_error"),
        ("modelTimeoutException", Code::Timeout, "timeout_error"),
        ("validationException", Code::InvalidRequest, "invalid_request_error"),
        ("internalServerException", Code::Upstream, "api_error"),
    ] {
        let mut wire = BytesMut::new();
        chunk(START, &mut wire);
        let headers = [(":message-type", "exception"), (":exception-type", name)];
        encode(&headers, br#"{"message":"told why"}"#, &mut wire);
        let (frames, end) = invoked(&wire, 5);
        assert_eq!(end, Ok(()));
        let message = "told why".to_owned();
        assert_eq!(frames[1].events, [ModelEvent::Error { code, message }], "{name}");
        let raw = String::from_utf8(joined(&frames[1..])).unwrap();
        assert!(raw.starts_with("event: error\ndata: {\"type\":\"error\","), "{raw}");
        assert!(raw.contains(kind) && raw.ends_with("}\n\n"), "{raw}");
    }
}

#[test]
fn trap_6_half_a_message_is_a_cut() {
    let mut wire = BytesMut::new();
    chunk(START, &mut wire);
    let whole = wire.len();
    chunk(r#"{"type":"ping"}"#, &mut wire);
    let (frames, end) = invoked(&wire[..wire.len() - 3], 16);
    assert_eq!((frames.len(), end), (1, Err(ReadError::Cut)));
    let (_, end) = invoked(&wire[..whole], 16);
    assert_eq!(end, Err(ReadError::Cut), "no end mark came");
}

#[test]
fn trap_12_a_wrong_checksum_is_an_error() {
    let mut wire = BytesMut::new();
    chunk(START, &mut wire);
    let last = wire.len() - 1;
    wire[last] ^= 1;
    let (frames, end) = invoked(&wire, 16);
    assert!(frames.is_empty());
    assert!(end.unwrap_err().to_string().contains("checksum"));
}

#[test]
fn what_a_chunk_holds_must_be_an_event() {
    for payload in ["{}", r#"{"bytes":"&"}"#, r#"{"bytes":"bm8="}"#, "no"] {
        let mut wire = BytesMut::new();
        let headers = [(":message-type", "event"), (":event-type", "chunk")];
        encode(&headers, payload.as_bytes(), &mut wire);
        assert!(invoked(&wire, 16).1.is_err(), "{payload}");
    }
    // One line of data, whatever blanks stand between tokens.
    let mut wire = BytesMut::new();
    chunk("{\"type\":\r\n\"ping\"}", &mut wire);
    assert_eq!(joined(&invoked(&wire, 16).0), b"event: ping\ndata: {\"type\":  \"ping\"}\n\n");
}

fn split(bytes: &[u8], cuts: &[usize]) -> (Vec<Message>, Result<(), ReadError>, Option<Bytes>) {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    let (mut splitter, mut out) = (Splitter::new(4096), Vec::new());
    for pair in at.windows(2) {
        let piece = Bytes::copy_from_slice(&bytes[pair[0]..pair[1]]);
        if let Err(error) = splitter.push(piece, &mut out) {
            return (out, Err(error), None);
        }
    }
    (out, Ok(()), splitter.finish())
}

proptest! {
    /// What is written is read, however it is cut, and joined it is the bytes.
    #[test]
    fn messages_come_back_as_they_went(
        list in prop::collection::vec(
            (prop::collection::vec(("[a-z:-]{1,12}", "\\PC{0,20}"), 0..4),
             prop::collection::vec(any::<u8>(), 0..80)),
            0..5),
        cuts in prop::collection::vec(0_usize..2000, 0..12),
        rest in 0_usize..15,
    ) {
        let mut wire = BytesMut::new();
        for (headers, payload) in &list {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            encode(&headers, payload, &mut wire);
        }
        let whole = wire.len();
        encode(&[], b"", &mut wire);
        wire.truncate(whole + rest);
        let (messages, end, left) = split(&wire, &cuts);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(messages.len(), list.len());
        for (message, (headers, payload)) in messages.iter().zip(&list) {
            prop_assert_eq!(&message.payload()[..], &payload[..]);
            for (name, _) in headers {
                let first = headers.iter().find(|(other, _)| other == name);
                prop_assert_eq!(message.header(name), first.map(|(_, text)| text.as_str()));
            }
        }
        let mut joined: Vec<u8> = messages.iter().flat_map(|it| it.raw().to_vec()).collect();
        joined.extend(left.unwrap_or_default());
        prop_assert_eq!(&joined[..], &wire[..]);
    }

    /// Bytes that are wrong somewhere fail alike, however they are cut.
    #[test]
    fn broken_messages_split_alike(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..4),
        flip in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        cuts in prop::collection::vec(0_usize..400, 0..10),
    ) {
        let mut wire = BytesMut::new();
        for payload in &payloads {
            encode(&[(":event-type", "x")], payload, &mut wire);
        }
        let at = flip.index(wire.len());
        wire[at] ^= 1 << bit;
        let (whole, cut) = (split(&wire, &[]), split(&wire, &cuts));
        prop_assert!(whole.1.is_err(), "a changed bit is found");
        prop_assert_eq!(whole, cut);
    }
}
