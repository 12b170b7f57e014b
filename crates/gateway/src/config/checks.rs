//! `[[check]]`: what texts hold, on their way to a model, to a tool or back.

use std::time::Duration;

use doorward_core::Pattern;
use doorward_guardrails::checks::{Action, OnFailure, Stage};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretRef, Size, Span};

/// `[[check]]`: one content check. They look in their order.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckConfig {
    /// What it looks for.
    pub kind: CheckKind,
    /// What it is called in records; the kind where left out.
    pub name: Option<String>,
    /// Where it looks. Where left out: everywhere; `links` and `schema` in answers, `size` in
    /// requests.
    pub stages: Option<Vec<Stage>>,
    /// What it does with what it finds. Where left out: `redact`; `size`, `schema` and `webhook`
    /// `deny`.
    pub action: Option<Action>,
    /// What holds where it cannot look.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Ids of principals that it concerns; everybody where left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub principals: Vec<Pattern>,
    /// Teams that it concerns; everybody where left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub teams: Vec<Pattern>,
    /// Models that it concerns, as clients write them; all where left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub models: Vec<Pattern>,
    /// Tools whose arguments and results it concerns; all where left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub tools: Vec<Pattern>,
    /// The rules of its kind to look for; all but guesses where left out.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Rules to leave out.
    #[serde(default)]
    pub except: Vec<String>,
    /// What is no finding, `*@example.com` for instance; for `links`, hosts that may stay.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<Pattern>,
    /// Whether tokens that have a checksum count only where it holds.
    #[serde(default)]
    pub verify: bool,
    /// Regular expressions of one's own.
    #[serde(default)]
    pub patterns: Vec<CheckPattern>,
    /// Of links, only what is fetched without a click.
    #[serde(default)]
    pub images_only: bool,
    /// The most bytes of text.
    pub max_bytes: Option<Size>,
    /// The most messages of a request.
    pub max_messages: Option<usize>,
    /// The most tools of a request.
    pub max_tools: Option<usize>,
    /// Whom to ask.
    pub webhook: Option<WebhookConfig>,
}

/// What a check looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Credentials.
    Secrets,
    /// Personal data.
    Pii,
    /// Patterns of one's own.
    Patterns,
    /// Addresses that lead to other hosts than the allowed ones.
    Links,
    /// Characters that nobody sees and a model reads.
    Invisible,
    /// What is too large.
    Size,
    /// Answers that have not the form that their request asked for.
    Schema,
    /// What somebody else says.
    Webhook,
}

/// A regular expression with a name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckPattern {
    /// What it is called: `[redacted:name]`, `check.patterns.name`.
    pub name: String,
    /// What it looks like. Classes are those of ASCII.
    pub regex: String,
}

/// Somebody to ask over HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where.
    pub url: String,
    /// In which form.
    #[serde(default)]
    pub protocol: WebhookProtocol,
    /// How long it may take.
    #[serde(default = "five_seconds")]
    pub timeout: Span,
    /// The key to sign with: HMAC-SHA256 over time and body, in `x-doorward-signature`.
    pub secret: Option<SecretRef>,
    /// The token to show, as `Authorization: Bearer`.
    pub token: Option<SecretRef>,
    /// What is sent; nothing else is. The forms of others have room for `content` only.
    #[serde(default = "sent")]
    pub send: Vec<WebhookField>,
}

fn five_seconds() -> Span {
    Span(Duration::from_secs(5))
}

fn sent() -> Vec<WebhookField> {
    vec![WebhookField::Content]
}

/// In which form a webhook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookProtocol {
    /// Doorward's own.
    #[default]
    Doorward,
    /// `OpenAI`'s moderation endpoint.
    OpenaiModeration,
    /// `LiteLLM`'s generic guardrail API.
    Litellm,
    /// Portkey's webhook.
    Portkey,
}

/// What a webhook is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookField {
    /// The texts, or the tool's arguments or result.
    Content,
    /// The SHA-256 of each text in the place of the texts.
    Digest,
    /// For whom: the principal's id.
    Principal,
    /// The principal's team.
    Team,
    /// The model.
    Model,
    /// The tool's name.
    Tool,
    /// What the tool says of itself: its description and the schema of its arguments.
    Definition,
    /// The arguments that a tool's result is for.
    Arguments,
    /// The ids of turn and request.
    Turn,
}
