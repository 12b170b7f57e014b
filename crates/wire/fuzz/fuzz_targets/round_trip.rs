//! A request that is read can be written in every dialect, as JSON that is read again.
#![no_main]

mod spoken;

use bytes::Bytes;
use doorward_core::{Body, Message, Part};
use doorward_wire::{Destination, Quirks};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

/// Quirks by the bits of a byte.
fn quirks(bits: u8) -> Quirks {
    let mut quirks = Quirks::none();
    quirks.tool_id_length = (bits & 1 == 1).then_some(9);
    quirks.one_system = bits & 2 == 2;
    (quirks.no_developer, quirks.tool_name) = (bits & 2 == 2, bits & 2 == 2);
    quirks.reasoning_field = match bits & 12 {
        4 => Some("reasoning".to_owned()),
        8 => Some("thinking".to_owned()),
        _ => None,
    };
    quirks.echo_reasoning = bits & 16 == 16;
    if bits & 32 == 32 {
        quirks.no_strict = true;
        quirks.no_custom_tools = true;
        quirks.schema_omit = vec!["type".to_owned(), "additionalProperties".to_owned()];
    }
    if bits & 64 == 64 {
        quirks.one_sampling = true;
        quirks.omit = vec!["seed".to_owned(), "tools".to_owned(), "messages".to_owned()];
        quirks.rename.insert("max_completion_tokens".to_owned(), "max_tokens".to_owned());
        quirks.set.insert("extra".to_owned(), "[1]".to_owned());
    }
    quirks.json_by_tool = bits & 128 == 128;
    quirks
}

/// Whether a message holds a piece that only its own dialect knows: it may be half of something.
fn opaque(messages: &[Message]) -> bool {
    let parts = messages.iter().flat_map(|message| &message.parts);
    let within = |part: &Part| match &part.body {
        Body::ToolResult(result) => {
            result.content.iter().any(|part| matches!(part.body, Body::Opaque { .. }))
        }
        body => matches!(body, Body::Opaque { .. }),
    };
    parts.into_iter().any(within)
}

fuzz_target!(|data: &[u8]| {
    let [pick, bits, body @ ..] = data else { return };
    let Some(dialect) = spoken::picked(*pick) else { return };
    let body = Bytes::copy_from_slice(body);
    let Ok(mut call) = dialect.read_addressed(body, "m", false) else { return };
    let quirks = quirks(*bits);
    for anew in [false, true] {
        if anew && let Some(raw) = &mut call.raw {
            raw.body = Bytes::new();
        }
        for other in spoken::spoken() {
            let to = Destination { quirks: &quirks, ..Destination::new("there") };
            let Ok(written) = other.write_call(&call, &to) else { continue };
            let text = std::str::from_utf8(&written.body).expect("what is written is text");
            serde_json::from_str::<&RawValue>(text).expect("what is written is JSON");
            let again = other.read_addressed(written.body.clone(), "there", false);
            // A field that nobody knows may look like another's misspelling once it is respelled.
            let known = call.extra.is_empty() && !opaque(&call.messages);
            let kept = known && !quirks.omit.iter().any(|name| name == "messages");
            assert!(again.is_ok() || !kept, "{}: {again:?}\n{text}", other.id().as_str());
        }
    }
});
