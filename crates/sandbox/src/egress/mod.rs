//! The one way out of a sandbox whose network is [`Network::Proxy`](crate::Network::Proxy).
//!
//! The program's network namespace has nothing but loopback. On it listens a socket that the
//! launcher opened inside and handed out to the caller, where the proxy accepts on it: a listener
//! stays in the namespace it was made in, so nothing needs to run inside to carry bytes, and no
//! other program can reach it. The caller's side judges each request by the rules, looks the name
//! up itself, judges every address found, and connects to one of just those.

mod address;
mod outlet;
mod proxy;
mod pulse;
mod rule;

pub(crate) use outlet::SystemOutlet;
pub use outlet::{EgressRefusal, Outlet, Reaching};
pub(crate) use proxy::Proxy;
pub(crate) use rule::Policy;

/// Where the proxy listens, on the sandbox's own loopback.
pub(crate) const PORT: u16 = 3128;

/// What tells programs of the proxy. `NO_PROXY` is empty, as there is nothing to reach without.
pub(crate) fn variables() -> [(&'static str, String); 9] {
    let proxy = || format!("http://127.0.0.1:{PORT}");
    [
        ("HTTP_PROXY", proxy()),
        ("http_proxy", proxy()),
        ("HTTPS_PROXY", proxy()),
        ("https_proxy", proxy()),
        ("ALL_PROXY", proxy()),
        ("all_proxy", proxy()),
        ("NO_PROXY", String::new()),
        ("no_proxy", String::new()),
        // Node reads none of the above without it.
        ("NODE_USE_ENV_PROXY", "1".to_owned()),
    ]
}

#[cfg(test)]
mod tests;
