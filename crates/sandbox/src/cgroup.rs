//! Bounds on a program's processes taken together, by control groups of version 2.
//!
//! A group is made where this process may make groups and nowhere else: within its own group, or
//! beside it within one that was delegated. Leaving that would leave the limits the operator has
//! set. Version 1 and its hybrids have no such delegation, and are left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;

use crate::Limits;

/// Where this process itself goes if it stands where groups are to be made: a group holds
/// processes or passes controllers on, not both.
const OWN: &str = "doorward";

/// Begins the name of a program's group; the launcher's process number ends it.
const PREFIX: &str = "doorward-";

/// What a group must be able to bound.
const NEEDED: [&str; 2] = ["memory", "pids"];

/// Beside [`Limits::memory`] and [`Limits::scratch`]: what `/dev/shm` may hold, and the launcher.
const BESIDE: u64 = 80 << 20;

/// The weight of a program's processor time, where 100 is usual: the gateway comes first.
const WEIGHT: &str = "50";

/// Finds the folder in which groups for programs may be made; makes it ready if need be.
///
/// # Errors
///
/// Why there is none.
pub(crate) fn site() -> Result<PathBuf, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let own = read("/proc/self/cgroup")?;
    let own =
        own.lines().find_map(|line| line.strip_prefix("0::")).ok_or("this is not version 2")?;
    let here = place(&read("/proc/self/mountinfo")?, own).ok_or("version 2 is not mounted")?;
    let site = Site { here, pid: std::process::id() }.find()?;
    sweep(&site);
    Ok(site)
}

/// The folder of a group, from its path and `/proc/self/mountinfo` (see proc(5)).
fn place(mounts: &str, own: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        let inside = Path::new(own).strip_prefix(root).ok()?;
        kind.starts_with("cgroup2 ").then(|| Path::new(at).join(inside).components().collect())
    })
}

/// This process in its group.
#[derive(Debug)]
struct Site {
    here: PathBuf,
    pid: u32,
}

impl Site {
    fn find(&self) -> Result<PathBuf, String> {
        let above = self.here.parent().filter(|above| above.join("cgroup.procs").exists());
        let ours = self.here.file_name().is_some_and(|name| name == OWN);
        if let Some(above) = above.filter(|above| ours || is_delegated(above)) {
            pass_on(above)?;
            return Ok(above.to_owned());
        }
        given(&self.here)?;
        // Only the topmost group of a machine may hold both.
        if has(&self.here, "cgroup.subtree_control") {
            return Ok(self.here.clone());
        }
        if !is_delegated(&self.here) && !is_container(&self.here) {
            return Err(format!(
                "`{}` is not delegated to this service (systemd: Delegate=yes)",
                self.here.display()
            ));
        }
        self.step_aside()?;
        Ok(self.here.clone())
    }

    /// Moves this process, if it is alone, one level down.
    fn step_aside(&self) -> Result<(), String> {
        let processes = text(&self.here, "cgroup.procs");
        if processes.split_whitespace().any(|pid| *pid != *self.pid.to_string()) {
            return Err(format!("other processes stand in `{}`", self.here.display()));
        }
        let own = self.here.join(OWN);
        let made = match fs::create_dir(&own) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => fs::write(own.join("cgroup.procs"), self.pid.to_string()),
        };
        made.map_err(|error| format!("cannot use `{}`: {error}", own.display()))?;
        pass_on(&self.here).inspect_err(|_| {
            // Back to how it was.
            fs::write(self.here.join("cgroup.procs"), self.pid.to_string()).ok();
            fs::remove_dir(&own).ok();
        })
    }
}

fn text(group: &Path, file: &str) -> String {
    fs::read_to_string(group.join(file)).unwrap_or_default()
}

fn has(group: &Path, file: &str) -> bool {
    let list = text(group, file);
    NEEDED.iter().all(|needed| list.split_whitespace().any(|word| word == *needed))
}

/// Whether the group itself was given what is needed.
fn given(group: &Path) -> Result<(), String> {
    if has(group, "cgroup.controllers") {
        return Ok(());
    }
    Err(format!("`{}` has no memory and pids controllers of version 2", group.display()))
}

/// Lets the groups below have what this one was given.
fn pass_on(group: &Path) -> Result<(), String> {
    given(group)?;
    let file = group.join("cgroup.subtree_control");
    if !has(group, "cgroup.subtree_control") {
        let wanted = NEEDED.map(|needed| format!("+{needed}")).join(" ");
        fs::write(&file, wanted)
            .map_err(|error| format!("cannot write `{}`: {error}", file.display()))?;
    }
    // Welcome, not needed.
    fs::write(&file, "+cpu").ok();
    Ok(())
}

/// Whether systemd has marked the group as given away (see "Delegation" in its documentation).
fn is_delegated(group: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 4];
        getxattr(group, *name, &mut value[..]).is_ok_and(|length| value[..length] == *b"1")
    })
}

/// Whether this is the topmost group a container sees: it has a kind, as the machine's has not.
fn is_container(group: &Path) -> bool {
    let top = group.parent().is_none_or(|above| !above.join("cgroup.procs").exists());
    top && group.join("cgroup.type").exists()
}

/// Removes the groups of launchers that had no time to do it. A group that holds a process is not
/// removed by this, whoever it belongs to.
fn sweep(site: &Path) {
    let Ok(entries) = fs::read_dir(site) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            fs::remove_dir(entry.path()).ok();
        }
    }
}

/// One program's group.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes a group for the program of this launcher.
    ///
    /// # Errors
    ///
    /// Where the group or one of the bounds that matter cannot be made.
    pub(crate) fn make(site: &Path, launcher: u32, limits: &Limits) -> io::Result<Self> {
        let folder = site.join(format!("{PREFIX}{launcher}"));
        fs::create_dir(&folder)?;
        let group = Self { folder };
        group.bound(limits).inspect_err(|_| group.remove())?;
        Ok(group)
    }

    fn bound(&self, limits: &Limits) -> io::Result<()> {
        fs::write(self.folder.join("memory.max"), most(limits).to_string())?;
        // The launcher's inner stage counts.
        let processes = limits.processes.saturating_add(1);
        fs::write(self.folder.join("pids.max"), processes.to_string())?;
        // Those a kernel may lack: without them a tree that runs out loses one process, not all.
        for (file, value) in
            [("memory.swap.max", "0"), ("memory.oom.group", "1"), ("cpu.weight", WEIGHT)]
        {
            fs::write(self.folder.join(file), value).ok();
        }
        Ok(())
    }

    /// Moves this process into the group, and gives the way back. What it starts stays.
    ///
    /// # Errors
    ///
    /// Where it may not.
    pub(crate) fn enter(&self) -> io::Result<WayBack> {
        // Opened before any namespace is entered: the kernel asks who opened it, and from where.
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::"));
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let from = own.and_then(|own| place(&mounts, own));
        let from = from.ok_or_else(|| io::Error::other("this is not version 2"))?;
        let back = fs::File::options().write(true).open(from.join("cgroup.procs"))?;
        fs::write(self.folder.join("cgroup.procs"), std::process::id().to_string())?;
        Ok(WayBack(back))
    }

    /// Removes the group, which must be empty; one that is not is swept up later.
    pub(crate) fn remove(&self) {
        fs::remove_dir(&self.folder).ok();
    }
}

/// Leads out of a group again.
#[derive(Debug)]
pub(crate) struct WayBack(fs::File);

impl WayBack {
    /// Moves this process back to where it was.
    ///
    /// # Errors
    ///
    /// Where it may not.
    pub(crate) fn go(mut self) -> io::Result<()> {
        // Zero is the process that writes.
        io::Write::write_all(&mut self.0, b"0")
    }
}

/// The memory of a tree, in bytes.
pub(crate) fn most(limits: &Limits) -> u64 {
    limits.memory.saturating_add(limits.scratch).saturating_add(BESIDE)
}

#[cfg(test)]
mod tests;
