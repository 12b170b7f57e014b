//! Syslog (RFC 5424) over UDP (RFC 5426) or TCP (RFC 6587, octet counting).

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use doorward_core::Kind;

use super::{DeliveryError, Destination};
use crate::export::ExportError;
use crate::format::{Severity, rfc3339};
use crate::{Format, Sealed};

/// Facility 13, log audit.
const FACILITY: u8 = 13;

/// A datagram holds no more. What is longer is cut: over UDP nothing is sure to arrive anyway.
const DATAGRAM: usize = 60_000;

/// How long a connection may take to be made, or to take a message.
const PATIENCE: Duration = Duration::from_secs(10);

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogTransport {
    /// One datagram each. What is lost on the way is lost.
    Udp,
    /// Each with its length in front. A record may be lost when the collector goes away with what
    /// it has read; a broken connection is noticed and what was not taken comes again.
    Tcp,
}

/// Sends records to a syslog collector, each as one message whose text is in a form.
#[derive(Debug)]
pub struct Syslog {
    transport: SyslogTransport,
    to: SocketAddr,
    host: String,
    format: Format,
    stream: Option<TcpStream>,
    socket: Option<UdpSocket>,
}

impl Syslog {
    /// Sends to this address, as this host.
    pub fn new(
        transport: SyslogTransport,
        to: SocketAddr,
        host: impl AsRef<str>,
        format: Format,
    ) -> Self {
        let host = word(host.as_ref());
        Self { transport, to, host, format, stream: None, socket: None }
    }

    /// One message; `None` for a record that the form has no line for.
    fn message(&self, sealed: &Sealed) -> Result<Option<String>, ExportError> {
        let Some(line) = self.format.line(sealed)? else { return Ok(None) };
        let Ok(record) = sealed.record() else { return Ok(None) };
        let event = &record.event;
        let severity: u8 = match Severity::of(event) {
            Severity::Information => 6,
            Severity::Warning => 4,
            Severity::Error => 3,
        };
        let kind = match event.kind {
            Kind::Model { .. } => "model",
            Kind::Tool { .. } => "tool",
            Kind::Relay { .. } => "relay",
            Kind::Admin { .. } => "admin",
        };
        // RFC 5424 §7.3.1: from 1 to 2147483647, then from 1 again.
        let sequence = record.seq.saturating_sub(1) % 2_147_483_647 + 1;
        let (priority, time) = (FACILITY * 8 + severity, rfc3339(event.at));
        let host = &self.host;
        Ok(Some(format!(
            "<{priority}>1 {time} {host} doorward - {kind} [meta sequenceId=\"{sequence}\"] {line}"
        )))
    }

    fn send_datagram(&mut self, message: &str) -> io::Result<()> {
        let socket = if let Some(socket) = self.socket.take() {
            socket
        } else {
            let any: SocketAddr = match self.to {
                SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
            };
            UdpSocket::bind(any)?
        };
        let mut end = message.len().min(DATAGRAM);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        socket.send_to(&message.as_bytes()[..end], self.to)?;
        self.socket = Some(socket);
        Ok(())
    }

    /// The connection; a new one where the collector has closed it.
    fn stream(&mut self) -> io::Result<TcpStream> {
        if let Some(mut stream) = self.stream.take() {
            stream.set_nonblocking(true)?;
            let heard = stream.read(&mut [0; 64]);
            stream.set_nonblocking(false)?;
            match heard {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(stream),
                Ok(1..) => return Ok(stream),
                Ok(0) | Err(_) => {}
            }
        }
        let stream = TcpStream::connect_timeout(&self.to, PATIENCE)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

/// A host's name as a header may have it: printable ASCII without spaces, or `-`.
fn word(text: &str) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(255).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

impl Destination for Syslog {
    fn deliver(&mut self, records: &[Sealed]) -> Result<(), DeliveryError> {
        let mut messages = Vec::with_capacity(records.len());
        for sealed in records {
            messages.extend(self.message(sealed)?);
        }
        match self.transport {
            SyslogTransport::Udp => {
                for message in &messages {
                    self.send_datagram(message)?;
                }
            }
            SyslogTransport::Tcp => {
                let mut stream = self.stream()?;
                let mut frames = Vec::new();
                for message in &messages {
                    frames.extend_from_slice(format!("{} ", message.len()).as_bytes());
                    frames.extend_from_slice(message.as_bytes());
                }
                stream.write_all(&frames)?;
                self.stream = Some(stream);
            }
        }
        Ok(())
    }
}
