//! A running program and its three pipes.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{SIGKILL, SIGTERM, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::Layer;
use crate::control::TERMINATE;

/// How long the launcher may take to end the tree before it is killed itself.
const GRACE: Duration = Duration::from_secs(5);

/// A running program and its three pipes.
///
/// Dropping it kills the program with everything the program started. So does the end of the
/// process that holds it, however that comes about.
pub struct Child {
    /// What the program reads. Dropping it is the polite way to ask an MCP server to end.
    pub stdin: Option<ChildStdin>,
    /// What the program writes.
    pub stdout: Option<ChildStdout>,
    /// What the program complains about.
    pub stderr: Option<ChildStderr>,
    process: tokio::process::Child,
    /// The launcher ends the tree when this closes.
    control: Option<UnixStream>,
    /// How long that may take.
    grace: Duration,
    layers: Vec<Layer>,
}

impl Child {
    pub(crate) fn new(
        mut process: tokio::process::Child,
        control: Option<UnixStream>,
        layers: Vec<Layer>,
    ) -> Self {
        Self {
            stdin: process.stdin.take(),
            stdout: process.stdout.take(),
            stderr: process.stderr.take(),
            process,
            control,
            grace: GRACE,
            layers,
        }
    }

    /// The same with more time for the launcher to end the tree.
    pub(crate) fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The process number of the launcher (of the program itself under
    /// [`Direct`](crate::Direct)), until it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// What stands between this program and the machine.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Waits for the program to end. Its exit code is passed on; a program ended by signal *n*
    /// counts as exit code 128 + *n*, as in a shell.
    ///
    /// # Errors
    ///
    /// Where the system cannot tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// How the program ended, if it has.
    ///
    /// # Errors
    ///
    /// Where the system cannot tell.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Asks the program to end (`SIGTERM`).
    ///
    /// # Errors
    ///
    /// Where it has ended already.
    pub fn terminate(&mut self) -> io::Result<()> {
        if let Some(control) = &mut self.control {
            return control.write_all(&[TERMINATE]);
        }
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        let id = id.ok_or_else(|| io::Error::other("the program has ended"))?;
        Ok(kill(Pid::from_raw(id), SIGTERM)?)
    }

    /// Kills the program with everything it started, and waits until they are gone.
    ///
    /// # Errors
    ///
    /// Where the system cannot tell.
    pub async fn kill(&mut self) -> io::Result<()> {
        if self.control.take().is_some()
            && let Ok(ended) = tokio::time::timeout(self.grace, self.process.wait()).await
        {
            return ended.map(drop);
        }
        self.kill_group();
        self.process.kill().await
    }

    /// Kills what runs without a launcher and has not been waited for.
    fn kill_group(&self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let (None, Some(id)) = (&self.control, id) {
            // It may have ended just now.
            killpg(Pid::from_raw(id), SIGKILL).ok();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // With a launcher, the end of the control stream does it.
        self.kill_group();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.id()).finish_non_exhaustive()
    }
}
