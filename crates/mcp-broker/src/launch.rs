//! Starting child processes, as a seam: the sandbox plugs in here.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use doorward_core::{BoxFuture, Secret};
use tokio::io::{AsyncRead, AsyncWrite};

/// What to start.
#[derive(Clone)]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment: nothing is inherited.
    pub env: BTreeMap<String, Secret>,
    /// Its working directory; the launcher's choice where `None`.
    pub cwd: Option<PathBuf>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .finish()
    }
}

/// Starts a server's process.
pub trait Launcher: Send + Sync {
    /// Starts it, with its three streams piped.
    ///
    /// # Errors
    ///
    /// Where it could not be started.
    fn launch<'a>(
        &'a self,
        server: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Launched, LaunchError>>;
}

/// A process that was started. Dropping all of it must end the process.
pub struct Launched {
    /// Where its input goes.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Where its messages come from.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Where its chatter comes from.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// The process itself.
    pub process: Box<dyn Process>,
}

impl fmt::Debug for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launched").finish_non_exhaustive()
    }
}

/// A running process.
pub trait Process: Send {
    /// Ends it at once and waits until it is gone.
    fn kill(&mut self) -> BoxFuture<'_, ()>;

    /// Waits for its end; the exit code, or `None` where a signal ended it. May be called again
    /// after having been dropped half way.
    fn wait(&mut self) -> BoxFuture<'_, io::Result<Option<i32>>>;
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
#[error("could not start `{program}`")]
pub struct LaunchError {
    /// The program.
    pub program: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

#[cfg(feature = "stdio")]
pub use direct::Direct;

#[cfg(feature = "stdio")]
mod direct {
    use std::process::Stdio;

    use super::{BoxFuture, Command, LaunchError, Launched, Launcher, Process, io};

    /// Starts processes as plain children of this one, with nothing between them and the host:
    /// for servers you trust as you trust your own code. The environment is cleared first.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Direct;

    impl Launcher for Direct {
        fn launch<'a>(
            &'a self,
            _server: &'a str,
            command: &'a Command,
        ) -> BoxFuture<'a, Result<Launched, LaunchError>> {
            let launched = spawn(command)
                .map_err(|e| LaunchError { program: command.program.clone(), source: e.into() });
            Box::pin(std::future::ready(launched))
        }
    }

    fn spawn(command: &Command) -> io::Result<Launched> {
        let mut builder = tokio::process::Command::new(&command.program);
        builder
            .args(&command.args)
            .env_clear()
            .envs(command.env.iter().map(|(name, value)| (name, value.expose())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(cwd) = &command.cwd {
            builder.current_dir(cwd);
        }
        let mut child = builder.spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the child has no pipes"));
        };
        let stderr = child.stderr.take().map(|stderr| Box::new(stderr) as _);
        Ok(Launched {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr,
            process: Box::new(Child(child)),
        })
    }

    struct Child(tokio::process::Child);

    impl Process for Child {
        fn kill(&mut self) -> BoxFuture<'_, ()> {
            Box::pin(async {
                if let Err(error) = self.0.kill().await {
                    tracing::debug!(%error, "could not kill a server's process");
                }
            })
        }

        fn wait(&mut self) -> BoxFuture<'_, io::Result<Option<i32>>> {
            Box::pin(async { self.0.wait().await.map(|status| status.code()) })
        }
    }
}
