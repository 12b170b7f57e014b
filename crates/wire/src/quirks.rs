//! What one provider of a dialect does otherwise than the dialect's owner.

pub(crate) mod ids;
pub(crate) mod mend;
pub(crate) mod schema;

use std::collections::BTreeMap;

use doorward_core::Pattern;
use serde::Deserialize;

/// Fields of requests that are meant for a gateway (`OpenRouter`, Vercel) and that a provider
/// would refuse. They go on only to an upstream that lists them in [`Quirks::extensions`].
///
/// `reasoning` is not among them: it is said in the provider's own words instead.
pub const GATEWAY_FIELDS: [&str; 10] = [
    "provider",
    "models",
    "route",
    "transforms",
    "plugins",
    "preset",
    "usage",
    "providerOptions",
    "session_id",
    "trace",
];

/// Differences of one upstream within a dialect, from its descriptor. A call that none of them
/// touches goes through byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a difference of its own")]
pub struct Quirks {
    /// Top-level fields that it refuses: left out, and reported.
    pub omit: Vec<String>,
    /// Fields of gateways (`provider`, `models`, `providerOptions`, …) that it understands itself:
    /// these go on to it and are taken out for every other upstream. Likewise `reasoning`, and
    /// within messages `reasoning_details` and `extra_content`.
    pub extensions: Vec<String>,
    /// Top-level fields that it calls otherwise, by the dialect's name
    /// (`max_completion_tokens = "max_tokens"`).
    pub rename: BTreeMap<String, String>,
    /// Top-level fields that it wants in every body, as JSON text
    /// (`anthropic_version = '"vertex-2023-10-16"'`), unless the client set them.
    pub set: BTreeMap<String, String>,
    /// Whether the model stands in the address and not in the body.
    pub model_in_path: bool,
    /// Whether `stream` must not stand in the body, because the address says so.
    pub stream_in_path: bool,
    /// Headers of the client that go into the body instead, as lists, by the body's field
    /// (`anthropic_beta = "anthropic-beta"`).
    pub headers_in_body: BTreeMap<String, String>,
    /// The only values of `anthropic-beta` that it takes, as patterns; empty: any.
    pub betas: Vec<String>,
    /// How long and of which letters a tool call's id must be (Mistral: 9 of `[a-zA-Z0-9]`).
    pub tool_id_length: Option<usize>,
    /// The name of the field that carries visible thought in a message
    /// (`reasoning_content`, `reasoning`, or `thinking` for typed content).
    pub reasoning_field: Option<String>,
    /// Whether an assistant's tool turn must repeat its thought, even an empty one.
    pub echo_reasoning: bool,
    /// Whether the `developer` role is unknown and written `system`.
    pub no_developer: bool,
    /// Whether several system messages must be one.
    pub one_system: bool,
    /// Whether a `tool` message carries the tool's name.
    pub tool_name: bool,
    /// Whether a strict JSON schema is refused: the schema goes without `strict`.
    pub no_strict: bool,
    /// Whether media must be sent as bytes: a URL is an error that names the place.
    pub inline_media: bool,
    /// Keywords of JSON Schema that it refuses: taken out of schemas, and reported.
    pub schema_omit: Vec<String>,
    /// Whether reasoning tokens are told beside `completion_tokens` and not within.
    pub reasoning_outside: bool,
    /// Whether `temperature` and `top_p` exclude each other: `top_p` is left out, and reported.
    pub one_sampling: bool,
    /// Whether a stream is AWS's binary event stream, each of whose messages holds one event of
    /// the dialect in base64 (Bedrock `InvokeModelWithResponseStream`). Its frames carry the
    /// events as the dialect's owner sends them.
    pub aws_event_stream: bool,
    /// Whether free-form tools (`OpenAI` `custom`) are unknown: they go as functions of one
    /// string called `input`.
    pub no_custom_tools: bool,
    /// Whether JSON of a given shape cannot be asked for (`output_config.format`): the shape goes
    /// as a tool that must be called, and the call comes back as text.
    pub json_by_tool: bool,
}

impl Quirks {
    /// Whether a field of gateways goes on to this upstream.
    pub(crate) fn extends(&self, field: &str) -> bool {
        self.extensions.iter().any(|known| known == field)
    }

    /// None at all.
    pub const fn none() -> Self {
        Self {
            omit: Vec::new(),
            extensions: Vec::new(),
            rename: BTreeMap::new(),
            set: BTreeMap::new(),
            model_in_path: false,
            stream_in_path: false,
            headers_in_body: BTreeMap::new(),
            betas: Vec::new(),
            tool_id_length: None,
            reasoning_field: None,
            echo_reasoning: false,
            no_developer: false,
            one_system: false,
            tool_name: false,
            no_strict: false,
            inline_media: false,
            schema_omit: Vec::new(),
            reasoning_outside: false,
            one_sampling: false,
            aws_event_stream: false,
            no_custom_tools: false,
            json_by_tool: false,
        }
    }
}

/// Those of a comma-separated list of `anthropic-beta` values that an upstream takes; `None` where
/// none is left.
///
/// ```
/// use doorward_wire::{Quirks, allowed_betas};
/// let mut quirks = Quirks::none();
/// assert_eq!(allowed_betas("a-1, b-2", &quirks).as_deref(), Some("a-1,b-2"));
/// quirks.betas = vec!["b-*".into()];
/// assert_eq!(allowed_betas("a-1, b-2", &quirks).as_deref(), Some("b-2"));
/// quirks.betas = vec!["c-*".into()];
/// assert_eq!(allowed_betas("a-1, b-2", &quirks), None);
/// ```
pub fn allowed_betas(value: &str, quirks: &Quirks) -> Option<String> {
    let allowed: Vec<&str> = listed(value).filter(|beta| takes_beta(beta, quirks)).collect();
    (!allowed.is_empty()).then(|| allowed.join(","))
}

fn takes_beta(beta: &str, quirks: &Quirks) -> bool {
    let patterns = &quirks.betas;
    patterns.is_empty()
        || patterns.iter().any(|pattern| Pattern::new(pattern.as_str()).matches(beta))
}

/// The items of a header that is a list (RFC 9110 §5.6.1).
fn listed(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// No differences, to borrow.
pub(crate) static NONE: Quirks = Quirks::none();
