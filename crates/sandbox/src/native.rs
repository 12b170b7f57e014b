//! The sandbox made of what the kernel gives to everybody.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::control::{Door, Held, Order, Report, receive, send};
use crate::launch::{LAYERS, MARKER};
use crate::{Child, Layer, Sandbox, SpawnError, Spec};

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
        Self { launcher: launcher.into(), missing: Missing::Refuse, user: None }
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

    /// The launcher's command line.
    fn command(&self, door: &Door) -> Command {
        let mut command = Command::new(&self.launcher);
        command.arg(MARKER).arg(door.name());
        command
    }

    fn order(&self, spec: &Spec) -> Order {
        let weaken = self.missing == Missing::Weaken;
        Order { weaken, user: self.user, ..Order::new(spec) }
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
    ) -> Result<(UnixStream, Vec<Layer>), SpawnError> {
        let silent = |reason: String| SpawnError::Silent { path: self.launcher.clone(), reason };
        let mut control = door.admit(pid, ended).map_err(silent)?;
        send(&mut control, order).map_err(|error| silent(error.to_string()))?;
        match receive(&mut control).map_err(|error| silent(error.to_string()))? {
            Report::Started(held) => {
                Ok((control, held.into_iter().filter_map(Held::into_layer).collect()))
            }
            Report::Refused(refusal) => Err(refusal.into()),
        }
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
        let layers = agreed.map(|(_, layers)| layers);
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
        let door = Door::open().map_err(|error| self.unstarted(error))?;
        let mut command = tokio::process::Command::from(self.command(&door));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| self.unstarted(error))?;
        let pid = process.id().unwrap_or_default();
        let agreed = self.agree(&door, pid, &self.order(spec), || {
            process.try_wait().ok().flatten().map(|status| format!("it ended: {status}"))
        });
        match agreed {
            Ok((control, layers)) => Ok(Child::new(process, Some(control), layers)),
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
