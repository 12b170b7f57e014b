//! A provider as configured: where it is and what it is called here.

mod options;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use doorward_core::{DialectId, ModelCall, Pattern, ResponseFormat};
use doorward_wire::{Counting, Dialect, Embeddings, Quirks};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::address::{self, Address};
use crate::provider::{EmbedsAt, ListedAt, RelayedUnder, Spoken, covers};
use crate::transport::{Timeouts, Transport};
use crate::{Auth, Patience, Provider, count, embed};

pub use options::UpstreamOptions;

/// One configured provider.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(crate) name: Arc<str>,
    pub(crate) provider: Provider,
    pub(crate) auth: Auth,
    /// Sent with every request; the values are not printed.
    pub(crate) headers: HeaderMap,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) embeddings: Vec<EmbeddingsEndpoint>,
    pub(crate) relays: Vec<Relay>,
    pub(crate) list: Option<(Address, ListedAt)>,
    pub(crate) models: Vec<String>,
    pub(crate) deployments: BTreeMap<String, String>,
    pub(crate) stream_usage: bool,
    pub(crate) labels: BTreeMap<String, String>,
    #[cfg(feature = "bedrock")]
    pub(crate) region: Option<String>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) transport: Option<Arc<dyn Transport>>,
    pub(crate) patience: Patience,
}

/// Where a dialect is spoken.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) id: DialectId,
    pub(crate) dialect: &'static dyn Dialect,
    whole: Address,
    stream: Option<Address>,
    /// Where prompts are counted, and in whose form.
    pub(crate) count: Option<(Address, &'static dyn Counting)>,
    pub(crate) quirks: Quirks,
    count_quirks: Option<Quirks>,
    only: Vec<Pattern>,
    except: Vec<Pattern>,
    formless: bool,
}

impl Endpoint {
    /// Whether a call wants a form of its answer that is ignored here.
    pub(crate) fn ignores_form_of(&self, call: &ModelCall) -> bool {
        use ResponseFormat::{JsonObject, JsonSchema};
        let form = &call.params.response_format;
        self.formless && matches!(form, Some(JsonObject | JsonSchema { .. }))
    }

    /// The address for whole answers or for streams.
    pub(crate) fn address(&self, stream: bool) -> &Address {
        self.stream.as_ref().filter(|_| stream).unwrap_or(&self.whole)
    }

    /// What is to be done otherwise when a prompt is counted.
    pub(crate) fn count_quirks(&self) -> &Quirks {
        self.count_quirks.as_ref().unwrap_or(&self.quirks)
    }

    fn takes(&self, model: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(model));
        (self.only.is_empty() || any(&self.only)) && !any(&self.except)
    }
}

/// Where embeddings are made.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddingsEndpoint {
    /// The dialect's name, which a client's bytes may be of.
    pub(crate) id: Option<DialectId>,
    pub(crate) codec: &'static dyn Embeddings,
    pub(crate) address: Address,
    pub(crate) batch: Option<NonZeroUsize>,
    pub(crate) quirks: Quirks,
    pub(crate) only: Vec<Pattern>,
}

/// Paths that are relayed.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    pub(crate) dialect: DialectId,
    pub(crate) base: String,
    pub(crate) paths: Vec<String>,
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
    /// The address holds a name or password.
    #[error("base_url must not hold a name or password: the credential is configured apart")]
    UrlWithCredential,
    /// The provider needs a setting that is not given.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A setting holds what would lead elsewhere.
    #[error("`{0}` holds a character that cannot stand in an address")]
    BadSetting(String),
    /// The provider does not speak this dialect.
    #[error("provider `{provider}` does not speak `{dialect}`")]
    NoSuchDialect {
        /// The provider.
        provider: String,
        /// The dialect.
        dialect: String,
    },
    /// A header is none.
    #[error("`{0}` is no header, or its value is none")]
    BadHeader(String),
}

impl Upstream {
    /// An upstream called `name` with its descriptor's defaults; `base_url` replaces the
    /// descriptor's.
    ///
    /// # Errors
    ///
    /// Where there is no usable address.
    pub fn new(
        name: impl Into<Arc<str>>,
        provider: Provider,
        base_url: Option<&str>,
    ) -> Result<Self, UpstreamError> {
        let base_url = base_url.map(str::to_owned);
        Self::configured(name, provider, UpstreamOptions { base_url, ..UpstreamOptions::default() })
    }

    /// An upstream called `name`, configured. A dialect that this build's wire crate does not have
    /// is passed over.
    ///
    /// # Errors
    ///
    /// Where there is no usable address, a needed setting is missing, or an option is wrong.
    pub fn configured(
        name: impl Into<Arc<str>>,
        provider: Provider,
        options: UpstreamOptions,
    ) -> Result<Self, UpstreamError> {
        let place = Place::new(&provider, &options)?;
        let mut endpoints = Vec::new();
        for spoken in chosen(&provider, &options)? {
            endpoints.extend(place.endpoint(spoken)?);
        }
        let mut embeddings = Vec::new();
        for embeds in &provider.embeddings {
            embeddings.extend(place.embeddings(embeds)?);
        }
        let relays = provider.relay.iter().map(|relay| place.relay(relay));
        let relays = relays.collect::<Result<Vec<_>, _>>()?;
        let list = match &provider.models {
            Some(listed) => Some((place.address(&listed.path)?, listed.clone())),
            None => None,
        };
        let headers = headers(&provider.headers, &options.headers)?;
        #[cfg(feature = "bedrock")]
        let region = place.value("region").map(str::to_owned);
        Ok(Self {
            name: name.into(),
            auth: options.auth.unwrap_or(provider.auth),
            headers,
            endpoints,
            embeddings,
            relays,
            list,
            models: options.models,
            deployments: options.deployments,
            stream_usage: options.stream_usage.unwrap_or(provider.stream_usage),
            labels: options.labels,
            #[cfg(feature = "bedrock")]
            region,
            timeouts: None,
            transport: None,
            patience: Patience::default(),
            provider,
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

    /// Says what holds of it (`region = "eu"`, `training = "no"`), for routing by it.
    #[must_use]
    pub fn with_labels(mut self, labels: BTreeMap<String, String>) -> Self {
        self.labels.extend(labels);
        self
    }

    /// How long it may take, where other than the transport's own limits.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }

    /// Says how long it may take, where an alias says nothing else.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Reaches it through a transport of its own: with other roots of trust, through a proxy.
    #[must_use]
    pub fn with_transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// What it is called here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its descriptor's name.
    pub fn provider(&self) -> &str {
        &self.provider.name
    }

    /// What holds of it.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Whether a bare model name belongs to it.
    pub(crate) fn serves(&self, model: &str) -> bool {
        self.models.iter().any(|known| known == model)
            || self.deployments.contains_key(model)
            || self.provider.serves.iter().any(|pattern| pattern.matches(model))
    }

    /// What the upstream calls a model: its deployment or inference profile, where one is set.
    pub(crate) fn known_as<'m>(&'m self, model: &'m str) -> &'m str {
        self.deployments.get(model).map_or(model, String::as_str)
    }

    /// Where a call of this dialect for this model goes: to an endpoint of the same dialect if
    /// there is one, else to the provider's preferred one.
    pub(crate) fn endpoint(&self, client: Option<DialectId>, model: &str) -> Option<&Endpoint> {
        let mut taking = self.endpoints.iter().filter(|endpoint| endpoint.takes(model));
        let same = taking.clone().find(|endpoint| Some(endpoint.id) == client);
        same.or_else(|| taking.next())
    }

    /// Where this call goes: as [`Self::endpoint`], but past what ignores the form that it wants
    /// of its answer, where there is another.
    pub(crate) fn endpoint_for(&self, call: &ModelCall, model: &str) -> Option<&Endpoint> {
        let client = call.raw.as_ref().map(|raw| raw.dialect);
        let fits = |it: &&Endpoint| it.takes(model) && !it.ignores_form_of(call);
        let mut taking = self.endpoints.iter().filter(fits);
        let same = taking.clone().find(|endpoint| Some(endpoint.id) == client);
        same.or_else(|| taking.next()).or_else(|| self.endpoint(client, model))
    }

    /// Where this model's prompts are counted.
    pub(crate) fn counter(&self, client: Option<DialectId>, model: &str) -> Option<&Endpoint> {
        let counts = |endpoint: &&Endpoint| endpoint.takes(model) && endpoint.count.is_some();
        let mut taking = self.endpoints.iter().filter(counts);
        let same = taking.clone().find(|endpoint| Some(endpoint.id) == client);
        same.or_else(|| taking.next())
    }

    /// Where this model's embeddings are made.
    pub(crate) fn embedder(
        &self,
        client: Option<DialectId>,
        model: &str,
    ) -> Option<&EmbeddingsEndpoint> {
        let mut taking = self.embeddings.iter().filter(|endpoint| {
            endpoint.only.is_empty() || endpoint.only.iter().any(|only| only.matches(model))
        });
        let same = taking.clone().find(|endpoint| endpoint.id.is_some() && endpoint.id == client);
        same.or_else(|| taking.next())
    }

    /// The address that a relayed path leads to, if it is one that is relayed.
    pub(crate) fn relay(&self, dialect: DialectId, path: &str) -> Option<String> {
        let known = |relay: &&Relay| {
            relay.dialect == dialect && relay.paths.iter().any(|lead| covers(lead, path))
        };
        self.relays.iter().find(known).map(|relay| format!("{}{path}", relay.base))
    }
}

/// The dialects to speak: those that the options name, in their order, else all but the optional.
fn chosen<'p>(
    provider: &'p Provider,
    options: &UpstreamOptions,
) -> Result<Vec<&'p Spoken>, UpstreamError> {
    if options.dialects.is_empty() {
        return Ok(provider.spoken.iter().filter(|spoken| !spoken.optional).collect());
    }
    let mut chosen = Vec::new();
    for dialect in &options.dialects {
        let before = chosen.len();
        chosen.extend(provider.spoken.iter().filter(|spoken| spoken.name == *dialect));
        if chosen.len() == before {
            let (provider, dialect) = (provider.name.clone(), dialect.clone());
            return Err(UpstreamError::NoSuchDialect { provider, dialect });
        }
    }
    Ok(chosen)
}

/// The descriptor's headers and the configured ones, which may be secret and are not printed.
fn headers(
    shipped: &BTreeMap<String, String>,
    configured: &BTreeMap<String, String>,
) -> Result<HeaderMap, UpstreamError> {
    let mut headers = HeaderMap::new();
    for (secret, (name, value)) in
        shipped.iter().map(|pair| (false, pair)).chain(configured.iter().map(|pair| (true, pair)))
    {
        let bad = || UpstreamError::BadHeader(name.clone());
        let key = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| bad())?;
        value.set_sensitive(secret);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Where an upstream is: its base, and what stands in its paths.
struct Place<'a> {
    base: String,
    provider: &'a Provider,
    options: &'a UpstreamOptions,
}

impl<'a> Place<'a> {
    fn new(provider: &'a Provider, options: &'a UpstreamOptions) -> Result<Self, UpstreamError> {
        let mut place = Self { base: String::new(), provider, options };
        let special = || {
            let at = place.value("location").or_else(|| place.value("region"))?;
            provider.base_urls.get(at).map(String::as_str)
        };
        let base = options.base_url.as_deref().or_else(special).or(provider.base_url.as_deref());
        let base = base.ok_or_else(|| UpstreamError::NoBaseUrl(provider.name.clone()))?;
        let base = place.filled(base)?;
        Address::new(base.clone())?;
        let spoken = provider.spoken.iter().map(|spoken| spoken.path.as_str());
        let paths = spoken
            .chain(provider.embeddings.iter().map(|embeds| embeds.path.as_str()))
            .chain(provider.models.iter().map(|listed| listed.path.as_str()));
        address::unversioned(&base, paths).clone_into(&mut place.base);
        Ok(place)
    }

    /// A setting: as configured, else as the descriptor has it.
    fn value(&self, name: &str) -> Option<&str> {
        self.options.setting(name).or_else(|| self.provider.defaults.get(name).map(String::as_str))
    }

    fn filled(&self, template: &str) -> Result<String, UpstreamError> {
        address::filled(template, |name| self.value(name))
    }

    fn address(&self, path: &str) -> Result<Address, UpstreamError> {
        let path = self.filled(path)?;
        let text = address::under(&self.base, &path);
        Address::new(address::with_query(text, &self.options.query))
    }

    fn endpoint(&self, spoken: &Spoken) -> Result<Option<Endpoint>, UpstreamError> {
        let whole = self.address(&spoken.path)?;
        let other = |path: &Option<String>| path.as_deref().map(|path| self.address(path));
        let (stream, count) = (other(&spoken.stream_path), other(&spoken.count));
        let (stream, count) = (stream.transpose()?, count.transpose()?);
        let Some(dialect) = DialectId::named(&spoken.name).and_then(doorward_wire::dialect) else {
            return Ok(None);
        };
        let form = match &spoken.count_form {
            Some(form) => count::codec(form),
            None => dialect.counting(),
        };
        let count = count.zip(form);
        Ok(Some(Endpoint {
            id: dialect.id(),
            dialect,
            whole,
            stream,
            count,
            quirks: spoken.quirks.clone(),
            count_quirks: spoken.count_quirks.clone(),
            only: spoken.only.clone(),
            except: spoken.except.clone(),
            formless: spoken.formless,
        }))
    }

    fn embeddings(&self, embeds: &EmbedsAt) -> Result<Option<EmbeddingsEndpoint>, UpstreamError> {
        let address = self.address(&embeds.path)?;
        let Some(codec) = embed::codec(&embeds.dialect) else { return Ok(None) };
        Ok(Some(EmbeddingsEndpoint {
            id: DialectId::named(&embeds.dialect),
            codec,
            address,
            batch: embeds.batch,
            quirks: embeds.quirks.clone(),
            only: embeds.only.clone(),
        }))
    }

    fn relay(&self, relay: &RelayedUnder) -> Result<Relay, UpstreamError> {
        let dialect =
            DialectId::named(&relay.dialect).ok_or_else(|| UpstreamError::NoSuchDialect {
                provider: self.provider.name.clone(),
                dialect: relay.dialect.clone(),
            })?;
        let root = self.filled(&relay.root)?;
        let base = address::under(&self.base, &root);
        Address::new(base.clone())?;
        Ok(Relay { dialect, base, paths: relay.paths.clone() })
    }
}

#[cfg(test)]
mod tests;
