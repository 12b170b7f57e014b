//! Whether what is said of tokens, and of where people give their consent, fits together.

use super::{Fault, Root, Step, fault};
use crate::config::{ConnectConfig, IdentityProviderConfig, OAuthConfig, OAuthGrant, ServerConfig};
use crate::edge::is_loopback_host;

type Wrong = (&'static str, &'static str);

/// The `oauth` of one server.
pub(super) fn check(index: usize, server: &ServerConfig) -> Result<(), Fault> {
    let Some(oauth) = &server.oauth else { return Ok(()) };
    let at = |key: &str, message: &str| {
        Err(fault("server", index, [Step::from("oauth"), Step::from(key)], message))
    };
    if server.header.is_some() {
        let message = "beside oauth, a header is given";
        return Err(fault("server", index, ["header".into()], message));
    }
    if let Some((key, message)) = client(oauth).or_else(|| addresses(server, oauth)) {
        return at(key, message);
    }
    let own = matches!(oauth.grant(), OAuthGrant::Consent | OAuthGrant::Enterprise);
    if server.shared && own && !oauth.shared {
        let message = "with each principal's own token no two of them share a session";
        return Err(fault("server", index, ["shared".into()], message));
    }
    match oauth.scopes.iter().position(|scope| !is_scope(scope)) {
        None => Ok(()),
        Some(place) => {
            let key = [Step::from("oauth"), Step::from("scopes"), Step::from(place)];
            Err(fault("server", index, key, "expected a scope, without spaces and quotes"))
        }
    }
}

/// What of the client is missing or too much.
fn client(oauth: &OAuthConfig) -> Option<Wrong> {
    let proves = oauth.client_secret.is_some() || oauth.private_key.is_some();
    let known = oauth.client_id.is_some();
    if oauth.client_secret.is_some() && oauth.private_key.is_some() {
        return Some(("private_key", "both client_secret and private_key are given"));
    }
    let vouched = oauth.identity_provider.is_some();
    match oauth.grant() {
        OAuthGrant::Enterprise if !vouched => {
            Some(("identity_provider", "who vouches for principals is needed"))
        }
        OAuthGrant::Enterprise if oauth.assertion.is_some() => {
            Some(("assertion", "only `grant = \"workload\"` has one"))
        }
        OAuthGrant::Enterprise if !known => {
            Some(("client_id", "an identity provider vouches to a client: its id is needed"))
        }
        OAuthGrant::Enterprise if oauth.shared => {
            Some(("shared", "each principal is vouched for: no token is everybody's"))
        }
        OAuthGrant::Consent | OAuthGrant::ClientCredentials | OAuthGrant::Workload if vouched => {
            Some(("identity_provider", "only `grant = \"enterprise\"` has one"))
        }
        OAuthGrant::Workload if oauth.assertion.is_none() => {
            Some(("assertion", "what the platform says of the gateway is needed"))
        }
        OAuthGrant::Consent | OAuthGrant::ClientCredentials if oauth.assertion.is_some() => {
            Some(("assertion", "only `grant = \"workload\"` has one"))
        }
        OAuthGrant::Workload if !known => {
            Some(("client_id", "a platform vouches for a client: its id is needed"))
        }
        OAuthGrant::ClientCredentials if !proves => {
            Some(("client_secret", "either client_secret or private_key is needed"))
        }
        OAuthGrant::ClientCredentials if !known => {
            Some(("client_id", "client credentials are those of a client: its id is needed"))
        }
        OAuthGrant::Consent if proves && !known => {
            Some(("client_id", "without a client's id, its secret is nobody's"))
        }
        // A server that could name its authorization server itself would get the client's secret.
        _ if known && oauth.issuer.is_none() => {
            Some(("issuer", "a client is known to one authorization server: its issuer is needed"))
        }
        _ => None,
    }
}

/// What cannot be asked.
fn addresses(server: &ServerConfig, oauth: &OAuthConfig) -> Option<Wrong> {
    let scheme = |url: &str| {
        let uri = url.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some())?;
        uri.scheme_str().map(str::to_owned)
    };
    if let Some(issuer) = &oauth.issuer {
        let plain = issuer.contains(['?', '#', '@']);
        if plain || !matches!(scheme(issuer).as_deref(), Some("http" | "https")) {
            return Some(("issuer", "expected an http(s) URL without a query"));
        }
    }
    let provider = oauth.identity_provider.as_ref();
    let endpoint = provider.map(|provider| &provider.token_endpoint);
    if endpoint.is_some_and(|url| !matches!(scheme(url).as_deref(), Some("http" | "https"))) {
        return Some(("identity_provider", "expected an http(s) URL as its `token_endpoint`"));
    }
    let both = |provider: &IdentityProviderConfig| {
        provider.client_secret.is_some() && provider.private_key.is_some()
    };
    if provider.is_some_and(both) {
        return Some(("identity_provider", "both client_secret and private_key are given"));
    }
    let all = server.url.iter().chain(&oauth.issuer).chain(endpoint);
    let mut open = all.filter(|url| scheme(url).as_deref() == Some("http"));
    (!oauth.allow_private && open.next().is_some()).then_some((
        "allow_private",
        "tokens go over https; with `allow_private = true` over http to private addresses too",
    ))
}

/// RFC 6749 §3.3 `scope-token`.
fn is_scope(scope: &str) -> bool {
    let legal = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !scope.is_empty() && scope.bytes().all(legal)
}

/// Where people reach the gateway, and what it says of itself.
pub(super) fn public(root: &Root) -> Result<(), Fault> {
    let wrong = |trail: [&str; 2], message: &str| {
        let trail = trail.map(Step::from).to_vec();
        Err(Fault { trail, message: message.to_owned(), suggestion: None })
    };
    if root.listen.public_url.as_deref().is_some_and(|url| !is_public(url)) {
        let message = "expected an https URL, or an http URL of this machine, without a query";
        return wrong(["listen", "public_url"], message);
    }
    if let Some(url) = &root.connect.client_metadata
        && url != ConnectConfig::OFF
        && !is_document(url)
    {
        return wrong(
            ["connect", "client_metadata"],
            "expected an https URL with a path and without a query, or `off`",
        );
    }
    if root.connect.client_name.trim().is_empty() {
        return wrong(["connect", "client_name"], "expected a name");
    }
    for (index, server) in root.server.iter().enumerate() {
        let provider = server.oauth.as_ref().and_then(|oauth| oauth.identity_provider.as_ref());
        if let Some(provider) = provider
            && !root.issuer.iter().any(|issuer| issuer.url == provider.issuer)
        {
            let key = ["oauth".into(), "identity_provider".into(), "issuer".into()];
            let message = "no `[[issuer]]` has this `url`: nobody could call with its tokens";
            return Err(fault("server", index, key, message));
        }
    }
    match root.server.iter().position(ServerConfig::asks_people) {
        Some(index) if root.listen.public_url().is_none() => {
            let message = "people give their consent at the gateway's own pages, and it is not \
                           known where they reach it";
            let suggestion = "expected `listen.public_url = \"https://…\"`".to_owned();
            Err(fault("server", index, ["oauth".into()], message).suggest(Some(suggestion)))
        }
        _ => Ok(()),
    }
}

fn is_public(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback_host(authority.as_str()),
        _ => false,
    };
    secure && uri.query().is_none() && !url.contains(['#', '@', '"', ';', ' '])
}

fn is_document(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("https")
            && uri.host().is_some()
            && uri.path().len() > 1
            && uri.query().is_none()
            && !url.contains(['#', '@'])
    })
}
