//! Answers: every case in `testdata/answers`.

use bytes::BytesMut;
use doorward_core::Frame;
use doorward_wire::{Dialect, ReadError, WriterOptions};

use crate::cases::{all, lines, read_answer, shown, speak, spoken, wire};

fn options(streaming: bool, same_dialect: bool) -> WriterOptions {
    WriterOptions {
        streaming,
        same_dialect,
        stream_usage: true,
        strip_usage: false,
        model: "told/model".to_owned(),
        id: "told-id".to_owned(),
        created: 1_700_000_000,
        ..WriterOptions::default()
    }
}

fn write(
    dialect: &dyn Dialect,
    options: WriterOptions,
    frames: &[Frame],
    end: &Result<(), ReadError>,
) -> Vec<u8> {
    let (mut writer, mut out) = (dialect.writer(options), BytesMut::new());
    for frame in frames {
        writer.write(frame, &mut out);
    }
    match end {
        Ok(()) => writer.finish(&mut out),
        Err(error) => writer.error(&error.clone().in_answer(), &mut out),
    }
    out.to_vec()
}

#[test]
fn every_answer_is_read_and_written_as_its_case_says() {
    for case in all("answers") {
        let (words, text) = case.from();
        let (from, streaming) = (speak(words[0]), words[1] == "stream");
        let bytes = wire(words[0], streaming, text);
        let (frames, end) = read_answer(from, streaming, &bytes, bytes.len());
        let mut actual = vec![("frames".to_owned(), lines(&frames))];
        for size in [1, 7, 64] {
            let (others, same) = read_answer(from, streaming, &bytes, size);
            assert_eq!((lines(&others), &same), (lines(&frames), &end), "{}", case.name());
        }
        if let Err(error) = &end {
            actual.push(("fails".to_owned(), format!("{error}\n")));
        }
        for name in spoken() {
            let same = name == words[0];
            // A client of the same dialect gets its own form: an array where this is one.
            let array = same && text.starts_with('[');
            let options = WriterOptions { array, ..options(streaming, same) };
            let out = write(speak(name), options, &frames, &end);
            if same && end.is_ok() {
                let made = frames.iter().any(|frame| frame.raw.is_none());
                assert!(
                    if made { out.starts_with(&bytes) } else { out == bytes },
                    "{}: byte for byte\n{}",
                    case.name(),
                    shown(name, streaming, &out)
                );
                continue;
            }
            let kind = if streaming { "stream" } else { "body" };
            let out = shown(name, streaming, &out);
            let out = if streaming { out } else { out + "\n" };
            actual.push((format!("to {name} {kind}"), out));
        }
        case.check(&actual);
    }
}
