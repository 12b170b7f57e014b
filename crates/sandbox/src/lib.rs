//! Runs a program that it does not trust, and keeps it to what it was given.
//!
//! An MCP server started over stdio is somebody else's code with the caller's rights. [`Native`]
//! runs it in namespaces of its own, under a root folder that holds the system's programs, the
//! server's own program and what the [`Spec`] names, with Landlock and a seccomp filter behind
//! that; no daemon, no container image, no privileges. It starts in about ten milliseconds.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use doorward_sandbox::{Native, Network, Sandbox, Spec, SpawnError, launch};
//!
//! fn main() -> ExitCode {
//!     // The program serves as its own launcher; this comes before any thread is started.
//!     if launch::is_launch(std::env::args_os()) {
//!         return launch::run(std::env::args_os());
//!     }
//!     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
//!     let Ok(runtime) = runtime else { return ExitCode::FAILURE };
//!     let _within = runtime.enter();
//!
//!     // It runs, without the network and with nothing of the home folder in sight.
//!     let sandbox = Native::default();
//!     let mut spec = Spec::new(["python3", "/srv/tracker/server.py"]);
//!     spec.write.push("/srv/tracker/cache".into());
//!     spec.network = Network::None;
//!     let child = sandbox.spawn(&spec);
//!
//!     // It is refused: what is hidden cannot be given as well.
//!     spec.hide.push("/srv/tracker".into());
//!     assert!(matches!(sandbox.spawn(&spec), Err(SpawnError::Path { .. })));
//!     if child.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
//! }
//! ```
//!
//! Without a launcher around, a refusal looks like this:
//!
//! ```
//! use doorward_sandbox::{Native, Sandbox, Spec, SpawnError};
//!
//! let refused = Native::default().spawn(&Spec::default());
//! assert!(matches!(refused, Err(SpawnError::EmptyCommand)));
//! ```
//!
//! # Other walls
//!
//! The same [`Spec`] runs behind other walls, each a [`Sandbox`]: [`Container`] (docker, podman or
//! nerdctl), [`Kubernetes`] (a pod, by `kubectl`) and, with the feature `wasm`, `Wasm` (a WASI
//! component). What one of them cannot give as asked it refuses. All but [`Direct`] need the
//! launcher shown above; what they start is gone when the caller is, and [`Sandbox::sweep`] removes
//! what a machine that failed has left.
//!
//! ```
//! use doorward_sandbox::{Container, Network, Sandbox, Spec, SpawnError};
//!
//! let mut spec = Spec::new(["tracker-mcp", "--stdio"]);
//! spec.network = Network::Proxy;
//! let refused = Container::docker("acme/tracker-mcp").spawn(&spec);
//! assert!(matches!(refused, Err(SpawnError::Unsupported { .. })));
//! ```
//!
//! # What holds, and what does not
//!
//! Of [`Native`]: the program sees no file, process, socket, variable or network that was not given to it; it
//! cannot gain rights; it dies with its [`Child`] and with the program that started it. What it
//! leaves in a folder it may change does not decide what is exposed next time: a link there is
//! not followed to where nothing was given, and no file there lends its owner's rights.
//!
//! With [`Network::Proxy`] it reaches the hosts of [`Spec::egress`] and nothing else. It has a
//! loopback of its own, and on it a socket that this process answers: HTTP requests and tunnels
//! (`CONNECT`), each judged by its host, its port, and every address its name leads to. Whatever
//! it sends to a host it may reach is between the two: a tunnel is not looked into, so a server
//! that stands for many hosts (a content network) may be asked for another of them, and a
//! wildcard lets words travel in the names that are looked up. No UDP, so no QUIC.
//!
//! It shares the kernel: a hole there is a hole here. Memory is bounded per process, and for the
//! tree only where control groups (version 2) may be made: as an ordinary user that is where
//! systemd was told `Delegate=yes`, or in a container of one's own. [`Network::Host`] is the whole
//! of the host's network, loopback included. A caller that is root passes on the ownership of
//! root's files, though none of root's capabilities, unless [`Native::user`] names somebody else;
//! better to be nobody special.
//!
//! Linux only.

mod cgroup;
mod child;
mod container;
mod control;
mod direct;
mod egress;
mod exposure;
mod grant;
mod keeper;
mod kubernetes;
pub mod launch;
mod life;
mod native;
mod program;
mod spawn;
mod spec;
mod stage;
mod step;
#[cfg(feature = "wasm")]
mod wasm;

pub use child::Child;
pub use container::{Container, Gate, Pull, Runtime};
pub use direct::Direct;
pub use egress::{EgressRefusal, Outlet, Reaching};
pub use kubernetes::{Kubernetes, PodGate, Volume};
pub use native::{Missing, Native};
pub use spawn::{Layer, Sandbox, SpawnError};
pub use spec::{Egress, Limits, Network, Spec};
#[cfg(feature = "wasm")]
pub use wasm::Wasm;
