//! An issuer whose tokens are accepted, and on which conditions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::claim::Requirement;
use super::directory::Directory;
use super::mapping::Mapping;

/// What stands for the tenant in the issuer of an application for many of Entra's tenants.
pub(crate) const TENANT: &str = "{tenantid}";

/// Where an issuer's public keys are.
#[derive(Debug, Clone, Default)]
pub enum Keys {
    /// Where its metadata says (`OpenID` Connect Discovery 1.0 §4, RFC 8414 §3).
    #[default]
    Discovered,
    /// Where the metadata at this URL says. It must name the same issuer.
    DiscoveredAt(String),
    /// At this URL.
    At(String),
    /// These: a JSON Web Key Set (RFC 7517 §5).
    Inline(String),
}

/// How an issuer's keys are kept fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// How old they may be before they are fetched again, beside the calls.
    pub every: Duration,
    /// How old they may be at all. While the issuer does not answer, known keys hold so long.
    pub stale: Duration,
    /// The least time between two fetches for key ids that are not known. Failed fetches wait
    /// so long too, and twice as long each time up to `every`.
    pub pause: Duration,
}

impl Default for Freshness {
    /// Five minutes, a day, ten seconds.
    fn default() -> Self {
        Self {
            every: Duration::from_mins(5),
            stale: Duration::from_hours(24),
            pause: Duration::from_secs(10),
        }
    }
}

/// What the `iss` of a token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named<'t> {
    pub(crate) iss: &'t str,
    /// The tenant, where the issuer is one for many.
    pub(crate) tenant: Option<&'t str>,
}

/// An issuer whose tokens are accepted.
///
/// The tokens' `iss` must be its URL byte for byte, their `aud` one of the audiences. Beyond
/// that, unless said otherwise: RS256, PS256, ES256 or `EdDSA`; a minute of clock skew; any
/// client; the principal's id is `sub` with the issuer before it; groups in `groups`, roles in
/// `roles`; no ID tokens.
///
/// ```
/// use doorward_identity::jwt::{Issuer, Mapping};
/// let okta = Issuer::new("https://acme.okta.com/oauth2/default", ["api://doorward"])
///     .with_mapping(Mapping::okta());
/// let entra = Issuer::entra("9b1d…", ["api://doorward"]);
/// assert_eq!(entra.url(), "https://login.microsoftonline.com/9b1d…/v2.0");
/// ```
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(crate) url: Arc<str>,
    pub(crate) audiences: Vec<String>,
    pub(crate) keys: Keys,
    pub(crate) freshness: Freshness,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) clients: Option<BTreeSet<String>>,
    pub(crate) tenants: BTreeSet<String>,
    pub(crate) skew: Duration,
    pub(crate) oldest: Option<Duration>,
    pub(crate) required: Vec<Requirement>,
    pub(crate) typed_only: bool,
    pub(crate) id_tokens: bool,
    pub(crate) bound_only: bool,
    pub(crate) mapping: Mapping,
    pub(crate) directory: Option<Arc<dyn Directory>>,
}

impl Issuer {
    /// The issuer with this identifier, for tokens made for one of these audiences.
    pub fn new<S: Into<String>>(
        url: impl Into<Arc<str>>,
        audiences: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            url: url.into(),
            audiences: audiences.into_iter().map(Into::into).collect(),
            keys: Keys::default(),
            freshness: Freshness::default(),
            algorithms: Algorithm::USUAL.to_vec(),
            clients: None,
            tenants: BTreeSet::new(),
            skew: Duration::from_mins(1),
            oldest: None,
            required: Vec::new(),
            typed_only: false,
            id_tokens: false,
            bound_only: false,
            mapping: Mapping::default(),
            directory: None,
        }
    }

    /// A tenant of Entra, for applications that get tokens of version 2.
    ///
    /// For several tenants, name the issuer `https://login.microsoftonline.com/{tenantid}/v2.0`,
    /// list them with [`with_tenants`](Self::with_tenants), and take the keys from
    /// `https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration`.
    pub fn entra<S: Into<String>>(tenant: &str, audiences: impl IntoIterator<Item = S>) -> Self {
        Self::new(format!("https://login.microsoftonline.com/{tenant}/v2.0"), audiences)
            .with_tenants([tenant])
            .with_mapping(Mapping::entra())
    }

    /// A tenant of Entra, for applications that get tokens of version 1
    /// (`requestedAccessTokenVersion` unset).
    pub fn entra_v1<S: Into<String>>(tenant: &str, audiences: impl IntoIterator<Item = S>) -> Self {
        let metadata =
            format!("https://login.microsoftonline.com/{tenant}/.well-known/openid-configuration");
        Self::new(format!("https://sts.windows.net/{tenant}/"), audiences)
            .with_keys(Keys::DiscoveredAt(metadata))
            .with_tenants([tenant])
            .with_mapping(Mapping::entra())
    }

    /// Its identifier.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes the keys from there.
    #[must_use]
    pub fn with_keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// Keeps the keys fresh like this.
    #[must_use]
    pub fn with_freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// Accepts these algorithms only.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Accepts tokens of these clients only (`azp`, `client_id`, `cid`, `appid`).
    #[must_use]
    pub fn with_clients<S: Into<String>>(mut self, clients: impl IntoIterator<Item = S>) -> Self {
        self.clients = Some(clients.into_iter().map(Into::into).collect());
        self
    }

    /// Accepts tokens of these tenants only (`tid`). The issuer's URL may have `{tenantid}` in
    /// it, which must be the token's `tid` then.
    #[must_use]
    pub fn with_tenants<S: Into<String>>(mut self, tenants: impl IntoIterator<Item = S>) -> Self {
        self.tenants = tenants.into_iter().map(Into::into).collect();
        self
    }

    /// Lets clocks differ so much.
    #[must_use]
    pub fn with_skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// Refuses tokens that were issued longer ago, whatever they say of their end.
    #[must_use]
    pub fn with_max_age(mut self, oldest: Duration) -> Self {
        self.oldest = Some(oldest);
        self
    }

    /// Accepts tokens only that meet this too.
    #[must_use]
    pub fn with_requirement(mut self, requirement: Requirement) -> Self {
        self.required.push(requirement);
        self
    }

    /// Accepts tokens only that call themselves access tokens: `typ` is `at+jwt` (RFC 9068 §2.1).
    #[must_use]
    pub fn with_access_tokens_only(mut self) -> Self {
        self.typed_only = true;
        self
    }

    /// Accepts ID tokens as well: what was meant to tell a client who signed in there.
    #[must_use]
    pub fn with_id_tokens(mut self) -> Self {
        self.id_tokens = true;
        self
    }

    /// Accepts tokens only that are bound to a key of the caller's (RFC 9449).
    #[must_use]
    pub fn with_bound_tokens_only(mut self) -> Self {
        self.bound_only = true;
        self
    }

    /// Makes principals of claims like this.
    #[must_use]
    pub fn with_mapping(mut self, mapping: Mapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// Asks there for the groups of people who have more than their token can say.
    #[must_use]
    pub fn with_directory(mut self, directory: Arc<dyn Directory>) -> Self {
        self.directory = Some(directory);
        self
    }

    /// What a token's `iss` names, if that is this issuer.
    pub(crate) fn named<'t>(&self, iss: &'t str) -> Option<Named<'t>> {
        let Some((before, after)) = self.url.split_once(TENANT) else {
            return (iss == &*self.url).then_some(Named { iss, tenant: None });
        };
        let tenant = iss.strip_prefix(before)?.strip_suffix(after)?;
        self.tenants.contains(tenant).then_some(Named { iss, tenant: Some(tenant) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_of_those_listed() {
        let many = Issuer::new("https://login.example/{tenantid}/v2.0", ["api"])
            .with_tenants(["t1", "t2"]);
        let named = many.named("https://login.example/t2/v2.0").unwrap();
        assert_eq!(named.tenant, Some("t2"));
        for iss in [
            "https://login.example/t3/v2.0",
            "https://login.example/{tenantid}/v2.0",
            "https://login.example//v2.0",
            "https://login.example/t1/v2.0/",
            "https://login.example/t1",
            "https://login.example/x/t1/v2.0",
        ] {
            assert_eq!(many.named(iss), None, "{iss}");
        }
        let one = Issuer::new("https://idp.example", ["api"]);
        assert_eq!(one.named("https://idp.example").unwrap().tenant, None);
        assert_eq!(one.named("https://idp.example/"), None);
        assert_eq!(one.named("https://IDP.example"), None);
    }
}
