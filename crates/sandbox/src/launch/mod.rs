//! The launcher: what runs between the caller and the program it does not trust.
//!
//! It has two stages, each a process with one thread. The outer one finds out what is to be
//! exposed, enters the namespaces, starts the inner one and stays outside to watch the caller.
//! The inner one is process 1 within: it builds the root folder, gives up every right, starts
//! the program, and reaps what the program leaves behind. When the caller, the outer or the inner
//! one ends, so does everything within.

mod descriptors;
mod fence;
mod filter;
mod gate;
mod identity;
mod inner;
mod ledger;
mod outer;
mod root;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::Limits;
use crate::exposure::Exposure;
use ledger::Layers;

/// The first argument of a launcher.
pub const MARKER: &str = "--doorward-sandbox-launch";

/// The second argument of the inner stage.
const INNER: &str = "inner";

/// The names of all layers, in the order in which they are reported.
pub(crate) const LAYERS: [&str; 15] = [
    name::USER,
    name::MOUNT,
    name::PROCESS,
    name::PROC,
    name::NETWORK,
    name::EGRESS,
    name::IPC,
    name::HOST_NAME,
    name::CGROUP_VIEW,
    name::CAPABILITIES,
    name::LIMITS,
    name::PROCESS_LIMIT,
    name::LANDLOCK,
    name::SECCOMP,
    name::CGROUP,
];

/// The layers that a program is started without where they are missing.
pub(crate) const SPARE: [&str; 4] =
    [name::EGRESS, name::CGROUP_VIEW, name::PROCESS_LIMIT, name::CGROUP];

/// The layer of the proxy, which the caller has a part in.
pub(crate) const EGRESS: &str = name::EGRESS;

mod name {
    pub(super) const USER: &str = "user namespace";
    pub(super) const MOUNT: &str = "mount namespace";
    pub(super) const PROCESS: &str = "pid namespace";
    pub(super) const PROC: &str = "private /proc";
    pub(super) const NETWORK: &str = "network namespace";
    pub(super) const EGRESS: &str = "egress";
    pub(super) const IPC: &str = "ipc namespace";
    pub(super) const HOST_NAME: &str = "uts namespace";
    pub(super) const CGROUP_VIEW: &str = "cgroup namespace";
    pub(super) const CAPABILITIES: &str = "no capabilities";
    pub(super) const LIMITS: &str = "resource limits";
    pub(super) const PROCESS_LIMIT: &str = "process limit";
    pub(super) const LANDLOCK: &str = "landlock";
    pub(super) const SECCOMP: &str = "seccomp";
    pub(super) const CGROUP: &str = "cgroup";
}

/// The user and group number a program sees itself as.
const INSIDE: u32 = 1000;

/// What the outer stage hands to the inner one.
#[derive(serde::Serialize, serde::Deserialize)]
struct Handover {
    /// What to execute; none for a probe.
    program: Option<std::path::PathBuf>,
    /// The command as the spec names it.
    command: Vec<String>,
    env: Vec<(String, String)>,
    cwd: std::path::PathBuf,
    exposure: Exposure,
    network: crate::Network,
    /// Whether the caller answers on the sandbox's loopback.
    proxied: bool,
    limits: Limits,
    layers: Layers,
    means: Means,
    /// Whether the host name is the sandbox's own to set.
    renamed: bool,
    /// Whether the spec hides anything.
    hides: bool,
    user: Option<(u32, u32)>,
}

/// With which rights the inner stage starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Means {
    /// Those of the caller's root, to be given up for a user namespace at the end.
    Root,
    /// Those of a user namespace's owner.
    Owner,
    /// None: nothing can be mounted.
    None,
}

/// Whether these are the arguments of a launcher. A program that serves as its own launcher asks
/// this before anything else.
///
/// ```
/// use doorward_sandbox::launch;
///
/// assert!(launch::is_launch(["/usr/bin/doorward", launch::MARKER, "0a1b2"].map(Into::into)));
/// assert!(!launch::is_launch(["/usr/bin/doorward", "serve"].map(Into::into)));
/// ```
pub fn is_launch(arguments: impl IntoIterator<Item = OsString>) -> bool {
    arguments.into_iter().nth(1).is_some_and(|first| first == MARKER)
}

/// Does the launcher's work, and gives the code with which `main` is to return. Must be called
/// while the program has a single thread.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Option<Vec<String>> =
        arguments.into_iter().skip(2).map(|word| word.into_string().ok()).collect();
    let words = words.unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [INNER, handover, report] => inner::run(handover, report),
        [crate::keeper::ROLE, door] => crate::keeper::run(door),
        #[cfg(feature = "wasm")]
        [crate::wasm::ROLE, door] => crate::wasm::run(door),
        [door] => outer::run(door),
        _ => ExitCode::FAILURE,
    }
}

/// A variable of the caller's environment; only the few that tell where programs are and which
/// language they speak are ever asked for.
#[expect(
    clippy::disallowed_methods,
    reason = "a program's PATH, LANG and HOME are those of whoever starts it"
)]
pub(crate) fn inherited(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
