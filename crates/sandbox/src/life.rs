//! Who started what: so that what a dead gateway left behind is told from what a live one uses.

use std::fs;
use std::io;

/// A name that nobody had before, from the kernel's own source of them (random(4)).
pub(crate) fn fresh() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned())
}

/// This process, told from every other that has or will have its number: boot, pid namespace,
/// number and time of start.
pub(crate) fn own() -> io::Result<String> {
    let pid = std::process::id();
    let started = start_of(&pid.to_string()).ok_or_else(|| io::Error::other("no /proc"))?;
    Ok(format!("{}.{pid}.{started}", world()?))
}

/// Whether the process with this identity still runs. One of another boot or of another pid
/// namespace cannot be seen from here and counts as gone: an instance's name belongs to one
/// gateway at a time.
pub(crate) fn runs(life: &str) -> bool {
    let Ok(world) = world() else { return true };
    let Some(process) = life.strip_prefix(&world).and_then(|rest| rest.strip_prefix('.')) else {
        return false;
    };
    let Some((pid, started)) = process.split_once('.') else { return false };
    pid.bytes().all(|byte| byte.is_ascii_digit()) && start_of(pid).is_some_and(|at| at == started)
}

/// The boot and the pid namespace.
fn world() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    Ok(format!("{}.{number}", boot.trim()))
}

/// When a process started, in ticks since the boot (field 22 of `proc_pid_stat(5)`).
fn start_of(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may itself hold spaces and brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_more_than_its_number() {
        let life = own().unwrap();
        assert!(runs(&life));
        assert!(!runs(&format!("{life}1")), "another time of start");
        let gone = life.replace(&format!(".{}.", std::process::id()), ".4194399.");
        assert!(!runs(&gone), "a number that cannot be");
        assert!(!runs(&format!("x{life}")), "another boot");
        assert!(!runs(""));
    }

    #[test]
    fn no_name_comes_twice() {
        assert_ne!(fresh().unwrap(), fresh().unwrap());
    }
}
