//! No sandbox at all, for who asks for that.

use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::{Child, Layer, Limits, Sandbox, SpawnError, Spec};

/// Runs the program as it is: same files, same network, same rights.
///
/// The environment is cleared all the same, resource limits are set, and the program is killed
/// with its process group when its [`Child`] is dropped; should the caller be killed, a program
/// that ignores the end of its input lives on. Limits are set the moment after the start, and a limit on processes is not set at all: without a namespace it would
/// count everything else the user runs. `read`, `write`, `hide`, `network` and `egress` of the
/// spec mean nothing here.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use doorward_sandbox::{Direct, Sandbox, Spec, SpawnError};
///
/// let mut child = Direct.spawn(&Spec::new(["true"]))?;
/// assert!(child.wait().await?.success());
///
/// let refused = Direct.spawn(&Spec::new(["no-such-program"]));
/// assert!(matches!(refused, Err(SpawnError::NotFound { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Sandbox for Direct {
    fn spawn(&self, spec: &Spec) -> Result<Child, SpawnError> {
        let Some((program, arguments)) = spec.command.split_first() else {
            return Err(SpawnError::EmptyCommand);
        };
        // A relative program stands where the program is to run, as in any other sandbox.
        let relative = spec.cwd.as_ref().filter(|_| program.contains('/'));
        let path = relative.map_or_else(|| program.into(), |cwd| cwd.join(program));
        let mut command = tokio::process::Command::new(path);
        command.args(arguments).env_clear().kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        for name in ["PATH", "LANG", "HOME", "TMPDIR"] {
            if let Some(value) = crate::launch::inherited(name) {
                command.env(name, value);
            }
        }
        command.envs(&spec.env);
        if let Some(cwd) = &spec.cwd {
            command.current_dir(cwd);
        }
        let mut process = command.spawn().map_err(|error| unstarted(program, &error))?;
        if let Err(error) = bound(process.id(), &spec.limits) {
            process.start_kill().ok();
            let reason = format!("its limits could not be set: {error}");
            return Err(SpawnError::Exec { command: program.clone(), reason });
        }
        Ok(Child::new(process, None, self.layers()))
    }

    fn layers(&self) -> Vec<Layer> {
        let detail = "switched off";
        let missing = crate::launch::LAYERS.iter();
        missing.map(|name| Layer { name, holds: false, detail: detail.to_owned() }).collect()
    }
}

fn unstarted(program: &str, error: &io::Error) -> SpawnError {
    let command = program.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => SpawnError::NotFound { command },
        _ => SpawnError::Exec { command, reason: error.to_string() },
    }
}

/// Sets the limits of a process that has just started.
fn bound(id: Option<u32>, limits: &Limits) -> io::Result<()> {
    let pid = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // A process without a number has ended already.
    let Some(pid) = pid else { return Ok(()) };
    let bounds = [
        (Resource::Data, Some(limits.memory)),
        (Resource::Nofile, Some(limits.open_files)),
        (Resource::Fsize, Some(limits.file_size)),
        (Resource::Cpu, limits.cpu_seconds),
        (Resource::Core, Some(0)),
    ];
    for (resource, bound) in bounds {
        let Some(bound) = bound else { continue };
        let bound = getrlimit(resource).maximum.map_or(bound, |most| bound.min(most));
        match prlimit(Some(pid), resource, Rlimit { current: Some(bound), maximum: Some(bound) }) {
            Ok(_) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
