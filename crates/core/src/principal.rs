//! Who calls.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{KeyId, Pattern, Secret, Timestamp};

/// A person or a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A human being.
    Person,
    /// A program that acts for itself.
    Service,
}

/// Whoever a call is made for, as an [`Authenticator`](crate::Authenticator) established it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Stable and unique within this gateway; a person's e-mail address, or a service's name.
    pub id: Arc<str>,
    /// Person or service.
    pub kind: PrincipalKind,
    /// The team that owns the work, for budgets and reports.
    pub team: Option<Arc<str>>,
    /// The virtual key that was shown, by its public id.
    pub key: Option<KeyId>,
    /// The key's name, as people call it.
    pub key_name: Option<Arc<str>>,
    /// What the credential may be used for.
    pub scopes: Arc<Scopes>,
    /// Who acts for the principal, nearest first (RFC 8693 §4.1 `act`). Empty where it acts itself.
    pub actors: Vec<Actor>,
    /// What an identity provider says about them, where one vouched.
    pub identity: Option<Arc<Identity>>,
}

impl Principal {
    /// A service principal with all scopes, as tests and embedders without keys use it.
    pub fn service(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            kind: PrincipalKind::Service,
            team: None,
            key: None,
            key_name: None,
            scopes: Arc::new(Scopes::default()),
            actors: Vec::new(),
            identity: None,
        }
    }

    /// A person with all scopes.
    pub fn person(id: impl Into<Arc<str>>) -> Self {
        Self { kind: PrincipalKind::Person, ..Self::service(id) }
    }
}

/// What an identity provider says about a principal.
///
/// ```
/// use doorward_core::{Identity, Secret};
/// let token = Some(Secret::new("eyJ.e30.c2ln"));
/// let alice = Identity { token, ..Identity::new("https://idp.example", "00u1") };
/// assert_eq!(alice.is_in("admins"), None, "nobody said");
/// assert!(!format!("{alice:?}").contains("eyJ"));
/// ```
#[derive(Clone)]
pub struct Identity {
    /// The provider's issuer identifier, exactly as it writes itself.
    pub issuer: Arc<str>,
    /// Who it is there: the `sub` claim. Unique at the issuer only.
    pub subject: Arc<str>,
    /// The groups. `None` where they are not known: nobody said, or there were too many to say.
    pub groups: Option<Vec<Arc<str>>>,
    /// The roles.
    pub roles: Vec<Arc<str>>,
    /// The client that the token was issued to (`azp`, `client_id`).
    pub client: Option<Arc<str>>,
    /// The token that was shown, to be exchanged on the principal's behalf.
    pub token: Option<Secret>,
    /// When that token ends.
    pub expires: Option<Timestamp>,
}

impl Identity {
    /// Of this issuer's subject nothing more is known.
    pub fn new(issuer: impl Into<Arc<str>>, subject: impl Into<Arc<str>>) -> Self {
        Self {
            issuer: issuer.into(),
            subject: subject.into(),
            groups: None,
            roles: Vec::new(),
            client: None,
            token: None,
            expires: None,
        }
    }

    /// Whether it is in the group; `None` where its groups are not known.
    pub fn is_in(&self, group: &str) -> Option<bool> {
        let groups = self.groups.as_ref()?;
        Some(groups.iter().any(|known| &**known == group))
    }
}

impl PartialEq for Identity {
    /// Whether the same is said of the same subject, whichever token showed it.
    fn eq(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.issuer.clone(), one.subject.clone(), one.client.clone());
        said(self) == said(other) && self.groups == other.groups && self.roles == other.roles
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("groups", &self.groups)
            .field("roles", &self.roles)
            .field("client", &self.client)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// One link of the actor chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who acts.
    pub id: Arc<str>,
}

/// What a credential may be used for. `None` means no limit of that kind; an empty list means
/// nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scopes {
    /// Models that may be called, by the name the client writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Pattern>>,
    /// Tools that may be listed and called, by their federated name (`server__tool`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Pattern>>,
    /// Labels that a model's upstream must have, each one of the values: `region = ["eu"]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: BTreeMap<String, Vec<String>>,
}

impl Scopes {
    /// Whether the model may be called.
    pub fn allows_model(&self, name: &str) -> bool {
        allows(self.models.as_deref(), name)
    }

    /// Whether the tool may be listed and called.
    pub fn allows_tool(&self, name: &str) -> bool {
        allows(self.tools.as_deref(), name)
    }
}

fn allows(list: Option<&[Pattern]>, name: &str) -> bool {
    list.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_allows_nothing() {
        let scopes = Scopes { tools: Some(vec![]), ..Scopes::default() };
        assert!(!scopes.allows_tool("any"));
        assert!(scopes.allows_model("any"));
    }
}
