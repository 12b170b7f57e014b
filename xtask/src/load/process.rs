//! Processes of the comparison: started on one core, measured through `/proc` (proc(5)), ended by
//! their own id.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// `/proc` counts time in hundredths of a second on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// A process of ours and its children. Ended when dropped, so that none is left behind where
/// something fails on the way.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a command on the first core. What it says goes into `log`.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub(super) fn start(command: &[&str], folder: &Path, log: &str) -> Result<Self, String> {
        let log = folder.join(log);
        let failed = |error: std::io::Error| format!("{}: {error}", command.join(" "));
        let told = fs::File::create(&log).map_err(failed)?;
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "0"]).args(command).current_dir(folder);
        pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(told);
        Ok(Self { child: pinned.spawn().map_err(failed)?, log })
    }

    /// Why it has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(format!("ended early ({status}): {}", self.told()))
    }

    /// What it said last.
    pub(super) fn told(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Processor time so far, of it and its children.
    pub(super) fn cpu(&self) -> Duration {
        let ticks: u32 = self.family().iter().map(|stat| stat.ticks).sum();
        TICK * ticks
    }

    /// Resident memory in KiB, of it and its children. What they share counts for each.
    pub(super) fn resident(&self) -> u64 {
        let of = |stat: &Stat| {
            let status = fs::read_to_string(format!("/proc/{}/status", stat.id)).ok()?;
            resident(&status)
        };
        self.family().iter().filter_map(of).sum()
    }

    fn family(&self) -> Vec<Stat> {
        family(self.child.id(), &all())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let family = self.family();
        signal("-TERM", self.child.id());
        for _ in 0..GRACE.as_millis() / 20 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Its children first, or nobody would know them any more.
        for stat in family.iter().filter(|stat| stat.id != self.child.id()) {
            signal("-KILL", stat.id);
        }
        // There is nothing left to try where this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(which: &str, id: u32) {
    // A process that has just ended cannot be told to.
    let _ = Command::new("kill").arg(which).arg(id.to_string()).stderr(Stdio::null()).status();
}

/// What `/proc/<id>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    id: u32,
    parent: u32,
    /// User and system time.
    ticks: u32,
}

fn all() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| stat(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)).collect()
}

fn stat(text: &str) -> Option<Stat> {
    // The name in the middle may hold anything, brackets too.
    let (start, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    let id = start.split_whitespace().next()?.parse().ok()?;
    Some(Stat { id, parent: number(1)?, ticks: number(11)? + number(12)? })
}

/// A process and all that descend from it.
fn family(root: u32, all: &[Stat]) -> Vec<Stat> {
    let mut found: Vec<Stat> = all.iter().filter(|stat| stat.id == root).copied().collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).map(|stat| stat.id) {
        found.extend(all.iter().filter(|stat| stat.parent == parent));
        at += 1;
    }
    found
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let text = "42 (a) b) S 7 42 42 0 -1 4194560 1 0 0 0 30 12 99 99 20 0 1 0 5";
        assert_eq!(stat(text), Some(Stat { id: 42, parent: 7, ticks: 42 }));
        assert_eq!(stat("42 (a"), None);
    }

    #[test]
    fn a_family_is_a_process_and_its_descendants() {
        let all = [(1, 0), (5, 1), (6, 5), (7, 6), (8, 1)];
        let all = all.map(|(id, parent)| Stat { id, parent, ticks: 1 });
        let ids: Vec<u32> = family(5, &all).iter().map(|stat| stat.id).collect();
        assert_eq!(ids, [5, 6, 7]);
        assert!(family(99, &all).is_empty());
    }

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(resident("Name:\ta\nVmRSS:\t   1234 kB\n"), Some(1234));
        assert_eq!(resident("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_dropped_daemon_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start(&["sleep", "60"], folder.path(), "log").unwrap();
        assert_eq!(daemon.ended(), None);
        assert!(daemon.resident() > 0);
        let id = daemon.child.id();
        drop(daemon);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn an_early_end_tells_what_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let said = ["sh", "-c", "echo no luck >&2; exit 3"];
        let mut daemon = Daemon::start(&said, folder.path(), "log").unwrap();
        daemon.child.wait().unwrap();
        let ended = daemon.ended().unwrap();
        assert!(ended.contains("exit status: 3") && ended.ends_with("no luck"), "{ended}");
    }
}
