//! What to run, and what it may touch.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A program to run and everything it is given. What is not named here does not exist for it.
///
/// ```
/// use doorward_sandbox::{Network, Spec};
///
/// let mut spec = Spec::new(["python3", "/srv/tracker/server.py"]);
/// spec.env.insert("TRACKER_TOKEN".into(), "s3cret".into());
/// spec.write.push("/srv/tracker/cache".into());
///
/// assert_eq!(spec.network, Network::None);
/// assert!(!format!("{spec:?}").contains("s3cret"));
/// ```
#[derive(Clone, Default)]
pub struct Spec {
    /// The program and its arguments. A program without a slash is looked for in `PATH`.
    pub command: Vec<String>,
    /// Environment variables, beside `PATH`, `LANG`, `HOME` and `TMPDIR`. Values are not shown
    /// by `Debug`.
    pub env: BTreeMap<String, String>,
    /// Where the program starts and what relative paths refer to; by default the folder the
    /// caller is in. The folder itself is not exposed, only `node_modules` and `package.json` in
    /// it: name it under [`read`](Self::read) to expose more.
    pub cwd: Option<PathBuf>,
    /// Files and folders the program may read.
    pub read: Vec<PathBuf>,
    /// Files and folders the program may read and change.
    pub write: Vec<PathBuf>,
    /// Files and folders that are never visible, even under a path that is.
    pub hide: Vec<PathBuf>,
    /// Which network the program sees.
    pub network: Network,
    /// Where it may go where [`network`](Self::network) is [`Network::Proxy`]; nothing else
    /// reads it.
    pub egress: Egress,
    /// How much the program may use.
    pub limits: Limits,
}

impl Spec {
    /// A program with its arguments; no variables, no paths, no network, usual limits.
    pub fn new<S: Into<String>>(command: impl IntoIterator<Item = S>) -> Self {
        Self { command: command.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("command", &self.command)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .field("read", &self.read)
            .field("write", &self.write)
            .field("hide", &self.hide)
            .field("network", &self.network)
            .field("egress", &self.egress)
            .field("limits", &self.limits)
            .finish()
    }
}

/// Which network a program sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A network namespace of its own with nothing in it; not even loopback is up.
    #[default]
    None,
    /// Only what [`Spec::egress`] names, and only through a proxy that checks each connection:
    /// `HTTP_PROXY`, `HTTPS_PROXY` and their like are set for the program.
    Proxy,
    /// The host's network, loopback included. Listeners on `127.0.0.1` are within reach.
    Host,
}

/// Where a program may go through the proxy. Names are resolved by the proxy, and the address it
/// found is the one it connects to, so that a name cannot mean two things.
///
/// ```
/// use doorward_sandbox::{Egress, Native, Network, Sandbox, Spec, SpawnError};
///
/// let mut spec = Spec::new(["npx", "-y", "tracker-mcp"]);
/// spec.network = Network::Proxy;
/// spec.egress = Egress {
///     hosts: vec!["registry.npmjs.org".into(), "*.tracker.example:8443".into()],
///     private: vec!["10.20.0.0/16".into()],
/// };
///
/// // A rule is a host, not a URL. That is told before anything is started.
/// spec.egress.hosts.push("https://tracker.example/".into());
/// let refused = Native::default().spawn(&spec);
/// assert!(matches!(refused, Err(SpawnError::Egress { .. })));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Hosts that may be reached: `api.example.com`, `*.example.com` (any depth, not the name
    /// itself), an IP address (IPv6 in brackets); each with `:port` or, without one, ports 443
    /// and 80. Names beyond ASCII are written in their `xn--` form; case and a dot at the end do
    /// not matter.
    pub hosts: Vec<String>,
    /// Private, loopback, link-local and metadata addresses that may be reached all the same:
    /// IP networks in CIDR form. Without, no name may lead there. A host must be named all the
    /// same.
    pub private: Vec<String>,
}

impl Egress {
    /// Whether every entry can be used, without starting anything.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Egress`](crate::SpawnError::Egress) names the first that cannot.
    pub fn check(&self) -> Result<(), crate::SpawnError> {
        crate::egress::Policy::read(self).map(drop)
    }
}

/// How much a program may use.
///
/// Memory, open files, file size and processor seconds count per process; processes are counted
/// for the whole tree. Where control groups may be made, the tree as a whole has no more memory
/// than `memory`, `scratch` and 80 MiB together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Private writable memory of one process, in bytes (`RLIMIT_DATA`). Reserved but unusable
    /// address space does not count, so that engines that reserve gigabytes still start.
    pub memory: u64,
    /// Processes and threads alive at one time. Where only the kernel's limit per namespace can
    /// enforce it (a caller that is root), the least enforceable value is 301.
    pub processes: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// The largest file a process may write, in bytes.
    pub file_size: u64,
    /// What `/tmp` may hold, in bytes.
    pub scratch: u64,
    /// Processor seconds of one process; none means without limit.
    pub cpu_seconds: Option<u64>,
}

impl Default for Limits {
    /// 2 GiB of memory, 256 processes, 1024 open files, 1 GiB per file, 256 MiB of `/tmp`.
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            processes: 256,
            open_files: 1024,
            file_size: 1 << 30,
            scratch: 256 << 20,
            cpu_seconds: None,
        }
    }
}
