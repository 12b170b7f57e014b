//! Where a request goes: a base URL, a path under it, and the names that stand in them.

use std::borrow::Cow;
use std::fmt::Write;

use doorward_core::{CallError, Code};
use http::Uri;

use crate::UpstreamError;

/// What is put in when the call is made; everything else is put in when the upstream is made.
const MODEL: [&str; 2] = ["{model}", "{deployment}"];

/// An address, whole or but for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// The same for every model.
    Whole(Uri),
    /// The model stands in it.
    OfModel(String),
}

impl Address {
    /// An address from text in which only the model may be left out.
    pub(crate) fn new(text: String) -> Result<Self, UpstreamError> {
        if MODEL.iter().any(|place| text.contains(place)) {
            check(&with_model(&text, "m"))?;
            return Ok(Self::OfModel(text));
        }
        check(&text).map(Self::Whole)
    }

    /// The address for this model.
    pub(crate) fn of(&self, model: &str) -> Result<Uri, CallError> {
        let text = match self {
            Self::Whole(uri) => return Ok(uri.clone()),
            Self::OfModel(text) => text,
        };
        let wrong = || CallError::new(Code::InvalidRequest, "the model's name fits no address");
        if matches!(model, "" | "." | "..") {
            return Err(wrong());
        }
        with_model(text, &encoded(model)).parse().map_err(|_| wrong())
    }
}

fn with_model(text: &str, model: &str) -> String {
    MODEL.iter().fold(text.to_owned(), |text, place| text.replace(place, model))
}

/// An `http(s)` address with a host, and without a name or password in it.
fn check(text: &str) -> Result<Uri, UpstreamError> {
    let wrong = || UpstreamError::BadUrl { url: text.to_owned() };
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(UpstreamError::UrlWithCredential);
    }
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(wrong()),
    }
}

/// `path` under `base`, or `path` itself where it is a whole URL.
pub(crate) fn under(base: &str, path: &str) -> String {
    if path.starts_with("https://") || path.starts_with("http://") {
        return path.to_owned();
    }
    format!("{base}{path}")
}

/// `base` without a version that the paths begin with (`…/v1` and `/v1/messages`): vendors' tools
/// disagree about whose part the `/v1` is.
pub(crate) fn unversioned(base: &str, paths: impl Iterator<Item = impl AsRef<str>>) -> &str {
    let base = base.trim_end_matches('/');
    let mut shortest = base;
    for path in paths {
        let path = path.as_ref();
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for end in ends {
            let lead = &path[..end];
            let last = lead.rsplit('/').next().unwrap_or_default();
            let version = last
                .strip_prefix('v')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            let Some(rest) = base.strip_suffix(lead).filter(|_| version) else { continue };
            if !rest.ends_with('/') && rest.len() < shortest.len() {
                shortest = rest;
            }
        }
    }
    shortest
}

/// Puts settings in at their `{name}`s, the model's excepted. `value` gives a setting's value.
pub(crate) fn filled<'v>(
    template: &str,
    value: impl Fn(&str) -> Option<&'v str>,
) -> Result<String, UpstreamError> {
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            return Err(UpstreamError::BadUrl { url: template.to_owned() });
        };
        if matches!(name, "model" | "deployment") {
            let _ = write!(out, "{{{name}}}");
        } else {
            let value = value(name).ok_or_else(|| UpstreamError::Missing(name.to_owned()))?;
            if value.is_empty() || !value.bytes().all(is_plain) {
                return Err(UpstreamError::BadSetting(name.to_owned()));
            }
            out.push_str(value);
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The names in a template that the configuration must give.
pub(crate) fn names(template: &str) -> impl Iterator<Item = &str> {
    template
        .split('{')
        .skip(1)
        .filter_map(|piece| piece.split_once('}').map(|(name, _)| name))
        .filter(|name| !matches!(*name, "model" | "deployment"))
}

/// What a region, project, or version is made of: nothing that could move a path or a host.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':')
}

/// One segment of a path (RFC 3986 §3.3): what is not unreserved is percent-encoded, so that an
/// ARN stays one segment. `@` stays as it is, as Google's own clients write their model versions.
pub(crate) fn encoded(text: &str) -> Cow<'_, str> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'@');
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Cow::Owned(out)
}

/// Adds `name=value` pairs to an address.
pub(crate) fn with_query<'q>(
    address: String,
    query: impl IntoIterator<Item = (&'q String, &'q String)>,
) -> String {
    query.into_iter().fold(address, |mut address, (name, value)| {
        let mark = if address.contains('?') { '&' } else { '?' };
        let _ = write!(address, "{mark}{}={}", encoded(name), encoded(value));
        address
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_not_doubled() {
        for (base, paths, stem) in [
            ("https://a.test", &["/v1/messages"][..], "https://a.test"),
            ("https://a.test/v1", &["/v1/messages"], "https://a.test"),
            ("https://a.test/v1/", &["/v1/messages"], "https://a.test"),
            ("https://a.test/v1", &["/chat/completions"], "https://a.test/v1"),
            ("https://a.test/chat", &["/chat/completions"], "https://a.test/chat"),
            ("https://a.test/v1", &["/api/chat", "/v1/chat/completions"], "https://a.test"),
            ("https://a.test/openai/v1", &["/openai/v1/responses"], "https://a.test"),
            (
                "https://a.test/v1beta",
                &["/v1beta/models/{model}:generateContent"],
                "https://a.test",
            ),
            ("https://v1", &["/v1/messages"], "https://v1"),
        ] {
            assert_eq!(unversioned(base, paths.iter()), stem, "{base}");
        }
    }

    /// Trap 47: an ARN is one segment, whatever stands in it.
    #[test]
    fn a_model_is_one_segment_of_the_path() {
        let address = Address::new("https://a.test/model/{model}/converse".into()).unwrap();
        for (model, path) in [
            ("gpt-5.1", "/model/gpt-5.1/converse"),
            ("anthropic.claude-v2:1", "/model/anthropic.claude-v2%3A1/converse"),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova",
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova/converse",
            ),
            ("../admin", "/model/..%2Fadmin/converse"),
            ("a b?c#d%", "/model/a%20b%3Fc%23d%25/converse"),
            ("claude@2025", "/model/claude@2025/converse"),
            ("é", "/model/%C3%A9/converse"),
        ] {
            assert_eq!(address.of(model).unwrap().path(), path);
        }
        for model in ["", ".", ".."] {
            assert_eq!(address.of(model).unwrap_err().code, Code::InvalidRequest, "{model}");
        }
    }

    #[test]
    fn settings_are_put_in_or_named_where_they_miss() {
        let value = |name: &str| match name {
            "region" => Some("eu-west-1"),
            "project" => Some("a/b"),
            _ => None,
        };
        let fill = |template| filled(template, value);
        assert_eq!(
            fill("https://{region}.test/{model}").unwrap(),
            "https://eu-west-1.test/{model}"
        );
        assert!(
            matches!(fill("/{location}"), Err(UpstreamError::Missing(name)) if name == "location")
        );
        assert!(
            matches!(fill("/{project}"), Err(UpstreamError::BadSetting(name)) if name == "project")
        );
        assert!(matches!(fill("/{region"), Err(UpstreamError::BadUrl { .. })));
    }

    #[test]
    fn a_password_in_an_address_is_refused_without_being_told() {
        let error = Address::new("https://me:pass-1@a.test/v1".into()).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("pass-1"));
    }
}
