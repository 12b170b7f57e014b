//! Images, sound and files: `inlineData` and `fileData`.

use doorward_core::{Media, MediaKind, MediaSource};
use serde::Deserialize;

use crate::emit::Object;
use crate::json::Text;

#[derive(Deserialize)]
pub(super) struct BlobIn<'a> {
    #[serde(borrow, rename = "mimeType", alias = "mime_type")]
    mime_type: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow, rename = "displayName", alias = "display_name")]
    display_name: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct FileIn<'a> {
    #[serde(borrow, rename = "mimeType", alias = "mime_type")]
    mime_type: Option<Text<'a>>,
    #[serde(borrow, rename = "fileUri", alias = "file_uri")]
    file_uri: Option<Text<'a>>,
    #[serde(borrow, rename = "displayName", alias = "display_name")]
    display_name: Option<Text<'a>>,
}

/// Where files stand that were uploaded to the Gemini API.
const FILES: &str = "https://generativelanguage.googleapis.com/";

/// Inline bytes. The error names the member that is missing.
pub(super) fn inline(blob: BlobIn<'_>) -> Result<Media, &'static str> {
    let media_type = blob.mime_type.ok_or("mimeType")?.into_string();
    let kind = kind_of(&media_type);
    let data = blob.data.ok_or("data")?.into_string();
    let name = blob.display_name.map(Text::into_string);
    Ok(Media { kind, source: MediaSource::Base64 { media_type, data }, name, detail: None })
}

/// A file by its address. `Ok(None)` where the common form would lose its type and nobody else
/// could take it: only its own dialect can carry it then.
pub(super) fn addressed(file: FileIn<'_>) -> Result<Option<Media>, &'static str> {
    let uri = file.file_uri.ok_or("fileUri")?.into_string();
    let name = file.display_name.map(Text::into_string);
    let told = file.mime_type.map(Text::into_string);
    let guessed = type_of(&uri);
    let kind = told.as_deref().or(guessed).map_or(MediaKind::File, kind_of);
    let web = uri.starts_with("https://") || uri.starts_with("http://");
    let source = if uri.starts_with(FILES) {
        // The service knows the type of what was uploaded to it.
        MediaSource::FileId(uri)
    } else if told.as_deref() == guessed || web && kind == MediaKind::Image {
        MediaSource::Url(uri)
    } else {
        return Ok(None);
    };
    Ok(Some(Media { kind, source, name, detail: None }))
}

/// Why media cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It can be left out, which is reported.
    Leave(&'static str),
    /// Leaving it out would give another answer.
    Refuse(&'static str),
}

/// Why media cannot be sent, if it cannot. `own`: it came in this dialect; `inline`: the upstream
/// takes bytes only.
pub(super) fn obstacle(media: &Media, own: bool, inline: bool) -> Option<Obstacle> {
    match &media.source {
        MediaSource::Base64 { .. } => None,
        _ if inline => Some(Obstacle::Refuse("this upstream takes media as bytes only")),
        MediaSource::FileId(id) => (!own && !id.starts_with(FILES))
            .then_some(Obstacle::Leave("a file that lies with another provider")),
        MediaSource::Url(url) if !is_fetched(url) => {
            Some(Obstacle::Refuse("Gemini fetches `https:` and `gs:` addresses only"))
        }
        MediaSource::Url(url) if !own && type_of(url).is_none() => {
            Some(Obstacle::Refuse("Gemini wants the media type, which this address does not tell"))
        }
        MediaSource::Url(_) => None,
    }
}

fn is_fetched(url: &str) -> bool {
    ["https://", "http://", "gs://"].iter().any(|scheme| url.starts_with(scheme))
}

/// Writes the member of a part that holds media.
pub(super) fn write(part: &mut Object<'_>, media: &Media) {
    match &media.source {
        MediaSource::Base64 { media_type, data } => part.object("inlineData", |blob| {
            blob.str("mimeType", media_type);
            blob.str("data", data);
        }),
        MediaSource::Url(uri) | MediaSource::FileId(uri) => part.object("fileData", |file| {
            file.opt_str("mimeType", type_of(uri));
            file.str("fileUri", uri);
        }),
    }
}

/// The level of `mediaResolution` for `OpenAI`'s `detail`.
pub(super) fn level_of(detail: &str) -> Option<&'static str> {
    match detail {
        "low" => Some("MEDIA_RESOLUTION_LOW"),
        "auto" => Some("MEDIA_RESOLUTION_MEDIUM"),
        "high" => Some("MEDIA_RESOLUTION_HIGH"),
        _ => None,
    }
}

/// `OpenAI`'s `detail` for a level of `mediaResolution`.
pub(super) fn detail_of(level: &str) -> Option<&'static str> {
    match level {
        "MEDIA_RESOLUTION_LOW" => Some("low"),
        "MEDIA_RESOLUTION_MEDIUM" => Some("auto"),
        "MEDIA_RESOLUTION_HIGH" | "MEDIA_RESOLUTION_ULTRA_HIGH" => Some("high"),
        _ => None,
    }
}

fn kind_of(media_type: &str) -> MediaKind {
    match media_type.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        _ => MediaKind::File,
    }
}

/// The media type that an address's ending tells.
fn type_of(uri: &str) -> Option<&'static str> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let (_, file) = path.rsplit_once('/')?;
    let (_, ending) = file.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "pdf" => "application/pdf",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "aiff" => "audio/aiff",
        "aac" => "audio/aac",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "m4a" => "audio/m4a",
        "mp4" => "video/mp4",
        "mpeg" | "mpg" => "video/mpeg",
        "mov" => "video/mov",
        "avi" => "video/avi",
        "webm" => "video/webm",
        "wmv" => "video/wmv",
        "flv" => "video/x-flv",
        "3gp" | "3gpp" => "video/3gpp",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "xml" => "text/xml",
        "json" => "application/json",
        "js" => "text/javascript",
        "py" => "text/x-python",
        "rtf" => "text/rtf",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_type_by_its_ending() {
        for (uri, found) in [
            ("gs://bucket/a/B.PNG", Some("image/png")),
            ("https://example.org/x.y/a.pdf?sig=a.b#c", Some("application/pdf")),
            ("https://example.org/x.png/a", None),
            ("https://example.org", None),
        ] {
            assert_eq!(type_of(uri), found, "{uri}");
        }
    }
}
