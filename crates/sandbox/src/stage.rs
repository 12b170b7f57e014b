//! Starts the running program once more in a role of its own, with the caller's pipes.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;

use crate::control::{Door, Report, receive, send};
use crate::launch::MARKER;
use crate::{Child, Layer, SpawnError};

/// How much of a complaint is passed on, in bytes.
const COMPLAINT: usize = 2048;

/// A role of the running program.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) launcher: &'a Path,
    /// The second argument, which [`launch::run`](crate::launch::run) knows.
    pub(crate) role: &'static str,
    /// How long it may take to answer.
    pub(crate) patience: Duration,
    /// How long it may take to end what it started.
    pub(crate) grace: Duration,
}

impl Stage<'_> {
    /// Starts it, gives it its order and hears what became of that. It gets nothing of this
    /// process's environment; the order's secrets are struck out of what is said about it.
    pub(crate) fn start(
        &self,
        order: &impl Serialize,
        secrets: &[String],
        layers: Vec<Layer>,
    ) -> Result<Child, SpawnError> {
        let unstarted =
            |source: io::Error| SpawnError::Launcher { path: self.launcher.into(), source };
        let door = Door::open().map_err(unstarted)?;
        let mut command = tokio::process::Command::new(self.launcher);
        command.arg(MARKER).arg(self.role).arg(door.name()).env_clear().process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(unstarted)?;
        let pid = process.id().unwrap_or_default();
        let agreed = self.agree(&door, pid, order, || {
            process.try_wait().ok().flatten().map(|status| format!("it ended: {status}"))
        });
        match agreed {
            Ok(control) => Ok(Child::new(process, Some(control), layers).with_grace(self.grace)),
            Err(mut error) => {
                // It has said why and is ending; what it still has to remove it does without us.
                let complaint = process.stderr.take().map(complaint).unwrap_or_default();
                if let SpawnError::Exec { reason, .. } = &mut error {
                    if !complaint.is_empty() {
                        reason.push_str(": ");
                        reason.push_str(&complaint);
                    }
                    *reason = without(std::mem::take(reason), secrets);
                } else if matches!(error, SpawnError::Silent { .. }) {
                    process.start_kill().ok();
                }
                Err(error)
            }
        }
    }

    fn agree(
        &self,
        door: &Door,
        pid: u32,
        order: &impl Serialize,
        ended: impl FnMut() -> Option<String>,
    ) -> Result<UnixStream, SpawnError> {
        let silent = |reason: String| SpawnError::Silent { path: self.launcher.into(), reason };
        let broken = |error: io::Error| silent(error.to_string());
        let mut control = door.admit(pid, ended).map_err(silent)?;
        control.set_read_timeout(Some(self.patience)).map_err(broken)?;
        send(&mut control, order).map_err(broken)?;
        match receive(&mut control).map_err(broken)? {
            Report::Started(_) => Ok(control),
            Report::Refused(refusal) => Err(refusal.into()),
            // No keeper of a container or a component has a network to hand over.
            Report::Gate => Err(silent("it hands over a gate that nobody asked for".to_owned())),
        }
    }
}

/// What stands in a pipe right now.
fn complaint(pipe: tokio::process::ChildStderr) -> String {
    let mut read = Vec::new();
    if let Ok(pipe) = pipe.into_owned_fd()
        && rustix::io::ioctl_fionbio(&pipe, true).is_ok()
    {
        // Ends with an error where nothing more is there yet; what was read stays.
        std::fs::File::from(pipe).take(COMPLAINT as u64).read_to_end(&mut read).ok();
    }
    String::from_utf8_lossy(&read).trim().to_owned()
}

/// A text without these words. Short ones stay: striking them out would tell them.
fn without(mut text: String, secrets: &[String]) -> String {
    for secret in secrets.iter().filter(|secret| secret.len() > 3) {
        text = text.replace(secret.as_str(), "***");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_struck_out() {
        let said = without("bad value \"hunter22\" for a".into(), &["hunter22".into(), "a".into()]);
        assert_eq!(said, "bad value \"***\" for a");
    }
}
