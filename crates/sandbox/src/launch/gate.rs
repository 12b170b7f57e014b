//! The way out, seen from inside: loopback, and a socket on it that the caller's proxy answers.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::egress::PORT;

/// Loopback is the first interface of every network namespace.
const LOOPBACK: u32 = 1;

/// From `linux/rtnetlink.h`, `linux/netlink.h` and `linux/if.h`.
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;

/// The length of a message that sets an interface's flags: a header and `struct ifinfomsg`.
const LENGTH: u8 = 32;

/// Brings loopback up in this network namespace and listens where programs are told to go.
pub(super) fn open() -> io::Result<TcpListener> {
    raise_loopback()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
}

/// Asks the kernel by route netlink, rtnetlink(7), and waits for its answer.
fn raise_loopback() -> io::Result<()> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        Some(SockProtocol::NetlinkRoute),
    )?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &request(), &kernel, MsgFlags::empty())?;
    let mut answer = [0; 256];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    match outcome(answer.get(..length).unwrap_or_default()) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(error.saturating_neg())),
        None => Err(io::Error::other("the kernel's answer is not understood")),
    }
}

fn request() -> Vec<u8> {
    let mut message = Vec::with_capacity(usize::from(LENGTH));
    message.extend(u32::from(LENGTH).to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    // The sequence number and the port of the sender: one question, one answer.
    message.extend([0; 8]);
    // The address family with its padding and the kind of device: any.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    // The flags, and which of them are meant.
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message
}

/// The error number within an acknowledgement; zero is success.
fn outcome(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_as_long_as_it_says() {
        assert_eq!(request().len(), usize::from(LENGTH));
    }

    #[test]
    fn only_an_acknowledgement_is_an_answer() {
        let answer = |kind: u16, error: i32| {
            let mut bytes = vec![0; 36];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&error.to_ne_bytes());
            bytes
        };
        assert_eq!(outcome(&answer(2, 0)), Some(0));
        assert_eq!(outcome(&answer(2, -1)), Some(-1));
        assert_eq!(outcome(&answer(16, 0)), None);
        assert_eq!(outcome(&[0; 8]), None);
    }
}
