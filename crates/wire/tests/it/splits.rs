//! Bytes may be cut anywhere: the frames are the same, and joined they are the bytes.

use bytes::{Bytes, BytesMut};
use doorward_core::Frame;
use doorward_wire::sse::{Event, Splitter};
use doorward_wire::{Dialect, Quirks, ReadError};
use proptest::prelude::*;

use crate::cases::{all, lines, speak, wire};

fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| Bytes::copy_from_slice(&bytes[pair[0]..pair[1]])).collect()
}

fn events(pieces: &[Bytes]) -> Vec<Event> {
    let (mut splitter, mut events) = (Splitter::new(1 << 20), Vec::new());
    for piece in pieces {
        splitter.push(piece.clone(), &mut events).unwrap();
    }
    events.extend(splitter.finish());
    events
}

fn frames(dialect: &dyn Dialect, pieces: &[Bytes]) -> (Vec<Frame>, Result<(), ReadError>) {
    let (mut reader, mut frames) = (dialect.reader(true, &Quirks::none()), Vec::new());
    for piece in pieces {
        if let Err(error) = reader.push(piece.clone(), &mut frames) {
            return (frames, Err(error));
        }
    }
    let end = reader.finish(&mut frames);
    (frames, end)
}

fn joined(frames: &[Frame]) -> Vec<u8> {
    frames.iter().filter_map(|frame| frame.raw.as_deref()).flatten().copied().collect()
}

/// A stream with any of the three line ends, and what it is with line feeds alone.
fn line_ends(text: &str, picks: &[u8]) -> Vec<u8> {
    let mut picks = picks.iter().cycle();
    let mut out = Vec::new();
    for byte in text.bytes() {
        match (byte, picks.next()) {
            (b'\n', Some(1)) => out.extend(b"\r\n"),
            (byte, _) => out.push(byte),
        }
    }
    out
}

#[test]
fn events_end_at_blank_lines_of_any_kind() {
    for (text, data) in [
        ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
        ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
        ("data: a\r\n\ndata: b\n\r\n", vec!["a", "b"]),
        ("\u{feff}data: a\n\n", vec!["a"]),
        ("data:a\ndata: b\nid: 7\nretry: 9\n\n", vec!["a\nb"]),
        ("data\n\n", vec![""]),
        ("data: left open", vec!["left open"]),
    ] {
        for size in 1..=text.len() {
            let pieces: Vec<Bytes> =
                text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            let got: Vec<String> =
                events(&pieces).iter().filter_map(|event| Some(event.data()?.into())).collect();
            assert_eq!(got, data, "{text:?} by {size}");
        }
    }
    let named = &events(&[Bytes::from_static(b": hi\nevent: x\nevent: y\n\n")])[0];
    assert_eq!((named.name().as_deref(), named.data()), (Some("y"), None));
}

#[test]
fn an_event_within_one_piece_is_not_copied() {
    let piece = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let got = events(std::slice::from_ref(&piece));
    assert_eq!(got[1].raw().as_ptr(), piece[9..].as_ptr());
}

#[test]
fn an_endless_event_is_refused() {
    let mut splitter = Splitter::new(100);
    let mut out = Vec::new();
    let result =
        (0..20).try_for_each(|_| splitter.push(Bytes::from_static(b"data: xxxx"), &mut out));
    assert_eq!(result, Err(ReadError::TooLarge { limit: 100 }));
}

proptest! {
    #[test]
    fn any_bytes_split_alike(
        bytes in prop::collection::vec(
            prop::sample::select(b"\r\n:ad \xef\xbb\xbf".to_vec()), 0..60),
        cuts in prop::collection::vec(0_usize..60, 0..8),
    ) {
        let whole = events(&cut(&bytes, &[]));
        let pieces = events(&cut(&bytes, &cuts));
        prop_assert_eq!(&whole, &pieces);
        let joined: BytesMut = pieces.iter().flat_map(|event| event.raw().to_vec()).collect();
        prop_assert_eq!(&joined[..], &bytes[..]);
    }

    #[test]
    fn any_split_of_an_answer_gives_the_same_frames(
        pick in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(0_usize..100_000, 0..12),
        ends in prop::collection::vec(0_u8..2, 1..5),
    ) {
        let cases: Vec<_> =
            all("answers").into_iter().filter(|case| case.from().0[1] == "stream").collect();
        let case = pick.get(&cases);
        let (words, text) = case.from();
        // Line ends are free where events are lines.
        let bytes = match words[0] {
            "bedrock-converse" => wire(words[0], true, text),
            _ => line_ends(text, &ends),
        };
        let (whole, end) = frames(speak(words[0]), &cut(&bytes, &[]));
        let (pieces, same) = frames(speak(words[0]), &cut(&bytes, &cuts));
        prop_assert_eq!(lines(&whole), lines(&pieces));
        let raws = |frames: &[Frame]| -> Vec<_> { frames.iter().map(|f| f.raw.clone()).collect() };
        prop_assert_eq!(raws(&whole), raws(&pieces));
        prop_assert_eq!(&end, &same);
        if !matches!(end, Err(ReadError::Field { .. })) {
            prop_assert_eq!(joined(&pieces), bytes);
        }
    }
}
