//! What an answer looks like on the wire: one shape for stream parts and pieces of content, since
//! most are both.

use doorward_core::{Citation, Media, MediaKind, MediaSource, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Count, Text, Word, data_url};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) model_id: Word<'a>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_call_id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) tool_name: Word<'a>,
    #[serde(borrow)]
    pub(super) input: Option<Text<'a>>,
    pub(super) provider_executed: Option<bool>,
    #[serde(borrow, default)]
    pub(super) media_type: Word<'a>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) url: Word<'a>,
    #[serde(borrow, default)]
    pub(super) title: Word<'a>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) provider_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// A whole answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnswerIn<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) response: Option<ResponseIn<'a>>,
    #[serde(borrow)]
    pub(super) provider_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponseIn<'a> {
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) model_id: Word<'a>,
}

#[derive(Deserialize)]
struct ReasonIn<'a> {
    #[serde(borrow, default)]
    unified: Word<'a>,
    #[serde(borrow, default)]
    raw: Word<'a>,
}

/// The unified word and the provider's own. Before version 3 there was one word.
pub(super) fn reason(raw: Option<&RawValue>) -> (String, String) {
    let Some(raw) = raw else { return (String::new(), String::new()) };
    if raw.get().starts_with('"') {
        let word = serde_json::from_str::<Text<'_>>(raw.get()).unwrap_or_default();
        let word = word.into_string();
        return (word.clone(), word);
    }
    match serde_json::from_str::<ReasonIn<'_>>(raw.get()) {
        Ok(reason) => {
            let unified = reason.unified.0.into_owned();
            let native = reason.raw.0.into_owned();
            let native = if native.is_empty() { unified.clone() } else { native };
            (unified, native)
        }
        Err(_) => (String::new(), String::new()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageIn<'a> {
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    raw: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct TokensIn {
    total: Option<Count>,
    cache_read: Option<Count>,
    cache_write: Option<Count>,
    reasoning: Option<Count>,
}

/// Usage, and the provider's own object within it.
pub(super) fn usage(raw: &RawValue) -> Option<(Usage, Option<String>)> {
    let usage: UsageIn<'_> = serde_json::from_str(raw.get()).ok()?;
    let tokens = |raw: Option<&RawValue>| -> TokensIn {
        let Some(raw) = raw else { return TokensIn::default() };
        // A plain number before version 3.
        match serde_json::from_str::<Count>(raw.get()) {
            Ok(total) => TokensIn { total: Some(total), ..TokensIn::default() },
            Err(_) => serde_json::from_str(raw.get()).unwrap_or_default(),
        }
    };
    let (input, output) = (tokens(usage.input_tokens), tokens(usage.output_tokens));
    if input.total.is_none() && output.total.is_none() {
        return None;
    }
    let count = |count: Option<Count>| count.unwrap_or_default().0;
    let counted = Usage {
        input: count(input.total),
        output: count(output.total),
        cache_read: count(input.cache_read),
        cache_write: count(input.cache_write),
        reasoning: count(output.reasoning),
        ..Usage::default()
    };
    Some((counted, usage.raw.map(|raw| raw.get().to_owned())))
}

#[derive(Deserialize)]
struct MetadataIn<'a> {
    #[serde(borrow)]
    gateway: GatewayIn<'a>,
}

#[derive(Deserialize)]
struct GatewayIn<'a> {
    #[serde(borrow, default)]
    cost: Word<'a>,
}

/// What Vercel says it cost, in US dollars.
pub(super) fn cost(metadata: Option<&RawValue>) -> Option<f64> {
    let metadata: MetadataIn<'_> = serde_json::from_str(metadata?.get()).ok()?;
    metadata.gateway.cost.0.parse().ok().filter(|cost: &f64| cost.is_finite() && *cost >= 0.0)
}

#[derive(Deserialize)]
struct DataIn<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
}

impl PartIn<'_> {
    /// The file that the model made.
    pub(super) fn media(&self) -> Option<Media> {
        let raw = self.data?.get();
        let media_type = self.media_type.0.clone().into_owned();
        let kind = match media_type.split('/').next() {
            Some("image") => MediaKind::Image,
            Some("audio") => MediaKind::Audio,
            _ => MediaKind::File,
        };
        let text = |text: String| match data_url(&text) {
            Some((media_type, data)) => {
                MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
            }
            None => MediaSource::Base64 { media_type: media_type.clone(), data: text },
        };
        let source = if raw.starts_with('"') {
            text(serde_json::from_str::<Text<'_>>(raw).ok()?.into_string())
        } else {
            let data: DataIn<'_> = serde_json::from_str(raw).ok()?;
            match (data.data, data.url) {
                (Some(data), _) => text(data.into_string()),
                (None, Some(url)) => MediaSource::Url(url.into_string()),
                (None, None) => return None,
            }
        };
        Some(Media { kind, source, name: None, detail: None })
    }

    pub(super) fn citation(&self) -> Citation {
        let word = |word: &Word<'_>| Some(word.0.clone().into_owned()).filter(|it| !it.is_empty());
        Citation { url: word(&self.url), title: word(&self.title), ..Citation::default() }
    }
}
