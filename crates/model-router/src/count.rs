//! The tokens of a prompt: counted by the upstream where it can, estimated where it cannot.

use doorward_core::{Body, CallError, Cx, Media, MediaKind, MediaSource, ModelCall, Part};
use doorward_core::{TokenCount, ToolChoice};
use doorward_wire::{Counting, Destination, WriteError};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use crate::Router;
use crate::answer::{self, Refused};
use crate::candidate::Candidate;
use crate::exchange::{client_headers, finish};
use crate::keys::Picked;
use crate::transport::{Outbound, gather};
use crate::tries::Tries;
use crate::when::Facts;

/// Who writes and reads counts in a form that is no dialect's: `vertex-count`, Gemini's without
/// its envelope.
pub(crate) fn codec(name: &str) -> Option<&'static dyn Counting> {
    match name {
        "vertex-count" => Some(&doorward_wire::VertexCounting),
        _ => None,
    }
}

impl Router {
    /// Asks the call's targets in order for its tokens; where none counts, estimates.
    pub(crate) async fn counted(&self, cx: &Cx, call: ModelCall) -> Result<TokenCount, CallError> {
        let facts = Facts::of(&call);
        let mut tries = Tries::new(self, cx, &call.model, &call.preferences, &facts)?;
        let mut first = None;
        while let Some(step) = tries.next() {
            let began = self.clock.instant();
            let candidate = step.candidate.clone();
            let (picked, found) = match tries.pick(&candidate).await {
                Ok(picked) => {
                    let found = self.ask_count(cx, &call, &candidate, &picked).await;
                    (Some(picked), found)
                }
                Err(refused) => (None, Err(refused)),
            };
            match found {
                Ok(Some(input)) => {
                    let route = tries.answered(&candidate, vec![]);
                    return Ok(TokenCount { input, estimated: false, route });
                }
                Ok(None) => {}
                Err(refused) => {
                    tries.failed(step, picked.as_ref(), refused, began);
                }
            }
            first.get_or_insert(candidate);
        }
        match first {
            // A wrong request is not worth an estimate; a provider that is down is.
            Some(candidate) if !tries.ended() => {
                let route = tries.answered(&candidate, vec![]);
                Ok(TokenCount { input: estimate(&call), estimated: true, route })
            }
            _ => Err(tries.given_up()),
        }
    }

    /// Asks one target; `None`: it does not count.
    async fn ask_count(
        &self,
        cx: &Cx,
        call: &ModelCall,
        candidate: &Candidate,
        picked: &Picked,
    ) -> Result<Option<u64>, Refused> {
        let (target, upstream) = (&candidate.target, &*candidate.upstream);
        let client = call.raw.as_ref().map(|raw| raw.dialect);
        let found = upstream.counter(client, &target.model);
        let found = found.and_then(|endpoint| Some((endpoint, endpoint.count.as_ref()?)));
        let Some((endpoint, (address, counting))) = found else { return Ok(None) };
        let model = upstream.known_as(&target.model);
        let to = Destination { model, ask_usage: false, quirks: endpoint.count_quirks() };
        let written = counting.write_call(call, &to).map_err(WriteError::in_request);
        let written = written.map_err(Refused::unfit)?;
        let mut request = Outbound::new(written.body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = address.of(model).map_err(Refused::unmade)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        client_headers(&mut request, call, endpoint);
        finish(&mut request, cx, upstream);
        if let Some(credential) = &picked.credential {
            let shown = self.show(upstream, credential, &mut request).await;
            shown.map_err(Refused::unmade)?;
        }
        let inbound = self.send(upstream, request).await.map_err(Refused::exchange)?;
        let status = inbound.head.status;
        let refused = |error| Refused::answered(status, error);
        let body = gather(inbound.body).await.map_err(|error| refused(answer::broken(error)))?;
        if !status.is_success() {
            return Err(refused(endpoint.dialect.read_error(status.as_u16(), body)));
        }
        counting.read_count(&body).map(Some).map_err(|error| refused(error.in_answer()))
    }
}

/// What a message, a tool or a picture takes beside its text, in tokens.
const MESSAGE: u64 = 4;
const TOOL: u64 = 8;
const IMAGE: u64 = 1_600;
const SECOND_OF_SOUND: u64 = 32;
const LINKED_FILE: u64 = 3_000;

/// About how many tokens a call's prompt has, for whatever model: a token for every four ASCII
/// characters and one for every other character, 4 for each message, 8 for each tool, 1,600 for a
/// picture (what Anthropic takes for a large one), 32 for a second of sound (taken as 16 kB), a
/// token for every 20 bytes of a document. Reads high rather than low for English prose, so that
/// a client that compacts at a limit does so in time. Hidden tools do not count.
pub fn estimate(call: &ModelCall) -> u64 {
    let messages = call.messages.iter().map(|message| MESSAGE + parts(&message.parts));
    let tools = call.tools.iter().filter(|tool| !tool.hidden).map(|tool| {
        let texts = [
            Some(tool.name.as_str()),
            tool.description.as_deref(),
            tool.schema.as_deref().map(serde_json::value::RawValue::get),
            tool.opaque.as_deref().map(serde_json::value::RawValue::get),
        ];
        TOOL + texts.into_iter().flatten().map(text).sum::<u64>()
    });
    let choice = match &call.tool_choice {
        ToolChoice::Tool(name) => text(name),
        _ => 0,
    };
    messages.chain(tools).fold(choice, u64::saturating_add)
}

fn parts(parts: &[Part]) -> u64 {
    parts.iter().map(part).fold(0, u64::saturating_add)
}

fn part(part: &Part) -> u64 {
    match &part.body {
        Body::Text(said) | Body::Refusal(said) => text(said),
        Body::Media(media) => media_tokens(media),
        Body::ToolUse(call) => MESSAGE + text(&call.name) + text(&call.arguments),
        Body::ToolResult(result) => MESSAGE + parts(&result.content),
        Body::Reasoning(reasoning) => text(&reasoning.text),
        Body::Opaque { raw, .. } => text(raw.get()),
    }
}

fn media_tokens(media: &Media) -> u64 {
    let bytes = match &media.source {
        MediaSource::Base64 { data, .. } => Some(data.len() as u64 / 4 * 3),
        MediaSource::Url(_) | MediaSource::FileId(_) => None,
    };
    match (media.kind, bytes) {
        (MediaKind::Image, _) => IMAGE,
        (MediaKind::Audio, Some(bytes)) => bytes / 16_000 * SECOND_OF_SOUND + SECOND_OF_SOUND,
        (MediaKind::File, Some(bytes)) => bytes / 20 + 1,
        (MediaKind::Audio | MediaKind::File, None) => LINKED_FILE,
    }
}

fn text(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let other = text.chars().filter(|c| !c.is_ascii()).count() as u64;
    ascii.div_ceil(4) + other
}

#[cfg(test)]
mod tests;
