//! Whose model it is, as far as Bedrock's models differ.

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Nova,
    OpenAi,
    Mistral,
    Other,
}

impl Family {
    /// By the model's id. The ARN of an application inference profile names no model; it is taken
    /// for Claude's, as what is special there is asked for only by name.
    pub(super) fn of(model: &str) -> Self {
        let has = |word: &str| model.contains(word);
        if has("anthropic.") || has("claude") {
            Self::Claude
        } else if has("amazon.nova") || has("nova-") {
            Self::Nova
        } else if has("openai.") || has("gpt-oss") {
            Self::OpenAi
        } else if has("mistral") {
            Self::Mistral
        } else if has("application-inference-profile/") {
            Self::Claude
        } else {
            Self::Other
        }
    }

    /// Whether it takes cache points.
    pub(super) const fn caches(self) -> bool {
        matches!(self, Self::Claude | Self::Nova)
    }
}
