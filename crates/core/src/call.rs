//! A call to a model, and the plane that answers it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    BoxFuture, CallError, Code, Cx, DialectId, EmbedCall, EmbedReply, Message, ModelReply,
    Preferences, Purse, RelayCall, RelayReply, TokenCount,
};

/// One call to a model, in the common form. The reader of a dialect makes it, the writer of a
/// dialect sends it on.
#[derive(Debug, Clone, Default)]
pub struct ModelCall {
    /// The model as the client wrote it: `provider/model`, an alias, or a bare name.
    pub model: String,
    /// The conversation. System text is in its first messages.
    pub messages: Vec<Message>,
    /// The tools the model may call.
    pub tools: Vec<ToolDef>,
    /// Whether and which tool must be called.
    pub tool_choice: ToolChoice,
    /// Sampling and limits.
    pub params: Params,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// Whether the client asked for usage within the stream (`stream_options.include_usage`);
    /// always so in dialects that send it unasked.
    pub stream_usage: bool,
    /// Whether the gateway itself needs usage within the stream, because a limit counts tokens.
    pub ask_usage: bool,
    /// Fields of the client's dialect that the common form does not know, in order.
    pub extra: Vec<(String, Box<RawValue>)>,
    /// The body as the client sent it, for a target of the same dialect.
    pub raw: Option<RawCall>,
    /// The earlier answer that this call goes on from (Responses `previous_response_id`). The
    /// edge puts that answer's conversation in front and empties this before anybody judges the
    /// call.
    pub previous: Option<String>,
    /// What the client wishes of the routing.
    pub preferences: Preferences,
    /// Within which scope an equal call may be answered from the cache; `None`: never. The
    /// gateway sets it: principal, key and label are part of it.
    pub cache: Option<Arc<str>>,
    /// Who reserves money and tokens before each attempt; `None`: nobody counts.
    pub purse: Option<Arc<dyn Purse>>,
}

/// A request body as the client sent it.
#[derive(Debug, Clone)]
pub struct RawCall {
    /// Whose wire it is.
    pub dialect: DialectId,
    /// The bytes.
    pub body: Bytes,
    /// Where in `body` the model's name stands, quotes included.
    pub model: Range<usize>,
    /// The dialect's own request headers (`anthropic-version`, `anthropic-beta`, `openai-beta`),
    /// lower-case, for a target of the same dialect. The edge fills them in.
    pub headers: Vec<(String, String)>,
}

/// A tool that the client declared to the model.
#[derive(Debug, Clone)]
pub struct ToolDef {
    /// The name the model uses.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments, as written. `None` where the declaration has none.
    pub schema: Option<Box<RawValue>>,
    /// Whether the arguments must fit the schema exactly.
    pub strict: Option<bool>,
    /// Anthropic's `cache_control` mark.
    pub cache_control: Option<Box<RawValue>>,
    /// The whole declaration where it is no plain function (a provider-hosted or custom tool):
    /// only its own dialect can carry it.
    pub opaque: Option<Box<RawValue>>,
    /// Whether its argument is free text (`OpenAI` `custom`). Another dialect declares it as a
    /// function of one string called `input`; in the common form a call's arguments are
    /// `{"input":"…"}`.
    pub custom: bool,
    /// Taken out of the model's sight by the guard. Writers leave it out.
    pub hidden: bool,
}

/// Whether and which tool must be called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// Not said: the provider's default.
    #[default]
    Unset,
    /// The model may.
    Auto,
    /// The model may not.
    None,
    /// The model must call some tool.
    Required,
    /// The model must call this tool.
    Tool(String),
}

/// Sampling and limits; `None` where the client said nothing.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// The most tokens to answer with (`max_tokens`, `max_completion_tokens`).
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Top-k sampling.
    pub top_k: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Sampling seed.
    pub seed: Option<i64>,
    /// Whether several tools may be called at once.
    pub parallel_tools: Option<bool>,
    /// The shape of the answer.
    pub response_format: Option<ResponseFormat>,
    /// `OpenAI`'s `reasoning_effort`: `minimal`, `low`, `medium`, `high`, …
    pub reasoning_effort: Option<String>,
    /// Anthropic's thinking budget, in tokens.
    pub thinking_budget: Option<u64>,
    /// The end user, as the application names them.
    pub user: Option<String>,
    /// How many answers (`n`, Gemini `candidateCount`).
    pub choices: Option<u32>,
    /// Penalty on frequent tokens, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Penalty on tokens that occurred, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Whether to tell log probabilities of the answer's tokens.
    pub logprobs: Option<bool>,
    /// How many alternatives to tell for each token.
    pub top_logprobs: Option<u32>,
    /// The price tier asked for (`OpenAI` `service_tier`: `auto`, `default`, `flex`, `priority`).
    pub service_tier: Option<String>,
    /// How wordy the answer is to be (`OpenAI` `verbosity`).
    pub verbosity: Option<String>,
    /// Whether and how the thought is to be shown (`OpenAI` `reasoning.summary`, Gemini
    /// `includeThoughts`, Anthropic `thinking.display`): `auto`, `concise`, `detailed`, `none`.
    pub reasoning_summary: Option<String>,
    /// Whether the model is to think at all, where the client says so without a number.
    pub thinking: Option<bool>,
    /// What tells the provider's cache which prompts belong together (`prompt_cache_key`).
    pub cache_key: Option<String>,
}

/// The shape of the answer.
#[derive(Debug, Clone)]
pub enum ResponseFormat {
    /// Any text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// The schema, as written.
        schema: Box<RawValue>,
        /// Whether it must fit exactly.
        strict: Option<bool>,
    },
}

/// The model plane: answers model calls.
///
/// ```
/// use doorward_core::{BoxFuture, CallError, Code, Cx, Model, ModelCall, ModelReply, Models};
///
/// /// A plane without a single model.
/// struct Empty;
///
/// impl Models for Empty {
///     fn complete<'a>(
///         &'a self,
///         _cx: &'a Cx,
///         call: ModelCall,
///     ) -> BoxFuture<'a, Result<ModelReply, CallError>> {
///         let error = CallError::new(Code::NotFound, format!("no model `{}`", call.model));
///         Box::pin(async { Err(error) })
///     }
///     fn models(&self) -> Vec<Model> {
///         vec![]
///     }
/// }
/// ```
pub trait Models: Send + Sync {
    /// Answers one call. The reply's stream owns the upstream exchange: dropping it cancels it.
    fn complete<'a>(
        &'a self,
        cx: &'a Cx,
        call: ModelCall,
    ) -> BoxFuture<'a, Result<ModelReply, CallError>>;

    /// The models that can be asked for by name.
    fn models(&self) -> Vec<Model>;

    /// Whether it answers equal calls from a cache. Only then is
    /// [`ModelCall::cache`] worth making.
    fn caches(&self) -> bool {
        false
    }

    /// Turns texts into vectors.
    fn embed<'a>(
        &'a self,
        _cx: &'a Cx,
        _call: EmbedCall,
    ) -> BoxFuture<'a, Result<EmbedReply, CallError>> {
        Box::pin(async { Err(CallError::new(Code::NotFound, "no embeddings here")) })
    }

    /// Counts the tokens of a call's prompt without answering it.
    fn count<'a>(
        &'a self,
        _cx: &'a Cx,
        _call: ModelCall,
    ) -> BoxFuture<'a, Result<TokenCount, CallError>> {
        Box::pin(async { Err(CallError::new(Code::NotFound, "tokens are not counted here")) })
    }

    /// Sends a request that the common form has no words for (files, images, audio, batches) to
    /// an upstream as it is.
    fn relay<'a>(
        &'a self,
        _cx: &'a Cx,
        _call: RelayCall,
    ) -> BoxFuture<'a, Result<RelayReply, CallError>> {
        Box::pin(async { Err(CallError::new(Code::NotFound, "nothing is relayed here")) })
    }
}

impl<M: Models + ?Sized> Models for Arc<M> {
    fn complete<'a>(
        &'a self,
        cx: &'a Cx,
        call: ModelCall,
    ) -> BoxFuture<'a, Result<ModelReply, CallError>> {
        (**self).complete(cx, call)
    }

    fn models(&self) -> Vec<Model> {
        (**self).models()
    }

    fn caches(&self) -> bool {
        (**self).caches()
    }

    fn embed<'a>(
        &'a self,
        cx: &'a Cx,
        call: EmbedCall,
    ) -> BoxFuture<'a, Result<EmbedReply, CallError>> {
        (**self).embed(cx, call)
    }

    fn count<'a>(
        &'a self,
        cx: &'a Cx,
        call: ModelCall,
    ) -> BoxFuture<'a, Result<TokenCount, CallError>> {
        (**self).count(cx, call)
    }

    fn relay<'a>(
        &'a self,
        cx: &'a Cx,
        call: RelayCall,
    ) -> BoxFuture<'a, Result<RelayReply, CallError>> {
        (**self).relay(cx, call)
    }
}

/// One model that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Model {
    /// The name to ask with.
    pub id: String,
    /// Who serves it: an upstream's name, or `doorward` for an alias.
    pub owner: String,
}
