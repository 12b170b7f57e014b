//! Who a program is, and that it has no rights.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, getegid, geteuid, setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

use super::INSIDE;

/// Whether this process may mount and enter namespaces as it is.
pub(super) fn is_privileged() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Enters a user namespace in which this process is user 1000 and may do anything, and lets the
/// next program keep those rights.
pub(super) fn become_owner() -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{INSIDE} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{INSIDE} {group} 1"))?;
    let mut sets = capabilities(None)?;
    sets.inheritable = sets.permitted;
    set_capabilities(None, sets)?;
    for (_, capability) in sets.permitted.iter_names() {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// Leaves root's place: becomes the user asked for, if one is, and enters a user namespace
/// without rights over anything outside. `myself` is the folder of this process in `/proc`.
pub(super) fn leave_root(myself: impl AsFd, user: Option<(u32, u32)>) -> io::Result<()> {
    setgroups(&[])?;
    if let Some((user, group)) = user {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        setresgid(group, group, group)?;
        setresuid(user, user, user)?;
        // Changing users hides a process's entries in /proc from itself.
        nix::sys::prctl::set_dumpable(true)?;
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{INSIDE} {user} 1")),
        ("gid_map", format!("{INSIDE} {group} 1")),
    ] {
        let file = openat(&myself, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        nix::unistd::write(&file, text.as_bytes())?;
    }
    Ok(())
}

/// Gives up every capability, also those a program could be given on execution.
pub(super) fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    if capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        for (_, capability) in CapabilitySet::all().iter_names() {
            match remove_capability_from_bounding_set(capability) {
                // A capability this kernel does not know.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(nix::sys::prctl::set_no_new_privs()?)
}
