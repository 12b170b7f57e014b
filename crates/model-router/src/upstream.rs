//! A provider as configured: where it is and what it is called here.

use std::sync::Arc;

use doorward_core::DialectId;
use http::Uri;

use crate::Provider;

/// One configured provider.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(crate) name: Arc<str>,
    pub(crate) provider: Provider,
    pub(crate) endpoints: Vec<(DialectId, Uri)>,
    pub(crate) models_uri: Uri,
    pub(crate) models: Vec<String>,
    pub(crate) stream_usage: bool,
}

/// An upstream cannot be configured like this.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The provider has no address of its own.
    #[error("provider `{0}` needs a base_url")]
    NoBaseUrl(String),
    /// The address is none.
    #[error("base_url `{url}` is not an http(s) URL")]
    BadUrl {
        /// What was written.
        url: String,
    },
}

impl Upstream {
    /// An upstream called `name`; `base_url` replaces the descriptor's.
    ///
    /// # Errors
    ///
    /// Where there is no usable address.
    pub fn new(
        name: impl Into<Arc<str>>,
        provider: Provider,
        base_url: Option<&str>,
    ) -> Result<Self, UpstreamError> {
        let base = base_url
            .or(provider.base_url.as_deref())
            .ok_or_else(|| UpstreamError::NoBaseUrl(provider.name.clone()))?
            .trim_end_matches('/')
            .to_owned();
        let at = |path: &str| endpoint(&base, path);
        let endpoints = provider
            .dialects()
            .map(|(dialect, path)| Ok((dialect, at(path)?)))
            .collect::<Result<Vec<_>, UpstreamError>>()?;
        let models_uri = at(&provider.models_path)?;
        let stream_usage = provider.stream_usage;
        Ok(Self {
            name: name.into(),
            provider,
            endpoints,
            models_uri,
            models: vec![],
            stream_usage,
        })
    }

    /// Declares models that it serves, for the model list.
    #[must_use]
    pub fn with_models(mut self, models: impl IntoIterator<Item = String>) -> Self {
        self.models.extend(models);
        self
    }

    /// Says whether a stream may be asked to report usage.
    #[must_use]
    pub fn with_stream_usage(mut self, ask: bool) -> Self {
        self.stream_usage = ask;
        self
    }

    /// What it is called here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a bare model name belongs to it.
    pub(crate) fn serves(&self, model: &str) -> bool {
        self.models.iter().any(|known| known == model)
            || self.provider.serves.iter().any(|pattern| pattern.matches(model))
    }

    /// Where a call of this dialect goes: to an endpoint of the same dialect if there is one.
    pub(crate) fn endpoint(&self, client: Option<DialectId>) -> Option<&(DialectId, Uri)> {
        let same = self.endpoints.iter().find(|(dialect, _)| Some(*dialect) == client);
        // Descriptors list dialects in alphabetical order; Chat Completions is the broadest.
        let chat = || self.endpoints.iter().find(|(d, _)| *d == DialectId::OPENAI_CHAT);
        same.or_else(chat).or_else(|| self.endpoints.first())
    }
}

/// `path` under `base`. A base that already ends in the path's version (`…/v1` + `/v1/messages`)
/// is not doubled: vendors' tools disagree about whose part the `/v1` is.
fn endpoint(base: &str, path: &str) -> Result<Uri, UpstreamError> {
    let wrong = || UpstreamError::BadUrl { url: base.to_owned() };
    let path = match path.strip_prefix("/v1") {
        Some(rest) if base.ends_with("/v1") => rest,
        _ => path,
    };
    let uri: Uri = format!("{base}{path}").parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_not_doubled() {
        for (base, path, whole) in [
            ("https://a.test", "/v1/messages", "https://a.test/v1/messages"),
            ("https://a.test/v1", "/v1/messages", "https://a.test/v1/messages"),
            ("https://a.test/v1", "/chat/completions", "https://a.test/v1/chat/completions"),
        ] {
            assert_eq!(endpoint(base, path).unwrap(), whole);
        }
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        let provider = || Provider::named("openai-compatible").unwrap();
        for url in ["", "ftp://a.test", "a.test/v1", "http://", "http://a b"] {
            let made = Upstream::new("x", provider(), Some(url));
            assert!(matches!(made, Err(UpstreamError::BadUrl { .. })), "{url}");
        }
        assert!(matches!(Upstream::new("x", provider(), None), Err(UpstreamError::NoBaseUrl(_))));
    }
}
