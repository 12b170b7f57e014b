//! What tokens are for: resources of this gateway, and scopes there.

use std::sync::Arc;

use doorward_core::{Pattern, Scopes};

/// Something that can be consented to.
///
/// ```
/// use doorward_core::Pattern;
/// use doorward_identity::oauth_server::Scope;
/// let read = Scope::new("tools:read", "Look things up").with_tools([Pattern::new("*__get_*")]);
/// let all = Scope::new("tools", "Use every tool").implying(["tools:read"]);
/// ```
#[derive(Debug, Clone)]
pub struct Scope {
    pub(crate) name: Arc<str>,
    pub(crate) description: Arc<str>,
    pub(crate) implied: Vec<String>,
    pub(crate) models: Option<Vec<Pattern>>,
    pub(crate) tools: Option<Vec<Pattern>>,
}

impl Scope {
    /// With this name and a sentence for the person who is asked. It allows every model and tool,
    /// unless said otherwise.
    pub fn new(name: impl Into<Arc<str>>, description: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            implied: Vec::new(),
            models: None,
            tools: None,
        }
    }

    /// Stands for these scopes too, where they are asked for.
    #[must_use]
    pub fn implying<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.implied = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Allows these tools only, and no model unless some are named too.
    #[must_use]
    pub fn with_tools(mut self, tools: impl IntoIterator<Item = Pattern>) -> Self {
        self.tools = Some(tools.into_iter().collect());
        self.models.get_or_insert_default();
        self
    }

    /// Allows these models only, and no tool unless some are named too.
    #[must_use]
    pub fn with_models(mut self, models: impl IntoIterator<Item = Pattern>) -> Self {
        self.models = Some(models.into_iter().collect());
        self.tools.get_or_insert_default();
        self
    }
}

/// A resource of this gateway's: what a token is for (RFC 8707), and what clients discover
/// (RFC 9728).
#[derive(Debug, Clone)]
pub struct ProtectedResource {
    pub(crate) path: String,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) scopes: Vec<String>,
    pub(crate) default: Vec<String>,
    /// The URL, once the gateway's own is known.
    pub(crate) url: Arc<str>,
}

impl ProtectedResource {
    /// The resource at this path of the gateway's, `/mcp` for instance; the gateway as a whole
    /// where it is empty.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), name: None, scopes: vec![], default: vec![], url: "".into() }
    }

    /// Shows people this name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Has these scopes. Without any, whoever has a token may do there what the principal may.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Asks for these where a client names none. Without it, for all of them.
    #[must_use]
    pub fn with_default_scopes<S: Into<String>>(
        mut self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        self.default = scopes.into_iter().map(Into::into).collect();
        self
    }
}

/// What scopes allow together, of a principal that may do no more than `most`.
pub(crate) fn limits<'a>(
    granted: impl IntoIterator<Item = &'a Scope>,
    scoped: bool,
    most: &Scopes,
) -> Scopes {
    if !scoped {
        return most.clone();
    }
    let (mut models, mut tools) = (Some(Vec::new()), Some(Vec::new()));
    for scope in granted {
        join(&mut models, scope.models.as_ref());
        join(&mut tools, scope.tools.as_ref());
    }
    Scopes {
        models: both(models, most.models.clone()),
        tools: both(tools, most.tools.clone()),
        require: most.require.clone(),
    }
}

/// What two limits both allow.
pub(crate) fn narrowed(one: &Scopes, other: &Scopes) -> Scopes {
    let mut require = one.require.clone();
    for (label, values) in &other.require {
        let kept = require.entry(label.clone()).or_insert_with(|| values.clone());
        kept.retain(|value| values.contains(value));
    }
    Scopes {
        models: both(one.models.clone(), other.models.clone()),
        tools: both(one.tools.clone(), other.tools.clone()),
        require,
    }
}

fn join(all: &mut Option<Vec<Pattern>>, more: Option<&Vec<Pattern>>) {
    match (all.as_mut(), more) {
        (Some(all), Some(more)) => all.extend(more.iter().cloned()),
        _ => *all = None,
    }
}

/// Patterns for what both lists allow. Of two patterns that overlap without one being part of the
/// other, nothing is left: what cannot be written down is not allowed.
fn both(one: Option<Vec<Pattern>>, other: Option<Vec<Pattern>>) -> Option<Vec<Pattern>> {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return one.or(other),
    };
    let mut shared: Vec<Pattern> = Vec::new();
    for left in &one {
        for right in &other {
            // A pattern that matches another's text matches all that the other does: a star
            // is matched by a star only.
            let part = if left.matches(right.as_str()) {
                right
            } else if right.matches(left.as_str()) {
                left
            } else {
                continue;
            };
            if !shared.contains(part) {
                shared.push(part.clone());
            }
        }
    }
    Some(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(*text)).collect()
    }

    #[test]
    fn a_token_allows_what_the_scopes_and_the_principal_both_allow() {
        for (scope, person, left) in [
            (None, None, None),
            (Some(list(&["a__*"])), None, Some(list(&["a__*"]))),
            (None, Some(list(&["a__*"])), Some(list(&["a__*"]))),
            (Some(list(&["a__*"])), Some(list(&["a__get"])), Some(list(&["a__get"]))),
            (Some(list(&["a__get"])), Some(list(&["a__*"])), Some(list(&["a__get"]))),
            (Some(list(&["a__*"])), Some(list(&["b__*"])), Some(list(&[]))),
            (Some(list(&["*__get"])), Some(list(&["a__*"])), Some(list(&[]))),
            (Some(list(&["*"])), Some(list(&["a__*", "b"])), Some(list(&["a__*", "b"]))),
            (Some(list(&[])), None, Some(list(&[]))),
            (None, Some(list(&[])), Some(list(&[]))),
        ] {
            assert_eq!(both(scope.clone(), person.clone()), left, "{scope:?} {person:?}");
        }
    }

    #[test]
    fn scopes_that_were_not_granted_allow_nothing() {
        let read = Scope::new("read", "").with_tools([Pattern::new("a__get")]);
        let most = Scopes::default();
        assert_eq!(limits([&read], true, &most).tools, Some(list(&["a__get"])));
        assert_eq!(limits([&read], true, &most).models, Some(list(&[])));
        assert_eq!(limits([], true, &most).tools, Some(list(&[])));
        assert_eq!(limits([], false, &most), most);
        let all = Scope::new("all", "");
        assert_eq!(limits([&read, &all], true, &most), most);
    }
}
