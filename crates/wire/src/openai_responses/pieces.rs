//! The pieces that content is made of, in both directions.

use std::borrow::Cow;

use doorward_core::{Body, Media, MediaKind, MediaSource, Part};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use crate::ReadError;
use crate::bound::file_name;
use crate::emit::Array;
use crate::json::{Source, Text, Way, data_url};

#[derive(Deserialize)]
pub(super) struct PieceIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<Text<'a>>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    file_url: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    #[serde(borrow)]
    input_audio: Option<AudioIn<'a>>,
}

#[derive(Deserialize)]
struct AudioIn<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct KindIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

fn is_known(kind: &str) -> bool {
    matches!(
        kind,
        "input_text"
            | "output_text"
            | "text"
            | "summary_text"
            | "reasoning_text"
            | "refusal"
            | "input_image"
            | "input_file"
            | "input_audio"
    )
}

/// Whether a piece that only this dialect knows is one of content, and no item.
pub(super) fn is_content(raw: &RawValue) -> bool {
    let kind = serde_json::from_str::<KindIn<'_>>(raw.get());
    kind.is_ok_and(|KindIn { kind: Text(kind) }| {
        let prefixes = ["input_", "output_", "computer_screenshot"];
        is_known(&kind) || prefixes.iter().any(|prefix| kind.starts_with(prefix))
    })
}

pub(super) fn read<'a>(source: Source<'a>, value: &'a RawValue) -> Result<Part, ReadError> {
    match source.read::<PieceIn<'a>>(value) {
        Ok(piece) => part(source, piece, Way::Careful(value)),
        // A piece that is not known may have fields of the same names and other kinds.
        Err(error) if is_known(source.read::<KindIn<'a>>(value)?.kind.as_str()) => Err(error),
        Err(_) => source.opaque(ID, value),
    }
}

pub(super) fn part<'a>(
    source: Source<'a>,
    piece: PieceIn<'a>,
    way: Way<'a>,
) -> Result<Part, ReadError> {
    let missing = |field: &str| way.wrong(source, format!("missing field `{field}`"));
    let body = match piece.kind.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => {
            Body::Text(piece.text.ok_or_else(|| missing("text"))?.into_string())
        }
        "refusal" => Body::Refusal(piece.refusal.ok_or_else(|| missing("refusal"))?.into_string()),
        "input_image" => {
            let place = match (piece.image_url, piece.file_id) {
                (Some(url), _) => place_of(url),
                (None, Some(id)) => MediaSource::FileId(id.into_string()),
                (None, None) => return Err(missing("image_url")),
            };
            let detail = piece.detail.map(Text::into_string);
            Body::Media(Media { kind: MediaKind::Image, source: place, name: None, detail })
        }
        "input_file" => {
            let place = match (piece.file_id, piece.file_data, piece.file_url) {
                (Some(id), _, _) => MediaSource::FileId(id.into_string()),
                (None, Some(data), _) => match data_url(data.as_str()) {
                    Some((media_type, data)) => inline(media_type, data),
                    // Bare base64 of a type that nobody said.
                    None => return source.opaque(ID, way.piece()?),
                },
                (None, None, Some(url)) => place_of(url),
                (None, None, None) => return Err(missing("file_data")),
            };
            let name = piece.filename.map(Text::into_string);
            let detail = piece.detail.map(Text::into_string);
            Body::Media(Media { kind: MediaKind::File, source: place, name, detail })
        }
        "input_audio" => {
            let audio = piece.input_audio.ok_or_else(|| missing("input_audio"))?;
            let media_type = format!("audio/{}", audio.format.as_str());
            let data = audio.data.into_string();
            let place = MediaSource::Base64 { media_type, data };
            Body::Media(Media { kind: MediaKind::Audio, source: place, name: None, detail: None })
        }
        _ => return source.opaque(ID, way.piece()?),
    };
    Ok(body.into())
}

fn place_of(url: Text<'_>) -> MediaSource {
    match data_url(url.as_str()) {
        Some((media_type, data)) => inline(media_type, data),
        None => MediaSource::Url(url.into_string()),
    }
}

fn inline(media_type: &str, data: &str) -> MediaSource {
    MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
}

/// Writes a piece of what a person or a tool says. `Err` is why it cannot be.
pub(super) fn write_input(list: &mut Array<'_>, part: &Part) -> Result<(), &'static str> {
    match &part.body {
        Body::Text(text) => list.object(|item| {
            item.str("type", "input_text");
            item.str("text", text);
        }),
        Body::Media(media) => return write_media(list, media),
        Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
        Body::Opaque { .. } => return Err("only its own dialect knows this part"),
        _ => return Err("not possible in this role"),
    }
    Ok(())
}

fn write_media(list: &mut Array<'_>, media: &Media) -> Result<(), &'static str> {
    match (media.kind, &media.source) {
        (MediaKind::Image, source) => list.object(|item| {
            item.str("type", "input_image");
            match source {
                MediaSource::FileId(id) => item.str("file_id", id),
                source => item.str("image_url", &url(source)),
            }
            item.opt_str("detail", media.detail.as_deref());
        }),
        (MediaKind::File, source) => list.object(|item| {
            item.str("type", "input_file");
            item.opt_str("filename", media.name.as_deref());
            match source {
                MediaSource::FileId(id) => item.str("file_id", id),
                MediaSource::Url(url) => item.str("file_url", url),
                source @ MediaSource::Base64 { .. } => {
                    // Bytes without a name are refused.
                    if media.name.is_none() {
                        item.str("filename", file_name(media));
                    }
                    item.str("file_data", &url(source));
                }
            }
            item.opt_str("detail", media.detail.as_deref());
        }),
        (MediaKind::Audio, MediaSource::Base64 { media_type, data }) => list.object(|item| {
            item.str("type", "input_audio");
            item.object("input_audio", |audio| {
                audio.str("data", data);
                audio.str("format", media_type.strip_prefix("audio/").unwrap_or(media_type));
            });
        }),
        (MediaKind::Audio, _) => return Err("OpenAI Responses takes sound only inline"),
    }
    Ok(())
}

fn url(source: &MediaSource) -> Cow<'_, str> {
    match source {
        MediaSource::Url(url) => Cow::Borrowed(url),
        MediaSource::FileId(id) => Cow::Borrowed(id),
        MediaSource::Base64 { media_type, data } => {
            Cow::Owned(format!("data:{media_type};base64,{data}"))
        }
    }
}
