//! The worst case of a call, before anybody has counted its tokens.

use doorward_core::{Body, MediaKind, MediaSource, ModelCall, Part};

/// At most so many tokens for one picture, whatever its size (the largest that vendors document is
/// near 4,800).
const PICTURE: u64 = 5_000;
/// For sound or a document that is only named by an address or an id.
const ELSEWHERE: u64 = 50_000;
/// What a message costs beside its text.
const MESSAGE: u64 = 16;

/// The worst case of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worst {
    /// Tokens of the prompt.
    pub(crate) input: u64,
    /// Tokens of all answers, where the client said.
    pub(crate) output: Option<u64>,
    /// The price tier asked for.
    pub(crate) tier: Option<String>,
    /// Whether an hour's cache is written.
    pub(crate) cache_1h: bool,
}

impl Worst {
    /// Of a model call. A token is at least a byte of text; media cost by their kind, not by
    /// their bytes.
    pub(crate) fn of(call: &ModelCall) -> Self {
        let parts = call.messages.iter().flat_map(|message| &message.parts);
        let said: u64 = parts.map(part).fold(0, u64::saturating_add);
        let tools: u64 = call
            .tools
            .iter()
            .map(|tool| {
                let text = tool.description.as_ref().map_or(0, String::len);
                let schema = tool.schema.as_ref().map_or(0, |schema| schema.get().len());
                let opaque = tool.opaque.as_ref().map_or(0, |opaque| opaque.get().len());
                bytes(tool.name.len() + text + schema + opaque) + MESSAGE
            })
            .fold(0, u64::saturating_add);
        let messages = bytes(call.messages.len()).saturating_mul(MESSAGE);
        let choices = u64::from(call.params.choices.unwrap_or(1).max(1));
        Self {
            input: said.saturating_add(tools).saturating_add(messages),
            output: call.params.max_tokens.map(|most| most.saturating_mul(choices)),
            tier: call.params.service_tier.clone(),
            cache_1h: caches_for_an_hour(call),
        }
    }

    /// Of so many bytes of text without an answer (embeddings).
    pub(crate) fn of_text(length: usize) -> Self {
        Self { input: bytes(length), output: Some(0), tier: None, cache_1h: false }
    }
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn part(part: &Part) -> u64 {
    match &part.body {
        Body::Text(text) | Body::Refusal(text) => bytes(text.len()),
        Body::Media(media) => match (&media.source, media.kind) {
            (_, MediaKind::Image) => PICTURE,
            // Compressed sound has some 16,000 bytes a second and 32 tokens.
            (MediaSource::Base64 { data, .. }, MediaKind::Audio) => bytes(data.len()) / 100,
            (MediaSource::Base64 { data, .. }, MediaKind::File) => bytes(data.len()) / 4,
            (MediaSource::Url(_) | MediaSource::FileId(_), _) => ELSEWHERE,
        },
        Body::ToolUse(call) => bytes(call.name.len() + call.arguments.len()),
        Body::ToolResult(result) => {
            result.content.iter().map(self::part).fold(MESSAGE, u64::saturating_add)
        }
        Body::Reasoning(thought) => {
            let state = thought.signature.as_ref().or(thought.redacted.as_ref());
            bytes(thought.text.len() + state.map_or(0, String::len))
        }
        Body::Opaque { raw, .. } => bytes(raw.get().len()),
    }
}

fn caches_for_an_hour(call: &ModelCall) -> bool {
    let marks = call.messages.iter().flat_map(|message| &message.parts);
    let marks = marks.filter_map(|part| part.cache_control.as_ref());
    let tools = call.tools.iter().filter_map(|tool| tool.cache_control.as_ref());
    marks.chain(tools).any(|mark| mark.get().contains("\"1h\""))
}

#[cfg(test)]
mod tests {
    use doorward_core::{Media, Message, Role};

    use super::*;

    #[test]
    fn a_picture_costs_by_its_kind_and_text_by_its_bytes() {
        let data = "A".repeat(1 << 20);
        let source = MediaSource::Base64 { media_type: "image/png".into(), data };
        let media = Media { kind: MediaKind::Image, source, name: None, detail: None };
        let mut message = Message::text(Role::User, "four");
        message.parts.push(Body::Media(media).into());
        let mut call = ModelCall { messages: vec![message], ..ModelCall::default() };
        assert_eq!(Worst::of(&call).input, 4 + PICTURE + MESSAGE);
        assert_eq!(Worst::of(&call).output, None);
        call.params.max_tokens = Some(100);
        call.params.choices = Some(3);
        assert_eq!(Worst::of(&call).output, Some(300), "every answer may be that long");
    }
}
