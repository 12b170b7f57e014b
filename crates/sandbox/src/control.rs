//! What the caller and its launcher say to each other, and over what.
//!
//! The launcher calls back on a nameless (kernel-named) Unix socket. So no descriptor has to be
//! left inheritable in a program with many threads, no secret stands in an argument list, and the
//! launcher learns of the caller's death, of whichever kind, by the end of the stream.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Layer, Limits, Network, SpawnError, Spec};

/// The byte that asks the launcher to send the program a `SIGTERM`.
pub(crate) const TERMINATE: u8 = b'T';

/// The longest message, in bytes.
const LONGEST: u32 = 16 << 20;

/// How long the other side may stay silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds between two looks at whether the launcher still lives.
const SLICE: u16 = 20;

/// What the caller wants.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
    pub(crate) hide: Vec<PathBuf>,
    pub(crate) network: Network,
    pub(crate) limits: Limits,
    /// Whether a missing layer is left out instead of refused.
    pub(crate) weaken: bool,
    /// Build everything, report, and run nothing.
    pub(crate) probe: bool,
    /// The host's user and group to run as, where the caller is root.
    pub(crate) user: Option<(u32, u32)>,
    /// The folder in which the program's control group may be made, or why there is none.
    pub(crate) groups: Result<PathBuf, String>,
}

impl Order {
    pub(crate) fn new(spec: &Spec) -> Self {
        Self {
            command: spec.command.clone(),
            env: spec.env.clone(),
            cwd: spec.cwd.clone(),
            read: spec.read.clone(),
            write: spec.write.clone(),
            hide: spec.hide.clone(),
            network: spec.network,
            limits: spec.limits,
            weaken: false,
            probe: false,
            user: None,
            groups: Err("not looked for".to_owned()),
        }
    }
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// A [`Gate`] comes next; then another report.
    Gate,
    Started(Vec<Held>),
    Refused(Refusal),
}

/// A [`Layer`] on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) holds: bool,
    pub(crate) detail: String,
}

impl Held {
    /// The layer, if its name is one of ours.
    pub(crate) fn into_layer(self) -> Option<Layer> {
        let name = crate::launch::LAYERS.iter().find(|name| **name == self.name)?;
        Some(Layer { name, holds: self.holds, detail: self.detail })
    }
}

/// Why the launcher did not start the program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Refusal {
    NotFound { command: String },
    Exec { command: String, reason: String },
    Path { path: PathBuf, reason: String },
    Layer { layer: String, reason: String },
}

impl From<Refusal> for SpawnError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound { command } => Self::NotFound { command },
            Refusal::Exec { command, reason } => Self::Exec { command, reason },
            Refusal::Path { path, reason } => Self::Path { path, reason },
            Refusal::Layer { layer, reason } => Self::Layer { layer, reason },
        }
    }
}

/// Writes one message: its length, then JSON.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(&body)
}

/// Reads one message, and not a byte more.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other("the message is too long"));
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

/// The way out of a sandbox, as its launcher hands it to the caller.
#[derive(Debug)]
pub(crate) struct Gate {
    /// A socket that listens on the sandbox's own loopback.
    pub(crate) listener: TcpListener,
    /// Its other end is open as long as the launcher lives.
    pub(crate) life: UnixStream,
}

/// Hands a gate over. The other end must be about to take it.
pub(crate) fn send_gate(to: &UnixStream, gate: &Gate) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let both = [gate.listener.as_fd(), gate.life.as_fd()];
    if !beside.push(SendAncillaryMessage::ScmRights(&both)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    // A descriptor travels beside at least one byte.
    sendmsg(to, &[IoSlice::new(&[0])], &mut beside, SendFlags::empty())?;
    Ok(())
}

/// Takes over what [`send_gate`] sent.
pub(crate) fn receive_gate(from: &UnixStream) -> io::Result<Gate> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(mut both) = message
            && let (Some(listener), Some(life)) = (both.next(), both.next())
        {
            return Ok(Gate { listener: listener.into(), life: life.into() });
        }
    }
    Err(io::Error::other("no descriptors came"))
}

/// Where one launcher calls back.
#[derive(Debug)]
pub(crate) struct Door {
    listener: UnixListener,
    name: String,
}

impl Door {
    /// Opens a door under a name the kernel chooses (see "autobind" in unix(7)), so that nobody
    /// can have taken it before.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        bind(fd.as_raw_fd(), &UnixAddr::new_unnamed())?;
        listen(&fd, Backlog::new(4)?)?;
        let listener = UnixListener::from(fd);
        let address = listener.local_addr()?;
        let name = address.as_abstract_name().and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(|| io::Error::other("the kernel gave no name"))?.to_owned();
        Ok(Self { listener, name })
    }

    /// What the launcher is told to call.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the launcher with this process number; others are turned away.
    pub(crate) fn admit(
        &self,
        pid: u32,
        mut ended: impl FnMut() -> Option<String>,
    ) -> Result<UnixStream, String> {
        let slices = PATIENCE.as_millis() / u128::from(SLICE);
        for _ in 0..slices {
            let mut watched = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            // An interrupted wait is a short wait.
            poll(&mut watched, PollTimeout::from(SLICE)).ok();
            match self.listener.accept() {
                Ok((stream, _)) if peer(&stream) == Some(pid) => {
                    let blocking = stream
                        .set_nonblocking(false)
                        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
                        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
                    return blocking.map(|()| stream).map_err(|error| error.to_string());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(how) = ended() {
                        return Err(how);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("it did not call back within {} seconds", PATIENCE.as_secs()))
    }
}

/// Calls back, and makes sure that it is the parent who answers.
pub(crate) fn call(name: &str) -> io::Result<UnixStream> {
    let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    if peer(&stream) != Some(std::os::unix::process::parent_id()) {
        return Err(io::Error::other("somebody else than the parent answered"));
    }
    Ok(stream)
}

/// The process at the other end.
fn peer(stream: &UnixStream) -> Option<u32> {
    let credentials = getsockopt(stream, PeerCredentials).ok()?;
    u32::try_from(credentials.pid()).ok()
}
