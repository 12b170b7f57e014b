//! What an answer looks like on the wire, whole or in events. Everything may be missing or null.

use doorward_core::{Billed, Citation, Usage};
use serde::de::{self, Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::emit;
use crate::json::{Content, Count, Text, Word};

/// Any event; which fields it has follows from its type.
#[derive(serde::Deserialize)]
pub(super) struct EventIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    pub(super) index: Option<Count>,
    #[serde(borrow)]
    pub(super) delta: Option<DeltaIn<'a>>,
    #[serde(borrow)]
    pub(super) logprobs: Option<LogprobsIn<'a>>,
}

#[derive(serde::Deserialize)]
pub(super) struct DeltaIn<'a> {
    #[serde(borrow)]
    pub(super) message: Option<MessageDelta<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Word<'a>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Word<'a>,
}

#[derive(serde::Deserialize)]
pub(super) struct MessageDelta<'a> {
    #[serde(borrow)]
    pub(super) content: Option<OneOrMany<PieceIn<'a>>>,
    #[serde(borrow)]
    pub(super) tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<OneOrMany<CallIn<'a>>>,
    #[serde(borrow)]
    pub(super) citations: Option<OneOrMany<CitationIn<'a>>>,
}

/// Events have one where whole answers have a list; the first event of a stream has empty lists.
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        let list = match raw.as_bytes().first() {
            Some(b'[') => serde_json::from_str(raw),
            Some(b'n') => Ok(Vec::new()),
            _ => serde_json::from_str(raw).map(|one| vec![one]),
        };
        list.map(Self).map_err(de::Error::custom)
    }
}

/// A whole answer.
#[derive(serde::Deserialize)]
pub(super) struct AnswerIn<'a> {
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    /// An object; in an error, a sentence.
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Word<'a>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<Vec<LogprobsIn<'a>>>,
}

#[derive(serde::Deserialize)]
pub(super) struct MessageIn<'a> {
    #[serde(borrow, default)]
    pub(super) content: Content<'a, PieceIn<'a>>,
    #[serde(borrow)]
    pub(super) tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<CallIn<'a>>>,
    #[serde(borrow)]
    pub(super) citations: Option<Vec<CitationIn<'a>>>,
}

#[derive(serde::Deserialize)]
pub(super) struct PieceIn<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
pub(super) struct CallIn<'a> {
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    #[serde(borrow)]
    pub(super) function: Option<FunctionIn<'a>>,
}

#[derive(serde::Deserialize)]
pub(super) struct FunctionIn<'a> {
    #[serde(borrow, default)]
    pub(super) name: Word<'a>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
pub(super) struct CitationIn<'a> {
    start: Option<Count>,
    end: Option<Count>,
    #[serde(borrow, default)]
    text: Word<'a>,
    #[serde(borrow)]
    sources: Option<Vec<SourceIn<'a>>>,
}

#[derive(serde::Deserialize)]
struct SourceIn<'a> {
    #[serde(borrow, default)]
    id: Word<'a>,
    #[serde(borrow)]
    document: Option<DocumentIn<'a>>,
}

#[derive(serde::Deserialize)]
struct DocumentIn<'a> {
    #[serde(borrow, default)]
    url: Word<'a>,
    #[serde(borrow, default)]
    title: Word<'a>,
}

impl CitationIn<'_> {
    /// In the common form: one for each source.
    pub(super) fn citations(self) -> Vec<Citation> {
        let given = |word: Word<'_>| (!word.0.is_empty()).then(|| word.0.into_owned());
        let cited = Citation {
            text: given(self.text),
            start: self.start.map(|Count(n)| n),
            end: self.end.map(|Count(n)| n),
            ..Citation::default()
        };
        let sources = self.sources.unwrap_or_default();
        if sources.is_empty() {
            return vec![cited];
        }
        let with = |source: SourceIn<'_>| {
            let (url, title) = match source.document {
                Some(document) => (given(document.url), given(document.title)),
                None => (None, None),
            };
            Citation { url, title: title.or_else(|| given(source.id)), ..cited.clone() }
        };
        sources.into_iter().map(with).collect()
    }
}

#[derive(serde::Deserialize)]
pub(super) struct LogprobsIn<'a> {
    #[serde(borrow, default)]
    text: Word<'a>,
    logprobs: Option<Vec<f64>>,
}

impl LogprobsIn<'_> {
    /// As an entry in `OpenAI`'s list: a piece of text and the probability of all its tokens,
    /// which Cohere does not tell apart.
    pub(super) fn entry(&self) -> Option<String> {
        let sum: f64 = self.logprobs.as_ref()?.iter().sum();
        let token = emit::escape(&self.text.0);
        sum.is_finite().then(|| {
            format!(r#"{{"token":"{token}","logprob":{sum},"bytes":null,"top_logprobs":[]}}"#)
        })
    }
}

#[derive(serde::Deserialize)]
struct UsageIn {
    billed_units: Option<Units>,
    tokens: Option<Units>,
    cached_tokens: Option<Count>,
}

#[derive(serde::Deserialize)]
struct Units {
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
}

/// Usage in the common form: what is billed, where that is told, for the tokens that Cohere adds
/// to a prompt itself are not; else what was counted. Nothing where nothing was.
pub(super) fn usage(raw: &RawValue) -> Option<Usage> {
    let counted = serde_json::from_str::<UsageIn>(raw.get()).ok()?;
    let told = |units: &Units| units.input_tokens.is_some() || units.output_tokens.is_some();
    let units = counted.billed_units.filter(told).or(counted.tokens.filter(told))?;
    let count = |count: Option<Count>| count.unwrap_or_default().0;
    let input = count(units.input_tokens);
    let output = count(units.output_tokens);
    let cache_read = count(counted.cached_tokens).min(input);
    Some(Usage { input, output, cache_read, ..Usage::default() })
}

/// What Cohere says of the bill.
pub(super) fn billed(usage: Option<&RawValue>) -> Option<Box<Billed>> {
    let raw = usage?.get().to_owned();
    Some(Box::new(Billed { raw: Some(raw), tier: None, cost_usd: None }))
}
