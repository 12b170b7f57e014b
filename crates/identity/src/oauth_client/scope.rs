//! Which scopes to ask for (MCP authorization, "Scope Selection Strategy"; RFC 6749 §3.3).

use super::challenge::Challenge;
use super::discovery::Found;
use super::metadata::lists;
use super::server::Protected;
use super::tokens::Held;

/// The most scopes asked for, and the longest of them.
const MOST: usize = 64;
const LONGEST: usize = 256;
/// The scope that refresh tokens need at OIDC providers.
const OFFLINE: &str = "offline_access";

/// The challenge's scopes, else the configured ones, else all that the resource lists, else none;
/// with those of the token in hand, so that a step up loses nothing.
pub(crate) fn wanted(
    server: &Protected,
    found: &Found,
    challenge: &Challenge,
    held: Option<&Held>,
    lasting: bool,
) -> Vec<String> {
    let named = challenge.scopes.as_ref().or(server.scopes.as_ref()).or(found.scopes.as_ref());
    let earlier = held.map(|held| held.scopes.as_slice()).unwrap_or_default();
    let mut wanted: Vec<String> = Vec::new();
    for scope in earlier.iter().chain(named.into_iter().flatten()) {
        if is_legal(scope) && scope != OFFLINE && !wanted.contains(scope) {
            wanted.push(scope.clone());
        }
    }
    wanted.truncate(MOST);
    // Asked for alone it would stand for every other scope.
    let supported = lists(found.metadata.scopes_supported.as_ref(), OFFLINE);
    if lasting && supported && !wanted.is_empty() {
        wanted.push(OFFLINE.to_owned());
    }
    wanted
}

/// Whether a token that was asked for with these scopes has all that a challenge wants: asking
/// again would bring nothing.
pub(crate) fn satisfied(held: &Held, challenge: &Challenge) -> bool {
    let wanted = challenge.scopes.as_deref().unwrap_or_default();
    wanted.iter().all(|scope| held.scopes.contains(scope))
}

/// RFC 6749 §3.3 `scope-token`.
pub(crate) fn is_legal(scope: &str) -> bool {
    let legal = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !scope.is_empty() && scope.len() <= LONGEST && scope.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use doorward_core::{Secret, Timestamp};

    use super::super::metadata::ServerMetadata;
    use super::*;

    type List = Option<Vec<String>>;

    fn texts(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(|scope| (*scope).to_owned()).collect()
    }

    fn found(resource: List, server: List) -> Found {
        let metadata = ServerMetadata { scopes_supported: server, ..ServerMetadata::default() };
        let metadata = Arc::new(metadata);
        Found { resource: "r".into(), issuer: "i".into(), metadata, scopes: resource }
    }

    fn challenge(scopes: List) -> Challenge {
        Challenge { scopes, ..Challenge::default() }
    }

    fn held(scopes: &[&str]) -> Held {
        Held {
            access: Secret::new("t"),
            refresh: None,
            scopes: texts(scopes),
            obtained: Timestamp::from_micros(0),
            expires: None,
            client_id: "c".into(),
            assumed: false,
        }
    }

    #[test]
    fn the_challenge_goes_before_what_the_resource_lists() {
        let plain = Protected::new("u");
        let own = Protected::new("u").with_scopes(["own"]);
        let (listed, none) = (found(Some(texts(&["a", "b"])), None), found(None, None));
        let named = challenge(Some(texts(&["c"])));
        let silent = challenge(None);
        assert_eq!(wanted(&plain, &listed, &named, None, true), ["c"]);
        assert_eq!(wanted(&plain, &listed, &silent, None, true), ["a", "b"]);
        assert_eq!(wanted(&own, &listed, &silent, None, true), ["own"]);
        assert_eq!(wanted(&own, &listed, &named, None, true), ["c"]);
        assert!(wanted(&plain, &none, &silent, None, true).is_empty());
    }

    #[test]
    fn a_step_up_keeps_what_was_granted() {
        let (server, found) = (Protected::new("u"), found(None, None));
        let held = held(&["read", OFFLINE]);
        let challenge = challenge(Some(texts(&["write", "read"])));
        let asked = wanted(&server, &found, &challenge, Some(&held), true);
        assert_eq!(asked, ["read", "write"]);
        assert!(!satisfied(&held, &challenge));
        assert!(satisfied(&self::held(&["read", "write"]), &challenge));
    }

    #[test]
    fn offline_access_is_asked_for_where_the_server_knows_it() {
        let server = Protected::new("u");
        let knows = found(Some(texts(&["a"])), Some(texts(&["a", OFFLINE])));
        let not = found(Some(texts(&["a", OFFLINE])), Some(texts(&["a"])));
        let silent = challenge(None);
        assert_eq!(wanted(&server, &knows, &silent, None, true), ["a", OFFLINE]);
        assert_eq!(wanted(&server, &knows, &silent, None, false), ["a"]);
        assert_eq!(wanted(&server, &not, &silent, None, true), ["a"]);
        let nothing = found(None, Some(texts(&[OFFLINE])));
        assert!(wanted(&server, &nothing, &silent, None, true).is_empty());
    }

    #[test]
    fn scopes_of_a_stranger_are_bounded_and_legal() {
        let (server, found) = (Protected::new("u"), found(None, None));
        let mut many: Vec<_> = (0..100).map(|number| format!("s{number}")).collect();
        many.extend(["a\"b".to_owned(), "a b".to_owned(), "\n".to_owned(), "x".repeat(300)]);
        many.rotate_right(4);
        let asked = wanted(&server, &found, &challenge(Some(many)), None, true);
        assert_eq!(asked.len(), MOST);
        assert!(asked.iter().all(|scope| scope.starts_with('s')));
    }
}
