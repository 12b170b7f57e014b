//! Sources and log probabilities, in both directions.

use doorward_core::Citation;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::emit::{self, Array, Object};
use crate::json::{Count, Text};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct GroundingIn<'a> {
    #[serde(borrow)]
    grounding_chunks: Option<Vec<ChunkIn<'a>>>,
    #[serde(borrow)]
    grounding_supports: Option<Vec<SupportIn<'a>>>,
    #[serde(borrow)]
    web_search_queries: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChunkIn<'a> {
    #[serde(borrow)]
    web: Option<PlaceIn<'a>>,
    #[serde(borrow)]
    image: Option<PlaceIn<'a>>,
    #[serde(borrow)]
    maps: Option<PlaceIn<'a>>,
    #[serde(borrow)]
    retrieved_context: Option<PlaceIn<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlaceIn<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    source_uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SupportIn<'a> {
    #[serde(borrow)]
    segment: Option<SegmentIn<'a>>,
    grounding_chunk_indices: Option<Vec<Count>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SegmentIn<'a> {
    part_index: Option<Count>,
    start_index: Option<Count>,
    end_index: Option<Count>,
    /// Of the answer, not of the source.
    #[serde(borrow, rename = "text")]
    _text: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CitationsIn<'a> {
    /// The Gemini API.
    #[serde(borrow)]
    citation_sources: Option<Vec<CitedIn<'a>>>,
    /// Vertex AI.
    #[serde(borrow)]
    citations: Option<Vec<CitedIn<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CitedIn<'a> {
    start_index: Option<Count>,
    end_index: Option<Count>,
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
}

/// The text of an answer, in which Google counts bytes and the common form characters.
#[derive(Debug, Default)]
pub(super) struct Said {
    text: String,
    /// Where each part of a whole answer begins in it, in bytes.
    starts: Vec<usize>,
}

impl Said {
    pub(super) fn begin_part(&mut self) {
        self.starts.push(self.text.len());
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The character at a byte of a part.
    fn character(&self, part: usize, byte: u64) -> u64 {
        let start = self.starts.get(part).copied().unwrap_or(0);
        let end = usize::try_from(byte).unwrap_or(usize::MAX).saturating_add(start);
        self.text.char_indices().take_while(|(at, _)| *at < end).count() as u64
    }

    /// The byte of a character.
    fn byte(&self, character: u64) -> usize {
        let nth = usize::try_from(character).unwrap_or(usize::MAX);
        self.text.char_indices().nth(nth).map_or(self.text.len(), |(at, _)| at)
    }

    fn slice(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }
}

/// Reads the sources of an answer, and how many searches found them. Metadata that cannot be
/// read tells nothing.
pub(super) fn read(
    grounding: Option<&RawValue>,
    citations: Option<&RawValue>,
    said: &Said,
) -> (Vec<Citation>, u64) {
    let grounding = grounding.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let GroundingIn { grounding_chunks, grounding_supports, web_search_queries } =
        grounding.unwrap_or_default();
    let searches = web_search_queries.map_or(0, |queries| queries.len() as u64);
    let sources: Vec<Citation> = grounding_chunks.into_iter().flatten().map(source_of).collect();
    let mut found = Vec::new();
    let mut used = vec![false; sources.len()];
    for support in grounding_supports.into_iter().flatten() {
        let span = support.segment.map(|segment| {
            let part = segment.part_index.map_or(0, |part| part.0);
            let part = usize::try_from(part).unwrap_or(usize::MAX);
            let place = |byte: Option<Count>| said.character(part, byte.unwrap_or_default().0);
            (place(segment.start_index), place(segment.end_index))
        });
        for Count(nth) in support.grounding_chunk_indices.into_iter().flatten() {
            let Ok(nth) = usize::try_from(nth) else { continue };
            let Some(source) = sources.get(nth) else { continue };
            used[nth] = true;
            let (start, end) = span.unzip();
            found.push(Citation { start, end, ..source.clone() });
        }
    }
    let unused = sources.into_iter().zip(used).filter(|(_, used)| !used);
    found.extend(unused.map(|(source, _)| source));
    let citations =
        citations.and_then(|raw| serde_json::from_str::<CitationsIn<'_>>(raw.get()).ok());
    if let Some(citations) = citations {
        let both = [citations.citation_sources, citations.citations];
        found.extend(both.into_iter().flatten().flatten().map(|cited| Citation {
            url: cited.uri.map(Text::into_string),
            title: cited.title.map(Text::into_string),
            text: None,
            start: Some(said.character(0, cited.start_index.unwrap_or_default().0)),
            end: Some(said.character(0, cited.end_index.unwrap_or_default().0)),
        }));
    }
    (found, searches)
}

fn source_of(chunk: ChunkIn<'_>) -> Citation {
    let place = chunk.web.or(chunk.image).or(chunk.maps).or(chunk.retrieved_context);
    let Some(place) = place else { return Citation::default() };
    Citation {
        // The page of a picture is what is to be named, not the picture.
        url: place.source_uri.or(place.uri).map(Text::into_string),
        title: place.title.map(Text::into_string),
        text: place.text.map(Text::into_string),
        start: None,
        end: None,
    }
}

/// Writes `groundingMetadata`, if there are sources.
pub(super) fn write(candidate: &mut Object<'_>, citations: &[Citation], said: &Said) {
    if citations.is_empty() {
        return;
    }
    let is_same = |one: &Citation, other: &Citation| {
        (&one.url, &one.title, &one.text) == (&other.url, &other.title, &other.text)
    };
    let mut sources: Vec<&Citation> = Vec::new();
    for citation in citations {
        if !sources.iter().any(|source| is_same(source, citation)) {
            sources.push(citation);
        }
    }
    candidate.object("groundingMetadata", |metadata| {
        metadata.array("groundingChunks", |list| {
            for source in &sources {
                write_source(list, source);
            }
        });
        let mut supports = citations.iter().filter(|citation| citation.end.is_some()).peekable();
        if supports.peek().is_none() {
            return;
        }
        metadata.array("groundingSupports", |list| {
            for citation in supports {
                let start = said.byte(citation.start.unwrap_or(0));
                let end = said.byte(citation.end.unwrap_or(0));
                let nth = sources.iter().position(|source| is_same(source, citation));
                list.object(|support| {
                    support.object("segment", |segment| {
                        segment.value("startIndex", start);
                        segment.value("endIndex", end);
                        segment.str("text", said.slice(start, end));
                    });
                    support.array("groundingChunkIndices", |list| {
                        list.raw(&nth.unwrap_or(0).to_string());
                    });
                });
            }
        });
    });
}

fn write_source(list: &mut Array<'_>, source: &Citation) {
    list.object(|chunk| {
        // What is quoted comes from a document; the rest from the web.
        let kind = if source.text.is_some() { "retrievedContext" } else { "web" };
        chunk.object(kind, |place| {
            place.opt_str("uri", source.url.as_deref());
            place.opt_str("title", source.title.as_deref());
            place.opt_str("text", source.text.as_deref());
        });
    });
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogprobsIn<'a> {
    #[serde(borrow)]
    chosen_candidates: Option<Vec<TokenIn<'a>>>,
    #[serde(borrow)]
    top_candidates: Option<Vec<TopIn<'a>>>,
}

#[derive(Deserialize)]
struct TopIn<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<TokenIn<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenIn<'a> {
    #[serde(borrow)]
    token: Option<Text<'a>>,
    #[serde(borrow)]
    log_probability: Option<&'a RawValue>,
}

/// Log probabilities as `OpenAI` lists them: JSON text. `None` where there are none.
pub(super) fn read_logprobs(result: &RawValue) -> Option<String> {
    let result = serde_json::from_str::<LogprobsIn<'_>>(result.get()).ok()?;
    let chosen = result.chosen_candidates.filter(|chosen| !chosen.is_empty())?;
    let mut tops = result.top_candidates.unwrap_or_default().into_iter();
    let mut out = bytes::BytesMut::new();
    emit::object(&mut out, |whole| {
        whole.array("list", |list| {
            for token in chosen {
                let top = tops.next().and_then(|top| top.candidates).unwrap_or_default();
                list.object(|item| {
                    write_token(item, &token);
                    item.array("top_logprobs", |list| {
                        for token in &top {
                            list.object(|item| write_token(item, token));
                        }
                    });
                });
            }
        });
    });
    let text = String::from_utf8_lossy(&out);
    text.strip_prefix(r#"{"list":"#)?.strip_suffix('}').map(str::to_owned)
}

fn write_token(item: &mut Object<'_>, token: &TokenIn<'_>) {
    let text = token.token.as_ref().map(Text::as_str).unwrap_or_default();
    item.str("token", text);
    // Nought is left out on the wire.
    item.raw("logprob", token.log_probability.map_or("0", RawValue::get));
    item.array("bytes", |list| text.bytes().for_each(|byte| list.raw(&byte.to_string())));
}

#[derive(Deserialize)]
struct OpenAiToken<'a> {
    #[serde(borrow)]
    token: Option<Text<'a>>,
    #[serde(borrow)]
    logprob: Option<&'a RawValue>,
    #[serde(borrow)]
    top_logprobs: Option<Vec<OpenAiToken<'a>>>,
}

/// Writes `logprobsResult` from `OpenAI`'s lists.
pub(super) fn write_logprobs(candidate: &mut Object<'_>, lists: &[String]) {
    let parsed = lists.iter().filter_map(|list| serde_json::from_str(list).ok());
    let tokens: Vec<OpenAiToken<'_>> = parsed.flat_map(|list: Vec<OpenAiToken<'_>>| list).collect();
    if tokens.is_empty() {
        return;
    }
    let write = |item: &mut Object<'_>, token: &OpenAiToken<'_>| {
        item.str("token", token.token.as_ref().map(Text::as_str).unwrap_or_default());
        item.raw("logProbability", token.logprob.map_or("0", RawValue::get));
    };
    candidate.object("logprobsResult", |result| {
        result.array("topCandidates", |list| {
            for token in &tokens {
                list.object(|top| {
                    top.array("candidates", |list| {
                        for token in token.top_logprobs.iter().flatten() {
                            list.object(|item| write(item, token));
                        }
                    });
                });
            }
        });
        result.array("chosenCandidates", |list| {
            for token in &tokens {
                list.object(|item| write(item, token));
            }
        });
    });
}
