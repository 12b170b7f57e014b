//! The sandbox made of a WebAssembly runtime.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::grant::grants;
use crate::stage::Stage;
use crate::{Child, Layer, Limits, Network, Sandbox, SpawnError, Spec};

mod engine;
mod fence;

/// The second argument of the process that runs a component.
pub(crate) const ROLE: &str = "wasm";

/// How long a component may take to be compiled.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long its process may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// What a component may compute between two pieces of input: about a minute's worth.
const FUEL: u64 = 50_000_000_000;

/// Runs WebAssembly components: programs that have nothing but what they are given because there
/// is nothing else in their world.
///
/// [`Spec::command`] is the file of a component that exports `wasi:cli/run` (WASI 0.2; Rust's
/// target `wasm32-wasip2` makes such), then its arguments. It sees the variables of the spec and
/// no other, and of [`Spec::read`] and [`Spec::write`] the folders under the names the spec gives
/// them: WASI gives folders only, a file is refused. There is no `/tmp`. [`Network::None`] is no
/// socket and no name at all; [`Network::Host`] is TCP, UDP and names; [`Network::Proxy`] is
/// refused.
///
/// Three bounds end what does not end by itself. *Fuel*, about one unit per instruction, bounds
/// what is computed after each piece of input: an endless loop ends, a server that waits for
/// requests lives on. *Memory* bounds all linear memories and tables of the component together.
/// *Processor seconds* bound the process. The component runs in a process of its own, a role of
/// the launcher (see [`Native`](crate::Native)): should the runtime itself fail or be broken out
/// of, that process has an empty environment and, where the kernel has Landlock, no file but the
/// component's. It is compiled anew each time, which takes the longer the larger it is.
///
/// ```no_run
/// use doorward_sandbox::{Sandbox, Spec, SpawnError, Wasm};
///
/// # fn main() -> Result<(), SpawnError> {
/// let sandbox = Wasm::default().fuel(10_000_000_000);
/// let mut spec = Spec::new(["/srv/tracker/tracker.wasm", "--stdio"]);
/// spec.read.push("/srv/tracker/data".into());
/// let child = sandbox.spawn(&spec)?;
///
/// // It is refused: a single file cannot be given.
/// spec.read.push("/etc/hostname".into());
/// assert!(matches!(sandbox.spawn(&spec), Err(SpawnError::Path { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Wasm {
    launcher: PathBuf,
    fuel: u64,
}

impl Default for Wasm {
    /// The running program as launcher.
    fn default() -> Self {
        Self::new("/proc/self/exe")
    }
}

impl Wasm {
    /// A sandbox with this launcher, as in [`Native::new`](crate::Native::new). The launcher must
    /// be built with the feature `wasm` too.
    pub fn new(launcher: impl Into<PathBuf>) -> Self {
        Self { launcher: launcher.into(), fuel: FUEL }
    }

    /// How much may be computed after each piece of input, and before the first; 50 thousand
    /// million unless set.
    pub fn fuel(self, fuel: u64) -> Self {
        Self { fuel, ..self }
    }
}

/// What the process is told to run.
#[derive(Serialize, Deserialize)]
struct Order {
    component: PathBuf,
    /// The arguments, the component's own name first.
    arguments: Vec<String>,
    env: Vec<(String, String)>,
    folders: Vec<Folder>,
    network: bool,
    limits: Limits,
    fuel: u64,
}

/// A folder given to a component.
#[derive(Serialize, Deserialize)]
struct Folder {
    source: PathBuf,
    name: String,
    write: bool,
}

impl Wasm {
    fn order(&self, spec: &Spec) -> Result<Order, SpawnError> {
        let command = spec.command.first().filter(|command| !command.is_empty());
        let command = command.ok_or(SpawnError::EmptyCommand)?;
        if spec.network == Network::Proxy {
            return Err(SpawnError::Unsupported {
                asked: "network `proxy`".into(),
                reason: "a component's sockets do not lead through a proxy".into(),
            });
        }
        let here = std::env::current_dir()
            .map_err(|source| SpawnError::Launcher { path: self.launcher.clone(), source })?;
        let cwd = spec.cwd.as_ref().map_or(here.clone(), |cwd| here.join(cwd));
        let component = cwd.join(command);
        if !component.is_file() {
            return Err(SpawnError::NotFound { command: command.clone() });
        }
        let mut folders = Vec::new();
        for grant in grants(spec, &cwd)? {
            let refuse = |reason: &str| SpawnError::Path {
                path: grant.target.clone(),
                reason: reason.into(),
            };
            let name = grant.target.to_str().ok_or_else(|| refuse("it is no text"))?.to_owned();
            if !grant.source.is_dir() {
                return Err(refuse("a component can be given folders only"));
            }
            folders.push(Folder { source: grant.source, name, write: grant.write });
        }
        Ok(Order {
            component,
            arguments: spec.command.clone(),
            env: spec.env.clone().into_iter().collect(),
            folders,
            network: spec.network == Network::Host,
            limits: spec.limits,
            fuel: self.fuel,
        })
    }
}

impl Sandbox for Wasm {
    fn spawn(&self, spec: &Spec) -> Result<Child, SpawnError> {
        let order = self.order(spec)?;
        let stage =
            Stage { launcher: &self.launcher, role: ROLE, patience: PATIENCE, grace: GRACE };
        let secrets: Vec<String> = spec.env.values().cloned().collect();
        stage.start(&order, &secrets, self.layers())
    }

    fn layers(&self) -> Vec<Layer> {
        let held = |name, detail: &str| Layer { name, holds: true, detail: detail.to_owned() };
        let fuel = format!("{} units after each piece of input", self.fuel);
        let (holds, detail) = match fence::parts() {
            Some(parts) => (true, parts.to_owned()),
            None => (false, "this kernel has none, or not switched on".to_owned()),
        };
        vec![
            held("WebAssembly", "memory of its own, no call but those it is given"),
            held("capabilities", "folders, variables and sockets of the spec"),
            held("fuel", &fuel),
            held("memory limit", "all linear memories and tables together"),
            held("process", "one of its own, with resource limits and an empty environment"),
            Layer { name: "landlock", holds, detail },
        ]
    }
}

/// Runs a component: what the second argument [`ROLE`] stands for.
pub(crate) fn run(door: &str) -> ExitCode {
    engine::run(door)
}
