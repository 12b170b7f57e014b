//! The root folder: a small file system in memory, with what is exposed bound into it.
//!
//! The order matters. Everything that is created or written is done while the new root holds
//! nothing of the host; only then are the host's files bound, and from then on nothing is created
//! or written. Otherwise a path that is exposed and one that is made could meet, and the launcher
//! would write, with all its rights, to the host.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, chown, symlink};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::pivot_root;

use super::{Handover, INSIDE};
use crate::Network;
use crate::exposure::Exposure;

mod seal;

/// Where the host's root is kept until everything is bound.
const HOST: &str = "/.host";

/// Folders of which one exists on every machine, to build upon.
const BASES: [&str; 5] = ["/tmp", "/run", "/mnt", "/var", "/usr"];

/// Devices that give and take nothing of value.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// What `/proc` shows of the machine beyond the program's own processes.
const TELLING_FILES: [&str; 6] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/latency_stats",
];
const TELLING_FOLDERS: [&str; 3] = ["/proc/acpi", "/proc/scsi", "/proc/bus"];

/// A root folder that is built but not yet sealed.
#[derive(Debug)]
pub(super) struct Root {
    /// Whether there is a `/proc`, or why not.
    pub(super) proc: Result<(), String>,
}

/// Names what was being done when it failed.
fn doing<E: Into<io::Error>>(what: &str, path: &Path) -> impl Fn(E) -> String {
    move |error| format!("cannot {what} `{}`: {}", path.display(), error.into())
}

/// A file system of the kernel's own.
fn mount_fresh(kind: &str, at: &str, flags: MsFlags, data: &str) -> Result<(), String> {
    mount(Some(kind), at, Some(kind), flags, Some(data)).map_err(doing("mount", Path::new(at)))
}

impl Root {
    /// Enters a mount namespace of its own. The one step that can fail without a trace.
    pub(super) fn enter() -> Result<(), String> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|error| error.to_string())
    }

    /// Makes a root folder that holds what is exposed, within the namespace entered before.
    pub(super) fn build(order: &Handover) -> Result<Self, String> {
        let root = Path::new("/");
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, root, None::<&str>, flags, None::<&str>)
            .map_err(doing("separate", root))?;
        enter_empty()?;
        settings(order.network).map_err(doing("write", Path::new("/etc")))?;
        let proc = kernel_folders()?;
        scratch(order)?;
        make_places(&order.exposure, &order.cwd)?;
        bind_all(&order.exposure)?;
        Ok(Self { proc })
    }

    /// Lets go of the host's root, and makes the new one read-only as far as it is.
    pub(super) fn seal(self, exposure: &Exposure) -> Result<(), String> {
        seal::seal(exposure, self.proc.is_ok())
    }
}

/// Moves to an empty root, with the host's below it.
fn enter_empty() -> Result<(), String> {
    let base = BASES.into_iter().find(|base| Path::new(base).is_dir()).unwrap_or("/");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount_fresh("tmpfs", base, flags, "mode=755,size=16m")?;
    let at = Path::new(base);
    let host = at.join(HOST.trim_start_matches('/'));
    fs::create_dir(&host).map_err(doing("create", &host))?;
    pivot_root(at, &host).map_err(doing("move to", at))?;
    std::env::set_current_dir("/").map_err(doing("enter", Path::new("/")))
}

/// `/dev` and `/proc`. A machine that allows no fresh `/proc` (a container in a container) gets an
/// empty one, and the reason back.
fn kernel_folders() -> Result<Result<(), String>, String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    folder(Path::new("/dev"))?;
    mount_fresh("tmpfs", "/dev", flags, "mode=755,size=64k")?;
    for device in DEVICES {
        let at = Path::new("/dev").join(device);
        File::create(&at).map_err(doing("create", &at))?;
        bind(&Path::new(HOST).join("dev").join(device), &at)?;
    }
    for (link, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        let at = Path::new("/dev").join(link);
        symlink(format!("/proc/self/fd{target}"), &at).map_err(doing("link", &at))?;
    }
    folder(Path::new("/dev/shm"))?;
    let flags = flags | MsFlags::MS_NODEV;
    mount_fresh("tmpfs", "/dev/shm", flags, "mode=1777,size=64m")?;
    folder(Path::new("/proc"))?;
    let proc = mount_fresh("proc", "/proc", flags, "");
    if proc.is_ok() {
        veil()?;
    }
    Ok(proc)
}

/// Covers what `/proc` tells of the machine.
fn veil() -> Result<(), String> {
    for file in TELLING_FILES.into_iter().map(Path::new).filter(|path| path.exists()) {
        bind(&Path::new(HOST).join("dev/null"), file)?;
    }
    for folder in TELLING_FOLDERS.into_iter().filter(|path| Path::new(path).exists()) {
        mount_fresh("tmpfs", folder, MsFlags::MS_RDONLY, "mode=000,size=4k")?;
    }
    Ok(())
}

/// A `/tmp` of its own.
fn scratch(order: &Handover) -> Result<(), String> {
    folder(Path::new("/tmp"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount_fresh("tmpfs", "/tmp", flags, &format!("mode=1777,size={}", order.limits.scratch))?;
    let home = Path::new("/tmp/home");
    DirBuilder::new().mode(0o700).create(home).map_err(doing("create", home))?;
    if let Some((user, group)) = order.user {
        chown(home, Some(user), Some(group)).map_err(doing("give away", home))?;
    }
    let other = Path::new("/var/tmp");
    if !order.exposure.binds.keys().any(|path| path.starts_with(other)) {
        folder(Path::new("/var"))?;
        symlink("/tmp", other).map_err(doing("link", other))?;
    }
    Ok(())
}

/// Makes a place for everything that is to be bound, the links, and the working folder. What
/// lies within something exposed will be there once that is bound.
fn make_places(exposure: &Exposure, cwd: &Path) -> Result<(), String> {
    let within = |path: &Path| path.ancestors().skip(1).any(|up| exposure.binds.contains_key(up));
    for path in exposure.binds.keys().filter(|path| !within(path)) {
        let kind = fs::symlink_metadata(on_host(path)).map_err(doing("find", path))?;
        if kind.is_dir() {
            folder(path)?;
        } else if !path.exists() {
            path.parent().map_or(Ok(()), folder)?;
            File::create_new(path).map_err(doing("create", path))?;
        }
    }
    let links = exposure.links.iter().filter(|(link, _)| !within(link));
    for (link, target) in links {
        if fs::symlink_metadata(link).is_err() {
            link.parent().map_or(Ok(()), folder)?;
            symlink(target, link).map_err(doing("link", link))?;
        }
    }
    // Relative paths mean the same as outside, whatever of them exists.
    if within(cwd) || exposure.binds.contains_key(cwd) { Ok(()) } else { folder(cwd) }
}

/// Binds what is exposed, folders before what is in them.
fn bind_all(exposure: &Exposure) -> Result<(), String> {
    for (path, bound) in &exposure.binds {
        let above = path.ancestors().skip(1).find_map(|above| exposure.binds.get(above));
        if above.is_none_or(|above| above.write != bound.write) {
            bind_pinned(path)?;
        }
    }
    Ok(())
}

/// Binds a path of the host under its own name. Both ends are pinned down first, part by part and
/// through no link: where a program that already runs may change a folder above, it could set one
/// in between.
fn bind_pinned(path: &Path) -> Result<(), String> {
    let expose = |error: io::Error| doing("expose", path)(error);
    let (source, target) = (pin(&on_host(path)).map_err(expose)?, pin(path).map_err(expose)?);
    let numbered = |pinned: &OwnedFd| format!("{HOST}/proc/self/fd/{}", pinned.as_raw_fd());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    let (from, to) = (numbered(&source), numbered(&target));
    mount(Some(from.as_str()), to.as_str(), None::<&str>, flags, None::<&str>)
        .map_err(|error| expose(error.into()))
}

/// Opens what an absolute path names, refusing links.
fn pin(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let mut pinned = open("/", flags, Mode::empty())?;
    for part in path.components() {
        if let Component::Normal(name) = part {
            pinned = openat(&pinned, name, flags, Mode::empty())?;
        }
    }
    let kind = SFlag::from_bits_truncate(fstat(&pinned)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFLNK {
        return Err(io::Error::other("it has become a link"));
    }
    Ok(pinned)
}

/// Where a path of the host is found until the end.
fn on_host(path: &Path) -> PathBuf {
    Path::new(HOST).join(path.strip_prefix("/").unwrap_or(path))
}

/// Who and where the program is, told without the host's files.
fn settings(network: Network) -> io::Result<()> {
    let etc = Path::new("/etc");
    fs::create_dir_all(etc)?;
    let users = format!(
        "root:x:0:0:root:/:/bin/false\nsandbox:x:{INSIDE}:{INSIDE}:sandbox:/tmp/home:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n"
    );
    fs::write(etc.join("passwd"), users)?;
    fs::write(etc.join("group"), format!("root:x:0:\nsandbox:x:{INSIDE}:\nnogroup:x:65534:\n"))?;
    fs::write(etc.join("hostname"), "sandbox\n")?;
    if network != Network::Host {
        fs::write(etc.join("hosts"), "127.0.0.1 localhost sandbox\n::1 localhost\n")?;
    }
    Ok(())
}

/// A folder with all above it. One that is there stays as it is.
fn folder(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(doing("create", path))
}

fn bind(source: &Path, target: &Path) -> Result<(), String> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    let outside = || PathBuf::from("/").join(source.strip_prefix(HOST).unwrap_or(source));
    mount(Some(source), target, None::<&str>, flags, None::<&str>)
        .map_err(|error| doing("expose", &outside())(error))
}

/// Removes the host's root from the namespace.
fn leave_host() -> Result<(), String> {
    let host = Path::new(HOST);
    umount2(host, MntFlags::MNT_DETACH).map_err(doing("leave", host))?;
    fs::remove_dir(host).map_err(doing("remove", host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_pinned_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "").unwrap();
        symlink("a", root.join("link")).unwrap();
        symlink("b/file", root.join("a/last")).unwrap();
        for (path, pinned) in [
            ("a/b", true),
            ("a/b/file", true),
            ("link", false),
            ("link/b", false),
            ("a/last", false),
            ("a/missing", false),
        ] {
            assert_eq!(pin(&root.join(path)).is_ok(), pinned, "{path}");
        }
    }
}
