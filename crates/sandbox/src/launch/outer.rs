//! The outer stage: enters the namespaces, starts the inner one, and watches.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SIGTERM, SigSet, kill};
use nix::unistd::{Pid, pipe2};

use super::ledger::Layers;
use super::{Handover, INNER, MARKER, Means, descriptors, gate, identity, inherited, name};
use crate::cgroup::{Group, WayBack};
use crate::control::{Gate, Order, Refusal, Report, TERMINATE, call, receive, send, send_gate};
use crate::egress::{self, PORT};
use crate::exposure::{Surroundings, plan};
use crate::{Network, cgroup};

/// Where programs are, if nobody says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Serves one caller.
pub(super) fn run(door: &str) -> ExitCode {
    // Nobody to report to before there is a line: the exit code has to do.
    let Ok(mut control) = call(door) else { return ExitCode::FAILURE };
    if descriptors::close_all_but(&[control.as_raw_fd()]).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(order) = receive::<Order>(&mut control) else { return ExitCode::FAILURE };
    // Not to be ended along with the caller's terminal: how it ends is the caller's to say.
    nix::unistd::setsid().ok();
    // Nor does a program start with what a thread of the caller happened to block.
    SigSet::empty().thread_set_mask().ok();
    let joined = join(&order);
    let grouped = match &joined {
        Ok(_) => Ok(format!(
            "{} MiB of memory and {} processes for the tree",
            cgroup::most(&order.limits) >> 20,
            order.limits.processes
        )),
        Err(reason) => Err(format!("not used, memory is bounded per process: {reason}")),
    };
    let started = start(order, &mut control, grouped);
    let group = joined.ok().map(|(group, back)| {
        // This process outlives the others; within, it could not remove the group.
        back.go().ok();
        group
    });
    let code = match started {
        Ok(stage) => stage.watch(control),
        Err(refusal) => {
            // A caller who is gone needs no answer.
            send(&mut control, &Report::Refused(refusal)).ok();
            ExitCode::FAILURE
        }
    };
    if let Some(group) = group {
        group.remove();
    }
    code
}

/// Makes a control group and enters it, so that all that is started from here on is in it.
fn join(order: &Order) -> Result<(Group, WayBack), String> {
    let site = order.groups.as_ref().map_err(Clone::clone)?;
    let group = Group::make(site, std::process::id(), &order.limits)
        .map_err(|error| format!("cannot make a group in `{}`: {error}", site.display()))?;
    match group.enter() {
        Ok(back) => Ok((group, back)),
        Err(error) => {
            group.remove();
            Err(format!("cannot enter the group: {error}"))
        }
    }
}

/// The inner stage, as the outer one sees it.
struct Stage {
    process: Child,
    /// Open in the inner stage as long as it lives.
    report: File,
    /// By this the caller's proxy knows that this process lives.
    _life: Option<UnixStream>,
}

/// A failure of the launcher itself; what it was doing names the layer that is missing.
fn broken(layer: &str) -> impl Fn(io::Error) -> Refusal + '_ {
    move |error| Refusal::Layer { layer: layer.to_owned(), reason: error.to_string() }
}

fn start(
    order: Order,
    control: &mut UnixStream,
    grouped: Result<String, String>,
) -> Result<Stage, Refusal> {
    let around = surroundings(&order)?;
    let (exposure, program) = plan(&order, &around)?;
    let env = environment(&order, &around);
    let mut layers = Layers::new(order.weaken);
    layers.note(name::CGROUP, grouped);

    let means = if identity::is_privileged() {
        Means::Root
    } else {
        let outcome = identity::become_owner().map(|()| "the program owns nothing outside".into());
        let owner = layers.require(name::USER, outcome.map_err(|error| owner_hint(&error)))?;
        if owner { Means::Owner } else { Means::None }
    };
    let renamed = enter(&mut layers)?;
    let listener = leave_network(&mut layers, &order)?;
    let proxied = listener.is_some();
    let life = listener.map(|listener| hand_out(control, listener)).transpose();
    let life = life.map_err(broken(name::EGRESS))?;

    let handover = Handover {
        program,
        command: order.command,
        env,
        cwd: around.cwd,
        exposure,
        network: order.network,
        proxied,
        limits: order.limits,
        layers,
        means,
        renamed,
        hides: !order.hide.is_empty(),
        user: order.user.filter(|_| means == Means::Root),
    };
    let (process, report) = hand_over(&handover).map_err(broken(name::PROCESS))?;
    Ok(Stage { process, report, _life: life })
}

/// Why user namespaces are commonly missing.
fn owner_hint(error: &io::Error) -> String {
    format!(
        "{error} (see user.max_user_namespaces, kernel.unprivileged_userns_clone, \
         kernel.apparmor_restrict_unprivileged_userns; containers often forbid it)"
    )
}

fn surroundings(order: &Order) -> Result<Surroundings, Refusal> {
    let here = || std::env::current_dir();
    let cwd = match &order.cwd {
        Some(cwd) if cwd.is_absolute() => Ok(cwd.clone()),
        Some(cwd) => here().map(|here| here.join(cwd)),
        None => here(),
    };
    let named = |error: io::Error| Refusal::Path {
        path: order.cwd.clone().unwrap_or_else(|| PathBuf::from(".")),
        reason: error.to_string(),
    };
    let cwd = cwd.and_then(|cwd| cwd.canonicalize()).map_err(named)?;
    let search = order.env.get("PATH").cloned().or_else(|| inherited("PATH"));
    Ok(Surroundings {
        cwd,
        home: inherited("HOME").map(PathBuf::from).and_then(|home| home.canonicalize().ok()),
        search: search.unwrap_or_else(|| PATH.to_owned()),
    })
}

/// All the program's environment.
fn environment(order: &Order, around: &Surroundings) -> Vec<(String, String)> {
    let mut env = vec![
        ("PATH".to_owned(), around.search.clone()),
        ("HOME".to_owned(), "/tmp/home".to_owned()),
        ("TMPDIR".to_owned(), "/tmp".to_owned()),
        ("LANG".to_owned(), inherited("LANG").unwrap_or_else(|| "C.UTF-8".to_owned())),
    ];
    if order.network == Network::Proxy {
        env.extend(egress::variables().map(|(name, value)| (name.to_owned(), value)));
    }
    env.retain(|(name, _)| !order.env.contains_key(name));
    env.extend(order.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    env
}

/// Enters the namespaces that need nothing more than that. The process namespace is for the next
/// process; this one stays outside. Gives whether the host name is the sandbox's own.
fn enter(layers: &mut Layers) -> Result<bool, Refusal> {
    layers.require(
        name::PROCESS,
        one(CloneFlags::CLONE_NEWPID, "other processes are out of reach; all end together"),
    )?;
    layers.require(
        name::IPC,
        one(CloneFlags::CLONE_NEWIPC, "no shared memory or queues with the host"),
    )?;
    let host_name = one(CloneFlags::CLONE_NEWUTS, "a host name of its own");
    let renamed = layers.require(name::HOST_NAME, host_name)?;
    layers.note(name::CGROUP_VIEW, one(CloneFlags::CLONE_NEWCGROUP, "cgroup paths are hidden"));
    Ok(renamed)
}

/// Enters one namespace.
fn one(flag: CloneFlags, detail: &str) -> Result<String, String> {
    unshare(flag).map(|()| detail.to_owned()).map_err(|error| error.to_string())
}

/// Leaves the host's network, if the spec says so. Gives the socket that is the only way out, if
/// there is to be one.
fn leave_network(layers: &mut Layers, order: &Order) -> Result<Option<TcpListener>, Refusal> {
    match order.network {
        Network::None => {
            let egress = if order.probe { try_gate() } else { Ok("no way out".to_owned()) };
            let outcome = one(CloneFlags::CLONE_NEWNET, "no network, not even loopback");
            layers.require(name::NETWORK, outcome)?;
            layers.note(name::EGRESS, egress);
            Ok(None)
        }
        Network::Proxy => {
            let outcome = one(CloneFlags::CLONE_NEWNET, "no network but a loopback of its own");
            let apart = layers.require(name::NETWORK, outcome)?;
            let opened =
                if apart { open_gate() } else { Err("it needs a network namespace".into()) };
            let told = opened.as_ref().map(|_| format!("only through the proxy at port {PORT}"));
            layers.require(name::EGRESS, told.map_err(Clone::clone))?;
            Ok(opened.ok())
        }
        Network::Host => {
            let given = "the spec gives the host's network".to_owned();
            layers.note(name::NETWORK, Err(given.clone()));
            layers.note(name::EGRESS, Err(given));
            Ok(None)
        }
    }
}

fn open_gate() -> Result<TcpListener, String> {
    gate::open().map_err(|error| error.to_string())
}

/// Whether there could be a gate, tried in a namespace that is left at once.
fn try_gate() -> Result<String, String> {
    one(CloneFlags::CLONE_NEWNET, "")?;
    open_gate().map(|_| "with hosts named, a proxy is the only way out".to_owned())
}

/// Hands the program's way out to the caller, and gives what is to be kept until the end.
fn hand_out(control: &mut UnixStream, listener: TcpListener) -> io::Result<UnixStream> {
    let (ours, life) = UnixStream::pair()?;
    send(control, &Report::Gate)?;
    send_gate(control, &Gate { listener, life })?;
    Ok(ours)
}

/// Starts the inner stage. What it needs to know goes through memory, never through arguments.
fn hand_over(handover: &Handover) -> io::Result<(Child, File)> {
    let mut memory = File::from(memfd_create("handover", MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(&serde_json::to_vec(handover)?)?;
    memory.rewind()?;
    let (ours, theirs) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    descriptors::hand_on(&memory)?;
    descriptors::hand_on(&theirs)?;
    let process = Command::new("/proc/self/exe")
        .arg0("doorward-sandbox")
        .args([MARKER, INNER])
        .args([memory.as_raw_fd(), theirs.as_raw_fd()].map(|number| number.to_string()))
        .current_dir(Path::new("/"))
        .env_clear()
        .spawn()?;
    descriptors::let_go_of_pipes()?;
    Ok((process, File::from(ours)))
}

impl Stage {
    /// Passes the inner stage's report on, and ends when the inner stage or the caller does.
    fn watch(mut self, mut control: UnixStream) -> ExitCode {
        match receive::<Report>(&mut self.report) {
            Ok(report) => {
                if send(&mut control, &report).is_err() {
                    return self.end();
                }
            }
            Err(error) => {
                send(&mut control, &Report::Refused(broken(name::PROCESS)(error))).ok();
                return self.end();
            }
        }
        loop {
            let mut watched = [
                PollFd::new(control.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.report.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return self.end(),
            }
            let [caller, within] = watched.map(|one| one.any().unwrap_or(true));
            if within {
                return self.end_with_it();
            }
            if caller && !self.obey(&mut control) {
                return self.end();
            }
        }
    }

    /// Does what the caller asks; tells whether the caller is still there.
    fn obey(&self, control: &mut UnixStream) -> bool {
        let mut asked = [0];
        match control.read(&mut asked) {
            Ok(1) if asked[0] == TERMINATE => {
                if let Ok(id) = i32::try_from(self.process.id()) {
                    // It may have ended just now.
                    kill(Pid::from_raw(id), SIGTERM).ok();
                }
                true
            }
            Ok(1) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    /// Kills everything within.
    fn end(mut self) -> ExitCode {
        // Process 1 takes the others along; it may have ended just now.
        self.process.kill().ok();
        self.end_with_it()
    }

    /// Ends as the inner stage ended.
    fn end_with_it(mut self) -> ExitCode {
        let code = self.process.wait().ok().and_then(|status| status.code());
        ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(137))
    }
}
