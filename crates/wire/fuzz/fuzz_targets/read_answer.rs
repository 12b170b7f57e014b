//! Any bytes as an answer, cut anywhere: the frames and the end are the same as uncut, and every
//! dialect can write them.
#![no_main]

mod spoken;

use bytes::{Bytes, BytesMut};
use doorward_core::Frame;
use doorward_wire::{Dialect, Quirks, ReadError, WriterOptions};
use libfuzzer_sys::fuzz_target;

fn read(
    dialect: &dyn Dialect,
    streaming: bool,
    quirks: &Quirks,
    pieces: &[&[u8]],
) -> (Vec<Frame>, Result<(), ReadError>) {
    let (mut reader, mut frames) = (dialect.reader(streaming, quirks), Vec::new());
    for piece in pieces {
        if let Err(error) = reader.push(Bytes::copy_from_slice(piece), &mut frames) {
            return (frames, Err(error));
        }
    }
    let end = reader.finish(&mut frames);
    (frames, end)
}

fuzz_target!(|data: &[u8]| {
    let [pick, kind, first, second, answer @ ..] = data else { return };
    let Some(dialect) = spoken::picked(*pick) else { return };
    let streaming = kind & 1 == 1;
    let mut quirks = Quirks::none();
    quirks.json_by_tool = kind & 2 == 2;
    quirks.reasoning_outside = kind & 4 == 4;
    let cut = |at: u8, length: usize| usize::from(at) * length / 256;
    let (head, tail) = answer.split_at(cut(*first, answer.len()));
    let (middle, tail) = tail.split_at(cut(*second, tail.len()));

    let (whole, end) = read(dialect, streaming, &quirks, &[answer]);
    let (pieces, same_end) = read(dialect, streaming, &quirks, &[head, middle, tail]);
    let told = |frames: &[Frame]| -> Vec<_> {
        frames.iter().flat_map(|frame| frame.events.clone()).collect()
    };
    assert_eq!(told(&whole), told(&pieces));
    assert_eq!(end, same_end);

    for other in spoken::spoken() {
        let options = WriterOptions {
            streaming,
            same_dialect: other.id() == dialect.id(),
            custom_tools: vec!["f".to_owned()],
            tell_cost: kind & 8 == 8,
            ..WriterOptions::default()
        };
        let (mut writer, mut out) = (other.writer(options), BytesMut::new());
        for frame in &whole {
            writer.write(frame, &mut out);
        }
        writer.finish(&mut out);
    }
});
