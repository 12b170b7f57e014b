//! Taking rights away from mounts.
//!
//! A recursive bind brings the mounts below it along, each with flags of its own, and within a
//! user namespace flags that the host has set may not be cleared: so each mount is remounted with
//! the flags it has and those it should have.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::{HOST, doing, leave_host};
use crate::exposure::Exposure;

/// Mounts a program may write to, besides those the spec names.
const WRITABLE: [&str; 2] = ["/tmp", "/dev/shm"];

/// One line of `/proc/self/mountinfo` (see proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    at: PathBuf,
    flags: MsFlags,
}

/// Remounts everything with no more rights than it needs.
pub(super) fn seal(exposure: &Exposure, proc: bool) -> Result<(), String> {
    let table = if proc { "/proc/self/mountinfo" } else { "/.host/proc/self/mountinfo" };
    let table = fs::read(table).map_err(doing("read", Path::new(table)))?;
    leave_host()?;
    for mounted in table.split(|byte| *byte == b'\n').filter_map(read) {
        if mounted.at.starts_with(HOST) {
            continue;
        }
        let flags = mounted.flags | wanted(&mounted.at, exposure);
        let remount = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
        mount(None::<&str>, &mounted.at, None::<&str>, remount, None::<&str>)
            .map_err(doing("restrict", &mounted.at))?;
    }
    Ok(())
}

/// The flags a mount should have.
fn wanted(at: &Path, exposure: &Exposure) -> MsFlags {
    let mut flags = MsFlags::MS_NOSUID;
    if at.parent() != Some(Path::new("/dev")) || at == Path::new("/dev/shm") {
        flags |= MsFlags::MS_NODEV;
    }
    if at.starts_with("/proc") || at.starts_with("/dev") {
        flags |= MsFlags::MS_NOEXEC;
    }
    let bound = at.ancestors().find_map(|above| exposure.binds.get(above));
    let writable = match bound {
        Some(bound) => bound.write,
        None => WRITABLE.iter().any(|path| at == Path::new(path)),
    };
    let device = at.parent() == Some(Path::new("/dev"));
    if !writable && !device {
        flags |= MsFlags::MS_RDONLY;
    }
    flags
}

fn read(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let at = PathBuf::from(OsString::from_vec(unescaped(fields.nth(4)?)));
    let mut flags = MsFlags::MS_STRICTATIME;
    for option in fields.next()?.split(|byte| *byte == b',') {
        match option {
            b"ro" => flags |= MsFlags::MS_RDONLY,
            b"nosuid" => flags |= MsFlags::MS_NOSUID,
            b"nodev" => flags |= MsFlags::MS_NODEV,
            b"noexec" => flags |= MsFlags::MS_NOEXEC,
            b"nodiratime" => flags |= MsFlags::MS_NODIRATIME,
            b"noatime" => flags = (flags - MsFlags::MS_STRICTATIME) | MsFlags::MS_NOATIME,
            b"relatime" => flags = (flags - MsFlags::MS_STRICTATIME) | MsFlags::MS_RELATIME,
            _ => {}
        }
    }
    Some(Mounted { at, flags })
}

/// Undoes the kernel's `\040` for a space, and the like.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let octal = others.get(..3).filter(|_| *first == b'\\');
        let byte =
            octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &others[3..] } else { others };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::Bind;

    #[test]
    fn a_mount_keeps_the_flags_the_host_gave_it() {
        let line = br"28 27 0:25 / /mnt/with\040space ro,nosuid,noexec,relatime - tmpfs x rw";
        let flags =
            MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_RELATIME;
        assert_eq!(read(line), Some(Mounted { at: "/mnt/with space".into(), flags }));
        assert_eq!(read(b"").map(|mounted| mounted.at), None);
    }

    #[test]
    fn only_what_is_given_for_writing_stays_writable() {
        let mut exposure = Exposure::default();
        for (path, write) in [("/srv", false), ("/srv/cache", true), ("/srv/cache/ref", false)] {
            exposure.binds.insert(path.into(), Bind { write, named: true });
        }
        let cases = [
            ("/", false),
            ("/proc", false),
            ("/srv", false),
            ("/srv/sub", false),
            ("/tmp", true),
            ("/srv/cache", true),
            ("/srv/cache/sub", true),
            ("/srv/cache/ref", false),
            ("/dev", false),
            ("/dev/shm", true),
            ("/tmp/home/ro", false),
        ];
        for (at, writable) in cases {
            let flags = wanted(Path::new(at), &exposure);
            assert_eq!(!flags.contains(MsFlags::MS_RDONLY), writable, "{at}");
            assert!(flags.contains(MsFlags::MS_NOSUID | MsFlags::MS_NODEV), "{at}");
        }
    }
}
