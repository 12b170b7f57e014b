//! Open files that pass from one stage to the next, and those that must not.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Closes every descriptor but the three standard ones and those to keep.
pub(super) fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open {
        if descriptor > 2 && !keep.contains(&descriptor) {
            // The listing's own descriptor is closed already.
            nix::unistd::close(descriptor).ok();
        }
    }
    Ok(())
}

/// Lets the next program inherit this descriptor. Safe from races: the launcher has one thread.
pub(super) fn hand_on(descriptor: impl AsFd) -> io::Result<()> {
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Takes over an inherited pipe or memory file. It is opened anew, which needs no trust in the
/// number, and is not inherited any further.
pub(super) fn take_over(number: &str, write: bool) -> io::Result<File> {
    let descriptor: RawFd = number.parse().map_err(io::Error::other)?;
    let path = format!("/proc/self/fd/{descriptor}");
    let file = File::options().read(!write).write(write).open(path)?;
    nix::unistd::close(descriptor)?;
    Ok(file)
}

/// Lets go of the program's pipes, so that their other ends see when the program does.
pub(super) fn let_go_of_pipes() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}
