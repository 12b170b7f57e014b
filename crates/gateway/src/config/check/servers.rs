//! Whether what is said of one MCP server fits together.

use doorward_sandbox::{Egress, SpawnError};

use super::{Fault, Step, fault, oauth};
use crate::config::{EgressConfig, NetworkAccess, SandboxMode, ServerConfig};

/// How a server is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    Command,
    Url,
    OpenApi,
}

pub(super) fn check(index: usize, server: &ServerConfig) -> Result<(), Fault> {
    let at = |key: &str, message: &str| fault("server", index, [Step::from(key)], message);
    let reached = reached(server).map_err(|(key, message)| at(key, message))?;
    if let Some((key, message)) = out_of_place(server, reached) {
        return Err(at(key, message));
    }
    if let Some((key, message)) = address(server, reached) {
        return Err(at(key, message));
    }
    if let Some((key, message)) = confinement(server) {
        return Err(at(key, message));
    }
    if let Some(key) = nothing(server) {
        return Err(at(key, "expected more than 0"));
    }
    let within = |table: &str, key: &str, message| {
        fault("server", index, [Step::from(table), Step::from(key)], message)
    };
    if let Some(header) = &server.header
        && http::HeaderName::try_from(&header.name).is_err()
    {
        return Err(within("header", "name", "expected the name of a header".to_owned()));
    }
    if let Some((key, message)) = server.egress.as_ref().and_then(egress) {
        return Err(within("egress", key, message));
    }
    oauth::check(index, server)
}

/// A limit of nothing.
fn nothing(server: &ServerConfig) -> Option<&'static str> {
    let number = |given: Option<u64>| given == Some(0);
    let limits = &server.limits;
    let within = number(limits.processes)
        || number(limits.open_files)
        || number(limits.cpu_seconds)
        || limits.file_size.is_some_and(|size| size.0 == 0)
        || limits.scratch.is_some_and(|size| size.0 == 0);
    let zero = [
        ("timeout", server.timeout.0.is_zero()),
        ("connect_timeout", server.connect_timeout.is_some_and(|span| span.0.is_zero())),
        ("idle_after", server.idle_after.is_some_and(|span| span.0.is_zero())),
        ("concurrency", server.concurrency == Some(0)),
        ("max_connections", server.max_connections == Some(0)),
        ("max_result", server.max_result.is_some_and(|size| size.0 == 0)),
        ("memory", server.memory.is_some_and(|size| size.0 == 0)),
        ("limits", within),
    ];
    zero.into_iter().find(|(_, zero)| *zero).map(|(key, _)| key)
}

/// What of the hosts and networks cannot be used.
fn egress(given: &EgressConfig) -> Option<(&'static str, String)> {
    let EgressConfig { hosts, private } = given.clone();
    match (Egress { hosts, private }).check() {
        Err(SpawnError::Egress { rule, reason }) => {
            let key = if given.private.contains(&rule) { "private" } else { "hosts" };
            Some((key, format!("`{rule}` cannot be used: {reason}")))
        }
        _ => None,
    }
}

type Wrong = (&'static str, &'static str);

fn reached(server: &ServerConfig) -> Result<Reached, Wrong> {
    let given = [server.command.is_some(), server.url.is_some(), server.openapi.is_some()];
    match given {
        [true, false, false] => match server.command.as_deref().and_then(<[String]>::first) {
            Some(program) if !program.is_empty() => Ok(Reached::Command),
            _ => Err(("command", "expected a program and its arguments")),
        },
        [false, true, false] => Ok(Reached::Url),
        [false, false, true] => Ok(Reached::OpenApi),
        [false, false, false] => Err(("command", "either command, url or openapi is needed")),
        [true, true, _] => Err(("url", "both command and url are given")),
        [_, _, true] => Err(("openapi", "beside openapi, command or url is given")),
    }
}

/// Keys that mean nothing for a server that is reached so.
fn out_of_place(server: &ServerConfig, reached: Reached) -> Option<Wrong> {
    const CHILD: &str = "only a server by command has one";
    const URL: &str = "only a server by url has one";
    const OPENAPI: &str = "only a server by openapi has one";

    let child = [
        ("env", !server.env.is_empty()),
        ("cwd", server.cwd.is_some()),
        ("sandbox", server.sandbox != SandboxMode::Native),
        ("network", server.network.is_some()),
        ("egress", server.egress.is_some()),
        ("read", !server.read.is_empty()),
        ("write", !server.write.is_empty()),
        ("memory", server.memory.is_some()),
        ("limits", server.limits != <_>::default()),
        ("container", server.container.is_some()),
        ("kubernetes", server.kubernetes.is_some()),
        ("wasm", server.wasm.is_some()),
    ];
    let url = [("oauth", server.oauth.is_some())];
    let openapi = [
        ("base_url", server.base_url.is_some()),
        ("include", !server.include.is_empty()),
        ("exclude", !server.exclude.is_empty()),
    ];
    let found = |keys: &[(&'static str, bool)], message| {
        keys.iter().find(|(_, given)| *given).map(|(key, _)| (*key, message))
    };
    let child = found(&child, CHILD).filter(|_| reached != Reached::Command);
    let url = found(&url, URL).filter(|_| reached != Reached::Url);
    let openapi = found(&openapi, OPENAPI).filter(|_| reached != Reached::OpenApi);
    let header = (server.header.is_some() && reached == Reached::Command)
        .then_some(("header", "a server by command has none"));
    child.or(url).or(openapi).or(header)
}

fn address(server: &ServerConfig, reached: Reached) -> Option<Wrong> {
    let is_http = |url: &str| {
        url.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        })
    };
    let (key, url) = match reached {
        Reached::Command => return None,
        Reached::Url => ("url", server.url.as_deref()),
        Reached::OpenApi => ("base_url", server.base_url.as_deref()),
    };
    url.filter(|url| !is_http(url)).map(|_| (key, "expected an http(s) URL"))
}

/// What of a command's confinement contradicts itself.
fn confinement(server: &ServerConfig) -> Option<Wrong> {
    let network = server.network();
    let mode = |mode| server.sandbox == mode;
    let pairs = [
        (mode(SandboxMode::Container), server.container.is_some(), "container"),
        (mode(SandboxMode::Kubernetes), server.kubernetes.is_some(), "kubernetes"),
    ];
    for (chosen, given, key) in pairs {
        match (chosen, given) {
            (true, false) => return Some((key, "the sandbox of this kind needs it")),
            (false, true) => return Some((key, "the sandbox is of another kind")),
            _ => {}
        }
    }
    if mode(SandboxMode::Wasm) && !cfg!(feature = "wasm") {
        return Some(("sandbox", "this build runs no WebAssembly"));
    }
    let cpus = [
        ("container", server.container.as_ref().and_then(|given| given.cpus)),
        ("kubernetes", server.kubernetes.as_ref().and_then(|given| given.cpus)),
    ];
    let odd = |cpus: Option<f64>| cpus.is_some_and(|cpus| !(0.0..=4096.0).contains(&cpus));
    if let Some((key, _)) = cpus.into_iter().find(|(_, cpus)| odd(*cpus)) {
        return Some((key, "`cpus` is a number from 0 to 4096"));
    }
    if server.wasm.is_some() && !mode(SandboxMode::Wasm) {
        return Some(("wasm", "the sandbox is of another kind"));
    }
    match (network, &server.egress) {
        (NetworkAccess::Proxy, None) => {
            Some(("egress", "`network = \"proxy\"` needs `egress = { hosts = […] }`"))
        }
        (NetworkAccess::None | NetworkAccess::Host, Some(_)) => {
            Some(("network", "with `egress`, only `proxy` makes sense"))
        }
        (_, Some(_)) if mode(SandboxMode::None) => {
            Some(("egress", "without a sandbox nothing keeps the command to it"))
        }
        (_, Some(_)) if mode(SandboxMode::Wasm) => {
            Some(("egress", "a component has no proxy: `network` is `none` or `host`"))
        }
        (_, Some(_)) if mode(SandboxMode::Kubernetes) => {
            Some(("egress", "a pod has no proxy here: `network` is `none` or `host`"))
        }
        (_, Some(_)) if server.container.as_ref().is_some_and(|given| given.gate.is_none()) => {
            Some(("egress", "a container needs `gate` for it: a network with only a proxy on it"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
