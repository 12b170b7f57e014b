//! The sandbox made of what the kernel gives to everybody.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::cgroup;
use crate::control::{Door, Gate, Held, Order, Report, receive, receive_gate, send};
use crate::egress::{Policy, Proxy, SystemOutlet};
use crate::launch::{EGRESS, LAYERS, MARKER};
use crate::{Child, Layer, Network, Outlet, Sandbox, SpawnError, Spec};

/// What to do where a layer does not hold on this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missing {
    /// Refuse to start, and name the layer.
    #[default]
    Refuse,
    /// Go on without it. [`Child::layers`] tells what is left.
    Weaken,
}

/// Namespaces, a root folder of its own, Landlock, seccomp and resource limits; see the crate's
/// root for what that gives and for an example.
///
/// It re-executes a *launcher*, by default the running program itself, which must call
/// [`launch::run`](crate::launch::run) when [`launch::is_launch`](crate::launch::is_launch).
#[derive(Debug, Clone)]
pub struct Native {
    launcher: PathBuf,
    missing: Missing,
    user: Option<(u32, u32)>,
    outlet: Arc<dyn Outlet>,
}

/// What became of an order.
struct Agreed {
    control: UnixStream,
    /// Where the program's way out is to be answered.
    gate: Option<Gate>,
    layers: Vec<Layer>,
}

impl Default for Native {
    /// The running program as launcher, even after its file was replaced by a newer one.
    fn default() -> Self {
        Self::new("/proc/self/exe")
    }
}

impl Native {
    /// A sandbox with this launcher: a program whose `main` begins as the crate's example does,
    /// such as `doorward-sandbox`.
    pub fn new(launcher: impl Into<PathBuf>) -> Self {
        Self {
            launcher: launcher.into(),
            missing: Missing::Refuse,
            user: None,
            outlet: Arc::new(SystemOutlet),
        }
    }

    /// What to do where a layer does not hold; [`Missing::Refuse`] unless set.
    pub fn missing(self, missing: Missing) -> Self {
        Self { missing, ..self }
    }

    /// The host's user and group that own the program's processes, where the caller is root and
    /// so may choose; ignored otherwise. They must be able to read what the spec exposes. By
    /// default the caller's own.
    pub fn user(self, user: u32, group: u32) -> Self {
        Self { user: Some((user, group)), ..self }
    }

    /// How the proxy of [`Network::Proxy`] reaches hosts and whom it tells of refusals. By default
    /// the system's resolver and network, and nobody.
    pub fn outlet(self, outlet: Arc<dyn Outlet>) -> Self {
        Self { outlet, ..self }
    }

    /// The launcher's command line.
    fn command(&self, door: &Door) -> Command {
        let mut command = Command::new(&self.launcher);
        command.arg(MARKER).arg(door.name());
        command
    }

    fn order(&self, spec: &Spec) -> Order {
        let weaken = self.missing == Missing::Weaken;
        Order { weaken, user: self.user, groups: cgroup::site(), ..Order::new(spec) }
    }

    fn unstarted(&self, source: io::Error) -> SpawnError {
        SpawnError::Launcher { path: self.launcher.clone(), source }
    }

    /// Gives the launcher its order and hears what became of it.
    fn agree(
        &self,
        door: &Door,
        pid: u32,
        order: &Order,
        ended: impl FnMut() -> Option<String>,
    ) -> Result<Agreed, SpawnError> {
        let silent = |reason: String| SpawnError::Silent { path: self.launcher.clone(), reason };
        let mut control = door.admit(pid, ended).map_err(silent)?;
        send(&mut control, order).map_err(|error| silent(error.to_string()))?;
        let mut gate = None;
        loop {
            match receive(&mut control).map_err(|error| silent(error.to_string()))? {
                Report::Gate => {
                    let received = receive_gate(&control);
                    gate = Some(received.map_err(|error| silent(error.to_string()))?);
                }
                Report::Started(held) => {
                    let layers = held.into_iter().filter_map(Held::into_layer).collect();
                    return Ok(Agreed { control, gate, layers });
                }
                Report::Refused(refusal) => return Err(refusal.into()),
            }
        }
    }

    /// Answers on the sandbox's loopback for as long as the launcher lives.
    fn answer(&self, spec: &Spec, policy: Policy, gate: Gate) -> Result<(), SpawnError> {
        let name = spec.command.first().map_or("", String::as_str);
        let proxy = Proxy::new(name, policy, self.outlet.clone());
        proxy.open(gate).map_err(|error| SpawnError::Layer {
            layer: EGRESS.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Builds a sandbox with nothing in it, to see what holds.
    fn probe(&self) -> Result<Vec<Layer>, SpawnError> {
        let door = Door::open().map_err(|error| self.unstarted(error))?;
        let mut command = self.command(&door);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(|error| self.unstarted(error))?;
        let order = Order {
            weaken: true,
            probe: true,
            cwd: Some(Path::new("/").into()),
            ..self.order(&Spec::default())
        };
        let pid = process.id();
        let agreed = self.agree(&door, pid, &order, || {
            process.try_wait().ok().flatten().map(|status| format!("it ended: {status}"))
        });
        // Closing the control stream ends the launcher; only one that is none is left to kill.
        let layers = agreed.map(|agreed| agreed.layers);
        if layers.is_err() {
            process.kill().ok();
        }
        process.wait().ok();
        layers
    }
}

impl Sandbox for Native {
    fn spawn(&self, spec: &Spec) -> Result<Child, SpawnError> {
        if spec.command.first().is_none_or(String::is_empty) {
            return Err(SpawnError::EmptyCommand);
        }
        let policy = match spec.network {
            Network::Proxy => Some(Policy::read(&spec.egress)?),
            Network::None | Network::Host => None,
        };
        let door = Door::open().map_err(|error| self.unstarted(error))?;
        let mut command = tokio::process::Command::from(self.command(&door));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| self.unstarted(error))?;
        let pid = process.id().unwrap_or_default();
        let agreed = self.agree(&door, pid, &self.order(spec), || {
            process.try_wait().ok().flatten().map(|status| format!("it ended: {status}"))
        });
        let answered = agreed.and_then(|mut agreed| {
            if let (Some(policy), Some(gate)) = (policy, agreed.gate.take()) {
                self.answer(spec, policy, gate)?;
            }
            Ok(agreed)
        });
        match answered {
            Ok(agreed) => Ok(Child::new(process, Some(agreed.control), agreed.layers)),
            Err(error) => {
                // It has said why and is ending, or it is no launcher at all.
                process.start_kill().ok();
                Err(error)
            }
        }
    }

    fn layers(&self) -> Vec<Layer> {
        match self.probe() {
            Ok(layers) => layers,
            Err(error) => {
                let detail = error.to_string();
                LAYERS
                    .iter()
                    .map(|name| Layer { name, holds: false, detail: detail.clone() })
                    .collect()
            }
        }
    }
}
