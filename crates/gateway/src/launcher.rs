//! Starts MCP servers in the sandbox: the broker knows commands, the sandbox knows isolation, the
//! configuration says what is widened.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorward_core::BoxFuture;
use doorward_mcp_broker::{Command, LaunchError, Launched, Launcher, Process};
#[cfg(feature = "wasm")]
use doorward_sandbox::Wasm;
use doorward_sandbox::{
    Child, Container, Direct, Egress, EgressRefusal, Gate, Kubernetes, Layer, Missing, Native,
    Network, Outlet, Pull, Runtime, Sandbox, Spec, Volume,
};

use crate::assemble::Surroundings;
use crate::config::{
    ContainerConfig, EgressConfig, GateConfig, KubernetesConfig, NetworkAccess, PullPolicy, Root,
    RuntimeKind, SandboxMode, ServerConfig,
};

/// What one server may touch, and who runs it.
struct Plan {
    sandbox: Arc<dyn Sandbox>,
    spec: Spec,
    /// Whether what an earlier gateway left was removed.
    swept: AtomicBool,
}

/// Starts each server as its configuration says.
pub(crate) struct SandboxLauncher {
    plans: HashMap<String, Plan>,
}

/// The layers of the native sandbox, and whether they hold on this machine.
pub fn sandbox_layers(around: &Surroundings) -> Vec<Layer> {
    native(around.launcher.as_ref(), Missing::Refuse).layers()
}

/// The layers of what runs one server's command, and whether they hold here.
pub fn server_layers(server: &ServerConfig, around: &Surroundings) -> Vec<Layer> {
    sandbox(server, around.launcher.as_ref()).layers()
}

fn native(launcher: Option<&PathBuf>, missing: Missing) -> Native {
    let native = launcher.map_or_else(Native::default, |path| Native::new(path.clone()));
    native.missing(missing)
}

impl SandboxLauncher {
    /// Plans for every server by command. `hidden` is never visible to any of them: the data
    /// folder and the configuration.
    pub(crate) fn new(root: &Root, launcher: Option<&PathBuf>, hidden: &[PathBuf]) -> Self {
        let by_command = root.server.iter().filter(|server| server.command.is_some());
        let plan = |server: &ServerConfig| {
            let (sandbox, spec) = (sandbox(server, launcher), spec(server, hidden));
            let plan = Plan { sandbox, spec, swept: AtomicBool::new(false) };
            (server.name.clone(), plan)
        };
        Self { plans: by_command.map(plan).collect() }
    }
}

/// What runs a server's command.
fn sandbox(server: &ServerConfig, launcher: Option<&PathBuf>) -> Arc<dyn Sandbox> {
    match (server.sandbox, &server.container, &server.kubernetes) {
        (SandboxMode::None, ..) => Arc::new(Direct),
        (SandboxMode::Container, Some(given), _) => Arc::new(container(server, given, launcher)),
        (SandboxMode::Kubernetes, _, Some(given)) => Arc::new(kubernetes(server, given, launcher)),
        #[cfg(feature = "wasm")]
        (SandboxMode::Wasm, ..) => Arc::new(wasm(server, launcher)),
        (SandboxMode::NativeWeakened, ..) => {
            Arc::new(native(launcher, Missing::Weaken).outlet(Doorkeeper::of(server)))
        }
        _ => Arc::new(native(launcher, Missing::Refuse).outlet(Doorkeeper::of(server))),
    }
}

/// The system's network, and a word in the log where a server may not have it.
#[derive(Debug)]
struct Doorkeeper {
    server: String,
}

impl Doorkeeper {
    fn of(server: &ServerConfig) -> Arc<Self> {
        Arc::new(Self { server: server.name.clone() })
    }
}

impl Outlet for Doorkeeper {
    fn refused(&self, refusal: &EgressRefusal) {
        let EgressRefusal { target, reason, .. } = refusal;
        tracing::warn!(server = %self.server, %target, %reason, "connection refused");
    }
}

#[cfg(feature = "wasm")]
fn wasm(server: &ServerConfig, launcher: Option<&PathBuf>) -> Wasm {
    let wasm = launcher.map_or_else(Wasm::default, |path| Wasm::new(path.clone()));
    match server.wasm.and_then(|given| given.fuel) {
        Some(fuel) => wasm.fuel(fuel),
        None => wasm,
    }
}

fn kubernetes(
    server: &ServerConfig,
    given: &KubernetesConfig,
    launcher: Option<&PathBuf>,
) -> Kubernetes {
    let mut pods = Kubernetes::new(&given.namespace, &given.image).server(server.name.as_str());
    if let Some(launcher) = launcher {
        pods = pods.launcher(launcher.clone());
    }
    if let Some(program) = &given.program {
        pods = pods.program(program);
    }
    if let Some(context) = &given.context {
        pods = pods.context(context);
    }
    if given.enforces_policies {
        pods = pods.enforces_policies();
    }
    if let Some((user, group)) = given.user {
        pods = pods.user(user, group);
    }
    if let Some(cpus) = given.cpus {
        pods = pods.cpus(thousandths(cpus));
    }
    if let Some(secret) = &given.pull_secret {
        pods = pods.pull_secret(secret);
    }
    given
        .claims
        .iter()
        .fold(pods, |pods, (path, claim)| pods.volume(path.clone(), Volume::Claim(claim.clone())))
}

/// Processors in thousandths; the configuration's check has seen to it that they fit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn thousandths(cpus: f64) -> u32 {
    (cpus * 1000.0).clamp(0.0, f64::from(u32::MAX)) as u32
}

fn container(
    server: &ServerConfig,
    given: &ContainerConfig,
    launcher: Option<&PathBuf>,
) -> Container {
    let runtime = match given.runtime {
        RuntimeKind::Docker => Runtime::Docker,
        RuntimeKind::Podman => Runtime::Podman,
        RuntimeKind::Nerdctl => Runtime::Nerdctl,
    };
    let pull = match given.pull {
        PullPolicy::Never => Pull::Never,
        PullPolicy::Missing => Pull::Missing,
        PullPolicy::Always => Pull::Always,
    };
    let mut container =
        Container::new(runtime, &given.image).pull(pull).server(server.name.as_str());
    if let Some(launcher) = launcher {
        container = container.launcher(launcher.clone());
    }
    if let Some(program) = &given.program {
        container = container.program(program);
    }
    if given.require_digest {
        container = container.require_digest();
    }
    if let Some((user, group)) = given.user {
        container = container.user(user, group);
    }
    if let Some(cpus) = given.cpus {
        container = container.cpus(thousandths(cpus));
    }
    if let Some(GateConfig { network, proxy }) = given.gate.clone() {
        container = container.gate(Gate { network, proxy });
    }
    container
}

fn spec(server: &ServerConfig, hidden: &[PathBuf]) -> Spec {
    let mut spec = Spec {
        read: server.read.clone(),
        write: server.write.clone(),
        hide: hidden.to_vec(),
        network: match server.network() {
            NetworkAccess::None => Network::None,
            NetworkAccess::Proxy => Network::Proxy,
            NetworkAccess::Host => Network::Host,
        },
        egress: server.egress.clone().map(egress).unwrap_or_default(),
        ..Spec::default()
    };
    let given = &server.limits;
    let limits = &mut spec.limits;
    for (given, limit) in [
        (server.memory.map(|memory| memory.0), &mut limits.memory),
        (given.processes, &mut limits.processes),
        (given.open_files, &mut limits.open_files),
        (given.file_size.map(|size| size.0), &mut limits.file_size),
        (given.scratch.map(|size| size.0), &mut limits.scratch),
    ] {
        *limit = given.unwrap_or(*limit);
    }
    limits.cpu_seconds = given.cpu_seconds;
    spec
}

fn egress(given: EgressConfig) -> Egress {
    Egress { hosts: given.hosts, private: given.private }
}

impl Launcher for SandboxLauncher {
    fn launch<'a>(
        &'a self,
        server: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        Box::pin(async move {
            let failed = |source: Box<dyn std::error::Error + Send + Sync>| LaunchError {
                program: command.program.clone(),
                source,
            };
            let plan = self.plans.get(server).ok_or_else(|| failed("not configured".into()))?;
            let mut spec = plan.spec.clone();
            spec.command.push(command.program.clone());
            spec.command.extend(command.args.iter().cloned());
            spec.cwd.clone_from(&command.cwd);
            for (name, value) in &command.env {
                spec.env.insert(name.clone(), value.expose().to_owned());
            }
            // What a gateway that was killed left behind goes before anything new is started.
            // Spawning blocks for as long as the sandbox takes to build.
            let sandbox = plan.sandbox.clone();
            let sweep = !plan.swept.swap(true, Ordering::Relaxed);
            let spawned = tokio::task::spawn_blocking(move || {
                if sweep && let Err(error) = sandbox.sweep() {
                    tracing::warn!(%error, "what an earlier gateway left could not be looked for");
                }
                sandbox.spawn(&spec)
            })
            .await;
            let mut child = spawned
                .map_err(|error| failed(error.into()))?
                .map_err(|error| failed(error.into()))?;
            let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(failed("the child has no pipes".into()));
            };
            let stderr = child.stderr.take().map(|stderr| Box::new(stderr) as _);
            Ok(Launched {
                stdin: Box::new(stdin),
                stdout: Box::new(stdout),
                stderr,
                process: Box::new(Sandboxed(child)),
            })
        })
    }
}

struct Sandboxed(Child);

impl Process for Sandboxed {
    fn kill(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Err(error) = self.0.kill().await {
                tracing::debug!(%error, "could not end a server's processes");
            }
        })
    }

    fn wait(&mut self) -> BoxFuture<'_, io::Result<Option<i32>>> {
        Box::pin(async { self.0.wait().await.map(|status| status.code()) })
    }
}
