//! The inner stage: process 1 of the sandbox.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SIGCHLD, SIGKILL, SIGTERM, SigSet, Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::root::Root;
use super::{Handover, Means, descriptors, fence, filter, identity, name};
use crate::Limits;
use crate::control::{Refusal, Report, send};

/// The kernel that counts processes per user namespace, and the one that numbers them per
/// process namespace.
const COUNTS_PER_NAMESPACE: (u32, u32) = (5, 14);
const NUMBERS_PER_NAMESPACE: (u32, u32) = (6, 14);

/// The least value of `kernel.pid_max`.
const LEAST_NUMBERS: u64 = 301;

/// Builds the sandbox, runs the program, and ends as it ends.
pub(super) fn run(handover: &str, report: &str) -> ExitCode {
    let Ok(mut report) = descriptors::take_over(report, true) else { return ExitCode::FAILURE };
    match prepare(handover, &report) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(started)) => {
            let told = send(&mut report, &Report::Started(started.held));
            let gone = descriptors::let_go_of_pipes();
            if told.is_err() || gone.is_err() {
                return ExitCode::FAILURE;
            }
            started.init.reap()
        }
        Err(refusal) => {
            // Without an outer stage there is nobody to tell.
            send(&mut report, &Report::Refused(refusal)).ok();
            ExitCode::FAILURE
        }
    }
}

struct Started {
    held: Vec<crate::control::Held>,
    init: Init,
}

fn missing<E: Into<io::Error>>(layer: &'static str) -> impl Fn(E) -> Refusal {
    move |error| Refusal::Layer { layer: layer.to_owned(), reason: error.into().to_string() }
}

fn prepare(handover: &str, report: &File) -> Result<Option<Started>, Refusal> {
    let mut all = Vec::new();
    let mut handover = descriptors::take_over(handover, false).map_err(missing(name::PROCESS))?;
    handover.read_to_end(&mut all).map_err(missing(name::PROCESS))?;
    drop(handover);
    let mut order: Handover =
        serde_json::from_slice(&all).map_err(missing::<serde_json::Error>(name::PROCESS))?;
    descriptors::close_all_but(&[report.as_raw_fd()]).map_err(missing(name::PROCESS))?;
    follow_outer(report).map_err(missing(name::PROCESS))?;
    nix::unistd::setsid().ok();

    // Entries of this process that stay writable when /proc no longer is.
    let myself =
        open("/proc/self", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(missing(name::PROC))?;
    // If memory runs out, the program goes before the caller does.
    first_to_go(&myself).ok();
    let mounted = isolate(&mut order, &myself)?;
    drop(myself);
    // Changing users or rights has made the kernel forget.
    follow_outer(report).map_err(missing(name::PROCESS))?;
    restrict(&mut order, mounted)?;

    let Some(program) = order.program.take() else {
        let held = order.layers.into_held();
        send(&mut &*report, &Report::Started(held)).map_err(missing(name::PROCESS))?;
        return Ok(None);
    };
    let init = Init::start(&program, &order)?;
    Ok(Some(Started { held: order.layers.into_held(), init }))
}

/// Dies when the outer stage does, also if that happened just before this call.
fn follow_outer(report: &File) -> io::Result<()> {
    prctl::set_pdeathsig(SIGKILL)?;
    let mut watched = [PollFd::new(report.as_fd(), PollFlags::empty())];
    poll(&mut watched, PollTimeout::ZERO)?;
    let [report] = watched;
    if report.any().unwrap_or(true) {
        return Err(io::Error::other("the outer stage is gone"));
    }
    Ok(())
}

fn first_to_go(myself: &OwnedFd) -> io::Result<()> {
    let file = nix::fcntl::openat(
        myself,
        "oom_score_adj",
        OFlag::O_WRONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    nix::unistd::write(&file, b"1000")?;
    Ok(())
}

/// Builds the root folder and gives up every right. Gives whether there is such a folder.
fn isolate(order: &mut Handover, myself: &OwnedFd) -> Result<bool, Refusal> {
    let entered = match order.means {
        Means::None => Err("it needs a user namespace".to_owned()),
        Means::Root | Means::Owner => Root::enter(),
    };
    let detail = entered.map(|()| "only what is exposed exists".to_owned());
    let mounted = order.layers.require(name::MOUNT, detail)?;
    let proc = if mounted {
        build(order)?
    } else {
        number_processes(order, false);
        Err("it needs a mount namespace".to_owned())
    };
    order.layers.require(name::PROC, proc.map(|()| "read-only, only its own processes".into()))?;
    if order.renamed {
        // A program may well see a name that is not nice.
        nix::unistd::sethostname("sandbox").ok();
    }
    if order.means == Means::Root {
        let left = identity::leave_root(myself, order.user);
        let left = left.map(|()| "root here is nobody there".to_owned());
        order.layers.require(name::USER, left.map_err(|error| error.to_string()))?;
    }
    let dropped = identity::drop_capabilities().map(|()| "and none to be gained".to_owned());
    order.layers.require(name::CAPABILITIES, dropped.map_err(|error| error.to_string()))?;
    Ok(mounted)
}

/// Builds the root folder and seals it. Half a root folder is worse than none: from here on there
/// is no going on without. Gives whether there is a `/proc`.
fn build(order: &mut Handover) -> Result<Result<(), String>, Refusal> {
    let broken = |reason| Refusal::Layer { layer: name::MOUNT.to_owned(), reason };
    umask(Mode::from_bits_truncate(0o022));
    let root = Root::build(order).map_err(broken)?;
    let proc = root.proc.clone();
    number_processes(order, proc.is_ok());
    root.seal(&order.exposure).map_err(broken)?;
    Ok(proc)
}

/// Bounds processes by their numbers, which holds for root as well.
fn number_processes(order: &mut Handover, proc: bool) {
    let root = order.means == Means::Root && order.user.is_none_or(|(user, _)| user == 0);
    // In an older kernel, or without a process namespace, this number is the whole machine's.
    let own = proc && std::process::id() == 1 && kernel() >= NUMBERS_PER_NAMESPACE;
    let numbered = if own {
        let most = order.limits.processes.max(LEAST_NUMBERS);
        std::fs::write("/proc/sys/kernel/pid_max", most.to_string()).map(|()| most).ok()
    } else {
        None
    };
    let outcome = match numbered {
        Some(most) if root => Ok(format!("at most {most} for the tree, by process numbers")),
        _ if root => Err("processes of root are not counted by this kernel (needs 6.14); \
                          do not run as root, or set a user"
            .to_owned()),
        _ if kernel() >= COUNTS_PER_NAMESPACE => {
            Ok(format!("at most {} for the tree", order.limits.processes))
        }
        _ => Err("this kernel counts all processes of the user (needs 5.14)".to_owned()),
    };
    order.layers.note(name::PROCESS_LIMIT, outcome);
}

/// The kernel's version.
fn kernel() -> (u32, u32) {
    let Ok(uname) = nix::sys::utsname::uname() else { return (0, 0) };
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Puts up what holds even if a namespace should not.
fn restrict(order: &mut Handover, mounted: bool) -> Result<(), Refusal> {
    umask(Mode::from_bits_truncate(0o077));
    let limited = limit(&order.limits).map(|()| "memory, files and time per process".to_owned());
    order.layers.require(name::LIMITS, limited.map_err(|error| error.to_string()))?;
    let fenced = fence::put_up(&order.exposure, order.network, order.proxied, mounted);
    if !order.layers.require(name::LANDLOCK, fenced)? && !mounted && order.hides {
        let reason = "without it nothing can be hidden".to_owned();
        return Err(Refusal::Layer { layer: name::MOUNT.to_owned(), reason });
    }
    order.layers.require(name::SECCOMP, filter::put_up())?;
    Ok(())
}

fn limit(limits: &Limits) -> io::Result<()> {
    let counted = kernel() >= COUNTS_PER_NAMESPACE;
    let bounds = [
        (Resource::RLIMIT_DATA, Some(limits.memory)),
        (Resource::RLIMIT_NPROC, Some(limits.processes).filter(|_| counted)),
        (Resource::RLIMIT_NOFILE, Some(limits.open_files)),
        (Resource::RLIMIT_FSIZE, Some(limits.file_size)),
        (Resource::RLIMIT_CPU, limits.cpu_seconds),
        (Resource::RLIMIT_CORE, Some(0)),
    ];
    for (resource, bound) in bounds {
        let Some(bound) = bound else { continue };
        let (_, most) = getrlimit(resource)?;
        let bound = bound.min(most);
        setrlimit(resource, bound, bound)?;
    }
    Ok(())
}

/// Process 1: waits for the program, and reaps what nobody else waits for.
struct Init {
    program: Pid,
    signals: SigSet,
}

impl Init {
    fn start(path: &std::path::Path, order: &Handover) -> Result<Self, Refusal> {
        let named = order.command.first().cloned().unwrap_or_default();
        let failed = |reason: String| Refusal::Exec { command: named.clone(), reason };
        // The program is of the same user: keep it out of this process's memory.
        prctl::set_dumpable(false).map_err(|error| failed(error.to_string()))?;
        let cwd = if order.cwd.is_dir() { order.cwd.as_path() } else { "/tmp".as_ref() };
        let process = Command::new(path)
            .args(order.command.iter().skip(1))
            .env_clear()
            .envs(order.env.iter().map(|(name, value)| (name, value)))
            .current_dir(cwd)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        // Only now: the program would inherit it.
        let mut signals = SigSet::empty();
        signals.add(SIGCHLD);
        signals.add(SIGTERM);
        signals.thread_block().map_err(|error| failed(error.to_string()))?;
        let id = i32::try_from(process.id()).map_err(|error| failed(error.to_string()))?;
        Ok(Self { program: Pid::from_raw(id), signals })
    }

    /// Waits until the program ends. What is left of its tree ends with this process.
    fn reap(self) -> ExitCode {
        loop {
            // First, as a process may have ended before its signal was waited for.
            while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                if status == WaitStatus::StillAlive {
                    break;
                }
                if status.pid() == Some(self.program)
                    && let Some(code) = code(status)
                {
                    return code;
                }
            }
            match self.signals.wait() {
                Ok(SIGTERM) => {
                    // It may have ended just now.
                    kill(self.program, SIGTERM).ok();
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return ExitCode::FAILURE,
            }
        }
    }
}

/// The exit code that stands for how a process ended.
fn code(status: WaitStatus) -> Option<ExitCode> {
    let signalled =
        |signal: Signal| u8::try_from(signal as i32).map_or(255, |n| n.saturating_add(128));
    match status {
        WaitStatus::Exited(_, code) => {
            Some(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(255)))
        }
        WaitStatus::Signaled(_, signal, _) => Some(ExitCode::from(signalled(signal))),
        _ => None,
    }
}
