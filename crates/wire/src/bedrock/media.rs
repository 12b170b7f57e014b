//! Pictures, documents, films and sound: Converse names formats where others name media types.

use doorward_core::{Body, Media, MediaKind, MediaSource, Part};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use crate::ReadError;
use crate::emit::Object;
use crate::json::{Source, Text};

/// Formats by the block they stand in, with their media types; the first of several for a format
/// is the one that is read.
const FORMATS: &[(&str, &str, &str)] = &[
    ("image", "png", "image/png"),
    ("image", "jpeg", "image/jpeg"),
    ("image", "jpeg", "image/jpg"),
    ("image", "gif", "image/gif"),
    ("image", "webp", "image/webp"),
    ("document", "pdf", "application/pdf"),
    ("document", "csv", "text/csv"),
    ("document", "doc", "application/msword"),
    ("document", "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("document", "xls", "application/vnd.ms-excel"),
    ("document", "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("document", "html", "text/html"),
    ("document", "txt", "text/plain"),
    ("document", "md", "text/markdown"),
    ("document", "md", "text/x-markdown"),
    ("video", "mkv", "video/x-matroska"),
    ("video", "mov", "video/quicktime"),
    ("video", "mp4", "video/mp4"),
    ("video", "webm", "video/webm"),
    ("video", "flv", "video/x-flv"),
    ("video", "mpeg", "video/mpeg"),
    ("video", "mpg", "video/mpg"),
    ("video", "wmv", "video/x-ms-wmv"),
    ("video", "three_gp", "video/3gpp"),
    ("audio", "mp3", "audio/mp3"),
    ("audio", "mp3", "audio/mpeg"),
    ("audio", "wav", "audio/wav"),
    ("audio", "wav", "audio/x-wav"),
    ("audio", "aac", "audio/aac"),
    ("audio", "flac", "audio/flac"),
    ("audio", "ogg", "audio/ogg"),
    ("audio", "opus", "audio/opus"),
    ("audio", "m4a", "audio/m4a"),
    ("audio", "webm", "audio/webm"),
];

/// Where media goes: the block, its format, and whether it lies in S3.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) block: &'static str,
    format: &'static str,
}

/// The block and format of media, or why there is none.
pub(super) fn shape(media: &Media) -> Result<Shape, &'static str> {
    let found = match &media.source {
        MediaSource::Base64 { media_type, .. } => FORMATS
            .iter()
            .find(|(.., known)| media_type.split(';').next() == Some(known))
            .map(|(block, format, _)| Shape { block, format }),
        MediaSource::Url(url) if url.starts_with("s3://") => {
            let ending = url.rsplit_once('.').map_or("", |(_, ending)| ending);
            let ending = if ending == "jpg" { "jpeg" } else { ending };
            FORMATS
                .iter()
                .find(|(block, format, _)| *format == ending && fits(media.kind, block))
                .map(|(block, format, _)| Shape { block, format })
        }
        MediaSource::Url(_) => {
            return Err("Bedrock takes media as bytes or from S3 and fetches no address");
        }
        MediaSource::FileId(_) => return Err("Bedrock keeps no files"),
    };
    found.ok_or("Bedrock Converse has no format for media of this type")
}

fn fits(kind: MediaKind, block: &str) -> bool {
    match kind {
        MediaKind::Image => block == "image",
        MediaKind::Audio => block == "audio",
        MediaKind::File => matches!(block, "document" | "video"),
    }
}

/// Writes a media block's member. `name` is the document's.
pub(super) fn write(block: &mut Object<'_>, media: &Media, shape: Shape, name: Option<&str>) {
    block.object(shape.block, |body| {
        body.str("format", shape.format);
        body.opt_str("name", name);
        body.object("source", |source| match &media.source {
            MediaSource::Base64 { data, .. } => source.str("bytes", data),
            MediaSource::Url(url) | MediaSource::FileId(url) => {
                source.object("s3Location", |location| location.str("uri", url));
            }
        });
    });
}

#[derive(Deserialize)]
struct MediaIn<'a> {
    #[serde(borrow)]
    format: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    source: &'a RawValue,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceIn<'a> {
    #[serde(borrow)]
    bytes: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    s3_location: Option<Location<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(borrow)]
    uri: Text<'a>,
    #[serde(borrow)]
    bucket_owner: Option<Text<'a>>,
}

/// Reads a media block. What the common form cannot say in full is kept as it is written.
pub(super) fn read<'a>(
    source: Source<'a>,
    block: &str,
    value: &'a RawValue,
    whole: &'a RawValue,
) -> Result<Part, ReadError> {
    let media = source.read::<MediaIn<'a>>(value)?;
    let origin = source.read::<SourceIn<'a>>(media.source)?;
    if media.context.is_some() || media.citations.is_some() {
        return source.opaque(ID, whole);
    }
    if let Some(text) = origin.text {
        return Ok(Part::text(text.into_string()));
    }
    let format = media.format.as_str();
    let kind = match block {
        "image" => MediaKind::Image,
        "audio" => MediaKind::Audio,
        _ => MediaKind::File,
    };
    let known = FORMATS.iter().find(|(of, name, _)| *of == block && *name == format);
    let found = match (origin.bytes, origin.s3_location) {
        (Some(bytes), None) => {
            let media_type = known.map_or_else(
                || format!("{}/{format}", if block == "document" { "application" } else { block }),
                |(.., media_type)| (*media_type).to_owned(),
            );
            Some(MediaSource::Base64 { media_type, data: bytes.into_string() })
        }
        (None, Some(Location { uri, bucket_owner: None })) => {
            Some(MediaSource::Url(uri.into_string()))
        }
        _ => None,
    };
    let Some(found) = found else { return source.opaque(ID, whole) };
    let name = media.name.map(Text::into_string);
    let read = Media { kind, source: found, name, detail: None };
    // What would be written in another format is not what was said.
    let same = shape(&read).is_ok_and(|shape| shape.block == block && shape.format == format);
    if same { Ok(Body::Media(read).into()) } else { source.opaque(ID, whole) }
}

/// Document names of one request: of the letters that Bedrock takes, none twice, and the same for
/// the same conversation, so that the provider's cache holds.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<String>);

/// The longest document name.
const MOST_NAME: usize = 200;

impl Names {
    /// How many documents were named.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn next(&mut self, media: &Media, format: Shape) -> String {
        let given = media.name.as_deref().unwrap_or_default();
        let ending = given.rsplit_once('.').filter(|(_, ending)| *ending == format.format);
        let mut name = plain(ending.map_or(given, |(stem, _)| stem));
        if name.is_empty() {
            name = format!("document-{}", self.0.len() + 1);
        }
        let mut unique = name.clone();
        let mut count = 1;
        while self.0.contains(&unique) {
            count += 1;
            unique = format!("{name}-{count}");
        }
        self.0.push(unique.clone());
        unique
    }
}

/// Letters, digits, single blanks, hyphens, parentheses and square brackets.
fn plain(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        let fits = c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
        match (fits, c) {
            (true, c) => out.push(c),
            (false, c) if c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            _ => out.push('-'),
        }
        if out.len() >= MOST_NAME - 8 {
            break;
        }
    }
    out.trim().to_owned()
}
