//! `[[issuer]]`: identity providers whose tokens callers may show.

use std::collections::BTreeMap;
use std::path::PathBuf;

use doorward_core::Pattern;
use doorward_model_router::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[[issuer]]`: an identity provider (Okta, Entra, Keycloak, any `OpenID` Connect issuer)
/// whose tokens are accepted beside virtual keys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct IssuerConfig {
    /// Its issuer identifier: what stands in `iss`, byte for byte. With `{tenantid}` in it, the
    /// token's `tid` stands there.
    pub url: String,
    /// What tokens must be made for: one of these must be in `aud`.
    pub audiences: Vec<String>,
    /// How its claims are read where nothing below says otherwise.
    #[serde(default)]
    pub claims: ClaimsOf,
    /// Where its metadata is, if not at the usual place under `url`.
    pub metadata: Option<String>,
    /// Where its key set is, so that no metadata is asked for.
    pub jwks_url: Option<String>,
    /// A file with its key set, so that nothing is asked for. Read at the start.
    pub jwks_file: Option<PathBuf>,
    /// The signature algorithms: RS256, PS256, ES256 and `EdDSA` where left out.
    pub algorithms: Option<Vec<String>>,
    /// The clients (`azp`, `client_id`, `cid`, `appid`) whose tokens are accepted; any where left
    /// out.
    pub clients: Option<Vec<String>>,
    /// The tenants (`tid`) whose tokens are accepted; any where left out.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// How far clocks may differ; a minute where left out.
    pub skew: Option<Span>,
    /// How long ago tokens may have been issued, whatever they say of their end.
    pub max_age: Option<Span>,
    /// What else tokens must say.
    #[serde(default)]
    pub require: Vec<RequiredClaim>,
    /// Whether tokens must call themselves access tokens (`typ: at+jwt`, RFC 9068).
    #[serde(default)]
    pub access_tokens_only: bool,
    /// Whether ID tokens are accepted as well.
    #[serde(default)]
    pub id_tokens: bool,
    /// Whether tokens must be bound to a key of the caller's (`DPoP`, RFC 9449).
    #[serde(default)]
    pub dpop_only: bool,
    /// The claims that the principal's id is taken from: the first that a token has.
    pub names: Option<Vec<NameClaim>>,
    /// Claims that only people's tokens have.
    pub person_claims: Option<Vec<String>>,
    /// What services are called, by client id.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
    /// The claim with the team.
    pub team: Option<String>,
    /// The claim with the groups.
    pub groups: Option<String>,
    /// The claims with roles.
    pub roles: Option<Vec<String>>,
    /// What holding a group, a role or a scope allows. With one or more of these, nothing else is
    /// allowed.
    #[serde(default)]
    pub allow: Vec<AllowConfig>,
    /// Whether loopback and private addresses may be asked for its keys, over plain HTTP too.
    #[serde(default)]
    pub allow_private: bool,
}

/// How an issuer's claims are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimsOf {
    /// The id is `sub` with the issuer before it; groups in `groups`, roles in `roles`.
    #[default]
    Standard,
    /// Okta's: the id is `sub`, the login.
    Okta,
    /// Entra's: the id is `preferred_username` or `upn`; groups are object ids.
    Entra,
    /// Keycloak's: the id is `preferred_username`; roles in `realm_access.roles`.
    Keycloak,
}

/// A claim that a token must have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequiredClaim {
    /// The claim; dots lead into objects.
    pub claim: String,
    /// What it must be, or have in its list; anything where left out.
    #[serde(default)]
    pub any_of: Vec<String>,
}

/// A claim that the principal's id is taken from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameClaim {
    /// The claim; dots lead into objects.
    pub claim: String,
    /// Whether it is taken as it is. Only where this issuer alone decides on such names and people
    /// cannot choose them; else the issuer stands before it.
    #[serde(default)]
    pub unique: bool,
}

/// What holding a group, a role or a scope allows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowConfig {
    /// The group.
    pub group: Option<String>,
    /// Or the role.
    pub role: Option<String>,
    /// Or the OAuth scope.
    pub scope: Option<String>,
    /// The team that its members work for, where no claim says.
    pub team: Option<String>,
    /// The models; any where left out.
    #[schemars(with = "Option<Vec<String>>")]
    pub models: Option<Vec<Pattern>>,
    /// The tools, by federated name; any where left out.
    #[schemars(with = "Option<Vec<String>>")]
    pub tools: Option<Vec<Pattern>>,
}
