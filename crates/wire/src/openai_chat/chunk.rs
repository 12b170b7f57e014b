//! What an answer looks like on the wire, whole or in chunks. Everything may be missing or null.

use std::borrow::Cow;
use std::fmt;

use doorward_core::{Citation, Media, MediaKind, MediaSource, Usage};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{Count, Text, Word, data_url};

#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) object: Option<Word<'a>>,
    pub(super) created: Option<Count>,
    #[serde(borrow)]
    pub(super) model: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) service_tier: Word<'a>,
    /// Vercel.
    #[serde(borrow, alias = "providerMetadata")]
    pub(super) provider_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    pub(super) index: Option<Count>,
    /// In chunks.
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    /// In whole answers.
    #[serde(borrow)]
    pub(super) message: Option<Delta<'a>>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(super) content: Said<'a>,
    #[serde(borrow)]
    pub(super) refusal: Option<Text<'a>>,
    /// `DeepSeek`, Moonshot, vLLM and others.
    #[serde(borrow, default)]
    pub(super) reasoning_content: Word<'a>,
    /// `OpenRouter`, Cerebras, Groq.
    #[serde(borrow, default)]
    pub(super) reasoning: Word<'a>,
    /// `OpenRouter`: thought with its issuer's state.
    #[serde(borrow)]
    pub(super) reasoning_details: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) annotations: Option<Vec<&'a RawValue>>,
    /// `OpenRouter`: pictures that the model made.
    #[serde(borrow)]
    pub(super) images: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) audio: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<CallDelta<'a>>>,
    /// The form before `tool_calls`.
    #[serde(borrow)]
    pub(super) function_call: Option<Called<'a>>,
}

#[derive(Deserialize, Default)]
pub(super) struct CallDelta<'a> {
    pub(super) index: Option<Count>,
    #[serde(borrow)]
    pub(super) id: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) function: Option<Called<'a>>,
    #[serde(borrow)]
    pub(super) custom: Option<CalledCustom<'a>>,
    /// Google: state of the call.
    #[serde(borrow)]
    pub(super) extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Called<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) arguments: Arguments<'a>,
}

#[derive(Deserialize)]
pub(super) struct CalledCustom<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) input: Option<Text<'a>>,
}

/// A source of what was said.
#[derive(Deserialize)]
struct AnnotationIn<'a> {
    #[serde(borrow)]
    url_citation: UrlCitationIn<'a>,
}

#[derive(Deserialize)]
struct UrlCitationIn<'a> {
    #[serde(borrow, default)]
    url: Word<'a>,
    #[serde(borrow, default)]
    title: Word<'a>,
    /// `OpenRouter`.
    #[serde(borrow, default)]
    content: Word<'a>,
    start_index: Option<Count>,
    end_index: Option<Count>,
}

/// Reads one item of `annotations`; `None` where it is no citation.
pub(super) fn citation(item: &RawValue) -> Option<Citation> {
    let cited = serde_json::from_str::<AnnotationIn<'_>>(item.get()).ok()?.url_citation;
    let word = |word: Word<'_>| Some(word.0.into_owned()).filter(|text| !text.is_empty());
    Some(Citation {
        url: word(cited.url),
        title: word(cited.title),
        text: word(cited.content),
        start: cited.start_index.map(|Count(at)| at),
        end: cited.end_index.map(|Count(at)| at),
    })
}

#[derive(Deserialize)]
struct ImageIn<'a> {
    #[serde(borrow)]
    image_url: ImageUrlIn<'a>,
}

#[derive(Deserialize)]
struct ImageUrlIn<'a> {
    #[serde(borrow)]
    url: Text<'a>,
}

/// Reads one item of `images`.
pub(super) fn image(item: &RawValue) -> Option<Media> {
    let url = serde_json::from_str::<ImageIn<'_>>(item.get()).ok()?.image_url.url;
    let source = match data_url(url.as_str()) {
        Some((media_type, data)) => {
            MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
        }
        None => MediaSource::Url(url.into_string()),
    };
    Some(Media { kind: MediaKind::Image, source, name: None, detail: None })
}

#[derive(Deserialize)]
struct AudioIn<'a> {
    #[serde(borrow)]
    transcript: Option<Text<'a>>,
}

/// The words of a spoken answer.
pub(super) fn transcript(audio: &RawValue) -> Option<String> {
    let audio = serde_json::from_str::<AudioIn<'_>>(audio.get()).ok()?;
    audio.transcript.map(Text::into_string).filter(|text| !text.is_empty())
}

#[derive(Deserialize)]
struct LogprobsIn<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// The list of log probabilities.
pub(super) fn logprobs(logprobs: &RawValue) -> Option<String> {
    let content = serde_json::from_str::<LogprobsIn<'_>>(logprobs.get()).ok()?.content?;
    (content.get().starts_with('[') && content.get() != "[]").then(|| content.get().to_owned())
}

/// Arguments: JSON in a string, or (against the specification) as an object.
#[derive(Default)]
pub(super) struct Arguments<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(Self(match raw.as_bytes().first() {
            Some(b'"') => {
                serde_json::from_str::<Text<'_>>(raw).map_err(serde::de::Error::custom)?.0
            }
            Some(b'n') => Cow::Borrowed(""),
            _ => Cow::Borrowed(raw),
        }))
    }
}

/// What is said: a string, or Mistral's list of text and thinking pieces.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) thought: String,
}

#[derive(Deserialize)]
struct SaidPiece<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Vec<ThoughtPiece<'a>>>,
}

#[derive(Deserialize)]
struct ThoughtPiece<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Said<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of parts")
            }

            fn visit_unit<E>(self) -> Result<Said<'de>, E> {
                Ok(Said::default())
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Said<'de>, E> {
                Ok(Said { text: Cow::Borrowed(text), thought: String::new() })
            }

            fn visit_str<E>(self, text: &str) -> Result<Said<'de>, E> {
                Ok(Said { text: Cow::Owned(text.to_owned()), thought: String::new() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Said<'de>, A::Error> {
                let mut said = Said::default();
                while let Some(piece) = seq.next_element::<SaidPiece<'de>>()? {
                    if let Some(text) = piece.text {
                        said.text.to_mut().push_str(text.as_str());
                    }
                    for thought in piece.thinking.into_iter().flatten() {
                        said.thought.push_str(thought.text.unwrap_or_default().as_str());
                    }
                }
                Ok(said)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[derive(Deserialize, Default)]
pub(super) struct UsageIn<'a> {
    prompt_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    total_tokens: Option<Count>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// `DeepSeek`.
    prompt_cache_hit_tokens: Option<Count>,
    /// `OpenRouter` and Vercel, in US dollars.
    #[serde(borrow, default)]
    cost: Word<'a>,
}

#[derive(Deserialize, Default)]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
struct PromptDetails {
    cached_tokens: Option<Count>,
    cache_write_tokens: Option<Count>,
    audio_tokens: Option<Count>,
}

#[derive(Deserialize, Default)]
struct CompletionDetails {
    reasoning_tokens: Option<Count>,
    audio_tokens: Option<Count>,
}

#[derive(Deserialize)]
struct MetadataIn<'a> {
    #[serde(borrow)]
    gateway: CostIn<'a>,
}

#[derive(Deserialize)]
struct CostIn<'a> {
    #[serde(borrow, default)]
    cost: Word<'a>,
}

/// What Vercel says it cost.
pub(super) fn metadata_cost(metadata: Option<&RawValue>) -> Option<f64> {
    dollars(&serde_json::from_str::<MetadataIn<'_>>(metadata?.get()).ok()?.gateway.cost)
}

fn dollars(Word(text): &Word<'_>) -> Option<f64> {
    text.parse().ok().filter(|cost: &f64| cost.is_finite() && *cost >= 0.0)
}

impl UsageIn<'_> {
    /// What it cost, where the provider says.
    pub(super) fn cost(&self) -> Option<f64> {
        dollars(&self.cost)
    }

    /// In the common form; nothing where nothing was counted. `outside`: whether this provider
    /// counts reasoning beside the completion.
    pub(super) fn usage(&self, outside: bool) -> Option<Usage> {
        let count = |count: Option<Count>| count.unwrap_or_default().0;
        if self.prompt_tokens.is_none() && self.completion_tokens.is_none() {
            return None;
        }
        let prompt = self.prompt_tokens_details.as_ref();
        let completion = self.completion_tokens_details.as_ref();
        let input = count(self.prompt_tokens);
        let mut output = count(self.completion_tokens);
        let reasoning = count(completion.and_then(|details| details.reasoning_tokens));
        let apart = input.saturating_add(output).saturating_add(reasoning);
        if reasoning > 0 && (outside || count(self.total_tokens) == apart) {
            // xAI counts reasoning beside the completion; the total tells.
            output = output.saturating_add(reasoning);
        }
        let cached = prompt.and_then(|details| details.cached_tokens);
        Some(Usage {
            input,
            output,
            cache_read: count(cached.or(self.prompt_cache_hit_tokens)),
            cache_write: count(prompt.and_then(|details| details.cache_write_tokens)),
            reasoning,
            audio_input: count(prompt.and_then(|details| details.audio_tokens)),
            audio_output: count(completion.and_then(|details| details.audio_tokens)),
            ..Usage::default()
        })
    }
}

/// Just enough of a chunk to see whether it is only usage.
#[derive(Deserialize)]
pub(super) struct Bare {
    pub(super) choices: Option<Vec<IgnoredAny>>,
}

/// Just enough of a chunk to see which indexes its tool calls have.
#[derive(Deserialize)]
pub(super) struct Indexes<'a> {
    #[serde(borrow, default)]
    pub(super) choices: Vec<ChoiceIndexes<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ChoiceIndexes<'a> {
    #[serde(borrow)]
    pub(super) delta: Option<DeltaIndexes<'a>>,
}

#[derive(Deserialize)]
pub(super) struct DeltaIndexes<'a> {
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<CallIndex<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct CallIndex<'a> {
    pub(super) index: Option<Count>,
    #[serde(borrow)]
    pub(super) function: Option<Named<'a>>,
    #[serde(borrow)]
    pub(super) custom: Option<Named<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
}
