//! From claims to a principal.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_core::{Actor, Pattern, PrincipalKind, Scopes};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::claim::Claim;
use super::refused::Refused;

/// The most characters that a name from a token has.
const NAME_MOST: usize = 200;
/// The longest chain of actors.
const ACTORS_MOST: usize = 8;
/// Stands between an issuer and what is unique there only.
const WITHIN: char = '|';

/// A claim that a principal's id is made of.
#[derive(Debug, Clone)]
pub struct Name {
    claim: Claim,
    unique: bool,
}

impl Name {
    /// The claim as it is. Only where this issuer alone decides on such names, and people cannot
    /// choose them: an e-mail address that anybody can enter would make them anybody.
    ///
    /// `email` is passed over where the token says that it is not verified.
    pub fn unique(claim: impl Into<Claim>) -> Self {
        Self { claim: claim.into(), unique: true }
    }

    /// The claim with the issuer before it: `https://idp.example|00u1`.
    pub fn within_issuer(claim: impl Into<Claim>) -> Self {
        Self { claim: claim.into(), unique: false }
    }

    fn of(&self, issuer: &str, claims: &Map<String, Value>) -> Option<Arc<str>> {
        let text = self.claim.text(claims).filter(|text| is_plain(text))?;
        if !self.unique {
            return Some(within(issuer, text));
        }
        let verified = claims.get("email_verified");
        let verified = verified.is_none_or(|said| *said == true || *said == "true");
        let fit = !text.contains(WITHIN) && (verified || !self.claim.is_named("email"));
        fit.then(|| text.into())
    }
}

/// What is held to be allowed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// A group.
    Group(Arc<str>),
    /// A role.
    Role(Arc<str>),
    /// An OAuth scope (`scope`, `scp`).
    Scope(Arc<str>),
}

/// What holding a group, a role or a scope allows.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// What is held.
    pub holds: Holds,
    /// The team that its members work for, where no claim says.
    pub team: Option<Arc<str>>,
    /// The models; `None` for any.
    pub models: Option<Vec<Pattern>>,
    /// The tools; `None` for any.
    pub tools: Option<Vec<Pattern>>,
}

/// How principals are made of claims.
///
/// ```
/// use doorward_core::Pattern;
/// use doorward_identity::jwt::{Allowance, Holds, Mapping, Name};
/// let mapping = Mapping::default()
///     .with_names([Name::unique("email"), Name::within_issuer("sub")])
///     .with_groups("https://acme.example/groups")
///     .with_service("0oa1", "nightly-build")
///     .with_allowance(Allowance {
///         holds: Holds::Group("engineering".into()),
///         team: Some("engineering".into()),
///         models: None,
///         tools: Some(vec![Pattern::new("tracker__*")]),
///     });
/// ```
#[derive(Debug, Clone)]
pub struct Mapping {
    names: Vec<Name>,
    person_claims: Vec<Claim>,
    services: BTreeMap<String, Arc<str>>,
    team: Option<Claim>,
    groups: Claim,
    roles: Vec<Claim>,
    allowances: Vec<Allowance>,
    /// Whether the tokens are this gateway's own, whose claims say what was decided already.
    own: bool,
}

impl Default for Mapping {
    /// `sub` within the issuer; `groups`; `roles`.
    fn default() -> Self {
        Self {
            names: vec![Name::within_issuer("sub")],
            person_claims: Vec::new(),
            services: BTreeMap::new(),
            team: None,
            groups: "groups".into(),
            roles: vec!["roles".into()],
            allowances: Vec::new(),
            own: false,
        }
    }
}

/// Of this gateway's own tokens: what they may be used for.
const LIMITS: &str = "limits";

impl Mapping {
    /// This gateway's own access tokens: `sub` is the principal's id, `limits` what it may use.
    #[cfg(feature = "oauth-server")]
    pub(crate) fn own() -> Self {
        Self { own: true, team: Some("team".into()), ..Self::default() }
    }

    /// For tokens that speak of people only.
    #[cfg(feature = "oauth-server")]
    pub(crate) fn for_people(mut self) -> Self {
        self.person_claims.clear();
        self
    }

    /// Okta's access tokens: `sub` is the login, `uid` is there for people only.
    pub fn okta() -> Self {
        Self::default().with_names([Name::unique("sub")]).with_person_claims(["uid"])
    }

    /// Entra's access tokens: `preferred_username` or `upn` for people, who have `scp`; the object
    /// id within the issuer for what has neither. Group names are object ids.
    ///
    /// An administrator of the tenant decides on these names: for tenants of others, use
    /// [`Name::within_issuer`] of `oid`.
    pub fn entra() -> Self {
        let names = [
            Name::unique("preferred_username"),
            Name::unique("upn"),
            Name::within_issuer("oid"),
            Name::within_issuer("sub"),
        ];
        Self::default().with_names(names).with_person_claims(["scp"])
    }

    /// Keycloak's access tokens: `preferred_username`, and the realm's roles.
    pub fn keycloak() -> Self {
        Self::default()
            .with_names([Name::unique("preferred_username"), Name::within_issuer("sub")])
            .with_roles(["realm_access.roles"])
    }

    /// Takes the id from the first of these that a token has.
    #[must_use]
    pub fn with_names(mut self, names: impl IntoIterator<Item = Name>) -> Self {
        self.names = names.into_iter().collect();
        self
    }

    /// Takes those for services whose token has none of these claims. Without them, a service is
    /// known by `sub` being the client's id, `idtyp` being `app` or `gty` being
    /// `client-credentials`.
    #[must_use]
    pub fn with_person_claims<C: Into<Claim>>(
        mut self,
        claims: impl IntoIterator<Item = C>,
    ) -> Self {
        self.person_claims = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Calls the service with this client id so. Others are the client id within the issuer.
    #[must_use]
    pub fn with_service(mut self, client: impl Into<String>, name: impl Into<Arc<str>>) -> Self {
        self.services.insert(client.into(), name.into());
        self
    }

    /// Takes the team from this claim.
    #[must_use]
    pub fn with_team(mut self, claim: impl Into<Claim>) -> Self {
        self.team = Some(claim.into());
        self
    }

    /// Takes the groups from this claim.
    #[must_use]
    pub fn with_groups(mut self, claim: impl Into<Claim>) -> Self {
        self.groups = claim.into();
        self
    }

    /// Takes the roles from these claims together.
    #[must_use]
    pub fn with_roles<C: Into<Claim>>(mut self, claims: impl IntoIterator<Item = C>) -> Self {
        self.roles = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Allows what is listed to those who hold this. With one allowance or more, nothing is
    /// allowed but what they list together.
    #[must_use]
    pub fn with_allowance(mut self, allowance: Allowance) -> Self {
        self.allowances.push(allowance);
        self
    }

    pub(crate) fn kind(&self, claims: &Map<String, Value>, client: Option<&str>) -> PrincipalKind {
        let says = |name: &str, value: &str| claims.get(name).is_some_and(|said| said == value);
        let itself = client.is_some_and(|client| says("sub", client));
        let listed = &self.person_claims;
        if self.own {
            let service = says("gty", "client-credentials");
            return if service { PrincipalKind::Service } else { PrincipalKind::Person };
        }
        let unlike = !listed.is_empty() && listed.iter().all(|claim| claim.of(claims).is_none());
        if itself || unlike || says("idtyp", "app") || says("gty", "client-credentials") {
            PrincipalKind::Service
        } else {
            PrincipalKind::Person
        }
    }

    pub(crate) fn id(
        &self,
        (issuer, kind, client): (&str, PrincipalKind, Option<&str>),
        claims: &Map<String, Value>,
    ) -> Result<Arc<str>, Refused> {
        if self.own {
            let sub = claims.get("sub").and_then(Value::as_str).filter(|text| is_plain(text));
            return sub.map(Arc::from).ok_or(Refused::Claim("sub"));
        }
        if let (PrincipalKind::Service, Some(client)) = (kind, client) {
            let named = self.services.get(client).cloned();
            return Ok(named.unwrap_or_else(|| within(issuer, client)));
        }
        let mut names = self.names.iter();
        names.find_map(|name| name.of(issuer, claims)).ok_or(Refused::Claim("sub"))
    }

    /// The groups; `None` where they are not known.
    pub(crate) fn groups(&self, claims: &Map<String, Value>) -> Option<Vec<Arc<str>>> {
        self.groups.list(claims)
    }

    /// Whether there were too many groups for the token.
    pub(crate) fn is_overage(&self, claims: &Map<String, Value>) -> bool {
        let sources = claims.get("_claim_names");
        sources.and_then(Value::as_object).is_some_and(|names| self.groups.of(names).is_some())
            || claims.get("hasgroups").is_some_and(|said| *said == true || *said == "true")
    }

    pub(crate) fn roles(&self, claims: &Map<String, Value>) -> Vec<Arc<str>> {
        self.roles.iter().filter_map(|claim| claim.list(claims)).flatten().collect()
    }

    pub(crate) fn team_and_scopes(
        &self,
        claims: &Map<String, Value>,
        groups: Option<&[Arc<str>]>,
        roles: &[Arc<str>],
    ) -> (Option<Arc<str>>, Scopes) {
        let said = self.team.as_ref().and_then(|claim| claim.text(claims));
        let mut team = said.filter(|text| is_plain(text)).map(Arc::from);
        if self.own {
            let limits = claims.get(LIMITS).and_then(|limits| Scopes::deserialize(limits).ok());
            // One of our tokens without them would be for everything.
            let none = || Scopes { models: Some(vec![]), tools: Some(vec![]), ..Scopes::default() };
            return (team, limits.unwrap_or_else(none));
        }
        if self.allowances.is_empty() {
            return (team, Scopes::default());
        }
        let scopes = oauth_scopes(claims);
        let mut all = Scopes { models: Some(vec![]), tools: Some(vec![]), ..Scopes::default() };
        for allowance in &self.allowances {
            let held = match &allowance.holds {
                Holds::Group(group) => groups.is_some_and(|groups| groups.contains(group)),
                Holds::Role(role) => roles.contains(role),
                Holds::Scope(scope) => scopes.contains(&&**scope),
            };
            if held {
                join(&mut all.models, allowance.models.as_deref());
                join(&mut all.tools, allowance.tools.as_deref());
                team = team.or_else(|| allowance.team.clone());
            }
        }
        (team, all)
    }
}

/// What is unique within an issuer, made unique.
fn within(issuer: &str, text: &str) -> Arc<str> {
    format!("{issuer}{WITHIN}{text}").into()
}

fn join(all: &mut Option<Vec<Pattern>>, more: Option<&[Pattern]>) {
    match (all.as_mut(), more) {
        (Some(all), Some(more)) => all.extend(more.iter().cloned()),
        _ => *all = None,
    }
}

/// OAuth's scopes: one text with spaces (RFC 9068 §2.2.3), or a list.
fn oauth_scopes(claims: &Map<String, Value>) -> Vec<&str> {
    let mut scopes = Vec::new();
    for name in ["scope", "scp"] {
        match claims.get(name) {
            Some(Value::String(text)) => scopes.extend(text.split(' ')),
            Some(Value::Array(values)) => scopes.extend(values.iter().filter_map(Value::as_str)),
            _ => {}
        }
    }
    scopes
}

/// Who acts, nearest first (RFC 8693 §4.1).
pub(crate) fn actors(claims: &Map<String, Value>) -> Result<Vec<Actor>, Refused> {
    let wrong = Refused::Claim("act");
    let (mut actors, mut next) = (Vec::new(), claims.get("act"));
    while let Some(act) = next {
        let id = act.get("sub").and_then(Value::as_str).filter(|text| is_plain(text));
        let id = id.ok_or(wrong)?.into();
        if actors.len() == ACTORS_MOST {
            return Err(wrong);
        }
        actors.push(Actor { id });
        next = act.get("act");
    }
    Ok(actors)
}

pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= NAME_MOST && !text.chars().any(char::is_control)
}
