//! The boundary: what a sandbox does, and why it may refuse.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::{Child, Spec};

/// Starts programs it does not trust.
pub trait Sandbox: Send + Sync + fmt::Debug {
    /// Starts the program. Blocks until it runs or is refused, which takes milliseconds (seconds
    /// for a container or a pod); must be called within a tokio runtime, which then watches the
    /// child.
    ///
    /// # Errors
    ///
    /// A [`SpawnError`] where the program cannot be run as the spec asks.
    fn spawn(&self, spec: &Spec) -> Result<Child, SpawnError>;

    /// What stands between a program and this machine, and whether it holds here.
    fn layers(&self) -> Vec<Layer>;

    /// Removes what earlier callers left behind that died without a chance to, and tells how many
    /// programs that were. To be called once at the start; blocks. Where programs cannot outlive
    /// their caller there is nothing to do.
    ///
    /// # Errors
    ///
    /// Where that cannot be found out.
    fn sweep(&self) -> Result<usize, SpawnError> {
        Ok(0)
    }
}

/// One mechanism of isolation on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it is called.
    pub name: &'static str,
    /// Whether it is in force.
    pub holds: bool,
    /// What it does, or why it is missing.
    pub detail: String,
}

impl Layer {
    /// Whether the native sandbox refuses to start a program where this is missing, unless told
    /// to go on. The proxy for [`Spec::egress`] is missed only by a program that has such rules.
    pub fn is_required(&self) -> bool {
        !crate::launch::SPARE.contains(&self.name)
    }
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The spec names no program.
    #[error("the command is empty")]
    EmptyCommand,
    /// No such program.
    #[error("command not found: `{command}`")]
    NotFound {
        /// As the spec names it.
        command: String,
    },
    /// The program is there but did not start.
    #[error("`{command}` could not be run: {reason}")]
    Exec {
        /// As the spec names it.
        command: String,
        /// What the system says.
        reason: String,
    },
    /// A path of the spec cannot be used.
    #[error("path `{}` cannot be used: {reason}", path.display())]
    Path {
        /// As the spec names it.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// An entry of [`Spec::egress`] cannot be used.
    #[error("egress rule `{rule}` cannot be used: {reason}")]
    Egress {
        /// As the spec has it.
        rule: String,
        /// Why not.
        reason: String,
    },
    /// A mechanism of isolation does not hold on this machine, and may not be left out.
    #[error("the sandbox cannot be built: {layer} is missing: {reason}")]
    Layer {
        /// The [`Layer::name`].
        layer: String,
        /// Why it is missing.
        reason: String,
    },
    /// The spec asks for something that this kind of sandbox cannot give. It is never given in
    /// part or in another way instead.
    #[error("{asked} cannot be had: {reason}")]
    Unsupported {
        /// What the spec asks for.
        asked: String,
        /// Why it cannot be had.
        reason: String,
    },
    /// The image of a container cannot be used.
    #[error("image `{image}` cannot be used: {reason}")]
    Image {
        /// As the configuration names it.
        image: String,
        /// Why not.
        reason: String,
    },
    /// The launcher stage itself could not be started.
    #[error("the launcher `{}` could not be started", path.display())]
    Launcher {
        /// The program that was to be the launcher.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The launcher said nothing: the program does not call [`launch::run`](crate::launch::run)
    /// first thing, or died.
    #[error("the launcher `{}` did not answer: {reason}", path.display())]
    Silent {
        /// The program that was to be the launcher.
        path: PathBuf,
        /// What was seen instead.
        reason: String,
    },
}
