//! Federated URIs and task ids: which server they lead to, and back.
//!
//! A resource `file:///a` of the server `my_disk` is `my.disk+file:///a`: the server's name goes
//! before the scheme, `_` written `.` (RFC 3986 §3.1 has no `_` in schemes, and no server's name
//! has a `.`). Hosts know user interfaces by their scheme (MCP Apps), so `ui://clock/face` keeps
//! it: `ui://my.disk+clock/face`. Templates likewise, so that what is expanded from one leads
//! back. A task `t1` is `my_disk.t1`.

use std::collections::HashMap;

/// The scheme of user interfaces.
const UI: &str = "ui://";
/// Before a server's name that does not start with a letter, as a scheme must. No server's name
/// holds `__`, so no other name reads like it.
const LETTER: &str = "x..";

/// A server's name as the beginning of a scheme. Different for different servers.
pub(crate) fn slug(server: &str) -> String {
    let dotted = server.replace('_', ".");
    let lettered = server.bytes().next().is_some_and(|first| first.is_ascii_alphabetic());
    if lettered { dotted } else { [LETTER, &dotted].concat() }
}

/// The federated URI, or URI template, of a server's own.
pub(crate) fn federated(slug: &str, own: &str) -> String {
    match own.strip_prefix(UI) {
        Some(rest) => [UI, slug, "+", rest].concat(),
        None => [slug, "+", own].concat(),
    }
}

/// The federated id of a server's task.
pub(crate) fn federated_task(server: &str, own: &str) -> String {
    [server, ".", own].concat()
}

/// Cuts a federated task id into the server's name and its own id.
pub(crate) fn cut_task(id: &str) -> Option<(&str, &str)> {
    id.split_once('.')
}

/// Cuts a federated URI into the server's slug and the server's own URI.
fn cut(uri: &str) -> Option<(&str, String)> {
    if let Some(rest) = uri.strip_prefix(UI) {
        let (slug, rest) = rest.split_once('+')?;
        return Some((slug, [UI, rest].concat()));
    }
    let (slug, own) = uri.split_once('+')?;
    Some((slug, own.to_owned()))
}

/// All servers by their slugs.
#[derive(Debug, Default)]
pub(crate) struct Slugs {
    exact: HashMap<String, usize>,
    /// In small letters, for clients that normalise URIs; `None` where two servers share one.
    folded: HashMap<String, Option<usize>>,
}

impl Slugs {
    pub(crate) fn of<'a>(servers: impl Iterator<Item = &'a str>) -> Self {
        let mut slugs = Self::default();
        for (at, server) in servers.enumerate() {
            let slug = slug(server);
            slugs
                .folded
                .entry(slug.to_ascii_lowercase())
                .and_modify(|known| *known = None)
                .or_insert(Some(at));
            slugs.exact.insert(slug, at);
        }
        slugs
    }

    /// The server that a federated URI leads to, and the server's own URI.
    pub(crate) fn lead(&self, uri: &str) -> Option<(usize, String)> {
        let (slug, own) = cut(uri)?;
        let exact = self.exact.get(slug).copied();
        let folded = || self.folded.get(&slug.to_ascii_lowercase()).copied().flatten();
        Some((exact.or_else(folded)?, own))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::is_server_name;

    #[test]
    fn uris_lead_to_their_server_and_back() {
        let slugs = Slugs::of(["disk", "my_disk", "7-up", "Web"].into_iter());
        for (server, own, uri) in [
            (0, "file:///a/b", "disk+file:///a/b"),
            (1, "file:///a", "my.disk+file:///a"),
            (2, "test://x", "x..7-up+test://x"),
            (1, "ui://clock/face?x=1+2", "ui://my.disk+clock/face?x=1+2"),
            (0, "ui:///", "ui://disk+/"),
            (0, "git+ssh://host/x", "disk+git+ssh://host/x"),
            (0, "no uri at all", "disk+no uri at all"),
            (0, "", "disk+"),
            (0, "test://{id}/data{?q*}", "disk+test://{id}/data{?q*}"),
        ] {
            let name = ["disk", "my_disk", "7-up", "Web"][server];
            assert_eq!(federated(&slug(name), own), uri);
            assert_eq!(slugs.lead(uri), Some((server, own.to_owned())), "{uri}");
        }
        for nowhere in ["file:///a", "other+file:///a", "ui://clock/face", "my_disk+x:y", "+x:y"] {
            assert_eq!(slugs.lead(nowhere), None, "{nowhere}");
        }
        assert_eq!(slugs.lead("web+a:b"), Some((3, "a:b".into())), "as normalised by a client");
    }

    #[test]
    fn letters_that_only_differ_in_case_are_no_guess() {
        let slugs = Slugs::of(["Web", "web"].into_iter());
        assert_eq!(slugs.lead("web+a:b").map(|(at, _)| at), Some(1));
        assert_eq!(slugs.lead("Web+a:b").map(|(at, _)| at), Some(0));
        assert_eq!(slugs.lead("WEB+a:b"), None);
    }

    /// What an expansion of `{+x}` may bring, the scheme included.
    #[test]
    fn an_expanded_template_leads_back() {
        let slugs = Slugs::of(["disk"].into_iter());
        let template = federated(&slug("disk"), "{+uri}");
        let expanded = template.replace("{+uri}", "ui://face");
        assert_eq!(slugs.lead(&expanded), Some((0, "ui://face".into())));
    }

    fn server() -> impl Strategy<Value = String> {
        "[A-Za-z0-9_-]{1,32}".prop_filter("a server's name", |name| is_server_name(name))
    }

    fn own() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{0,40}",
            "ui://.{0,20}",
            "[a-z+.]{1,8}:(//)?[!-~]{0,30}",
            "[a-z.]{1,6}\\+[!-~]{0,9}"
        ]
    }

    proptest! {
        #[test]
        fn every_uri_comes_back(a in server(), b in server(), x in own(), y in own()) {
            let servers = [a.as_str(), b.as_str()];
            let slugs = Slugs::of(servers.into_iter());
            let (one, two) = (federated(&slug(&a), &x), federated(&slug(&b), &y));
            let (at, own) = slugs.lead(&one).unwrap();
            prop_assert_eq!((servers[at], &own), (a.as_str(), &x));
            prop_assert_eq!(one == two, (&a, &x) == (&b, &y));
            let scheme = slug(&a);
            prop_assert!(scheme.bytes().next().unwrap().is_ascii_alphabetic());
            prop_assert!(scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b".-".contains(&c)));
        }

        #[test]
        fn every_task_comes_back(server in server(), own in ".{0,40}") {
            let id = federated_task(&server, &own);
            prop_assert_eq!(cut_task(&id), Some((server.as_str(), own.as_str())));
        }
    }
}
